"""Saved models, old ones included: read, repaired in a copy, or refused by name."""
