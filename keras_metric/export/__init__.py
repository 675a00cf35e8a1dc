"""Models leave, checked: SavedModels for TensorFlow's servers, files for LiteRT and ONNX."""

from importlib import import_module

_HOMES = {
    "Audit": "audit_report",
    "Portable": "portable",
    "Runtime": "runtime",
    "RuntimeFault": "runtime",
    "audit": "auditing",
    "latest": "folders",
    "read_metadata": "metadata",
    "saved_model": "writing",
    "to_litert": "litert",
    "to_onnx": "onnx_file",
    "versions": "folders",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(
            f"keras_metric.export has no attribute {name!r}. Expected one of: {', '.join(__all__)}."
        )
    return getattr(import_module(f"keras_metric.export.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
