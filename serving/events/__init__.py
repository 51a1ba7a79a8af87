"""What visitors do between two trainings: taken in, kept, and counted in their recommendations."""
