"""What the jobs wrote -> one page to look at."""
