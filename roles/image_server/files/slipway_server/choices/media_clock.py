# SPDX-License-Identifier: GPL-3.0-or-later
"""Media that are made by themselves: asked for as files, which the builder's own unit takes up.

The builder is no part of the service: it takes hours and gigabytes. An order stands in a file
until its outcome does; what failed is asked for again after a day, or once something changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.format import ImageRef, parse_image_ref

from ..base import files
from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile, did_you_mean
from ..base.threads import Run
from ..base.times import iso, seconds, wall
from ..images.catalog import Catalog, newest_good
from ..images.images import Images
from ..images.media import MediaFolder
from ..images.media_policy import MediaPolicy, Wanted, digest_of, is_due, order_of
from ..images.policy import Policy
from ..registrations.identities import Identities

_AGAIN = 86400.0
# A unit that missed an order, such as one of before a restart, is told once more after so long.
_REMIND = 3600.0


class MediaClock:
    """Made inside the running event loop."""

    def __init__(
        self,
        file: PolicyFile[MediaPolicy],
        folder: MediaFolder,
        orders: Path,
        images: Images,
        catalog: Catalog,
        identities: Identities,
        run: Run,
        wall: Callable[[], float] = wall,
    ) -> None:
        """``orders``: the folder that the builder's unit watches."""
        self.file = file
        self._folder = folder
        self._orders = orders
        self._images = images
        self._catalog = catalog
        self._identities = identities
        self._run = run
        self._wall = wall
        self._problems: dict[str, str] | None = None
        # As it was at the last look.
        self._seen: MediaPolicy | None = None

    def problems(self) -> Mapping[str, str] | None:
        """Why sets that are wanted were not made, by name; None: nobody has looked yet."""
        return self._problems

    def warnings(self) -> list[str]:
        """What of media somebody should see to. Blocks."""
        problem = self.file.problem()
        found = [] if problem is None else [problem]
        return found + [f"media {each}" for each in (self._problems or {}).values()]

    async def look(self) -> None:
        """Ask for what is due, and see what became of what was asked for."""
        try:
            policy = await self._run(self.file.current)
        except ServiceError:
            return
        self._seen = policy
        known = {name: self._known(name) for name in policy.media}
        self._problems = await self._run(self._settle, policy, known)

    async def look_anew(self) -> None:
        """Look at once if the policy is another one than at the last look."""
        if await self._run(self.file.usable) != self._seen:
            await self.look()

    def _known(self, name: str) -> dict[str, Any]:
        """What tells a machine from others, as `restore_media.yml` says it, too."""
        found = self._identities.of(name)
        if found is None or not found.confirmed or not (found.uuid or found.serial):
            return {}
        return {
            "only_fixed": True,
            "machine_serial": found.serial or "",
            "machine_uuid": found.uuid or "",
        }

    def _settle(self, policy: MediaPolicy, known: Mapping[str, dict[str, Any]]) -> dict[str, str]:
        self._orders.mkdir(mode=0o750, exist_ok=True)
        for path in self._orders.glob("*.json"):
            if path.stem not in policy.media:
                path.unlink()
        made = {each.name: each for each in self._folder.all()}
        problems = {}
        for name, wanted in policy.media.items():
            outcome = self._folder.outcome(name)
            problem = outcome.get("problem")
            try:
                version = self._version(name, wanted)
                if is_due(wanted, version, made.get(name), self._wall()):
                    late = self._ask(name, order_of(wanted, version, known[name]), outcome)
                    problem = late or problem
                else:
                    self._path(name).unlink(missing_ok=True)
                    problem = None
            except ServiceError as error:
                problem = error.message
            except OSError as error:
                problem = files.as_service_error(error, "What is asked for").message
            if problem:
                problems[name] = f"{name}: {problem}"
        return problems

    def _path(self, name: str) -> Path:
        return self._orders / f"{name}.json"

    def _ask(self, name: str, wish: Mapping[str, Any], outcome: Mapping[str, Any]) -> str | None:
        """Ask for a set unless that was done; say so if nobody answers."""
        now, path, digest = self._wall(), self._path(name), digest_of(wish)
        said = _read(path)
        if said and said.get("id") == outcome.get("id"):
            path.unlink()
            said = {}
        if _is_for(said, digest):
            return self._wait(path, said, now)
        if said or not _failed_lately(outcome, digest, now):
            self._write(path, {"id": f"{digest}-{int(now)}", "asked": iso(now), **wish})
        return None

    def _wait(self, path: Path, said: Mapping[str, Any], now: float) -> str | None:
        """Remind whoever is to make it; say so if it takes too long."""
        if now - path.stat().st_mtime > _REMIND:
            self._write(path, said)
        asked = seconds(str(said.get("asked")))
        if asked is None or now - asked <= _AGAIN:
            return None
        return (
            f"asked for at {iso(asked)}, and nothing was made: see "
            "`systemctl status slipway-media.path slipway-media.service`"
        )

    def _write(self, path: Path, order: Mapping[str, Any]) -> None:
        files.write_durably(self._orders, json.dumps(order).encode(), path)

    def _version(self, name: str, wanted: Wanted) -> ImageRef:
        """The version that a set holds now: the one that is named, or the newest good one."""
        said = parse_image_ref(wanted.image_of(name))
        target = said if self._images.versions(said.name) else self._images.alias(said.name)
        target = target or said
        there = self._images.resolve(target.name, target.version)
        if target.version is not None:
            return ImageRef(target.name, there)
        found = self._catalog.judge(target.name, Policy(), {}, datetime.now(UTC))
        newest = newest_good(found)
        if newest is None:
            raise ServiceError("unknown_version", f"Image {target.name} has no good version.")
        return ImageRef(target.name, newest.version)

    async def faults(self, policy: MediaPolicy) -> tuple[list[str], list[str]]:
        """What can't be meant as things are, and what can't be made yet."""
        return await self._run(self._faults, policy)

    def _faults(self, policy: MediaPolicy) -> tuple[list[str], list[str]]:
        problems, warnings = [], []
        for name, wanted in policy.media.items():
            said = parse_image_ref(wanted.image_of(name))
            where = f"policy_media.{name}{'.image' if wanted.image else ''}"
            try:
                self._images.find(said.name, said.version)
            except ServiceError as error:
                if error.error == "unknown_image":
                    meant = did_you_mean(said.name, self._images.names())
                    warnings.append(f"{where}: there is no image {said.name}{meant} yet.")
                else:
                    problems.append(f"{where}: {error.message}")
        return problems, warnings


def _is_for(said: Mapping[str, Any], digest: str) -> bool:
    """Whether an order, or what was answered to one, is for this wish."""
    return str(said.get("id", "")).startswith(f"{digest}-")


def _failed_lately(outcome: Mapping[str, Any], digest: str, now: float) -> bool:
    tried = seconds(str(outcome.get("at")))
    failed = _is_for(outcome, digest) and outcome.get("problem") is not None
    return failed and tried is not None and 0 <= now - tried < _AGAIN


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
