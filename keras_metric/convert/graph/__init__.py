"""Any Keras model as a flat list of steps, and the new graph that grows from it."""
