"""One file per recipe; the file name, with dashes, is the recipe's name."""
