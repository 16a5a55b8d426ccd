"""Review: what to listen to, the page to listen on, and what follows from the verdicts."""
