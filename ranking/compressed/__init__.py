"""Exact answers from millions of rows: a compressed table chooses candidates by a proven bound."""
