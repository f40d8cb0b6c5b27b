# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists: filtered, sorted and paged by what stands in the URL, so that a link shows the same.

A list that may be long comes from the service as the page of it that is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from .forms import Fields

ROWS = 100
Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """What a list can be sorted by."""

    key: str
    title: str
    # Of a list that the service sorts, nothing.
    value: Callable[[Row], Any] = lambda _: None


@dataclass(frozen=True)
class Listing:
    """A page of a list."""

    rows: list[Row]
    # Of the filter, and before it.
    found: int
    total: int
    page: int
    pages: int
    columns: Sequence[Column]
    # What stands in the URL.
    query: dict[str, str]

    def link(self, **changes: Any) -> str:
        """The same list with other words in its URL."""
        said = self.query | {key: str(value) for key, value in changes.items()}
        return "?" + urlencode({key: value for key, value in said.items() if value})

    def sorted_by(self, key: str) -> str:
        """ascending, descending, or nothing."""
        sort = self.query.get("sort", "")
        if sort.removeprefix("-") != key:
            return ""
        return "descending" if sort.startswith("-") else "ascending"

    def sort_link(self, key: str) -> str:
        """What a click on a column's head leads to."""
        down = self.sorted_by(key) == "ascending"
        return self.link(sort=f"-{key}" if down else key, page="")


def listed(
    rows: Sequence[Row],
    columns: Sequence[Column],
    fields: Fields,
    text: Callable[[Row], str],
    kept: Sequence[str] = (),
) -> Listing:
    """The rows that ``q`` finds in their ``text``; ``kept`` are other words of the URL."""
    query = _query(fields, kept)
    wanted = query["q"].casefold().split()
    found = [row for row in rows if all(word in text(row).casefold() for word in wanted)]
    for column in columns:
        if column.key == query["sort"].removeprefix("-"):
            found.sort(
                key=lambda row: _sortable(column.value(row)), reverse=query["sort"][:1] == "-"
            )
            break
    pages = max(1, -(-len(found) // ROWS))
    page = min(_page(query), pages)
    shown = found[(page - 1) * ROWS : page * ROWS]
    return Listing(shown, len(found), len(rows), page, pages, columns, query)


def asked(fields: Fields, kept: Sequence[str] = ()) -> dict[str, str]:
    """What to ask the service for, of a list that it pages itself."""
    query = _query(fields, kept)
    return query | {"sort": query["sort"][:20], "page": str(_page(query))}


def paged(
    answer: dict[str, Any],
    rows: Sequence[Row],
    columns: Sequence[Column],
    fields: Fields,
    kept: Sequence[str] = (),
) -> Listing:
    """A page of a list as the service has answered it."""
    return Listing(
        list(rows),
        answer["found"],
        answer["total"],
        answer["page"],
        answer["pages"],
        columns,
        _query(fields, kept),
    )


def _query(fields: Fields, kept: Sequence[str]) -> dict[str, str]:
    return {key: fields.one(key)[:200] for key in ("q", "sort", "page", *kept)}


def _page(query: dict[str, str]) -> int:
    said = query["page"]
    return max(1, int(said)) if said.isascii() and said.isdigit() else 1


def _sortable(value: Any) -> tuple[bool, bool, Any]:
    """What is not there comes first; numbers and texts are not compared with each other."""
    if value is None:
        return (False, False, "")
    number = isinstance(value, int | float)
    return (True, number, value if number else str(value))
