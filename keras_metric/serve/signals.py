"""SIGTERM and Ctrl-C end a web server gently, and nothing else."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_end(web) -> Iterator[None]:
    """SIGTERM and SIGINT end the block, and nothing else.

    While it runs, uvicorn has handlers of its own; when it has drained it raises the signal anew
    for those that were there before, which by default kill the process.
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
