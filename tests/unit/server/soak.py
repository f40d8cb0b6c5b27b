# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once: writers, readers, a pruner, a collection in a loop, kills, a mad clock.

What a backup was told that the store has, it must be able to publish, whatever else goes on.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from slipway.format.frames import check_frame, digest_of, make_frame

from .conftest import ADDRESS, HOST_KEY, Service, cell, manifest_of
from .worlds import DAY, World

WRITERS, READERS = 8, 2
# A run shows nothing unless each of these happened.
HAPPENS = ("published", "restored", "pruned", "collections", "removed")
_RETRY_SECONDS = 0.2
_PATIENCE = 600
_numbers = itertools.count(1)


@functools.cache
def contents() -> list[bytes]:
    """Few that many versions share, so that each is named, forgotten and sent again."""
    return [cell(f"soak {number}") for number in range(200)]


@functools.cache
def frames() -> dict[str, bytes]:
    """Of each content, by its digest."""
    return {digest_of(content): make_frame(content) for content in contents()}


class Refused(Exception):
    """The service refused what it had promised."""


@dataclass
class Soak:
    """One run on a service that is up."""

    service: Service
    world: World
    kills: int
    stop: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def run(self, seconds: float, *, until_refused: bool = False) -> None:
        """All of it for so long, or until the first refusal."""
        works = [self._write] * WRITERS + [self._read] * READERS + [self._prune, self._collect]
        threads = [
            threading.Thread(target=self._keep_doing, args=(work, number))
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for left in range(self.kills, 0, -1):
            self.stop.wait(max(0.0, end - time.monotonic()) / (left + 1))
            self.service.restart(9)
            self.world.set_clock(random.choice([-2, 0, 0, 2]) * DAY)
            self.counts["kills"] += 1
        # On a busy machine it takes longer until each has happened.
        latest = end + _PATIENCE
        while (now := time.monotonic()) < end or (now < latest and not self._is_enough()):
            if until_refused and self.problems:
                break
            self.stop.wait(0.5)
        self.stop.set()
        for thread in threads:
            thread.join()
        self.world.set_clock(0)

    def _is_enough(self) -> bool:
        return all(self.counts[what] for what in HAPPENS)

    def _keep_doing(self, work: Callable[[random.Random, str], None], number: int) -> None:
        chance, name = random.Random(number), f"soak{number}"
        while not self.stop.is_set():
            try:
                work(chance, name)
            except Refused as refusal:
                self.problems.append(str(refusal))
            except httpx.TransportError:
                self.stop.wait(_RETRY_SECONDS)

    def _ask(self, client: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer: the service is killed now and then."""
        while True:
            try:
                answer: httpx.Response = getattr(self.service, client).request(
                    method, path, **options
                )
                if answer.status_code == 500:
                    self.problems.append(f"{method} {path}: {answer.text}")
                return answer
            except httpx.TransportError:
                if self.stop.is_set():
                    raise
                time.sleep(_RETRY_SECONDS)

    def _session(self, name: str, verb: str, image: str) -> tuple[str, Callable[..., Any]] | None:
        """Open a session and check in; return its id and how to ask with its token."""
        number = next(_numbers)
        mac = f"52:54:0a:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        wanted = {"machine": f"{name}-{number}", "macs": [mac], "verb": verb, "image": image}
        made = self._ask("admin", "POST", "/v1/sessions", json=wanted)
        if made.status_code != 201:
            return None
        report = {
            "session": made.json()["id"],
            "macs": [mac],
            "host_key": HOST_KEY,
            "hardware": {},
            "agent_version": "0.1.0",
            "nonce": f"{number:022d}",
        }
        told = self._ask("http", "POST", "/v1/checkin", json=report, headers={"X-Real-IP": ADDRESS})
        if told.status_code != 200:
            return None
        headers = {"Authorization": f"Bearer {told.json()['token']}"}

        def ask(method: str, path: str, **options: Any) -> httpx.Response:
            return self._ask("http", method, path, headers=headers, **options)

        return made.json()["id"], ask

    def _write(self, chance: random.Random, name: str) -> None:
        """A backup as the agent makes one: ask, send what is missing, take a while, publish."""
        opened = self._session(name, "backup", name)
        if opened is None:
            return
        session, ask = opened
        chosen = chance.sample(contents(), chance.randint(2, 8))
        digests = [digest_of(content) for content in chosen]
        asked = ask("POST", "/v1/chunks/query", json={"digests": digests})
        if asked.status_code == 200:
            for digest in asked.json()["missing"]:
                ask("PUT", f"/v1/chunks/{digest}", content=frames()[digest])
            self.stop.wait(chance.random() * 2)
            done = ask("POST", f"/v1/images/{name}", content=manifest_of(name, *chosen))
            if done.status_code in (200, 201):
                self.counts["published"] += 1
            elif done.json()["error"] == "missing_chunks":
                raise Refused(done.text)
            else:
                self.counts[done.json()["error"]] += 1
        self._ask("admin", "DELETE", f"/v1/sessions/{session}", params={"outcome": "done"})

    def _read(self, chance: random.Random, name: str) -> None:
        """A restore: each chunk of some image's newest version is there and sound."""
        image = f"soak{chance.randrange(WRITERS)}"
        opened = self._session(name, "restore", image)
        if opened is None:
            self.stop.wait(_RETRY_SECONDS)
            return
        session, ask = opened
        seen = self._ask("admin", "GET", f"/v1/sessions/{session}").json()
        manifest = ask("GET", f"/v1/images/{seen['image']}/{seen['version']}")
        for digest in frames():
            if manifest.status_code == 200 and digest in manifest.text:
                chunk = ask("GET", f"/v1/chunks/{digest}")
                if chunk.status_code != 200:
                    raise Refused(f"{image}@{seen['version']} lost {digest}: {chunk.text}")
                check_frame(digest, chunk.content)
        self.counts["restored"] += manifest.status_code == 200
        self._ask("admin", "DELETE", f"/v1/sessions/{session}", params={"outcome": "done"})

    def _prune(self, chance: random.Random, _: str) -> None:
        plan = self._ask("admin", "GET", "/v1/prune").json()
        done = self._ask("admin", "POST", "/v1/prune", json={"confirm": plan.get("digest")})
        if done.status_code == 200:
            self.counts["pruned"] += len(done.json()["removed"])
        self.stop.wait(chance.random())

    def _collect(self, chance: random.Random, _: str) -> None:
        done = self._ask("admin", "POST", "/v1/collect")
        if done.status_code == 200:
            self.counts["collections"] += 1
            self.counts["removed"] += done.json()["removed"]
        self.stop.wait(chance.random() / 4)


def prepare(service: Service) -> None:
    """Keep little, and let go of it at once; the frames are there before the threads."""
    frames()
    folder = service.folder / "policy"
    folder.mkdir()
    (folder / "images.json").write_text(json.dumps({"keep": {"last": 1}, "trash_days": 0}))
