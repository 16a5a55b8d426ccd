"""Figures, the page of a clip, the page of a project."""
