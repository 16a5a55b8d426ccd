"""From held-out scores to results averaged over folds, and their tables."""
