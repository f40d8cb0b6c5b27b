# SPDX-License-Identifier: GPL-3.0-or-later
"""Doubles for the world outside: an image server with its own CA, and images."""

import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from slipway.format import Disk, Extents, Identity, Manifest, Segment, Table, digest_of, make_frame

CELL = 1 << 20


@dataclass
class FakeServer:
    """An HTTPS server that answers from a list of rules and remembers what it was asked."""

    url: str = ""
    ca: Path = Path()
    asked: list[tuple[str, str, bytes, str]] = field(default_factory=list)
    answer: Callable[[str, str, bytes], tuple[int, Any]] = lambda method, path, body: (404, {})
    cuts: list[int | None] = field(default_factory=list)
    """After how many bytes of their bodies the next answers end; None for whole ones."""
    framing: str = "length"
    """How an answer says where it ends: length, chunked, or close."""
    ranges: list[str] = field(default_factory=list)
    """What was asked for of bodies that had begun to come before."""
    resumes: bool = True
    """Whether it answers such a request with the rest."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("good", "other"):
        key, file = folder / f"{name}.key", folder / f"{name}.crt"
        request = ["openssl", "req", "-x509", "-nodes", "-keyout", key, "-out", file, "-days", "2"]
        request += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        request += ["-subj", "/CN=img", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(request, check=True, capture_output=True)
    return folder


@pytest.fixture
def server(certificates: Path) -> Iterator[FakeServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.crt", certificates / "good.key")
    with serving(context, certificates / "good.crt") as fake:
        yield fake


@contextmanager
def serving(context: ssl.SSLContext, ca: Path) -> Iterator[FakeServer]:
    """A server with these certificates, for as long as it takes."""
    fake = FakeServer(ca=ca)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.asked.append(
                (self.command, self.path, body, self.headers.get("Authorization") or "")
            )
            status, reply = fake.answer(self.command, self.path, body)
            if status == 0:
                self.close_connection = True
                return
            if status >= 400 and isinstance(reply, dict):
                # Every refusal of the service has these.
                reply = {"error": "x", "message": f"answer {status}", "remedy": ""} | reply
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            start = 0
            if wanted := self.headers.get("Range", ""):
                fake.ranges.append(wanted)
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if fake.resumes else 0
            self.send_response(206 if start else status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
                data = data[start:]
            self._say(data, fake.cuts.pop(0) if fake.cuts else None)

        def _say(self, data: bytes, cut: int | None) -> None:
            if fake.framing == "length":
                self.send_header("Content-Length", str(len(data)))
            elif fake.framing == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
            self.end_headers()
            self.wfile.write(data[:cut])
            self.close_connection |= cut is not None or fake.framing == "close"

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    fake.url = f"https://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield fake
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def make_image(
    content: bytes, parts: list[tuple[int, int, list[tuple[int, int]]]], name: str = "pc"
) -> tuple[Manifest, dict[str, bytes]]:
    """An MBR image of a disk with this content, and its chunks.

    `parts` are (offset, size, used ranges); the boot segment reaches up to the first.
    """
    chunks: dict[str, bytes] = {}

    def segment(number: int | None, offset: int, size: int, used: Extents) -> Segment:
        digests = b""
        for cell in used.cells(CELL):
            start, end = cell * CELL, min((cell + 1) * CELL, size)
            data = bytearray(end - start)
            for a, b in used.within(start, end):
                data[a - start : b - start] = content[offset + a : offset + b]
            digest = digest_of(data)
            digests += bytes.fromhex(digest)
            chunks[digest] = make_frame(data)
        if number is None:
            return Segment("boot", offset, size, used, digests, content="table")
        return Segment("partition", offset, size, used, digests, number, "ext4", "used")

    boot = segment(None, 0, parts[0][0], Extents.whole(parts[0][0]))
    rest = [
        segment(index + 1, offset, size, Extents.of(used))
        for index, (offset, size, used) in enumerate(parts)
    ]
    identity = Identity("S1", "0x5000", "Disk")
    disk = Disk("disk0", identity, len(content), 512, 512, Table("dos"), (boot, *rest))
    return Manifest(name, CELL, (disk,)), chunks


@pytest.fixture
def image_maker() -> Callable[..., tuple[Manifest, dict[str, bytes]]]:
    return make_image
