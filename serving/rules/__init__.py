"""Rules of lists at the time of a request: what limits an answer, the parameters of a query, and files of ids."""
