"""Measures of lists of recommendations, which evaluation and outcome share: metrics, and their intervals."""
