"""A local server over a SavedModel, speaking TensorFlow Serving's REST and gRPC."""

from keras_metric.serve.running import serve
from keras_metric.serve.servable import Servable

__all__ = ["Servable", "serve"]
