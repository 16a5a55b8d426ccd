"""Grids of runs: which, how long they take, and the processes that train them."""
