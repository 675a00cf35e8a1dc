"""What a training leaves, opened again: runs, presets, exports, models from a hub."""
