"""The night as a pipeline of Vertex AI: `night.yaml`, compiled from the steps of nightly/, and how it is submitted."""
