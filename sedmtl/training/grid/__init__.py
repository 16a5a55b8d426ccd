"""Grids of runs: planning, time estimates, and the processes that train them."""
