"""Export, with verification: SavedModels for TensorFlow Serving, files for LiteRT and ONNX."""

from importlib import import_module

_HOMES = {
    "Audit": "auditing.report",
    "Portable": "portable.single_file",
    "Runtime": "runtime",
    "RuntimeFault": "runtime",
    "audit": "auditing.audit",
    "free": "portable.single_file",
    "latest": "saved_models.versions",
    "read_metadata": "saved_models.versions",
    "saved_model": "saved_models.writing",
    "take_apart": "saved_models.model_parts",
    "to_litert": "portable.litert",
    "to_onnx": "portable.onnx_file",
    "versions": "saved_models.versions",
    "written_atomically": "saved_models.versions",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(
            f"keras_metric.export has no such attribute. Expected: one of {', '.join(__all__)}. "
            f"Received: {name!r}."
        )
    return getattr(import_module(f"keras_metric.export.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
