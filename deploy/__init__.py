"""Run the jobs on Google Cloud."""
