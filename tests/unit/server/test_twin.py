# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own backup against the real service: what a twin sends, and what is sent again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.engine.backup import Options, backup
from slipway.engine.devices import find_disk
from slipway.engine.folder_store import FolderStore
from slipway.engine.memory_store import MemoryStore
from slipway.engine.progress import Meter
from slipway.engine.result import Result
from slipway.engine.store import ChunksLacking, Published, Store
from slipway.format import Machine, Manifest
from slipway.net.answer import Answer, Refused
from slipway.net.http_store import HttpStore

from .conftest import Machine as Pc
from .conftest import Service

MIB = 1 << 20


class Line:
    """The agent's client, on the unix socket instead of TLS. Notes what was asked."""

    def __init__(self, pc: Pc) -> None:
        self.pc = pc
        self.asked: list[tuple[str, str]] = []

    def request(
        self, method: str, path: str, body: Any = None, timeout: float = 30.0, **_: Any
    ) -> Answer:
        self.asked.append((method, path))
        options = {"json": body} if isinstance(body, dict) else {"content": body}
        answer = self.pc.request(method, path, timeout=timeout, **options)
        return Answer(answer.status_code, answer.content)

    def ask(self, method: str, path: str, read: Any, body: Any = None, **options: Any) -> Any:
        answer = self.request(method, path, body, **options)
        if not answer.ok:
            raise Refused(answer)
        return read(answer.json())

    def puts(self) -> int:
        return sum(method == "PUT" for method, _ in self.asked)


def save(disk: Path, store: Store, name: str) -> Result:
    return backup([find_disk(disk)], name, store, Meter(), Machine(), Options(threads=2))


def over(line: Line) -> HttpStore:
    return HttpStore(line)  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(os.urandom(9 * MIB + 512))
    return path


def test_a_twin_costs_no_byte_and_its_version_is_whole(service: Service, disk: Path) -> None:
    first, twin = Line(service.machine()), Line(service.machine())
    assert save(disk, over(first), first.pc.name).cells.sent == first.puts() > 4
    result = save(disk, over(twin), twin.pc.name)
    assert (result.sent, result.cells.sent, twin.puts()) == (0, 0, 0)
    check = service.admin.post(f"/v1/images/{twin.pc.name}/{result.version}/check").json()
    assert check["state"] == "sound"
    assert check["bytes_total"] > 9 * MIB
    # One question for the nonce, however many threads ask.
    assert twin.asked.count(("GET", "/v1/session")) == 1


def test_an_agent_without_proofs_sends_everything(service: Service, disk: Path) -> None:
    class Old(HttpStore):
        def missing(self, digests: Any, keys: Any = ()) -> set[str]:
            return super().missing(digests)

    first, old = Line(service.machine()), Line(service.machine())
    sent = save(disk, over(first), first.pc.name).cells.sent
    result = save(disk, Old(old), old.pc.name)  # type: ignore[arg-type]
    assert result.cells.sent == sent
    # Its own image's chunks are another matter.
    service.admin.delete(f"/v1/sessions/{old.pc.session}", params={"outcome": "done"})
    again = Line(service.machine(image=old.pc.name))
    assert save(disk, Old(again), old.pc.name).cells.sent == 0  # type: ignore[arg-type]


def test_what_the_server_has_lost_by_the_end_is_sent_again(
    own_service: Callable[..., Service], disk: Path
) -> None:
    service = own_service()
    line = Line(service.machine())

    class Unlucky(HttpStore):
        def publish(self, manifest: Manifest) -> Published:
            for digest in list(dict(manifest.chunks()))[1:3] if not lost else ():
                lost.append(digest)
                (service.store / "chunks" / digest[:2] / digest[2:4] / digest).unlink()
            return super().publish(manifest)

    lost: list[str] = []
    result = save(disk, Unlucky(line), line.pc.name)  # type: ignore[arg-type]
    assert line.asked.count(("PUT", f"/v1/chunks/{lost[0]}")) == 2
    assert line.puts() == result.cells.total + len(lost)
    check = service.admin.post(f"/v1/images/{line.pc.name}/{result.version}/check").json()
    assert check["state"] == "sound"


def test_a_folder_that_lost_chunks_gets_them_again(disk: Path, tmp_path: Path) -> None:
    class Unlucky(FolderStore):
        def publish(self, manifest: Manifest) -> Published:
            self._name_waiting()
            for digest in list(dict(manifest.chunks()))[1:3] if not lost else ():
                lost.append(digest)
                self._chunk(digest).unlink()
            return super().publish(manifest)

    lost: list[str] = []
    store = Unlucky(tmp_path / "store", create=True)
    result = save(disk, store, "pc")
    assert len(lost) == 2
    assert result.stored > 9 * MIB


def test_a_store_that_keeps_nothing_ends_the_backup(disk: Path) -> None:
    class Sieve(MemoryStore):
        def publish(self, manifest: Manifest) -> Published:
            self.chunks.clear()
            return super().publish(manifest)

    with pytest.raises(ChunksLacking, match="nothing was published"):
        save(disk, Sieve(), "pc")
