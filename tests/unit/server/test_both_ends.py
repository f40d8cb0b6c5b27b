# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's own requests against the real service, through the role's nginx and TLS.

What each side says of the other in its own tests may be wrong on both; here they meet.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from slipway.engine.backup import Options, backup
from slipway.engine.devices import find_disk
from slipway.engine.progress import Meter
from slipway.engine.store import read_through
from slipway.format import Machine, parse_image_ref
from slipway.net.boot import session_id, ticket_of
from slipway.net.checkin import check_in, next_session
from slipway.net.choice import Desk, JobStatus, Refusal, wish
from slipway.net.http_store import HttpStore
from slipway.net.registration import Registration
from slipway.net.session import Reporter, Session
from slipway.net.site import Site

from .choosing import PASSWORD, item, password_hash, write_menu
from .conftest import HOST_KEY, Service
from .nginx_site import configuration, make_certificates, render, unpack_nginx

HERE = "127.0.0.1"


@dataclass
class Server:
    """The service behind nginx, and the site overlay that leads to it."""

    service: Service
    site: Site

    def boot(self, mac: str) -> str:
        """The words that a machine's boot script puts on the kernel's command line."""
        path = f"/boot/{mac.replace(':', '-')}.ipxe"
        script = self.service.http.get(path, headers={"X-Real-IP": HERE}).text
        [words] = re.findall(r"^set slwwish (.*)$", script, re.MULTILINE)
        return str(words)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("ends")
    (folder / "service").mkdir()
    # nginx answers as another user when the tests run as root.
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    service = Service(
        folder / "service", accel_redirect="/internal/chunks", unproven_addresses="accept"
    ).start()
    make_certificates(folder, f"IP:{HERE}")
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
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
    command = [unpack_nginx(), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    with subprocess.Popen(command) as nginx:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex((HERE, port)) == 0:
                    break
            time.sleep(0.05)
        yield Server(service, Site(f"https://{HERE}:{port}", folder / "ca.crt"))
        nginx.terminate()
    service.close()


@dataclass
class Pc:
    """A PC as the files below its root tell of it."""

    root: Path
    mac: str
    nonce: str


@pytest.fixture
def pc(tmp_path: Path) -> Pc:
    mac = "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
    for name, text in {
        "sys/class/net/eth0/type": "1",
        "sys/class/net/eth0/address": mac,
        "sys/class/net/eth0/device/vendor": "0x8086",
        "sys/class/dmi/id/product_serial": secrets.token_hex(4),
        "etc/ssh/ssh_host_ed25519_key.pub": HOST_KEY,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return Pc(tmp_path, mac, secrets.token_urlsafe(32))


def arrive(server: Server, pc: Pc, verb: str, image: str) -> Session:
    """Ask for a session, boot by its script, check in."""
    body = {"machine": f"pc{pc.mac[-2:]}", "macs": [pc.mac], "verb": verb, "image": image}
    opened = server.service.admin.post("/v1/sessions", json=body)
    assert opened.status_code == 201, opened.text
    words = server.boot(pc.mac)
    return check_in(
        server.site, session_id(words), print, pc.nonce, pc.root, ticket=ticket_of(words)
    )


def end(server: Server, session: Session) -> None:
    server.service.admin.delete(f"/v1/sessions/{session.session}?outcome=done")


def test_a_machine_checks_in_saves_its_disk_and_reads_it_again(server: Server, pc: Pc) -> None:
    image = f"ends-{secrets.token_hex(4)}"
    disk = pc.root / "disk"
    disk.write_bytes(os.urandom(5 << 20))
    session = arrive(server, pc, "backup", image)
    assert (session.verb, session.image) == ("backup", image)
    store = HttpStore(session.client(), session.version)
    reporter = Reporter(session)
    saved = backup(
        [find_disk(disk)], image, store, Meter(reporter.progress), Machine(), Options(threads=2)
    )
    reporter.finish(saved.to_json())
    store.close()
    seen = server.service.session(session.session)
    assert (seen["version"], seen["result"]["sent"]) == (saved.version, saved.sent)
    assert seen["progress"]["phase"]
    end(server, session)
    session = arrive(server, pc, "verify", image)
    assert session.version == saved.version
    store = HttpStore(session.client(), session.version)
    manifest = store.manifest(parse_image_ref(image))
    assert read_through(store, manifest, Meter(lambda record: None), 2) == []
    assert [each.version for each in store.images()[0].versions] == [saved.version]
    store.close()
    end(server, session)


def test_one_that_stays_finds_its_next_session(server: Server, pc: Pc) -> None:
    told_to_stay = pc.root / "stay"
    end(server, arrive(server, pc, "backup", "ends-a"))
    body = {"machine": f"pc{pc.mac[-2:]}", "macs": [pc.mac], "verb": "service"}
    wanted = server.service.admin.post("/v1/sessions", json=body).json()["id"]
    told_to_stay.touch()
    assert next_session(server.site, told_to_stay, print, pc.nonce, pc.root) == wanted
    assert check_in(server.site, wanted, print, pc.nonce, pc.root).verb == "service"


def test_a_choice_with_a_password_becomes_a_job(server: Server, pc: Pc) -> None:
    items = [item("save", "backup", image="ends-b", password_hash=password_hash())]
    write_menu(server.service, f"pc{pc.mac[-2:]}", [pc.mac], items)
    desk = Desk(server.site, wish("quiet slipway.item=save"), pc.nonce, pc.root)
    refused = desk.choose(None, None)
    assert isinstance(refused, Refusal) and refused.error == "password_required"
    taken = desk.choose(PASSWORD, None)
    assert isinstance(taken, JobStatus) and (taken.action, taken.image) == ("backup", "ends-b")
    looked = desk.look()
    assert isinstance(looked, JobStatus) and (looked.state, looked.runner) == ("queued", False)


def test_a_pc_registers_and_is_told(server: Server, pc: Pc) -> None:
    registration = Registration(server.site, pc.nonce, pc.root)
    asked = registration.report("my-pc")
    assert asked.state == "waiting"
    waiting = server.service.admin.get("/v1/registrations").json()["registrations"]
    [mine] = [each for each in waiting if pc.mac in each["macs"]]
    assert mine["name"] == "my-pc"
    path = f"/v1/registrations/{mine['id']}/approve"
    assert server.service.admin.post(path, json={"machine": "pc-ends"}).status_code == 200
    told = registration.standing()
    assert told is not None and (told.state, told.machine) == ("approved", "pc-ends")
