# SPDX-License-Identifier: GPL-3.0-or-later
"""How the server is, in numbers for Prometheus: OpenMetrics text 1.0.

No label holds what a PC says: names of images, schedules and outcomes are the server's own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..base.outbox import Outbox
from ..base.threads import Run
from ..images.catalog import Catalog, newest_good
from ..images.memory import Memory
from ..images.policy import Policy
from ..images.store import ChunkStore
from ..images.upkeep import COLLECTION, PRUNE, REPLICATION, SCRUB, Records
from ..jobs.jobs import Jobs
from ..jobs.night_book import NightBook
from ..jobs.schedules import OUTCOMES
from ..sessions.sessions import Sessions

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# Who asks oftener gets what the one before got: all images are looked at for it.
_KEPT_SECONDS = 15.0


@dataclass
class Family:
    """Gauges of one name. The labels of each are in one order."""

    name: str
    says: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """One more."""
        self.samples.append((labels, value))

    def lines(self) -> Iterator[str]:
        """As text."""
        yield f"# TYPE {self.name} gauge"
        yield f"# HELP {self.name} {self.says}"
        for labels, value in self.samples:
            inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"{self.name}{{{inside}}} {value}" if inside else f"{self.name} {value}"


def exposition(families: list[Family]) -> str:
    """All of them, with the line that ends it."""
    return "\n".join([*(line for each in families for line in each.lines()), "# EOF\n"])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Metrics:
    """Runs in the event loop."""

    def __init__(
        self,
        catalog: Catalog,
        memory: Memory,
        store: ChunkStore,
        records: Records,
        book: NightBook,
        jobs: Jobs,
        sessions: Sessions,
        outbox: Outbox,
        run: Run,
    ) -> None:
        """``run`` does blocking work in a thread."""
        self._catalog = catalog
        self._memory = memory
        self._store = store
        self._records = records
        self._book = book
        self._jobs = jobs
        self._sessions = sessions
        self._outbox = outbox
        self._run = run
        self._known: tuple[float, str] | None = None

    async def text(self) -> str:
        """How all of it is now, or was some seconds ago."""
        now = time.monotonic()
        if self._known is None or now - self._known[0] > _KEPT_SECONDS:
            families = [*await self._run(self._of_store), *self._of_work()]
            self._known = (now, exposition(families))
        return self._known[1]

    def _of_store(self) -> list[Family]:
        newest = Family(
            "slipway_image_newest_good_timestamp_seconds",
            "When the newest good version of an image was made.",
        )
        versions = Family("slipway_image_versions", "Versions of an image.")
        for judged in self._catalog.judge_all(Policy(), {}, datetime.now(UTC)):
            versions.add(len(judged), image=judged[0].name)
            if (made := newest_good(judged)) is not None:
                newest.add(made, image=judged[0].name)
        room, collected = self._store.room(), self._records.of(COLLECTION) or {}
        size = Family("slipway_store_bytes", "Room of the store.")
        size.add(room.free, kind="free")
        size.add(room.total, kind="total")
        for kind in ("kept", "pending"):
            if (known := collected.get(f"{kind}_bytes")) is not None:
                size.add(known, kind=kind)
        bad = Family("slipway_chunks_bad", "Chunk files that were found broken.")
        bad.add(len(self._memory.bad()))
        read = Family(
            "slipway_oldest_read_timestamp_seconds",
            "Since then every chunk was read and compared; 0: not all of them yet.",
        )
        read.add(self._memory.oldest_read())
        return [newest, versions, size, bad, read]

    def _of_work(self) -> list[Family]:
        done = Family("slipway_upkeep_done_timestamp_seconds", "When a work was last done.")
        problem = Family("slipway_upkeep_problem", "Whether a work has a problem.")
        for work in (PRUNE, COLLECTION, SCRUB, REPLICATION):
            if (record := self._records.of(work)) is not None:
                problem.add(int(bool(record["problem"])), work=work)
                if record["done_at"] is not None:
                    done.add(record["done_at"], work=work)
        jobs = Family("slipway_jobs", "Jobs that are kept, by state.")
        for state, count in sorted(Counter(each.state for each in self._jobs.all()).items()):
            jobs.add(count, state=state)
        sessions = Family("slipway_sessions_open", "Sessions that have not ended.")
        sessions.add(len(self._sessions.open_sessions()))
        behind = Family("slipway_events_untold", "Events that somebody still has to be told.")
        for sink, count in sorted(self._outbox.behind().items()):
            behind.add(count, sink=sink)
        return [done, problem, jobs, sessions, behind, *self._of_windows()]

    def _of_windows(self) -> list[Family]:
        closed = Family(
            "slipway_window_closed_timestamp_seconds", "When a schedule's last window was over."
        )
        outcomes = Family("slipway_window_machines", "Machines of that window, by outcome.")
        for name in self._book.names():
            ended = [each for each in self._book.records(name) if each.closed_at is not None]
            if not ended:
                continue
            closed.add(ended[-1].closed_at or 0.0, schedule=name)
            counts = Counter(each.outcome for each in ended[-1].nights.values())
            for outcome in OUTCOMES:
                outcomes.add(counts[outcome], schedule=name, outcome=outcome)
        return [closed, outcomes]
