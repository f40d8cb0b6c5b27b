# SPDX-License-Identifier: GPL-3.0-or-later
"""The real service and nginx on loopback, honest PCs beside an attack, and what has to hold."""

from __future__ import annotations

import os
import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from slipway.engine.errors import SlipwayError
from slipway.format.codec import parse
from slipway.format.frames import digest_of, make_frame
from slipway.net.client import Client
from slipway.net.http_store import HttpStore

from ..unit.server.conftest import CELL, Machine, Service, manifest_of
from ..unit.server.heavy import children
from ..unit.server.nginx_site import (
    configuration,
    free_port,
    make_certificates,
    render,
    running_nginx,
)
from .attacks import Target

HOST = "127.0.0.1"
MAC = "52:54:00:aa:00:99"
# The boot loader's own patience: iPXE asks again after seconds, nginx shows the menu after three.
_BOOT_SECONDS = 10
_LARGEST_LOGS = 64 << 20


@dataclass
class Besieged:
    """A server, and what it was like before the attack."""

    folder: Path
    service: Service
    clear_port: int
    tls_port: int
    nginx: int
    before: list[int] = field(default_factory=list)

    @property
    def ca(self) -> Path:
        """The certificate that PCs trust."""
        return self.folder / "ca.crt"

    def target(self, pc: Machine, scale: float) -> Target:
        """It, to an attacker who has a PC's token."""
        return Target(HOST, self.clear_port, self.tls_port, self.ca, pc.name, pc.token, scale)

    def processes(self) -> list[int]:
        """The service, nginx and its workers."""
        return [self.service.pid, self.nginx, *sorted(children(self.nginx))]


@contextmanager
def besieged(folder: Path, *, confine: Callable[[int], None] | None = None) -> Iterator[Besieged]:
    """A server of its own; ``confine`` is given the service's process before it serves."""
    # The attacker's thousands of connections, and nginx's ends of them.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for name in ("service", "boot/menu", "boot/env"):
        (folder / name).mkdir(parents=True)
    (folder / "boot/menu/unknown.ipxe").write_text("#!ipxe unknown")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    make_certificates(folder, f"IP:{HOST}")
    service = Service(folder / "service", accel_redirect="/internal/chunks")
    clear, tls = free_port(HOST), free_port(HOST)
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        image_server_address=HOST,
        _image_server_http_socket=str(folder / "service/http"),
        _image_server_boot_root=str(folder / "boot"),
        _image_server_tls=str(folder),
        _image_server_logs=str(folder),
        image_server_store_dir=str(service.store),
    )
    for public, port in ((80, clear), (443, tls)):
        site = re.sub(rf"listen {public} ", f"listen {HOST}:{port} ", site)
    (folder / "nginx.conf").write_text(configuration(folder, site))
    service.start()
    if confine is not None:
        confine(service.pid)
    try:
        with running_nginx(folder, (HOST, tls)) as nginx:
            made = Besieged(folder, service, clear, tls, nginx.pid)
            made.before = made.processes()
            yield made
    finally:
        service.close()


def withstand(
    server: Besieged,
    attack: Callable[[Target, threading.Event], None],
    *,
    seconds: float,
    scale: float,
    chunks: int,
    loader: Callable[[str], None] = lambda host: None,
) -> None:
    """Let one attack go on while a PC boots again and again and another is backed up.

    ``loader`` fetches from the server what comes before a boot script.
    """
    service = server.service
    waiting = service.machine(mac=MAC, arrived=False, machine="waiting", ttl_seconds=3600)
    honest, foe = service.machine(), service.machine()
    stop, boots = threading.Event(), list[float]()
    attacker = threading.Thread(target=attack, args=(server.target(foe, scale), stop))
    attacker.start()
    try:
        time.sleep(min(seconds / 4, 3))
        with ThreadPoolExecutor(2) as pool:
            backup = pool.submit(_back_up, server, honest, chunks, seconds)
            path = f"http://{HOST}:{server.clear_port}/boot/{MAC.replace(':', '-')}.ipxe"
            while not backup.done():
                loader(HOST)
                began = time.monotonic()
                script = httpx.get(path, timeout=_BOOT_SECONDS).text
                boots.append(time.monotonic() - began)
                assert waiting.session in script, script[:200]
                time.sleep(0.2)
            backup.result()
        assert service.admin.get("/v1/images").status_code == 200
        _assert_as_before(server)
    finally:
        stop.set()
        attacker.join(60)
        for each in (waiting, honest, foe):
            service.admin.delete(f"/v1/sessions/{each.session}")
    assert len(boots) >= 3
    print(f"{attack.__name__}: {len(boots)} boots, the slowest in {max(boots):.2f} s")


def _back_up(server: Besieged, pc: Machine, chunks: int, seconds: float) -> None:
    """As the agent does it, with its own client; then spread over ``seconds``."""
    client = Client(f"https://{HOST}:{server.tls_port}", server.ca, pc.token)
    store = HttpStore(client)
    contents = [os.urandom(64).ljust(CELL, b"\x5a") for _ in range(chunks)]
    digests = [digest_of(content) for content in contents]
    began = time.monotonic()
    try:
        assert store.missing(digests) == set(digests)
        with ThreadPoolExecutor(store.threads) as pool:
            list(pool.map(lambda each: store.put(digest_of(each), make_frame(each)), contents))
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        published = store.publish(parse(manifest_of(pc.name, *contents)))
    except SlipwayError as error:
        raise AssertionError(f"the backup failed: {error.message}") from error
    assert published.version


def _assert_as_before(server: Besieged) -> None:
    """Nothing was started anew, and nothing has filled the disk."""
    assert server.processes() == server.before
    waiting = [file for file in (server.folder / "temp").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in waiting) == 0
    assert sum(log.stat().st_size for log in server.folder.glob("*.log")) < _LARGEST_LOGS
