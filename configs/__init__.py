"""Settings and how they are read: YAML files, flags of the commands, and errors of one line."""

__version__ = "0.1.0"

# Where the rooms are: "" in a clone; "wals." in an installed wheel, which has them inside the package wals (setup.py).
PREFIX = __name__.removesuffix("configs")
