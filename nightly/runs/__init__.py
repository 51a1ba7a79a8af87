"""The account of the nights: each run's record and figures, its outputs, and the live version."""
