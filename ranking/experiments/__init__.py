"""Experiments: which visitor is given what, at random but again, and what can be concluded from it."""
