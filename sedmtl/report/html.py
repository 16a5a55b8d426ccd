"""Pages that need nothing but a browser: one HTML file each, no network, no server.

A page is a Jinja template in `templates` that extends `base.html`, which brings the shared
style (light, dark, print, narrow screens) and forbids the browser to load anything else. Its
blocks are `title`, `style`, `content` and `script`; this module prepares embedded data:

    {% extends "base.html" %}
    {% block title %}{{ name }}{% endblock %}
    {% block style %}{{ source("clip.css") }}{% endblock %}
    {% block content %}<h1>{{ name }}</h1> <img src="{{ picture }}" alt="…">{% endblock %}
    {% block script %}<script>{{ source("clip.js") }}</script>{% endblock %}

    text = render("clip.html", name="rain.wav", picture=data_uri(png, "image/png"))
    write_text(path, text)

Values are escaped unless this module marks them as safe. `base.css` defines colours as variables
(`--paper`, `--ink`, `--faint`, `--line`, `--accent`, `--panel`) for pages to use, and styles for
headings, tables (`<div class="wide">` around a wide one lets it scroll by itself), buttons and
visible focus.
"""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import sedmtl


def render(template: str, **values: Any) -> str:
    """Fill in a template.

    Args:
        template: Its name in `templates`.
        values: The variables of the template; a missing one is an error.
    """
    return _environment().get_template(template).render(values)


def data_uri(content: bytes, media_type: str) -> Markup:
    """A file embedded in an address, for `src` and `href`."""
    return Markup(f"data:{media_type};base64,{base64.b64encode(content).decode()}")


def as_json(value: Any) -> Markup:
    """Plain data for `<script type="application/json">`.

    Raises:
        ValueError: It holds NaN or infinity, which JSON cannot represent.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Only text like the end of a script or a comment is unsafe within a script.
    return Markup(text.replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    loader = PackageLoader("sedmtl", "report/templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip

    def source(name: str) -> Markup:
        """A style sheet or script, verbatim."""
        return Markup(loader.get_source(environment, name)[0])

    environment.globals.update(source=source, version=sedmtl.__version__)
    return environment
