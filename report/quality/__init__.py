"""The quality section of the report, from the JSON of wals evaluate."""
