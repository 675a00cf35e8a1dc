"""Batches of labelled pictures, and how they are drawn."""
