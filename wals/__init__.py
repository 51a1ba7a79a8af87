"""The program `wals` and, for Python, the model: `from wals import WALSMatrixFactorization`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.model import WALSMatrixFactorization

__all__ = ["WALSMatrixFactorization", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use: `wals --help` must not wait for TensorFlow.
    if name == "WALSMatrixFactorization":
        from trainer.model import WALSMatrixFactorization

        return WALSMatrixFactorization
    if name == "__version__":
        from configs import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
