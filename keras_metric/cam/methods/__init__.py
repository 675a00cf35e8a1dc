"""The map methods, and what they are made from."""
