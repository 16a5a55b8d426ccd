"""Published corpora: what there is, how it comes here, and whether it is still whole."""
