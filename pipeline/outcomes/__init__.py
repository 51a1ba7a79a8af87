"""Outcome: recommendations that were live, and the export of the days after -> what they did."""
