"""Dataset -> model: weighted alternating least squares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.model import WALSMatrixFactorization

__all__ = ["WALSMatrixFactorization"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the commands check their flags before TensorFlow is imported.
    if name == "WALSMatrixFactorization":
        from trainer.model import WALSMatrixFactorization

        return WALSMatrixFactorization
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
