# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the README's table of contents from the rows that the tests run: `make table`."""

from pathlib import Path

from .cases import CASES
from .rows import ROWS

README = Path(__file__).resolve().parents[2] / "client_image/agent/README.md"
START = "<!-- made by `make table` from tests/storage/cases.py and rows.py -->\n"
END = "<!-- end of table -->\n"
_METHODS = {"used": "used blocks", "swap": "header", "whole": "whole"}


def rendered() -> str:
    """The table as it belongs into the README."""
    rows = [("content", "shape", "method", "checked by", "proven in"), ("---",) * 5]
    for case in CASES:
        method = _METHODS[case.method]
        rows.append((case.content, case.shape, method, ", ".join(case.checks), _test(case.test)))
    for row in ROWS:
        rows.append((row.content, row.shape, row.method, row.checks, _test(row.test)))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _test(name: str) -> str:
    return f"`{name}`"


def with_table(text: str) -> str:
    """The README's text with the table of today."""
    head, found, rest = text.partition(START)
    assert found, "the README has no place for the table"
    _, found, tail = rest.partition(END)
    assert found, "the table has no end in the README"
    return head + START + rendered() + END + tail


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
