"""Datasets by name: each loader downloads with checksums or reads a folder it is given."""
