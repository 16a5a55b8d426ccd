"""Results: the scores of runs as rows, beside the paper's, and as sheets to be shown."""
