# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of machines as CSV, such as an inventory of PCs or a switch prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import check_group
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_ipv4,
    check_macs,
    check_name,
    clip,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._csv_table import Row, rows
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import Known

COLUMNS = ("name", "macs", "ip", "groups")
_NEEDED = {"name", "macs"}
_LARGEST = 4 << 20
_MOST_SHOWN = 10
_SEPARATED = re.compile(r"[\s|,;]+")
# "MAC address", "mac-addresses" and "machine_macs" are one column.
_NO_LETTER = re.compile(r"[^a-z0-9]")
_ALSO = {
    "mac": "macs",
    "macaddress": "macs",
    "macaddresses": "macs",
    "machinemacs": "macs",
    "hostname": "name",
    "machine": "name",
    "machinename": "name",
    "ipaddress": "ip",
    "machineip": "ip",
    "group": "groups",
}
# What a spreadsheet shows of twelve digits.
_A_NUMBER = re.compile(r"[0-9][.,]?[0-9]*[Ee]\+[0-9]+")
T = TypeVar("T")


def machines(
    text: str, known: Sequence[Known], taken: Iterable[str], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the machines of a list; refuse it as a whole when a line of it is wrong."""
    if len(text) > _LARGEST:
        raise SlipwayError(
            f"The list has more than {_LARGEST} characters.", "Split it.", "bad_list"
        )
    head, *lines = rows(text, _is_head) or [Row(1, ())]
    columns = _columns(head)
    reader = _Reader(columns, known, frozenset(taken), [check_group(group) for group in groups])
    for row in lines:
        reader.take(row)
    if reader.problems:
        more = len(reader.problems) - _MOST_SHOWN
        shown = reader.problems[:_MOST_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise SlipwayError(
            f"The list can't be taken as it is. {'; '.join(shown)}.",
            " ".join(["Correct these lines.", *reader.rules, "Nothing of the list was taken."]),
            "bad_list",
        )
    return reader.made


def _named(cell: str) -> str:
    name = _NO_LETTER.sub("", cell.lower())
    return _ALSO.get(name, name)


def _is_head(cells: tuple[str, ...]) -> bool:
    return {*map(_named, cells)} >= _NEEDED


def _columns(head: Row) -> list[str]:
    """Return what each column is; one without a name, which must be empty, is ''."""
    names = [_named(cell) for cell in head.cells]
    problem = head.problem
    if not problem and not {*names} >= _NEEDED:
        problem = f"names {clip(' '.join(head.cells)) if head.cells else 'no columns'}"
    elif odd := [cell for cell, name in zip(head.cells, names, strict=True)
                 if cell and name not in COLUMNS]:  # fmt: skip
        problem = f"has the column {clip(odd[0])}, which says nothing of a machine"
    elif twice := [name for name in COLUMNS if names.count(name) > 1]:
        problem = f"has the column {twice[0]} twice"
    if problem:
        raise SlipwayError(
            f"The list can't be read. Its first line, line {head.line}, {problem}.",
            f"The first line names the columns: {', '.join(COLUMNS)}, of which the first two are"
            " needed; several MAC addresses or groups in a cell are separated by spaces.",
            "bad_list",
        )
    return names


class _Reader:
    def __init__(
        self,
        columns: Sequence[str],
        known: Sequence[Known],
        taken: frozenset[str],
        groups: Sequence[str],
    ) -> None:
        self.columns = columns
        self.known = {machine.name: machine for machine in known}
        self.taken = taken
        self.groups = groups
        # Whose a name, a MAC address, a fixed address is.
        self.owners = {key: machine.name for machine in known
                       for key in (*machine.macs, machine.address) if key}  # fmt: skip
        # The line of a name, a MAC address, a fixed address of the list.
        self.lines: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.made: list[dict[str, Any]] = []
        self.problems: list[str] = []
        self.rules: dict[str, None] = {}
        self._wrong: list[str] = []

    def take(self, row: Row) -> None:
        """Make a machine of a row, or say all that is wrong with it."""
        self._wrong = []
        if row.problem:
            self.problems.append(f"Line {row.line} {row.problem}")
            return
        for cell in row.cells[len(self.columns) :]:
            self._say("", f"{clip(cell)} stands behind the last column") if cell else None
        machine = self._machine(row)
        if self._wrong:
            self.problems.append(f"Line {row.line}: {', and '.join(self._wrong)}")
        else:
            self.made.append(machine)

    def _machine(self, row: Row) -> dict[str, Any]:
        cells: dict[str, str] = {}
        for column, cell in zip(self.columns, row.cells, strict=False):
            if column:
                cells[column] = cell
            elif cell:
                self._say("", f"{clip(cell)} stands in a column without a name")
        name = self._read("name", check_name, cells.get("name", ""), "machine") or ""
        macs = self._macs(cells.get("macs", ""))
        groups = self._read("groups", _groups, cells.get("groups", "")) or []
        address = cells.get("ip", "") and self._read("ip", check_ipv4, cells["ip"])
        if name:
            self._name_is_free(name, row.line)
        for column, keys in (("macs", macs), ("ip", [address] if address else [])):
            for key in keys:
                self._is_free(column, key, name, row.line)
        variables = {"machine_macs": list(macs)}
        return {
            "name": name,
            "groups": groups or list(self.groups),
            "vars": variables | ({"machine_ip": address} if address else {}),
        }

    def _macs(self, cell: str) -> tuple[str, ...]:
        words = [word for word in _SEPARATED.split(cell) if word]
        if not words:
            self._say("macs", "it has no MAC address")
        if any(map(_A_NUMBER.fullmatch, words)):
            self.rules.setdefault("A spreadsheet made numbers of addresses: make that column text.")
        return self._read("macs", check_macs, words) or ()

    def _name_is_free(self, name: str, line: int) -> None:
        machine = self.known.get(name)
        if name in self.lines:
            self._say("name", f"{name} stands in line {self.lines[name]} of the list too")
        elif name in self.taken and not (machine and machine.has_file):
            self._say("name", f"{name} is there already, as a host or a group of the inventory")
        self.lines.setdefault(name, line)
        self.names[line] = name

    def _is_free(self, column: str, key: str, name: str, line: int) -> None:
        if (first := self.lines.setdefault(key, line)) != line:
            owner = self.names.get(first, "the machine")
            self._say(column, f"{key} belongs to {owner} in line {first} of the list")
        elif (owner := self.owners.get(key, name)) != name:
            self._say(column, f"{key} belongs to {owner} of the inventory")

    def _read(self, column: str, check: Callable[..., T], *value: object) -> T | None:
        try:
            return check(*value)
        except SlipwayError as problem:
            self._say(column, problem.message.rstrip("."))
            self.rules.setdefault(problem.remedy)
            return None

    def _say(self, column: str, what: str) -> None:
        self._wrong.append(f"{what} (column {column})" if column else what)


def _groups(cell: str) -> list[str]:
    return [check_group(group) for group in _SEPARATED.split(cell) if group]
