"""A page on this machine to look at a model: what is similar, how alike, why, and where."""
