# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table as spreadsheets and switches write it, as text and as rows, whatever it says.

Bytes may be UTF-8 or UTF-16 with or without a byte order mark, or what Windows wrote before (code
page 1252). Semicolons, tabs or commas separate; Excel's ``sep=;`` may say which. Lines may end as
on any system. Empty lines and lines that begin with ``#`` are no rows.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# Byte order marks: the table says what it is written in.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SEP = re.compile(r'\s*"?sep=([;,|\t])"?[;,|\t]*\s*', re.IGNORECASE)
_SEPARATORS = ";\t,"
# Also what no screen shows: spaces without a width, and a mark in the middle of a pasted text.
_AROUND = re.compile(r"^[\s\u200b\ufeff]+|[\s\u200b\ufeff]+$")


@dataclass(frozen=True)
class Row:
    """One row: the number of the line that it begins in, its cells, or why it has none."""

    line: int
    cells: tuple[str, ...]
    problem: str = ""


def decode(content: bytes) -> str:
    """Return the text of a file."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    if b"\0" in content[:2]:
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def rows(text: str, is_head: Callable[[tuple[str, ...]], bool]) -> list[Row]:
    """Return the rows, the first of which names the columns.

    Where no ``sep=`` says what separates, it is what makes a head of the first row.
    """
    lines = re.sub(r"\r\n?", "\n", text.lstrip("\ufeff")).split("\n")
    said, lines = _said(lines)
    read = [list(_read(lines, separator)) for separator in said or _SEPARATORS]
    return next((table for table in read if table and is_head(table[0].cells)), read[-1])


def _said(lines: list[str]) -> tuple[str, list[str]]:
    """Return the separator that the table says, and its lines without that one."""
    for number, line in enumerate(lines):
        if line.strip():
            match = _SEP.fullmatch(line)
            return (match[1], ["", *lines[:number], *lines[number + 1 :]]) if match else ("", lines)
    return "", lines


def _read(lines: list[str], separator: str) -> Iterator[Row]:
    reader = csv.reader(
        _without_comments(lines), delimiter=separator, strict=True, skipinitialspace=True
    )
    while True:
        line = reader.line_num + 1
        try:
            cells = tuple(_AROUND.sub("", cell) for cell in next(reader))
        except csv.Error as failure:
            yield Row(line, (), f"is no CSV: {failure}")
            continue
        except StopIteration:
            return
        if any(cells):
            yield Row(line, cells)


def _without_comments(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if not inside and line.lstrip().startswith("#"):
            yield "\n"
            continue
        # A cell in quotation marks may go on in the next line.
        inside ^= line.count('"') % 2 == 1
        yield f"{line}\n"
