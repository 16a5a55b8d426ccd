"""Interactive pages: what is on them. `html` makes them files that need nothing but a browser."""

from sedmtl.pages.clip import Clip, clip_page

__all__ = ["Clip", "clip_page"]
