# SPDX-License-Identifier: GPL-3.0-or-later
"""The service behind the role's nginx and TLS, and a PC whose agent speaks with it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.net.boot import session_id, ticket_of
from slipway.net.checkin import check_in
from slipway.net.session import Session
from slipway.net.site import Site

from .conftest import HOST_KEY, Service
from .nginx_site import configuration, free_port, make_certificates, render, running_nginx

HERE = "127.0.0.1"


@dataclass
class Server:
    """The service behind nginx, and the site overlay that leads to it."""

    service: Service
    site: Site

    def words(self, mac: str) -> str:
        """The words that a machine's boot script puts on the kernel's command line."""
        path = f"/boot/{mac.replace(':', '-')}.ipxe"
        script = self.service.http.get(path, headers={"X-Real-IP": HERE}).text
        [words] = re.findall(r"^set slwwish (.*)$", script, re.MULTILINE)
        return str(words)


@contextmanager
def serving(folder: Path, **config: Any) -> Iterator[Server]:
    """A service of its own, with nginx before it."""
    (folder / "service").mkdir()
    # nginx answers as another user when the tests run as root.
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    service = Service(
        folder / "service", accel_redirect="/internal/chunks", unproven_addresses="accept", **config
    ).start()
    make_certificates(folder, f"IP:{HERE}")
    port = free_port(HERE)
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        _image_server_http_socket=str(folder / "service/http"),
        _image_server_boot_root=str(folder),
        _image_server_tls=str(folder),
        _image_server_logs=str(folder),
        image_server_store_dir=str(service.store),
    )
    site = re.sub(r"listen 80", f"listen unix:{folder}/80.sock", site)
    site = re.sub(r"listen 443", f"listen {HERE}:{port}", site)
    (folder / "nginx.conf").write_text(configuration(folder, site))
    with running_nginx(folder, (HERE, port)):
        yield Server(service, Site(f"https://{HERE}:{port}", folder / "ca.crt"))
    service.close()


@dataclass
class Pc:
    """A PC as the files below its root tell of it."""

    root: Path
    mac: str
    nonce: str

    @property
    def name(self) -> str:
        """What the inventory calls it."""
        return f"pc-{self.mac.replace(':', '')}"


def make_pc(folder: Path) -> Pc:
    """A PC that nobody knows."""
    mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
    for name, text in {
        "sys/class/net/eth0/type": "1",
        "sys/class/net/eth0/address": mac,
        "sys/class/net/eth0/device/vendor": "0x8086",
        "sys/class/dmi/id/product_serial": secrets.token_hex(4),
        "etc/ssh/ssh_host_ed25519_key.pub": HOST_KEY,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return Pc(folder, mac, secrets.token_urlsafe(32))


def arrive(server: Server, pc: Pc, verb: str, image: str, **wanted: Any) -> Session:
    """Ask for a session, boot by its script, check in."""
    body = {"machine": pc.name, "macs": [pc.mac], "verb": verb, "image": image}
    opened = server.service.admin.post("/v1/sessions", json=body | wanted)
    assert opened.status_code == 201, opened.text
    return boot(server, pc)


def boot(server: Server, pc: Pc) -> Session:
    """Boot into the session that waits for the PC, and check in."""
    words = server.words(pc.mac)
    return check_in(
        server.site, session_id(words), print, pc.nonce, pc.root, ticket=ticket_of(words)
    )


def end(server: Server, session: Session) -> None:
    """Let the machine go."""
    server.service.admin.delete(f"/v1/sessions/{session.session}?outcome=done")
