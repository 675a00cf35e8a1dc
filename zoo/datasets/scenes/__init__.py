"""Scenes of many things among clutter, the windows cut from them, their batches."""
