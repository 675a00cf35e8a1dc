"""Random distortions, different in each batch."""
