"""Run a SavedModel through TensorFlow's C library, without Python TensorFlow and Keras.

This is the path a TensorFlow server takes: `LoadSavedModel` with the tag `serve`, signatures read
from the graph's own description, `Session::Run` on tensor names, XLA compilation switched off.
The folder needs numpy and the shared libraries of an installed TensorFlow, and nothing else of
this package, so it can be copied next to a model and used alone:

    python -m runtime out/model/1
"""

import ctypes
import os
import sys
from pathlib import Path

import numpy as np

from .description import NUMPY, STRING, Signature, Tensor, missing_variables, signatures
from .library import Output, RuntimeFault, checked, library

__all__ = ["Runtime", "RuntimeFault", "Signature", "Tensor"]

_STRING_BYTES = 24  # sizeof(TF_TString)


class Runtime:
    """A loaded SavedModel.

        with Runtime("out/model/1") as served:
            served("serving_default", images=images)["embeddings"]

    Args:
        path: version folder that holds `saved_model.pb`.
        threads: size of TensorFlow's thread pools; by default the library's choice.
        xla: whether XLA compilation is on. As in a server it is off by default; but since the
            switch is global to the process, it is not changed in a process that has loaded Python
            TensorFlow unless you pass False.

    Raises:
        FileNotFoundError: no SavedModel at `path`, one without the files of its variables, or no
            TensorFlow library installed.
        RuntimeFault: the library's error.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, xla: bool | None = None):
        if not (Path(path) / "saved_model.pb").is_file():
            raise FileNotFoundError(
                "There is no SavedModel. Expected: a version folder with a saved_model.pb. "
                f"Received: {str(path)!r}."
            )
        missing = missing_variables(Path(path))
        if missing is not None:
            raise FileNotFoundError(
                f"The SavedModel {str(path)!r} has lost its variables. Expected: {missing}. "
                "Received: no such file."
            )
        self._c = library()
        if xla is None:
            xla = "tensorflow" in sys.modules
        if not xla:
            self._c._ZN10tensorflow21DisableXlaCompilationEv()
        self._graph = self._c.TF_NewGraph()
        self._session, description = self._load(os.fsencode(path), threads)
        self.signatures = dict(signatures(description))

    def _load(self, path: bytes, threads: int | None) -> tuple[int, bytes]:
        c = self._c
        options, buffer = c.TF_NewSessionOptions(), c.TF_NewBuffer()
        try:
            if threads is not None:
                config = bytes([0x10, threads, 0x28, threads])  # ConfigProto: intra and inter op
                checked(c, lambda status: c.TF_SetConfig(options, config, len(config), status))
            tags = (ctypes.c_char_p * 1)(b"serve")
            session = checked(
                c,
                lambda status: c.TF_LoadSessionFromSavedModel(
                    options, None, path, tags, 1, self._graph, buffer, status
                ),
            )
            return session, ctypes.string_at(buffer.contents.data, buffer.contents.length)
        finally:
            c.TF_DeleteSessionOptions(options)
            c.TF_DeleteBuffer(buffer)

    def __call__(self, signature: str = "serving_default", **inputs) -> dict[str, np.ndarray]:
        """Named arrays in, named arrays out; strings are `bytes` in arrays of objects."""
        wanted = self._signature(signature, inputs)
        fed = [self._tensor(inputs[name], wanted.inputs[name]) for name in inputs]
        fetched = (ctypes.c_void_p * len(wanted.outputs))()
        try:
            checked(
                self._c,
                lambda status: self._c.TF_SessionRun(
                    self._session, None,
                    self._places(wanted.inputs[name] for name in inputs),
                    (ctypes.c_void_p * len(fed))(*fed), len(fed),
                    self._places(wanted.outputs.values()), fetched, len(fetched),
                    None, 0, None, status,
                ),
            )  # fmt: skip
            return {
                name: self._array(tensor)
                for name, tensor in zip(wanted.outputs, fetched, strict=True)
            }
        finally:
            for tensor in [*fed, *filter(None, fetched)]:
                self._c.TF_DeleteTensor(tensor)

    def _signature(self, name: str, inputs: dict) -> Signature:
        if not self._session:
            raise ValueError("The runtime is closed. Expected: an open one. Received: a call.")
        if name not in self.signatures:
            raise KeyError(
                f"Unknown signature. Expected: one of {', '.join(sorted(self.signatures))}. "
                f"Received: {name!r}."
            )
        signature = self.signatures[name]
        if set(inputs) != set(signature.inputs):
            raise TypeError(
                f"Wrong inputs for signature {name!r}. "
                f"Expected: {', '.join(signature.inputs)}. Received: {', '.join(inputs) or 'none'}."
            )
        return signature

    def _places(self, tensors) -> ctypes.Array:
        """Tensor names as the operations and output numbers that the C library asks for."""
        places = []
        for tensor in tensors:
            operation, _, index = tensor.name.partition(":")
            found = self._c.TF_GraphOperationByName(self._graph, operation.encode())
            places.append(Output(found, int(index or 0)))
        return (Output * len(places))(*places)

    def _tensor(self, value, wanted: Tensor) -> int:
        # as objects: numpy's own strings drop the zero bytes at the end of an image file
        array = np.asarray(value, dtype=object if wanted.dtype == STRING else None)
        if wanted.dtype == STRING and not all(isinstance(x, str | bytes) for x in array.flat):
            raise TypeError(
                f"{wanted.name} takes text. Expected: str, bytes. Received: {value!r:.80}"
            )
        c, shape = self._c, (ctypes.c_int64 * array.ndim)(*array.shape)
        if wanted.dtype == STRING:
            tensor = c.TF_AllocateTensor(STRING, shape, array.ndim, _STRING_BYTES * array.size)
            start = c.TF_TensorData(tensor)
            for place, text in enumerate(array.ravel()):
                text = text.encode() if isinstance(text, str) else text
                c.TF_StringInit(start + place * _STRING_BYTES)
                c.TF_StringCopy(start + place * _STRING_BYTES, text, len(text))
            return tensor
        values = np.ascontiguousarray(array, dtype=NUMPY[wanted.dtype])
        tensor = c.TF_AllocateTensor(wanted.dtype, shape, array.ndim, values.nbytes)
        ctypes.memmove(c.TF_TensorData(tensor), values.ctypes.data, values.nbytes)
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        c = self._c
        shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
        dtype, start = c.TF_TensorType(tensor), c.TF_TensorData(tensor)
        if dtype == STRING:
            places = range(start or 0, (start or 0) + int(np.prod(shape)) * _STRING_BYTES, 24)
            read = [
                ctypes.string_at(c.TF_StringGetDataPointer(at), c.TF_StringGetSize(at))
                for at in places
            ]
            return np.array(read, dtype=object).reshape(shape)
        data = ctypes.string_at(start, c.TF_TensorByteSize(tensor)) if start else b""
        return np.frombuffer(data, dtype=NUMPY[dtype]).reshape(shape)

    def close(self) -> None:
        if self._session:
            checked(self._c, lambda status: self._c.TF_CloseSession(self._session, status))
            checked(self._c, lambda status: self._c.TF_DeleteSession(self._session, status))
            self._c.TF_DeleteGraph(self._graph)
            self._session = None

    def __enter__(self) -> "Runtime":
        return self

    def __exit__(self, *exception) -> None:
        self.close()
