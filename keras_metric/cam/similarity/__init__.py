"""Why two images are similar: what every position adds to their similarity."""
