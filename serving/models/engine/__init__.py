"""Answers from a version's tables by ranking's code: those of batch prediction, without TensorFlow."""
