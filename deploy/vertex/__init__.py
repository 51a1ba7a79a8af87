"""Runs on Google Cloud that are no Beam pipeline: the trainer on Vertex AI. Imports configs alone."""
