"""Many workers for the same work: threads here, or the processes of a cluster."""
