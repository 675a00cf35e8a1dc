"""The way to a Milvus: a file of `milvus-lite`, or a server."""

from importlib import import_module
from pathlib import Path
from typing import Any

SECONDS = 5  # to wait for a server's first answer


def whole_address(address: str) -> str:
    """The address from everywhere: the path of a file from the root, a server's as it is."""
    return str(Path(address).expanduser().resolve()) if is_file(address) else address


def is_file(address: str) -> bool:
    """Whether an address means a file of `milvus-lite`."""
    return "://" not in address and address.endswith(".db")


def opened(address: str, collection: str, token: str | None) -> tuple[Any, bool]:
    """A client of the Milvus at an address, and whether it holds the collection.

    The file of `milvus-lite` is made where there is none.

    Raises:
        ConnectionError: no Milvus there that lets us in.
    """
    library = pymilvus()
    try:
        client = library.MilvusClient(uri=address, token=token or "", timeout=SECONDS)
        return client, client.has_collection(collection)
    except (library.MilvusException, OSError) as error:
        raise ConnectionError(
            f"There is no Milvus at {address}. Expected a file that ends in .db, or the address of "
            "a server that runs, as http://localhost:19530. Received: "
            f"{getattr(error, 'message', error)}"
        ) from error


def data_types():
    """The library's names of the types of fields."""
    return pymilvus().DataType


def pymilvus():
    """The client library.

    Raises:
        ModuleNotFoundError: it is missing; the message names the command that installs it.
    """
    try:
        return import_module("pymilvus")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "An index in Milvus needs its client. Expected the extra of that name: "
            '`pip install "keras-metric[milvus]"`. Received: an environment without it.'
        ) from error
