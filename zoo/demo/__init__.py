"""A local web page to explore a model: similar images, similarity maps, locations in a scene."""
