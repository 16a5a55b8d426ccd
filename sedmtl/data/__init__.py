"""From corpora to mixtures: adapters, audio, folds, the plan, rendering, downloads."""
