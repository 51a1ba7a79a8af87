"""The parts of a GA4 event: the fields that are read, their values, and the occurrences of signals."""
