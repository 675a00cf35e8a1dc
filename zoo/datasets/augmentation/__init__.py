"""Distorted copies, drawn anew for each batch."""
