"""Workers: local threads or the processes of a cluster, and how they return arrays."""
