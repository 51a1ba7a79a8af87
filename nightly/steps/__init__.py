"""The steps of a night: the commands, what repeats each, and the processes that run them."""
