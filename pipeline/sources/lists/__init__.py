"""List events of an export: exposures and clicks, and the purchases that may follow."""
