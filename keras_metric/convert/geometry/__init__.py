"""Positions and receptive fields of the cells of a converted network."""
