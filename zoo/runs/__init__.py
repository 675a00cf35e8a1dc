"""Results of training: runs, presets, exports, models from a hub."""
