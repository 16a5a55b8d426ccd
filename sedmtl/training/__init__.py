"""Training: a recipe, its folder, the loop that follows it, thresholds, and what is left of it."""
