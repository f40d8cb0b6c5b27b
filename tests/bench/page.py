# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of two thousand machines: how long the page takes, and what a backup feels of it.

Run as `python -m tests.bench.page [MACHINES]`, without root. Each machine has a menu, an image with
a week of versions, and a job and a session of last night. Real service, real page; twenty streams
are open as twenty browsers have them. Beside it PCs send chunks, with somebody at the page and
without, in turn.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.frames import digest_of, make_frame
from slipway.format.manifest import Disk, Identity, Machine, Manifest, Segment, Table
from slipway.net.unix_socket import UnixConnection
from slipway_server.jobs.job import Job
from slipway_server.sessions.session import Session

from ..unit.server.choosing import item, write_menu
from ..unit.server.conftest import CELL, Service
from ..unit.server.heavy import memory_peak
from ..unit.server.test_who_may import as_user
from ..unit.web.conftest import Page

MACHINES, VERSIONS, BROWSERS, ROUNDS, ASKED = 2000, 7, 20, 15, 40
PATHS = (
    "/machines",
    "/machines?q=hall&sort=-saved&page=3",
    "/machines?q=hall-pc1999",
    "/",
)
LONG, PATIENCE = 20.0, 60.0
SENDERS, SENT = 2, 100
CONTENT = b"saved".ljust(CELL, b"\x5a")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MACHINES
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        page = ends.enter_context(_serving(Path(folder), count))
        assert page.process is not None
        cookie = page.browser("otto").cookies["__Host-slipway"]
        _say(f"{count} machines, {VERSIONS} versions each; load average {_load():.1f}")
        begun = time.perf_counter()
        # Manifests that nobody has read yet are read beside it.
        _ask(page, cookie, PATHS[0])
        _say(f"the first answer took {time.perf_counter() - begun:.1f} s")
        while page.service.web.get("/v1/upkeep", headers=as_user("operator")).json()["reading"]:
            time.sleep(0.1)
        _say(f"all manifests were read after {time.perf_counter() - begun:.1f} s")
        with _browsers(page, cookie):
            found = {path: _seconds(lambda path=path: _ask(page, cookie, path)) for path in PATHS}
        _say(f"load average {_load():.1f}")
        for path, took in found.items():
            _say(
                f"{path:40} p50 {1e3 * _share(took, 0.5):6.1f} ms  p95 "
                f"{1e3 * _share(took, 0.95):6.1f} ms"
            )
        _say(
            f"page {memory_peak(page.process.pid) >> 20} MB, "
            f"service {memory_peak(page.service.pid) >> 20} MB"
        )
        # What other work on the same cores does not blur.
        idle, busy = _processor(page, cookie)
        for name, *took in zip(("service", "page"), idle, busy, strict=True):
            _say(
                f"the {name} takes {1e3 * took[0]:.0f} ms of processor time a second, "
                f"{1e3 * took[1]:.0f} ms with {BROWSERS} browsers and the list read once a second"
            )
        sent = _beside(page, cookie)
        for name, took in sent.items():
            _say(
                f"PUT of a chunk, {name:32} p50 {1e3 * _share(took, 0.5):6.1f} ms  p99 "
                f"{1e3 * _share(took, 0.99):6.1f} ms"
            )
    line = {path: round(_share(took, 0.95), 4) for path, took in found.items()}
    alone, *others = (_share(took, 0.99) for took in sent.values())
    print(json.dumps(line | {"put": [round(each / alone, 3) for each in others]}))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _load() -> float:
    return os.getloadavg()[0]


def _share(took: Sequence[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(share * len(took)))]


# --- what is there


@contextmanager
def _serving(folder: Path, count: int) -> Iterator[Page]:
    (folder / "service").mkdir()
    service = Service(folder / "service", policy_dir=str(folder / "service/policy"))
    with ExitStack() as ends:
        ends.callback(service.close)
        # The store and the state's tables are the service's to make.
        service.start()
        service.stop()
        path = service.chunk_path(CONTENT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_frame(CONTENT))
        names = [f"hall-pc{number:04}" for number in range(count)]
        for number, name in enumerate(names):
            card = f"3c:52:82:10:{number >> 8:02x}:{number & 255:02x}"
            write_menu(service, name, [card], [item("backup", "backup", image=name)])
            _write_versions(service, name)
        _write_last_night(service, names)
        service.start()
        page = Page(folder / "page", service)
        # As its unit says.
        page.before = ("nice", "-n", "5")
        ends.callback(page.close)
        yield page.start()


def _write_versions(service: Service, name: str) -> None:
    digest = bytes.fromhex(digest_of(CONTENT))
    segment = Segment("boot", 0, CELL, Extents.whole(CELL), digest, content="table")
    disk = Disk("disk0", Identity(serial=name), CELL, 512, 512, Table("none"), (segment,))
    folder = service.store / "images" / name
    folder.mkdir(parents=True)
    for days in range(VERSIONS):
        made = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days, hours=1)
        version, said = made.strftime("%Y%m%dT%H%M%SZ"), made.isoformat().replace("+00:00", "Z")
        machine = Machine(name, "Dell", "OptiPlex 7010", name, "uefi")
        whole = Manifest(name, CELL, (disk,), machine, "0.1.0", version, said, CELL)
        (folder / f"{version}.json").write_bytes(serialize(whole))


def _write_last_night(service: Service, names: Sequence[str]) -> None:
    at = time.time() - 8 * 3600
    with closing(sqlite3.connect(service.state / "state.sqlite3")) as db, db:
        for name in names:
            ends = {"state": "ended", "outcome": "done", "ended_at": at + 300}
            job = Job(
                secrets.token_hex(8),
                name,
                (),
                "backup",
                name,
                at,
                "schedule",
                "nightly",
                "wakes",
                **ends,
            )  # type: ignore[arg-type]
            told = {"model": "OptiPlex 7010", "disks": [{"serial": name}]}
            session = Session(
                secrets.token_hex(8),
                name,
                (),
                "backup",
                name,
                None,
                at,
                3600,
                hardware=told,
                checked_in_at=at,
                **ends,
            )  # type: ignore[arg-type]
            for table, each in (("jobs", job), ("sessions", session)):
                row = (each.id, name, "ended", at + 300, json.dumps(asdict(each)))
                db.execute(
                    f"INSERT INTO {table} (id, machine, state, ended_at, body) "
                    "VALUES (?, ?, ?, ?, ?)",
                    row,
                )


# --- what is asked


def _headers(cookie: str) -> dict[str, str]:
    return {"Cookie": f"__Host-slipway={cookie}", "X-Real-IP": "10.77.0.9"}


def _ask(page: Page, cookie: str, path: str) -> None:
    with closing(UnixConnection(page.folder / "page", PATIENCE)) as line:
        line.request("GET", path, headers=_headers(cookie))
        answer = line.getresponse()
        answer.read()
        assert answer.status == 200, path


@contextmanager
def _live(page: Page, cookie: str) -> Iterator[None]:
    """A browser's stream, open and read from."""
    with closing(UnixConnection(page.folder / "page", PATIENCE)) as line:
        line.request("GET", "/live?part=running", headers=_headers(cookie))
        answer, stream = line.getresponse(), line.sock
        reader = threading.Thread(target=_read_on, args=(answer,))
        reader.start()
        yield
        # Who reads holds what a close would wait for.
        stream.shutdown(socket.SHUT_RDWR)
        reader.join()


@contextmanager
def _browsers(page: Page, cookie: str) -> Iterator[None]:
    with ExitStack() as ends:
        for _ in range(BROWSERS):
            ends.enter_context(_live(page, cookie))
        time.sleep(2)
        yield


def _read_on(answer: http.client.HTTPResponse) -> None:
    with suppress(OSError, http.client.HTTPException):
        while answer.read1():
            pass


def _seconds(what: Callable[[], None], times: int = ASKED) -> list[float]:
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        what()
        found.append(time.perf_counter() - begun)
    return found


def _beside(page: Page, cookie: str) -> dict[str, list[float]]:
    """Chunks sent alone, beside browsers, and beside who reads the list, too, in turn."""
    alone, live, read = "alone", f"{BROWSERS} browsers", "and the list read once a second"
    found: dict[str, list[float]] = {alone: [], live: [], read: []}
    for _ in range(ROUNDS):
        found[alone] += _sent(page.service)
        with _browsers(page, cookie):
            found[live] += _sent(page.service)
            done = threading.Event()
            reader = threading.Thread(target=_look_on, args=(page, cookie, done))
            reader.start()
            found[read] += _sent(page.service)
            done.set()
            reader.join()
    return found


def _processor(page: Page, cookie: str) -> tuple[list[float], list[float]]:
    """Processor time of service and page in each second: with nobody there, and with browsers."""
    assert page.process is not None
    pids = (page.service.pid, page.process.pid)

    def spent() -> list[float]:
        before, begun = [_ticks(pid) for pid in pids], time.monotonic()
        time.sleep(LONG)
        seconds = time.monotonic() - begun
        return [(_ticks(pid) - ticks) / seconds for pid, ticks in zip(pids, before, strict=True)]

    idle = spent()
    with _browsers(page, cookie):
        done = threading.Event()
        reader = threading.Thread(target=_look_on, args=(page, cookie, done))
        reader.start()
        busy = spent()
        done.set()
        reader.join()
    return idle, busy


def _ticks(pid: int) -> float:
    """Processor time of a process, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _look_on(page: Page, cookie: str, done: threading.Event) -> None:
    while not done.wait(1.0):
        _ask(page, cookie, PATHS[0])


def _sent(service: Service) -> list[float]:
    found: list[float] = []

    def send() -> None:
        pc = service.machine()
        with closing(UnixConnection(service.folder / "http", PATIENCE)) as line:
            for _ in range(SENT):
                content = os.urandom(CELL)
                digest, frame = digest_of(content), make_frame(content)
                begun = time.perf_counter()
                line.request(
                    "PUT", f"/v1/chunks/{digest}", frame, {"Authorization": f"Bearer {pc.token}"}
                )
                answer = line.getresponse()
                answer.read()
                found.append(time.perf_counter() - begun)
                assert answer.status == 201, answer.status
        service.admin.delete(f"/v1/sessions/{pc.session}")

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for each in senders:
        each.start()
    for each in senders:
        each.join()
    return found


if __name__ == "__main__":
    main()
