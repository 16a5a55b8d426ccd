"""Workers: local threads or cluster processes, and how they return arrays."""
