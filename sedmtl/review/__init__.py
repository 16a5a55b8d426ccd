"""Review: choosing snippets, the listening page, and applying the verdicts."""
