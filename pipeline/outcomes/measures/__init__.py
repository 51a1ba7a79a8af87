"""Sums of some visitors, that add up over all."""
