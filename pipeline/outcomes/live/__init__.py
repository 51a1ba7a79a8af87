"""Runs of recommendations, their lists, and what their visitors had by then."""
