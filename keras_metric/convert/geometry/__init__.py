"""Where the cells of a converted network lie on the image, and what each has read of it."""
