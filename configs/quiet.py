"""Importing large libraries: without their chatter, and without what they do that nobody here needs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def held_back_stderr() -> Iterator[None]:
    """Holds back standard error; shows it where an error comes.

    For the import of TensorFlow: some of its chatter comes from C++ before any log level is read, so the
    descriptor itself is held.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Keeps the garbage collector out of a block of imports, and of what they made for good.

    Its passes over the ever more objects that stay took a fifth of the seconds.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def import_tensorflow() -> None:
    """Imports TensorFlow, and lets it look for accelerators, without its chatter."""
    # Keras 3 brings Matplotlib and scikit-learn along, a second's worth; TF-Transform needs Keras 2 anyway.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    with imports(), held_back_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
