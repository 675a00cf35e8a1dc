"""Inference with trained models on folders of pictures: embed, search, scan."""
