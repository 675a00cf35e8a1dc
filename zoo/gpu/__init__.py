"""Why a GPU is not used: what the backend says, the facts of the machine, and the reasons."""
