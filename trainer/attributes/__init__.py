"""Factors from attributes: the regression that learns them from a trained model's factors."""
