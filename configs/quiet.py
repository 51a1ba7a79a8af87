"""Holding back what a library prints while it is imported."""

from __future__ import annotations

import contextlib
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


def import_tensorflow() -> None:
    """Imports TensorFlow, and lets it look for accelerators, without its chatter."""
    with held_back_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
