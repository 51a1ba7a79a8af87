"""Turn factors into ordered answers."""
