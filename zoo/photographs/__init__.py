"""Training on your own photographs: listed, split, planned, trained, measured, made searchable."""
