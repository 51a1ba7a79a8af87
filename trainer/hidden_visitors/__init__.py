"""The measurement of new visitors: some are hidden from a training, and answered by their attributes."""
