"""The item-item matrix of the neighbourhood (`ranking.neighbourhood`), and the choice of its weight."""
