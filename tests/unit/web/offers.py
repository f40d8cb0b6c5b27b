# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a page offers: its links, and what each of its buttons would send."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode


@dataclass
class Form:
    """Where it goes, what it sends without a button, and what each button adds."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def sends(self) -> list[list[tuple[str, str]]]:
        """What is sent, button by button."""
        return [self.fields + ([each] if each[0] else []) for each in self.buttons]


class _Offers(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {key: value or "" for key, value in attrs}
        if tag == "a":
            self.links.append(said.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(said.get("method", "get"), said.get("action", "")))
        elif tag == "button":
            self.forms[-1].buttons.append((said.get("name", ""), said.get("value", "")))
        elif tag == "input" and said.get("name"):
            self.forms[-1].fields.append((said["name"], said.get("value", "")))
        elif tag == "select":
            self._select = said["name"]
        elif tag == "option" and "value" in said:
            self._choose(said["value"])

    def handle_data(self, data: str) -> None:
        if data.strip():
            self._choose(data.strip())

    def _choose(self, value: str) -> None:
        """Of a choice, the first."""
        if self._select:
            self.forms[-1].fields.append((self._select, value))
            self._select = ""


def offers(path: str, text: str) -> tuple[set[str], list[Form]]:
    """The paths of this server that a page leads to, its buttons' too, and its POST forms."""
    found, here = _Offers(), path.partition("?")[0]
    found.feed(text)
    paths = {each for each in found.links if each.startswith("/")}
    paths |= {here + each for each in found.links if each.startswith("?")}
    for form in found.forms:
        if form.method == "get":
            paths |= {f"{form.action or here}?{urlencode(said)}" for said in form.sends()}
    return paths, [form for form in found.forms if form.method == "post"]
