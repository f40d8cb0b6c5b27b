# SPDX-License-Identifier: GPL-3.0-or-later
"""Many different images restored at once: chunks per second beside those of a single restore.

Run as `python -m tests.bench.images [IMAGES]`, without root. Each image is one of 500 GB: a
manifest of 250,000 chunks, of which a few exist. The service alone answers, as nginx would ask it:
what is measured is how it knows what a session may fetch, not how fast a disk is.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.format import (
    Disk,
    Extents,
    Identity,
    Manifest,
    Segment,
    Table,
    digest_of,
    make_frame,
    serialize,
)
from slipway.net.unix_socket import UnixConnection

from ..unit.server.conftest import Machine, Service

CELL = 2 << 20
CELLS, REAL, THREADS, SECONDS, PATIENCE = 250_000, 64, 8, 5.0, 60.0
VERSION = "20260101T000000Z"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), accel_redirect="/internal/chunks")
        service.start()
        try:
            images = [_image(service, f"image{number}") for number in range(count)]
            pcs = [_session(service, f"image{number}") for number in range(count)]
            one = _speed(service, pcs[:1], images[:1])
            many = _speed(service, pcs, images)
        finally:
            service.close()
    print(f"1 image: {one:.0f} chunks/s, {count} images: {many:.0f}, ratio {many / one:.2f}")


def _image(service: Service, name: str) -> list[str]:
    real = []
    for number in range(REAL):
        content = f"{name} {number}".encode()
        path = service.chunk_path(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_frame(content))
        real.append(digest_of(content))
    names = b"".join(map(bytes.fromhex, real)) + os.urandom(32 * (CELLS - REAL))
    head = Segment("boot", 0, CELL, Extents.whole(CELL), names[:32], content="table")
    size = (CELLS - 1) * CELL
    part = Segment("partition", CELL, size, Extents.whole(size), names[32:], 1, "ext4", "used")
    disk = Disk("disk0", Identity(), CELLS * CELL, 512, 512, Table("dos"), (head, part))
    folder = service.store / "images" / name
    folder.mkdir(parents=True)
    manifest = Manifest(name, CELL, (disk,), version=VERSION)
    (folder / f"{VERSION}.json").write_bytes(serialize(manifest))
    return real


def _session(service: Service, image: str) -> Machine:
    pc = service.machine("restore", image=image)
    state = ""
    while state in ("", "running"):
        seen = service.session(pc.session, wait=20, until="image_checked")
        state = (seen["image_check"] or {}).get("state", "")
    return pc


def _speed(service: Service, pcs: Sequence[Machine], images: Sequence[Sequence[str]]) -> float:
    """Chunks per second, fetched by as many threads in all whatever the number of sessions."""
    for pc, digests in zip(pcs, images, strict=True):
        assert pc.request("GET", f"/v1/chunks/{digests[0]}").status_code == 200
    end = time.monotonic() + SECONDS

    def fetch(thread: int) -> int:
        line, done = UnixConnection(service.folder / "http", PATIENCE), 0
        while time.monotonic() < end:
            # One session after the other: the worst order for whatever remembers the last few.
            which = (thread + done) % len(pcs)
            digest = images[which][done % REAL]
            headers = {"Authorization": f"Bearer {pcs[which].token}"}
            line.request("GET", f"/v1/chunks/{digest}", headers=headers)
            answer = line.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            done += 1
        return done

    began = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(fetch, range(THREADS))) / (time.monotonic() - began)


if __name__ == "__main__":
    main()
