"""Exposures of recommendations, which the outcome of one run writes and the prediction of the next one reads."""
