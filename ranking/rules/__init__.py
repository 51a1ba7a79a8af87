"""The rules of a list of items: which items may be in it, and which of them are; one rule for batch and server."""
