# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCs that ask to be registered, beside the machines that are known: who is who, and what follows.

Everything here is pure: the queue, the inventory and the administrator's wishes go in, a plan comes
out, or the reason why there is none. Nothing is ever merged because two things look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._machine_file import (
    CONFIG_NAMES,
    MachineFile,
    check_group,
    render,
)
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_ipv4,
    check_mac,
    check_macs,
    check_name,
    clip,
)

# What of a PC's report is kept in its machine's file.
_HARDWARE = ("vendor", "model", "cpu", "cpu_count", "memory", "firmware", "disks", "cards")
ALL = "all"
# Those of whom somebody has said at the page what they shall be.
DECIDED = "decided"


@dataclass(frozen=True)
class Known:
    """A machine of the inventory, with what it last said about itself."""

    name: str
    macs: frozenset[str]
    uuids: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()
    address: str = ""
    has_file: bool = False


@dataclass(frozen=True)
class Finding:
    """A PC of the queue looks like a machine, or like another PC of the queue."""

    machine: str
    text: str
    shares_mac: bool


@dataclass
class Plan:
    """What will be done."""

    approve: list[dict[str, Any]] = field(default_factory=list)
    refuse: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def known_machines(
    machines: Iterable[Mapping[str, Any]], identities: Iterable[Mapping[str, Any]]
) -> list[Known]:
    """Take from the inventory's variables, and from check-ins, what identifies each machine."""
    said = {str(entry["machine"]): entry for entry in identities}
    return [_known(variables, said.get(str(variables["inventory_hostname"]), {}))
            for variables in machines]  # fmt: skip


def _known(variables: Mapping[str, Any], said: Mapping[str, Any]) -> Known:
    def both(key: str) -> frozenset[str]:
        values = (variables.get(f"machine_{key}"), said.get(key))
        return frozenset(str(value).strip() for value in values if value)

    return Known(
        name=str(variables["inventory_hostname"]),
        # The inventory alone says which MAC is whose; a check-in only says what was seen.
        macs=frozenset(_macs(variables.get("machine_macs"))),
        uuids=frozenset(uuid.lower() for uuid in both("uuid")),
        serials=both("serial"),
        address=str(variables.get("machine_ip") or ""),
        has_file=PurePath(str(variables.get("inventory_file", ""))).name in CONFIG_NAMES,
    )


def _macs(value: object) -> Iterator[str]:
    for mac in value if isinstance(value, list | tuple) else []:
        try:
            yield check_mac(mac)
        except SlipwayError:
            # The roles' preflight names it; here it only means: like nobody's.
            continue


def findings(pc: Mapping[str, Any], queue: Sequence[Any], known: Sequence[Known]) -> list[Finding]:
    """Say what a PC of the queue has in common with machines and with others in the queue."""
    return [
        *(found for machine in known if (found := _like_machine(pc, machine))),
        *(found for other in queue if (found := _like_other(pc, other))),
    ]


def _like_machine(pc: Mapping[str, Any], machine: Known) -> Finding | None:
    shared = sorted(machine.macs & set(pc["macs"]))
    same_uuid = pc["uuid"] in machine.uuids if pc["uuid"] else None
    same_serial = pc["serial"] in machine.serials if pc["serial"] else None
    other_uuid = same_uuid is False and bool(machine.uuids)
    name = machine.name
    if shared and other_uuid:
        text = f"has the MAC of {name} and another UUID: a replaced mainboard, or a card that moved"
    elif shared:
        more = "" if set(pc["macs"]) <= machine.macs else ", and another card besides"
        text = f"is {name} by its MAC{more}"
    elif same_uuid and same_serial is not False:
        text = f"has the UUID of {name} and another MAC: a replaced card"
    elif same_uuid:
        text = f"has the UUID of {name} and another serial number: its vendor gave one UUID twice"
    elif same_serial and not other_uuid:
        text = f"has the serial number of {name} and another MAC: a replaced card"
    elif same_serial:
        text = f"has the serial number of {name}, another UUID and another MAC"
    else:
        return None
    return Finding(name, text, bool(shared))


def _like_other(pc: Mapping[str, Any], other: Mapping[str, Any]) -> Finding | None:
    if other["id"] == pc["id"] or other["state"] != "waiting":
        return None
    for key, what in (("uuid", "UUID"), ("serial", "serial number")):
        if pc[key] and pc[key] == other[key]:
            return Finding(
                "", f"has the {what} of {clean(other['id'], 16)}, which waits too", False
            )
    return None


def make_plan(
    queue: Sequence[Mapping[str, Any]],
    known: Sequence[Known],
    taken_names: Iterable[str],
    wishes: Mapping[str, Any],
) -> Plan:
    """Turn what the administrator wants into what will be done; refuse all of it or nothing.

    Of what was decided at the page, what can't be is left alone.
    """
    maker = _Planner(queue, known, frozenset(taken_names), wishes)
    return maker.plan()


class _Planner:
    def __init__(
        self,
        queue: Sequence[Mapping[str, Any]],
        known: Sequence[Known],
        taken_names: frozenset[str],
        wishes: Mapping[str, Any],
    ) -> None:
        self.queue = queue
        self.known = {machine.name: machine for machine in known}
        self.taken = taken_names
        self.groups = tuple(check_group(group) for group in words(wishes.get("into")))
        self.replace = bool(wishes.get("replace"))
        self.server = str(wishes.get("server") or "")
        self.decided = frozenset[str]()
        self.approve = self._with_decided(_wanted(wishes.get("approve")))
        self.refuse = _wanted(wishes.get("refuse"))
        self.reason = clean(wishes.get("reason") or "", 128)

    def _with_decided(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if DECIDED not in wanted:
            return wanted
        decided = {
            str(pc["id"]): {"name": pc["wish"]}
            for pc in self.queue
            if pc["state"] == "waiting" and pc.get("wish")
        }
        said = {key: each for key, each in wanted.items() if key != DECIDED}
        self.decided = frozenset(decided.keys() - said.keys())
        return decided | said

    def plan(self) -> Plan:
        plan = Plan()
        for pc, options in self._selected(self.approve, ("waiting", "refused"), plan):
            if pc["id"] in self.decided:
                self._add_decided(plan, pc, options)
            else:
                plan.approve.append(self._approval(pc, options))
        for pc, _ in self._selected(self.refuse, ("waiting",), plan):
            plan.refuse.append({"id": pc["id"], "reason": self.reason})
        self._check(plan.approve)
        return plan

    def _add_decided(self, plan: Plan, pc: Mapping[str, Any], options: Any) -> None:
        """What somebody decided amiss keeps nobody else waiting: often no person looks on."""
        try:
            new = self._approval(pc, options)
            self._check([*plan.approve, new])
        except SlipwayError as problem:
            plan.left.append(f"{_who(pc)} {problem}")
        else:
            plan.approve.append(new)

    def _selected(
        self, wanted: Mapping[str, Any], states: tuple[str, ...], plan: Plan
    ) -> Iterator[tuple[Mapping[str, Any], Any]]:
        if ALL in wanted:
            for pc in self.queue:
                if pc["state"] != "waiting":
                    continue
                found = findings(pc, self.queue, list(self.known.values()))
                odd = [each.text for each in found] + _no_cards(pc)
                if odd and wanted is self.approve:
                    plan.left.append(f"{_who(pc)} {'; '.join(odd)}")
                else:
                    yield pc, None
            return
        for selector, options in wanted.items():
            yield self._one(selector, states), options

    def _one(self, selector: str, states: tuple[str, ...]) -> Mapping[str, Any]:
        macs = set(_macs([selector]))
        found = [
            pc
            for pc in self.queue
            if selector in (pc["id"], pc["name"]) or macs.intersection(pc["macs"])
        ]
        if len(found) != 1:
            count = "no PC" if not found else f"{len(found)} PCs"
            raise SlipwayError(
                f"{count} of the queue has the id, name or MAC address {clip(selector)}.",
                "playbooks/register.yml without variables lists them.",
                "no_such_registration",
            )
        if found[0]["state"] not in states:
            raise SlipwayError(
                f"{_who(found[0])} is {found[0]['state']} already.",
                "playbooks/register.yml without variables lists who waits.",
                "already_decided",
            )
        return found[0]

    def _approval(self, pc: Mapping[str, Any], options: Any) -> dict[str, Any]:
        options = _options(options)
        name = check_name(options.get("name") or pc["name"], "machine")
        groups = tuple(check_group(group) for group in words(options.get("groups"))) or self.groups
        found = findings(pc, self.queue, list(self.known.values()))
        replace = self._may_be(name, pc, found)
        variables: dict[str, Any] = {
            "machine_macs": list(pc["macs"]),
            "machine_hardware": {key: pc["hardware"].get(key) for key in _HARDWARE},
        }
        address = check_ipv4(options["ip"]) if options.get("ip") else None
        extra = {"uuid": pc["uuid"], "serial": pc["serial"], "ip": address,
                 "image_server": self.server}  # fmt: skip
        variables |= {f"machine_{key}": value for key, value in extra.items() if value}
        render(MachineFile(name, groups, variables))
        return {
            "id": pc["id"],
            "name": name,
            "groups": list(groups),
            "vars": variables,
            "replace": replace,
        }

    def _may_be(self, name: str, pc: Mapping[str, Any], found: list[Finding]) -> bool:
        """Whether the PC takes over the file of machine `name`; refuse what would be a merge."""
        for each in found:
            if each.shares_mac and each.machine != name:
                raise SlipwayError(
                    f"{_who(pc)} {each.text}: it can't be {name} too.",
                    _replacing(each.machine, pc),
                    "known_machine",
                )
        machine = self.known.get(name)
        if machine is None:
            if name in self.taken:
                raise SlipwayError(
                    f"{name} is a host or a group of the inventory already.",
                    f"Give {_who(pc)} another name: {_example(pc, 'NAME')}.",
                    "name_taken",
                )
            return False
        if (
            machine.has_file
            and machine.macs == {*pc["macs"]}
            and pc["uuid"] in {None, *machine.uuids}
        ):
            # A run that was cut short after it wrote the file.
            return False
        if not self.replace or not machine.has_file:
            raise SlipwayError(
                f"{name} is in the inventory already.",
                f"Give {_who(pc)} another name, or, if it is that machine,"
                f" {_replacing(name, pc) if machine.has_file else 'write its MAC addresses into'}"
                f"{'' if machine.has_file else ' the machine_macs of ' + name + ' by hand.'}",
                "name_taken",
            )
        return True

    def _check(self, approvals: Iterable[Mapping[str, Any]]) -> None:
        """No name, MAC address or fixed address twice, with what is there and among the new."""
        users: dict[str, str] = {
            machine.address: machine.name for machine in self.known.values() if machine.address
        }
        for new in approvals:
            keys = [new["name"], *new["vars"]["machine_macs"], new["vars"].get("machine_ip")]
            for key in filter(None, keys):
                if users.setdefault(key, new["id"]) not in (new["id"], new["name"]):
                    raise SlipwayError(
                        f"{clip(key)} would be of two machines: {users[key]} and {new['name']}.",
                        "Approve them one at a time, under different names.",
                        "twice",
                    )


def _no_cards(pc: Mapping[str, Any]) -> list[str]:
    """Say why a PC's MAC addresses can't be those of cards: what it says of itself is its own."""
    try:
        check_macs(list(pc["macs"]))
    except SlipwayError as problem:
        return [f"says what can't be: {problem.message}"]
    return []


def _replacing(name: str, pc: Mapping[str, Any]) -> str:
    return (
        f"approve it as {name} with {_example(pc, name)} -e replace=true: that writes its MAC"
        f" addresses and its UUID into the file of {name}."
    )


def _example(pc: Mapping[str, Any], name: str) -> str:
    return f'-e \'{{"approve": {{"{pc["id"]}": "{name}"}}}}\''


def _who(pc: Mapping[str, Any]) -> str:
    return f"{clean(pc['id'], 16)} ({clean(pc['name'], 63)})"


def words(value: object) -> list[str]:
    """Return the words of ``a,b``, of ``a b``, or of a list."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [str(word) for word in value] if isinstance(value, list | tuple) else []


def _wanted(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {_selector(key): item for key, item in value.items()}
    if isinstance(value, list | tuple):
        return {_selector(key): None for key in value}
    return dict.fromkeys(words(value if value is None else _selector(value)))


def _selector(value: object) -> str:
    if isinstance(value, str):
        return value
    raise SlipwayError(
        f"{clip(value)} names no PC.",
        'Write ids, names and MAC addresses in quotation marks, such as "52:54:00:12:34:56": YAML'
        " takes some without them for numbers.",
        "bad_selector",
    )


def _options(value: object) -> dict[str, Any]:
    """``{id: name}`` and ``{id: {name: ..., groups: [...], ip: ...}}``."""
    options = dict(value) if isinstance(value, Mapping) else {"name": value} if value else {}
    if unknown := sorted(set(map(str, options)) - {"name", "groups", "ip"}):
        raise SlipwayError(
            f"{clip(unknown[0])} is nothing that an approval can say.",
            "It can say name, groups and ip.",
            "bad_option",
        )
    return options
