"""One file a recipe; the file name, with dashes, is the recipe's name."""
