"""Features (log-mel and encoder frames) of mixtures and of custom recordings."""
