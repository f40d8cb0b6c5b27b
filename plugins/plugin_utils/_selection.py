# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ``--limit`` says about an inventory, read with Ansible's own parser of patterns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean

MACHINES = "machines"
_MOST_SHOWN = 10
_LONGEST = 120
_WILD = frozenset("*?[~")
# As Ansible's own reader takes it: shortened, and behind other letters that want no value.
_LIMIT_OPTION = re.compile(r"--lim(i|it)?(=.*)?|-[bCDJKkv]*l.*", re.DOTALL)


class Selection:
    """The hosts of an inventory that a limit leaves."""

    def __init__(self, groups: Mapping[str, Sequence[str]], limit: str | None) -> None:
        """Take the variable ``groups`` of Ansible, and the value of ``--limit``, if it was given.

        An empty one (a script whose variable was empty) is none to Ansible: everything.
        """
        self._limit = limit
        self._groups = groups
        self._hosts = {host for hosts in groups.values() for host in hosts}
        self._machines = {*groups.get(MACHINES, [])}
        self._manager = InventoryManager(None, parse=False)
        for group, hosts in groups.items():
            self._manager.add_group(group)
            for host in hosts:
                self._manager.add_host(host, group=group)

    def hosts(self, pattern: str) -> list[str]:
        """Return the hosts that a play on `pattern` has."""
        try:
            self._manager.subset(self._limit)
            return [host.name for host in self._manager.get_hosts(pattern)]
        except AnsibleError:
            return []
        finally:
            self._manager.subset(None)

    def machines(self, pattern: str) -> list[str]:
        """Return the machines among them."""
        return [name for name in self.hosts(pattern) if name in self._machines]

    def unknown_names(self, pattern: str) -> list[str]:
        """Return what `pattern` names and the inventory lacks, with what may be meant.

        A wildcard names nobody, and to leave out what is not there does no harm, unless it looks
        like a slip.
        """
        named = [each for each in split_host_pattern(pattern) if not _WILD & {*each}]
        unknown = {each: self._meant(each) for each in named if not self._matches(each)}
        return [
            clean(each, _LONGEST) + meant
            for each, meant in unknown.items()
            if meant or not each.startswith("!")
        ]

    def problems(
        self, selected: Collection[str], *, required: bool, everything: bool
    ) -> Iterator[str]:
        """Yield what can't be meant; `selected` are the hosts that Ansible took."""
        if required and self._limit is None and not everything:
            yield (
                "This playbook wants to be told which machines: --limit pc1 or --limit pc1,pc2 or"
                " --limit GROUP; or, for all of them, -e everything=true."
            )
        if unknown := list(self._unknown()):
            more = len(unknown) - _MOST_SHOWN
            shown = unknown[:_MOST_SHOWN] + ([f"and {more} more"] if more > 0 else [])
            yield (
                f"Unknown machine: {', '.join(shown)}. Correct --limit, or add the machine to"
                " group machines of the inventory (`ansible-inventory --graph machines` shows who"
                " is in it)."
            )
        machines = self._machines & {*selected}
        if not machines:
            yield (
                "No machine is selected. Machines are the hosts of group machines: add them to the"
                " inventory, or correct --limit (`ansible-inventory --graph machines` shows them)."
            )
        if self._is_everything(machines, required) and not everything:
            limit = clean(self._limit or "", _LONGEST)
            yield (
                f'This playbook wants to be told which machines, not "{limit}", which selects all'
                f" {len(machines)}. If all are meant, add -e everything=true"
                f"{'' if required else ' or leave --limit out'}."
            )

    def _is_everything(self, machines: set[str], required: bool) -> bool:
        """Tell whether a limit selects all machines without saying so.

        Naming each of them says so. Where no limit at all means all machines, names of groups do.
        """
        named = {pattern for _, patterns in self._parts() for pattern in patterns}
        if self._limit is None or len(machines) < 2 or machines != self._machines:
            return False
        if required or not named:
            return not named >= machines
        words = self._hosts | {*self._groups}
        return bool(named & {"all", MACHINES}) or not {_name(each) for each in named} <= words

    def _unknown(self) -> Iterator[str]:
        for part, patterns in self._parts():
            if not patterns:
                # Ansible takes a limit that holds no pattern for "all".
                yield f"{clean(part, _LONGEST)} (a file without names, or one that is read once)"
            for pattern in patterns:
                if not self._matches(pattern):
                    yield clean(pattern, _LONGEST) + self._meant(pattern)

    def _parts(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what stands between the separators, and its patterns: a file may hold many."""
        for part in split_host_pattern(self._limit or ""):
            yield part, self._lines(part) if part.startswith("@") else [part]

    def _lines(self, file: str) -> list[str]:
        try:
            self._manager.subset(file)
            return [pattern for pattern in self._manager._subset or [] if pattern]
        except (AnsibleError, OSError):
            return []
        finally:
            self._manager.subset(None)

    def _matches(self, pattern: str) -> bool:
        name = _name(pattern)
        if not name or name in self._groups or name in self._hosts:
            return bool(name)
        try:
            # Ansible makes up a localhost that no inventory has.
            return any(not host.implicit for host in self._manager._match_one_pattern(pattern))
        except AnsibleError:
            return False

    def _meant(self, pattern: str) -> str:
        if ":" in pattern and "[" not in pattern:
            return " (beside commas, or in a file, a colon does not separate)"
        known = sorted(self._hosts | {*self._groups})
        close = difflib.get_close_matches(_name(pattern).lower(), known, n=3)
        return f" (did you mean {' or '.join(close)}?)" if close else ""


def _name(pattern: str) -> str:
    return pattern[1:] if pattern[0] in "!&" else pattern


def server_of(variables: Mapping[str, Any]) -> str:
    """Return the image server of a machine, or nothing where the inventory has none."""
    servers = list(variables["groups"].get("image_servers", []))
    return str(variables.get("machine_image_server", servers[0] if servers else ""))


def check_limit(limit: str | None, options: Mapping[str, Any], words: Sequence[str]) -> None:
    """Raise SlipwayError where `limit` is not the one limit by which Ansible goes.

    `options` are those of the command line as Ansible reads them, `words` the command line itself.
    """
    if len([word for word in words if _LIMIT_OPTION.fullmatch(word)]) > 1:
        raise SlipwayError(
            "--limit was given more than once, and Ansible goes by the last alone. Nothing was"
            " done.",
            "Say it once: --limit 'room_a:!pc1'.",
            "two_limits",
        )
    if "subset" in options and limit != options["subset"]:
        raise SlipwayError(
            f'The variable ansible_limit says "{clean(limit or "", _LONGEST)}", by which Ansible'
            " does not go. Nothing was done.",
            "Leave it out, and say --limit.",
            "not_the_limit",
        )


def check_hosts(pattern: str, groups: Mapping[str, Sequence[str]], limit: str | None) -> str:
    """Return the pattern of a play that has at least one host, else raise SlipwayError."""
    if Selection(groups, limit).hosts(pattern):
        return pattern
    limit = clean(limit or "", _LONGEST)
    if not groups.get("all"):
        what = "The inventory has no hosts."
        remedy = "Give its folder with -i, such as -i inventory/site."
    elif limit:
        what = f'--limit "{limit}" leaves no host of {pattern}.'
        remedy = "Correct it, or leave it out."
    else:
        what = f"The inventory has no host in {pattern}."
        remedy = "Add it; inventory/example shows how."
    raise SlipwayError(f"{what} Nothing was done.", remedy, "no_hosts")
