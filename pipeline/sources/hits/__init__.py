"""The parts of a GA360 session: the fields that are read, the events of its hits, and what its hits are about."""
