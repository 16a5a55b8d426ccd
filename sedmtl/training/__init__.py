"""Training: a recipe, the loop that follows it, and what it leaves."""
