"""From recipe to fitted model: objectives, checkpoints, several devices, progress."""
