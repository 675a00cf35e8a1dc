"""A progress bar on the terminal. This module does not import Keras."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def shown(items: Sequence[Item], title: str) -> Iterator[Item]:
    """The items one by one, with a progress bar on standard error if it is a terminal."""
    console = Console(file=sys.stderr)
    yield from track(items, title, console=console, disable=not console.is_terminal)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"keras-metric: warning: {text}.", file=sys.stderr, flush=True)
