"""Refusals of a request, with the code of gRPC and the status of HTTP that stand for them."""

HTTP = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "NOT_FOUND": 404, "INTERNAL": 500}
HTTP |= {"RESOURCE_EXHAUSTED": 413, "UNAVAILABLE": 503, "PERMISSION_DENIED": 403}

_FROM_TENSORFLOW = {
    3: "INVALID_ARGUMENT",
    5: "NOT_FOUND",
    8: "RESOURCE_EXHAUSTED",
    11: "INVALID_ARGUMENT",
}


class Refusal(Exception):
    """A request that is refused: `code` is a gRPC status name, the message says why."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code

    @property
    def http(self) -> int:
        return HTTP[self.code]


def from_tensorflow(fault) -> Refusal:
    """The refusal that a fault of the C library amounts to."""
    return Refusal(_FROM_TENSORFLOW.get(fault.code, "INTERNAL"), str(fault))
