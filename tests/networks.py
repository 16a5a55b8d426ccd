"""The networks that tests go through."""

from __future__ import annotations

from sedmtl.models.registry import MODELS, settings_class

ON_LOGMEL = [name for name in MODELS if settings_class(name)().inputs == ("logmel",)]
"""Networks that need no encoder."""
