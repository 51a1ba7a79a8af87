"""Experiments and comparisons: the sums of visitors -> figures with intervals, and their display."""
