"""Items that nobody has viewed yet, and visitors without views, by their attributes."""
