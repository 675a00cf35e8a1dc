"""Whether a server can load a SavedModel, and what of it runs on a GPU."""
