"""What holds and searches the vectors of an index."""
