"""A list of machines as CSV, such as an inventory of PCs or a switch prints."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import check_group
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_mac,
    check_name,
    clip,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._registrations import Known

COLUMNS = ("name", "macs", "ip", "groups")
_LARGEST = 4 << 20
_MOST_SHOWN = 10
_ADDRESS = re.compile(r"(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}")
_SEPARATED = re.compile(r"[\s|]+")


def machines(
    text: str, known: Sequence[Known], taken: Iterable[str], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the machines of a list; refuse it as a whole when a line of it is wrong."""
    rows = _rows(text)
    reader = _Reader(known, frozenset(taken), [check_group(group) for group in groups])
    for number, row in rows:
        reader.take(number, row)
    if reader.problems:
        more = len(reader.problems) - _MOST_SHOWN
        shown = reader.problems[:_MOST_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise SlipwayError(
            f"The list can't be taken as it is. {'; '.join(shown)}.",
            "Correct these lines. Nothing of the list was taken.",
            "bad_list",
        )
    return reader.made


def _rows(text: str) -> list[tuple[int, dict[str, str]]]:
    if len(text) > _LARGEST:
        raise SlipwayError(
            f"The list has more than {_LARGEST} characters.", "Split it.", "bad_list"
        )
    head = text.lstrip("\ufeff").splitlines()[:1]
    separator = ";" if head and ";" in head[0] else ","
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=separator, strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except csv.Error as failure:
        raise _bad_head(f"Line {reader.line_num} is no CSV: {failure}") from failure
    names = [name.lower() for name in lines[0][1]] if lines else []
    if not {"name", "macs"} <= {*names} <= {*COLUMNS} or len(names) != len({*names}):
        raise _bad_head(f"Its first line is {clip(head[0] if head else '')}")
    return [
        (number, dict(zip(names, cells, strict=False))) for number, cells in lines[1:] if any(cells)
    ]


def _bad_head(why: str) -> SlipwayError:
    return SlipwayError(
        f"The list can't be read. {why}.",
        f"The first line names the columns: {', '.join(COLUMNS)}, of which the first two are"
        " needed; several MAC addresses or groups in a cell are separated by spaces.",
        "bad_list",
    )


class _Reader:
    def __init__(
        self, known: Sequence[Known], taken: frozenset[str], groups: Sequence[str]
    ) -> None:
        self.known = {machine.name: machine for machine in known}
        self.taken = taken
        self.groups = groups
        # Whose a name, a MAC address, a fixed address is.
        self.owners = {key: machine.name for machine in known
                       for key in (*machine.macs, machine.address) if key}  # fmt: skip
        self.names: set[str] = set()
        self.made: list[dict[str, Any]] = []
        self.problems: list[str] = []

    def take(self, number: int, row: dict[str, str]) -> None:
        try:
            self.made.append(self._machine(row))
        except SlipwayError as problem:
            self.problems.append(f"Line {number}: {problem.message.rstrip('.')}")

    def _machine(self, row: dict[str, str]) -> dict[str, Any]:
        name = check_name(row.get("name", ""), "machine")
        macs = [check_mac(mac) for mac in _SEPARATED.split(row.get("macs", "")) if mac]
        groups = [check_group(group) for group in _SEPARATED.split(row.get("groups", "")) if group]
        address = row.get("ip", "")
        if not macs:
            raise SlipwayError(f"{name} has no MAC address")
        if address and not _ADDRESS.fullmatch(address):
            raise SlipwayError(f"{clip(address)} is no IPv4 address")
        machine = self.known.get(name)
        if name in self.names or (name in self.taken and not (machine and machine.has_file)):
            raise SlipwayError(f"{name} is there already, as a machine or a group")
        for key in {*macs, address} - {""}:
            if self.owners.setdefault(key, name) != name:
                raise SlipwayError(f"{key} belongs to {self.owners[key]} already")
        self.names.add(name)
        variables = {"machine_macs": list(dict.fromkeys(macs))}
        return {
            "name": name,
            "groups": groups or list(self.groups),
            "vars": variables | ({"machine_ip": address} if address else {}),
        }
