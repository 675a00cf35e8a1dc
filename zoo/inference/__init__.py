"""Trained models at work on folders of pictures: embed, search, scan."""
