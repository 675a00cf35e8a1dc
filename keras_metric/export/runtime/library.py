"""TensorFlow's C library: where it is, what its functions take, what its refusals say."""

import ctypes
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path


class RuntimeFault(RuntimeError):
    """An error of the C library while loading or running.

    `code` is its status code, as numbered by gRPC: 3 is an invalid argument, 13 an internal error.
    """

    def __init__(self, message: str, code: int):
        super().__init__(message)
        self.code = code


class Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("free", ctypes.c_void_p)]


_TYPES = {
    "p": ctypes.c_void_p, "b": ctypes.POINTER(Buffer), "t": ctypes.c_char_p,
    "a": ctypes.POINTER(ctypes.c_char_p), "z": ctypes.c_size_t, "i": ctypes.c_int,
    "l": ctypes.c_int64, "-": None,
}  # fmt: skip

# function, result, arguments
_FUNCTIONS = """
    TF_NewStatus p          TF_DeleteStatus - p       TF_GetCode i p        TF_Message t p
    TF_NewGraph p           TF_DeleteGraph - p        TF_NewBuffer b        TF_DeleteBuffer - b
    TF_NewSessionOptions p  TF_DeleteSessionOptions - p                     TF_SetConfig - ptzp
    TF_LoadSessionFromSavedModel p pptaipbp           TF_CloseSession - pp  TF_DeleteSession - pp
    TF_GraphOperationByName p pt                      TF_SessionRun - ppppippipipp
    TF_AllocateTensor p ipiz                          TF_DeleteTensor - p   TF_TensorData p p
    TF_TensorByteSize z p   TF_TensorType i p         TF_NumDims i p        TF_Dim l pi
    TF_StringInit - p       TF_StringCopy - ptz       TF_StringGetDataPointer p p
    TF_StringGetSize z p    _ZN10tensorflow21DisableXlaCompilationEv -
"""


def library() -> ctypes.CDLL:
    """The C library of the installed TensorFlow, found without importing TensorFlow."""
    package = importlib.util.find_spec("tensorflow")
    if package is None or not package.origin:
        raise FileNotFoundError(
            "TensorFlow's C library is missing. Expected: an installed tensorflow: "
            'pip install "keras-metric[cpu]". Received: no package of that name.'
        )
    folder = Path(package.origin).parent
    # RTLD_LOCAL: seen by the whole process, its symbols make numpy.random crash
    ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), mode=ctypes.RTLD_LOCAL)
    c = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"), mode=ctypes.RTLD_LOCAL)
    for declaration in re.split(r"\s{2,}", _FUNCTIONS.strip()):
        name, result, *arguments = declaration.split(" ")
        getattr(c, name).restype = _TYPES[result]
        getattr(c, name).argtypes = [_TYPES[letter] for letter in "".join(arguments)]
    return c


def checked(c: ctypes.CDLL, call: Callable):
    status = c.TF_NewStatus()
    try:
        result = call(status)
        if code := c.TF_GetCode(status):
            raise RuntimeFault(c.TF_Message(status).decode(errors="replace"), code)
        return result
    finally:
        c.TF_DeleteStatus(status)
