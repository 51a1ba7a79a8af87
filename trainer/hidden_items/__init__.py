"""The measurement of new items: some items are hidden from a training, and recommended by their attributes."""
