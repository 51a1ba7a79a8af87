"""Attributes of visitors: where a record has them, and the site's own table of visitors."""
