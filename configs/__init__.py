"""Settings and how they are read: YAML files, flags of the commands, and errors of one line."""

__version__ = "0.1.0"
