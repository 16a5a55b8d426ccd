"""Held-out scores -> rows, averaged over folds, and the tables they are shown in."""
