# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases: each tool does the same work in turn, and what it made is restored and compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..storage.disk_builder import attached
from .disks import Disks
from .results import Results
from .server import Server, serving
from .tools import CLONEZILLA_SEND, LEVEL, Cost, Slipway, Tool, flush, peers, timed

CASES = ("first", "restore", "restore_changed", "unchanged", "changed", "twin", "service")
# What no tool can do without: the case, its name in the table, and the work.
_BESIDE = (
    ("first", "floor", str(LEVEL)),
    ("first", "read", "read"),
    ("unchanged", "floor", "hash"),
    ("restore_changed", "floor", "hash"),
)


class Round:
    """One round of the cases over fresh stores."""

    def __init__(
        self,
        disks: Disks,
        folder: Path,
        results: Results,
        say: Callable[[str], None],
        before: Path | None = None,
    ) -> None:
        """All tools, in the order of their table; `before` is the agent of an older revision."""
        self.disks = disks
        self.folder = folder
        self.results = results
        self.say = say
        own = Slipway(["--store", str(folder / "store")], folder / "store")
        self.tools: list[Tool] = [own, *peers(folder)]
        if before is not None:
            store = folder / "store-before"
            self.tools.append(Slipway(["--store", str(store)], store, "before", before))

    def run(self, cases: Sequence[str], tools: Sequence[str], turn: int) -> None:
        """`first` is always run: the other cases build on it.

        `turn` shifts the order of the tools, so that nobody always comes first.
        """
        chosen = [each for each in self.tools if each.name in tools]
        self.tools = chosen[turn % len(chosen) :] + chosen[: turn % len(chosen)]
        self._beside(cases)
        for tool in self.tools:
            self._first(tool, cases)
        for case, disk in (
            ("unchanged", self.disks.source),
            ("changed", self.disks.changed),
            ("twin", self.disks.twin),
        ):
            if case in cases:
                for tool in self.tools:
                    self._save(tool, case, disk)
                    self._load(tool, case, disk)
                    tool.forget(case)
        if "service" in cases:
            self._service()

    def _first(self, tool: Tool, cases: Sequence[str]) -> None:
        source = self.disks.source
        self._save(tool, "first", source)
        self._load(tool, "first", source, "restore" if "restore" in cases else "")
        if "restore_changed" in cases:
            self.disks.fill_with(self.disks.changed)
            self._load(tool, "first", source, "restore_changed", fill=False)
        tool.forget("first")

    def _save(self, tool: Tool, case: str, disk: Path) -> None:
        with attached(disk) as device:
            cost = tool.save(device, case)
            flush(device)
        self._note(case, tool.name, cost)

    def _load(self, tool: Tool, label: str, disk: Path, case: str = "", fill: bool = True) -> None:
        if fill:
            self.disks.fill()
        with attached(self.disks.target) as device:
            cost = tool.load(label, device)
            flush(device)
        self.disks.compare(disk)
        if case:
            self._note(case, tool.name, cost)

    def _note(self, case: str, tool: str, cost: Cost) -> None:
        self.results.add(case, tool, cost)
        self.say(f"{case:16} {tool:11} {cost.seconds:7.2f} s, processor {cost.cpu:7.2f} s")

    def _beside(self, cases: Sequence[str]) -> None:
        """The floor of each case and plain reading, over the same bytes of the same device."""
        ranges = self.folder / "ranges.json"
        ranges.write_text(json.dumps(self.disks.used(self.disks.source)))
        line = '"$PYTHON" -m tests.bench.floor $DEV $RANGES $WORK'
        for case, tool, work in _BESIDE:
            if case == "first" or case in cases:
                with attached(self.disks.source) as device:
                    values = {"DEV": str(device), "RANGES": str(ranges), "WORK": work}
                    cost = timed(line, self.folder, values | {"PYTHON": sys.executable})
                self._note(case, tool, cost)

    def _service(self) -> None:
        with self._server() as server:
            for tool in self.tools:
                if tool.name == "slipway":
                    self._through_service(server)
                elif tool.name == "clonezilla":
                    self._through_curl(server, tool)

    @contextmanager
    def _server(self) -> Iterator[Server]:
        folder = self.folder / "server"
        folder.mkdir()
        with serving(folder) as server:
            yield server

    def _through_service(self, server: Server) -> None:
        pc, place = server.session("backup", self.folder)
        tool = Slipway(place, server.service.store)
        self._save(tool, "service", self.disks.source)
        server.service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
        _, tool.store = server.session("restore", self.folder)
        self._load(tool, "service", self.disks.source)

    def _through_curl(self, server: Server, clonezilla: Tool) -> None:
        name = "clonezilla-service"
        values = {"CA": str(server.ca), "URL": f"{server.put_url}/{name}"}
        with attached(self.disks.source) as device:
            cost = timed(CLONEZILLA_SEND, self.folder, values | {"DEV": str(device)})
        sent = server.put_folder / name
        self._note("service", "clonezilla", replace(cost, bytes=sent.stat().st_size))
        sent.rename(self.folder / name)
        self._load(clonezilla, "service", self.disks.source)
        clonezilla.forget("service")
