"""Workers: threads here or the processes of a cluster, and how arrays come back from them."""
