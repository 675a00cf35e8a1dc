"""A Keras model as a SavedModel: named signatures, traced once, checked before they are kept."""
