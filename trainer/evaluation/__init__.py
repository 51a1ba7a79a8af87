"""Metrics of a model and of baselines, with confidence intervals, verdicts and a gate."""
