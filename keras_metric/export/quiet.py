"""TensorFlow says on the way what does not concern the caller."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Errors only, from TensorFlow's logger, inside the block."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
