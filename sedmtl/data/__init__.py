"""From corpora to mixtures: downloads, adapters, audio, folds, planning and rendering."""
