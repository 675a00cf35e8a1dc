"""A signature of a SavedModel as one file for another runtime: LiteRT, ONNX."""
