"""A small local server with the REST and gRPC interfaces of TensorFlow Serving."""

import socket
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

from keras_metric.serve.servable import Servable
from keras_metric.serve.signals import DRAIN_SECONDS, signals_end, web_server


def serve(
    path: str | Path,
    *,
    name: str | None = None,
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    max_bytes: int = 2**26,
    poll_seconds: float = 1.0,
    threads: int | None = None,
    ready: Callable[[str, int, int], None] | None = None,
) -> None:
    """Serve the highest version in the folder `path` until SIGTERM or SIGINT, then return.

    The server loads through TensorFlow's C library with XLA off, runs the warm-up requests, loads
    new versions as they appear, and completes pending requests before it ends. It is meant for your
    own machine: it is bound to loopback, and has neither encryption nor accounts.

    Args:
        path: the model's folder, which contains its versions.
        name: name of the model in requests; by default the folder's name.
        host: address to listen on.
        rest_port, grpc_port: 0 for any free one.
        max_bytes: size of a request above which it is refused.
        poll_seconds: how often to look for a new version.
        threads: size of TensorFlow's thread pools.
        ready: called with the model's name and the two ports when the server is ready.

    Raises:
        ImportError: a package of the extra `serve` is missing.
        FileNotFoundError: no version in the folder.
        OSError: a port is taken.
    """
    try:
        import grpc
        import uvicorn  # noqa: F401

        from keras_metric.serve.rest import application
        from keras_metric.serve.rpc import handlers
    except ImportError as error:
        raise ImportError(
            'A server needs more packages. Expected: pip install "keras-metric[serve]". '
            f"Received: no module {error.name}."
        ) from error

    servable = Servable(path, name=name, threads=threads)
    rpc = grpc.server(
        futures.ThreadPoolExecutor(8),
        handlers=handlers(servable, max_bytes=max_bytes),
        options=[("grpc.max_receive_message_length", max_bytes), ("grpc.so_reuseport", 0)],
    )
    stopped = threading.Event()
    watcher = threading.Thread(target=_watch, args=(servable, stopped, poll_seconds), daemon=True)
    web = web_server(application(servable, max_bytes=max_bytes), host=host, port=rest_port)
    try:
        rpc_port = _bound(rpc, host, grpc_port)
        listening = _listening(web)
        rpc.start()
        watcher.start()
        with signals_end(web):
            if ready is not None:
                ready(servable.name, listening.getsockname()[1], rpc_port)
            web.run(sockets=[listening])
    finally:
        stopped.set()
        rpc.stop(DRAIN_SECONDS).wait()
        servable.close()


def _watch(servable: Servable, stopped: threading.Event, seconds: float) -> None:
    while not stopped.wait(seconds):
        servable.refresh()


def _listening(web) -> socket.socket:
    """The bound socket: from here on a client waits instead of being turned away.

    Answers go out at once. asyncio sees to that only for sockets that name their protocol, which
    uvicorn's do not, and a small answer would wait 40 ms for the client's acknowledgement.
    """
    listening = web.config.bind_socket()
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.listen()
    return listening


def _bound(rpc, host: str, port: int) -> int:
    try:
        return rpc.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(
            f"The gRPC port is taken. Expected: a free one. Received: {host}:{port}."
        ) from error
