"""What WALSMatrixFactorization answers with: lists by the caller's own ids, and a file of a trained model."""
