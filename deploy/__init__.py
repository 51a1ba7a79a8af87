"""Everything that runs the project on other machines: images, Vertex AI, Airflow, Dataflow templates, monitoring."""
