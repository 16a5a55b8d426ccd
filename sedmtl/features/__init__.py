"""Log-mel features of mixtures and of own recordings."""
