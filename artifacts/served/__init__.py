"""The tables of a model's version, from which the server answers without TensorFlow."""
