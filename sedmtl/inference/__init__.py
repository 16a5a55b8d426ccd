"""Inference: audio in; events, maps, separated sources and exports out."""
