# SPDX-License-Identifier: GPL-3.0-or-later
"""A long list: filtered, sorted and cut into pages here, where it is, and not by who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, Field

ROWS = 100
_Row = TypeVar("_Row")


class Asked(BaseModel):
    """Which part of a list is wanted; a sort that the list has not is as none."""

    q: Annotated[
        str, Field(max_length=200, description="words that all stand in what a row is")
    ] = ""
    sort: Annotated[
        str, Field(max_length=20, description="what it is sorted by; with - before it, downwards")
    ] = ""
    page: Annotated[
        int | None,
        Field(ge=1, description=f"of {ROWS} rows; beyond the last: the last; without: all rows"),
    ] = None


@dataclass(frozen=True)
class Listing(Generic[_Row]):
    """The rows of a page; how many were found, and how many there are."""

    rows: Sequence[_Row]
    found: int
    total: int
    page: int
    pages: int

    def said(self) -> dict[str, Any]:
        """All but the rows, as the API says it."""
        return {
            "found": self.found,
            "total": self.total,
            "page": self.page,
            "pages": self.pages,
        }


def listed(
    rows: Sequence[_Row],
    asked: Asked,
    sorted_by: Mapping[str, Callable[[_Row], Any]],
    text: Callable[[_Row], str],
) -> Listing[_Row]:
    """What is asked for of rows, which are in the list's own order; ``text``: what q looks at."""
    total, wanted = len(rows), asked.q.casefold().split()
    if wanted:
        rows = [row for row in rows if _has(text(row).casefold(), wanted)]
    if (key := sorted_by.get(asked.sort.removeprefix("-"))) is not None:
        rows = sorted(rows, key=key, reverse=asked.sort.startswith("-"))
    found = len(rows)
    if asked.page is None:
        return Listing(rows, found, total, 1, 1)
    pages = max(1, -(-found // ROWS))
    page = min(asked.page, pages)
    return Listing(rows[(page - 1) * ROWS : page * ROWS], found, total, page, pages)


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)
