"""SIGTERM and Ctrl-C shut down a web server cleanly without ending the process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
