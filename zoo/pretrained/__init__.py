"""Weights that others trained: found in installed packages, checked, read without running code."""
