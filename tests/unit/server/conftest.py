# SPDX-License-Identifier: GPL-3.0-or-later
"""A real service on its unix sockets, and what a machine and an administrator do with it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.frames import digest_of, make_frame
from slipway.format.manifest import Disk, Identity, Manifest, Segment, Table
from slipway_server.__main__ import main
from slipway_server.base.config import Config
from slipway_server.server import SOCKETS
from slipway_server.service import Service as Parts

from ...fixtures.forks import Fork

ROOT = Path(__file__).resolve().parents[3]
CELL = 1 << 20
HOST_KEY = (
    "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"k" * 32).decode()
)
ADDRESS = "10.77.0.21"
# Seconds until a program that was started answers; a busy machine needs a few.
PATIENCE = 60
_TICKET = re.compile(r"slipway\.ticket=(\S+)")
# What each socket documents: the same for every service, and each takes a while to say it.
_DOCUMENTED: dict[str, list[tuple[str, re.Pattern[str], set[str]]]] = {}
_numbers = itertools.count(1)


@dataclass
class Machine:
    """A machine with an open session."""

    service: Service
    name: str
    mac: str
    session: str
    token: str = ""

    def report(self, **changes: Any) -> dict[str, Any]:
        """The body of a check-in."""
        return {
            "session": self.session,
            "macs": [self.mac],
            "host_key": HOST_KEY,
            "hardware": {"cpu": "test"},
            "agent_version": "0.1.0",
        } | changes

    def check_in(self, address: str = ADDRESS, **changes: Any) -> httpx.Response:
        """Check in, and keep the token if one is given."""
        answer = self.service.http.post(
            "/v1/checkin", json=self.report(**changes), headers={"X-Real-IP": address}
        )
        if answer.status_code == 200:
            self.token = answer.json()["token"]
        return answer

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request with the machine's token."""
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return self.service.http.request(method, path, headers=headers, **options)

    def put(self, content: bytes) -> str:
        """Send a chunk that the store takes."""
        digest = digest_of(content)
        answer = self.request("PUT", f"/v1/chunks/{digest}", content=make_frame(content))
        assert answer.status_code in (200, 201), answer.text
        return digest

    def publish(self, *contents: bytes, name: str = "") -> httpx.Response:
        """Publish an image of one disk that holds these cells."""
        name = name or self.name
        return self.request("POST", f"/v1/images/{name}", content=manifest_of(name, *contents))

    def seen(self) -> dict[str, Any]:
        """The session as the administrator sees it."""
        return self.service.session(self.session)


def manifest_of(name: str, *contents: bytes) -> bytes:
    """A manifest of one disk, at most 16 cells of CELL bytes."""
    segment = Segment(
        kind="boot",
        offset=0,
        size=CELL * len(contents),
        used=Extents.whole(CELL * len(contents)),
        digests=b"".join(bytes.fromhex(digest_of(content)) for content in contents),
        content="table",
    )
    disk = Disk(
        id="disk0",
        identity=Identity(serial="S1"),
        size=CELL * len(contents),
        logical_sector=512,
        physical_sector=512,
        table=Table("none"),
        segments=(segment,),
    )
    return serialize(Manifest(name=name, cell_size=CELL, disks=(disk,)))


def ticket_in(script: str) -> str:
    """What a boot script gives to show at check-in."""
    [found] = _TICKET.findall(script)
    return str(found)


def cell(text: str) -> bytes:
    """A cell whose content nobody else uses."""
    return text.encode().ljust(CELL, b"\x5a")


def in_parts(folder: Path, work: Callable[[Parts], Any]) -> None:
    """Do something with the service in this process."""

    async def start_and_stop() -> None:
        parts = Parts(Config("10.77.0.1", folder / "store", folder / "state"))
        await parts.start()
        try:
            await work(parts)
        finally:
            await parts.stop()

    asyncio.run(start_and_stop())


class Service:
    """The service as a process."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.state = folder / "state"
        self._process: Fork | None = None
        # What runs in the process; a test may have it meet another world first.
        self.main: Callable[[list[str]], int] = main
        values = {
            "address": "10.77.0.1",
            "store_dir": str(self.store),
            "state_dir": str(self.state),
            "store_reserve_bytes": 0,
            "sweep_seconds": 0.1,
            "menu_dir": str(folder / "menus"),
            # No PC of these tests is in a network of this host; test_strangers.py has its own.
            "unproven_addresses": "accept",
            "lease_file": str(folder / "leases"),
        }
        (folder / "menus").mkdir()
        (folder / "server.json").write_text(json.dumps(values | config))
        self.http = self._client("http")
        self.admin = self._client("admin")
        self.runner = self._client("runner")
        self.web = self._client("web")
        self.teller = self._client("teller")
        self.metrics = self._client("metrics")
        self.puller = self._client("puller")
        self.maker = self._client("maker")

    def _client(self, name: str) -> httpx.Client:
        # `verify` would read all authorities of the web; there is no TLS on these sockets.
        transport = httpx.HTTPTransport(uds=str(self.folder / name), verify=False)
        return httpx.Client(
            transport=transport,
            base_url="http://server",
            timeout=30,
            event_hooks={"response": [lambda answer: self._is_documented(name, answer)]},
        )

    def start(self) -> Service:
        """Start the process and wait until it answers."""
        arguments = ["--config", str(self.folder / "server.json")]
        for name in SOCKETS:
            arguments += [f"--{name}-socket", str(self.folder / name)]
        self._process = Fork(self.main, arguments)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                assert self.admin.get("/v1/status").status_code == 200
                return self
            except httpx.TransportError:
                assert self._process.poll() is None, "the service did not start"
                time.sleep(0.05)
        raise AssertionError("the service does not answer")

    @property
    def pid(self) -> int:
        """The process that answers."""
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process with a signal; return its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        # How long that takes says nothing but how busy the machine is.
        return self._process.wait(60)

    def pause(self) -> None:
        """Let the process hang: it accepts nothing and answers nobody. `stop` ends it, too."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End it and start it anew on the same folders."""
        self.stop(number)
        self.start()

    def reconfigure(self, **config: Any) -> None:
        """Start it anew with other settings, such as a patience that ends from now on."""
        self.stop()
        path = self.folder / "server.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        self.start()

    def _is_documented(self, name: str, answer: httpx.Response) -> None:
        """Every answer in every test stands in the OpenAPI description of its route."""
        path = answer.request.url.path
        if path == "/v1/openapi.json":
            return
        if name not in _DOCUMENTED:
            routes = getattr(self, name).get("/v1/openapi.json").json()["paths"]
            _DOCUMENTED[name] = [
                (
                    method.upper(),
                    re.compile(re.sub(r"{\w+}", "[^/]+", route) + r"\Z"),
                    set(operation["responses"]),
                )
                for route, operations in routes.items()
                for method, operation in operations.items()
            ]
        for method, pattern, codes in _DOCUMENTED[name]:
            if method == answer.request.method and pattern.match(path):
                assert str(answer.status_code) in codes, (method, path, answer.status_code)
        if answer.status_code >= 400:
            answer.read()
            assert {"error", "message", "remedy"} <= set(answer.json())

    def session(self, identifier: str, **query: Any) -> dict[str, Any]:
        """A session as the administrator sees it."""
        answer = self.admin.get(f"/v1/sessions/{identifier}", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, **wanted: Any) -> httpx.Response:
        """Ask for a session."""
        return self.admin.post("/v1/sessions", json=wanted)

    def machine(self, verb: str = "backup", *, arrived: bool = True, **wanted: Any) -> Machine:
        """A new machine with a session, checked in unless told otherwise."""
        number = next(_numbers)
        name = wanted.pop("machine", f"pc{number}")
        mac = wanted.pop("mac", f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}")
        wanted.setdefault("image", name)
        answer = self.ask(machine=name, macs=[mac], verb=verb, **wanted)
        assert answer.status_code == 201, answer.text
        made = Machine(self, name, mac, answer.json()["id"])
        if arrived:
            assert made.check_in().status_code == 200
        return made

    def image(self, *contents: bytes) -> tuple[str, str]:
        """Back an image up; return its name and version."""
        machine = self.machine()
        for content in contents:
            machine.put(content)
        answer = machine.publish(*contents)
        assert answer.status_code == 201, answer.text
        self.admin.delete(f"/v1/sessions/{machine.session}", params={"outcome": "done"})
        return answer.json()["name"], answer.json()["version"]

    def lease(self, mac: str, address: str = ADDRESS) -> None:
        """Have dnsmasq give an address to a card: then it is proven to be that card's."""
        with (self.folder / "leases").open("a") as file:
            file.write(f"0 {mac} {address} pc *\n")

    def chunk_path(self, content: bytes) -> Path:
        """Where the store keeps a content."""
        digest = digest_of(content)
        return self.store / "chunks" / digest[:2] / digest[2:4] / digest

    def flip(self, content: bytes) -> None:
        """Change a byte of a chunk as a disk does: its file's facts stay what they were."""
        path = self.chunk_path(content)
        before, frame = path.stat(), bytearray(path.read_bytes())
        frame[30] ^= 1
        with path.open("r+b") as file:
            file.write(frame)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def suspect(self, content: bytes) -> None:
        """As if the server's kernel had died before the chunk was on the disk; while stopped."""
        marks = self.store / "unsynced/another-boot"
        marks.mkdir(exist_ok=True)
        (marks / digest_of(content)).touch()

    def close(self) -> None:
        """End everything."""
        self.http.close()
        self.admin.close()
        self.runner.close()
        self.web.close()
        self.teller.close()
        self.metrics.close()
        self.puller.close()
        self.maker.close()
        if self._process is not None:
            self.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that do not disturb it."""
    made = Service(tmp_path_factory.mktemp("service"))
    yield made.start()
    made.close()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services that a test may kill, fill or break."""
    made: list[Service] = []

    def make(**config: Any) -> Service:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Service(folder, **config))
        return made[-1].start()

    yield make
    for each in made:
        each.close()
