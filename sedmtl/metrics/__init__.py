"""Metrics by family; today that of clips."""
