# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of images: what they hold, how they are, why they are kept and until when."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from slipway.format.names import parse_image_ref

from ..base.errors import ServiceError
from ..base.policy_files import did_you_mean
from ..base.times import iso
from .aliases import Aliases
from .health import State
from .images import Images
from .labels import Labels
from .memory import Memory
from .policy import Policy
from .retention import Facts, Verdict, decide, moment_of

# Who names a version; with None, the newest of an image.
Named = Mapping[tuple[str, str | None], Sequence[str]]


@dataclass(frozen=True)
class Judged:
    """A version: what a list shows of it, how it is, and what becomes of it."""

    name: str
    summary: dict[str, Any]
    state: State
    good: bool
    verdict: Verdict

    @property
    def version(self) -> str:
        """Its version."""
        return self.verdict.version


def newest_good(versions: Iterable[Judged]) -> Judged | None:
    """The first good one of versions newest first; None: there is none."""
    for each in versions:
        # One of a time to come says nothing of its age.
        if each.good and moment_of(each.version) is not None and not each.summary["ahead"]:
            return each
    return None


def made_at(judged: Judged | None) -> float | None:
    """When a version was made, in seconds since the epoch; None: that is unknown."""
    made = None if judged is None else moment_of(judged.version)
    return None if made is None else made.timestamp()


class Catalog:
    """All methods block; callers run them in a thread."""

    def __init__(self, images: Images, memory: Memory, labels: Labels, aliases: Aliases) -> None:
        """Everything that says something of images."""
        self._images = images
        self._memory = memory
        self._labels = labels
        self._aliases = aliases

    def judge_all(
        self, policy: Policy, named: Named, now: datetime, but: Container[str] = ()
    ) -> Iterator[list[Judged]]:
        """Every version of every image, newest first, an image at a time; ``but`` some images.

        Who keeps none of it for long needs the room of one image, and the collector of garbage
        finds nothing to go through.
        """
        zone, all_read, aliases = policy.zone, self._memory.oldest_read(), self._by_version(policy)
        for name in self._images.folders():
            if name in but:
                continue
            if found := self._judge(name, policy, named, now, zone, all_read, aliases):
                yield found

    def judge(self, name: str, policy: Policy, named: Named, now: datetime) -> list[Judged]:
        """Every version of one image, newest first."""
        zone, all_read = policy.zone, self._memory.oldest_read()
        return self._judge(name, policy, named, now, zone, all_read, self._by_version(policy))

    def _by_version(self, policy: Policy) -> dict[tuple[str, str | None], list[str]]:
        """The aliases of each version."""
        found: dict[tuple[str, str | None], list[str]] = {}
        for alias, each in self._aliases.under(policy).items():
            found.setdefault((each.target.name, each.target.version), []).append(f"alias {alias}")
        return found

    def _judge(
        self,
        name: str,
        policy: Policy,
        named: Named,
        now: datetime,
        zone: tzinfo,
        all_read: float,
        aliases: Named,
    ) -> list[Judged]:
        known = {each[0]["version"]: each for each in self.states(name, all_read)}
        facts = []
        for version, (_, _, good) in known.items():
            kept_by = (
                *self.holds(policy, name, version),
                *aliases.get((name, version), ()),
                *named.get((name, version), ()),
            )
            facts.append(Facts(version, good, kept_by))
        return [
            Judged(name, *known[each.version], each)
            for each in decide(facts, policy.keep_of(name), zone, now)
        ]

    def states(
        self, name: str, all_read: float = 0.0
    ) -> Iterator[tuple[dict[str, Any], State, bool]]:
        """What a list shows of each version, how it is, and whether that is good; newest first."""
        summaries, healths = self._images.summaries(name), self._images.healths.of_image(name)
        for summary in summaries:
            version = summary["version"]
            noted = healths.get(version) or self._images.survey(name, version)
            state = self._images.healths.state(noted, all_read)
            good = summary["problem"] is None and not summary["degraded"] and not state.lacking
            yield summary, state, good

    def holds(self, policy: Policy, name: str, version: str) -> list[str]:
        """Who holds a version, in words."""
        found = []
        said = policy.images.get(name)
        if said is not None and version in said.hold:
            found.append("held by the inventory")
        if (why := self._labels.of(name, version).hold) is not None:
            found.append(f"held: {why}" if why else "held")
        return found

    def view(self, policy: Policy, judged: Judged) -> dict[str, Any]:
        """A version as the API shows it."""
        verdict, state = judged.verdict, judged.state
        return judged.summary | {
            "good": judged.good,
            "lacking": state.lacking,
            "own": state.own,
            "checked": None if state.checked is None else iso(state.checked),
            "note": self.note_of(policy, judged.name, judged.version),
            "held": self.holds(policy, judged.name, judged.version),
            "kept_because": list(verdict.reasons),
            "goes_when": None if verdict.goes is None else verdict.goes.isoformat(),
        }

    def note_of(self, policy: Policy, name: str, version: str | None = None) -> str:
        """What is noted of an image or a version: by the inventory, or by somebody."""
        said = policy.images.get(name) if version is None else None
        return (said.note if said is not None else "") or self._labels.of(name, version).note

    def problems(self, policy: Policy) -> list[str]:
        """What a policy says of versions and images that can't be meant as things are."""
        found: list[str] = []
        for name, said in policy.images.items():
            there = self._images.versions(name)
            for version in said.hold:
                if version not in there:
                    found.append(self._no_hold(name, version, there))
        images = set(self._images.names())
        for alias, text in policy.aliases.items():
            if alias in images or self._images.trash.versions(alias):
                where = "of that name" if alias in images else "of that name in the trash"
                found.append(f"policy_aliases.{alias}: there is an image {where}.")
            if (problem := self._no_target(text)) is not None:
                found.append(f"policy_aliases.{alias}: {problem}")
        own = self._aliases.under(Policy())
        found += [
            f"policy_aliases: {alias} is an alias of {own[alias].target} already, which somebody "
            f"made with image.yml: remove that first, with -e alias={alias} -e state=absent."
            for alias, text in policy.aliases.items()
            if alias in own and str(own[alias].target) != text
        ]
        return found

    def _no_hold(self, name: str, version: str, there: list[str]) -> str:
        where = f"policy_images.{name}.hold"
        if version in self._images.trash.versions(name):
            return f"{where}: {name}@{version} is in the trash: trash.yml takes it back."
        if not there:
            return f"{where}: there is no image {name}{did_you_mean(name, self._images.names())}."
        return f"{where}: {name} has no version {version}{did_you_mean(version, there)}."

    def _no_target(self, text: str) -> str | None:
        """Why an alias can't stand for that; None: it can."""
        wanted = parse_image_ref(text)
        try:
            self._images.resolve(wanted.name, wanted.version)
        except ServiceError as error:
            if wanted.version in self._images.trash.versions(wanted.name):
                return f"{text} is in the trash: trash.yml takes it back."
            return error.message
        return None
