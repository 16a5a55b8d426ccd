"""Evaluation: held-out scores -> results averaged over folds, and their tables."""
