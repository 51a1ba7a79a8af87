"""A simulator: visitors who are shown their recommendations, click and buy, with habits that are known."""
