"""SIGTERM and Ctrl-C shut down a web server cleanly without ending the process."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DRAIN_SECONDS = 10
_IN_FLIGHT_SECONDS = 0.5


def web_server(app, **options):
    """A `uvicorn.Server` that stops without dropping a request.

    Between a client that has sent a request and a server that has read it lies the network: uvicorn
    closes such a connection unanswered when it stops. This one goes on for half a second first, and
    then completes what it has read, for up to `DRAIN_SECONDS`.

    Args:
        app: an ASGI application.
        options: of `uvicorn.Config`.

    Raises:
        ImportError: uvicorn is missing.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets=None):
            await asyncio.sleep(_IN_FLIGHT_SECONDS)
            await super().shutdown(sockets)

    options = {"log_level": "warning", "timeout_graceful_shutdown": DRAIN_SECONDS, **options}
    return Server(uvicorn.Config(app, **options))


@contextmanager
def signals_end(web) -> Iterator[None]:
    """SIGTERM and SIGINT end the block instead of the process.

    While it runs, uvicorn has its own handlers; after shutting down it raises the signal again
    for the previous handlers, which by default kill the process.
    """

    def end(number, frame) -> None:
        web.should_exit = True

    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
