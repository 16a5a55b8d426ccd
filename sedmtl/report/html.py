"""Self-contained pages: one HTML file each, without network or server.

A page is a Jinja template in `templates` that extends `base.html`, which defines the shared style
(light, dark, print, narrow screens) and forbids the browser to load anything else. Its blocks are
`title`, `style`, `content` and `script`; `source("clip.css")` inserts a file of `templates`
verbatim. Values are escaped unless marked as safe, as those of `embedding` are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import sedmtl


def render(template: str, **values: Any) -> str:
    """Fill in a template of `templates`; a missing value is an error."""
    return _environment().get_template(template).render(values)


def breakable(name: str) -> Markup:
    """A name that breaks across lines after separators rather than within words."""
    return Markup(re.sub(r"([_/.-]+)", r"\1<wbr>", str(escape(name))))


@cache
def _environment() -> Environment:
    loader = PackageLoader("sedmtl", "report/templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip

    def source(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])

    environment.filters["breakable"] = breakable
    environment.globals.update(source=source, version=sedmtl.__version__)
    return environment
