"""Serve the page on loopback until SIGTERM or Ctrl-C."""

import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

from keras_metric.serve import signals_end, web_server
from zoo.datasets.reading._extras import need

LOOPBACK = "127.0.0.1"


def serve(app, port: int, *, browser: bool, ready: Callable[[str], None]) -> None:
    """Serve requests until SIGTERM or SIGINT, then complete the pending ones.

    Args:
        app: the application, of `zoo.demo.web`.
        port: 0 for any free one.
        browser: open the page in the browser of this machine, if there is a screen.
        ready: called with the address when the server is ready.

    Raises:
        OSError: the port is taken.
    """
    need("uvicorn", extra="serve", purpose="A page")
    listening = bound(port)
    web = web_server(app)
    with signals_end(web):
        address = f"http://{LOOPBACK}:{listening.getsockname()[1]}/"
        ready(address)
        if browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        web.run(sockets=[listening])


def bound(port: int) -> socket.socket:
    """A socket that listens on loopback; answers do not wait for acknowledgements.

    Raises:
        OSError: the port is taken, or none.
    """
    try:
        if not 0 <= port < 2**16:
            raise OSError("which no port is")
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise OSError(
            f"The port cannot be had. Expected: a free one, or --port 0. Received: {port}, {error}."
        ) from error
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _has_screen() -> bool:
    """On Linux a browser without a screen is one that takes over the terminal."""
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
