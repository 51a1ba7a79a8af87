"""The report: one HTML file on a dataset, a model and its quality."""
