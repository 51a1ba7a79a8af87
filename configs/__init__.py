"""What the pipeline and the trainer agree on: names, paths, settings, manifests, errors."""

__version__ = "0.1.0"
