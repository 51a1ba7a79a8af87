"""Features of items and of visitors, and the items that are added between trainings."""
