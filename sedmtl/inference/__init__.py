"""A trained network at work: audio in, events, maps, sources and exports out."""
