# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the lists that describe the image: one entry a line, each with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slipway_image.errors import BuildError


@dataclass(frozen=True)
class Entry:
    """One line of a list: its words, and why it is there."""

    words: tuple[str, ...]
    reason: str


def parse(text: str, name: str, words: int) -> list[Entry]:
    """Return the entries of a list; every entry has `words` words and a reason."""
    return list(_entries(text, name, words))


def _entries(text: str, name: str, words: int) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), start=1):
        content, _, reason = line.partition("#")
        found = tuple(content.split())
        if not found:
            continue
        if len(found) != words or not reason.strip():
            raise BuildError(
                f"{name}, line {number}: {line.strip()!r} is not {words} word(s) and a reason",
                f"write it as `{' '.join(['WORD'] * words)}  # reason`",
            )
        yield Entry(found, reason.strip())


def read(path: Path, words: int = 1) -> list[Entry]:
    """Read a list from a file."""
    return parse(path.read_text(encoding="utf-8"), path.name, words)


def names(path: Path) -> list[str]:
    """Return the first words of a list of single words."""
    return [entry.words[0] for entry in read(path)]
