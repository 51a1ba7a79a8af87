"""The run of a prediction: as a Beam job, or in one process; and the account of what it wrote."""
