"""Training: the configuration of a run, its folder, tasks and losses, the loop, thresholds."""
