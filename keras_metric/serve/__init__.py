"""A local server for SavedModels with the REST and gRPC interfaces of TensorFlow Serving.

`Refusal`, `HTTP`, `body_of`, `web_server` and `signals_end` are for other local servers, such as
that of `keras-metric demo`: error responses, request bodies of limited size, and a clean shutdown.
"""

from importlib import import_module

_HOMES = {
    "HTTP": "refusals",
    "Refusal": "refusals",
    "Servable": "servable",
    "body_of": "rest",
    "serve": "running",
    "signals_end": "signals",
    "web_server": "signals",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(
            f"keras_metric.serve has no such attribute. Expected: one of {', '.join(__all__)}. "
            f"Received: {name!r}."
        )
    return getattr(import_module(f"keras_metric.serve.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
