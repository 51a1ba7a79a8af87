"""Events between two trainings: taken in, kept, and counted in the recommendations of their visitors."""
