"""Parts of WALSMatrixFactorization: its arguments, lists by the caller's own ids, and the file of a trained model."""
