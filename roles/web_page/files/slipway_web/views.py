# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates: everything is escaped, and what a PC has said is text and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from . import words

_FOLDER = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # With no-referrer a browser says that its forms come from nowhere.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def environment() -> jinja2.Environment:
    """The templates; a name that is not there is a fault, not an empty text."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=words.plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words.size, words.moment, words.age, words.colour, words.span)
    made.filters |= {each.__name__: each for each in filters}
    return made


def render(templates: jinja2.Environment, name: str, values: dict[str, Any]) -> str:
    """One page."""
    return templates.get_template(name).render(values)
