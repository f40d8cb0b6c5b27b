# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured, one row a PC, and the table that README.md shows of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"
README = FOLDER / "README.md"
BEGIN, END = "<!-- table: made by make matrix -->\n", "<!-- end of table -->\n"
HEAD = ("card", "driver", "boots from", "controller", "driver", "backup", "restore")


@dataclass(frozen=True)
class Row:
    """One PC; seconds are of the playbooks, the backup's with the boot."""

    card: str
    card_drivers: tuple[str, ...]
    boots_from: str
    bus: str
    disk_drivers: tuple[str, ...]
    backup_seconds: int
    restore_seconds: int


def load() -> dict[str, Row]:
    """Return the rows measured so far, by the PC's name."""
    return {name: Row(**values) for name, values in json.loads(RESULTS.read_text()).items()}


def keep(name: str, row: Row) -> None:
    """Put a row among the measured ones, and the table into README.md."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    known[name] = asdict(row)
    RESULTS.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + table(load()) + END + after)


def table(rows: dict[str, Row]) -> str:
    """Return the rows as a Markdown table, by card and controller."""
    lines = [HEAD, tuple("---" for _ in HEAD)]
    for row in sorted(rows.values(), key=lambda each: (each.card, each.bus)):
        cells = (
            row.card,
            ", ".join(row.card_drivers),
            row.boots_from,
            row.bus,
            ", ".join(row.disk_drivers),
            f"{row.backup_seconds} s",
            f"{row.restore_seconds} s",
        )
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
