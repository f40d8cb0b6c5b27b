# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered nginx configuration in front of the real service: what it lets through."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from slipway.format.frames import MAX_FRAME, decode_frame, digest_of, make_frame

from .conftest import Service, cell, ticket_in
from .nginx_site import configuration, make_certificates, render, running_nginx

MAC, OTHER = "52-54-00-aa-00-01", "52-54-00-aa-00-02"


@dataclass
class Front:
    """nginx with the service behind it."""

    service: Service
    clear: httpx.Client
    tls: httpx.Client
    folder: Path

    def raw(self, head: str) -> ssl.SSLSocket:
        """A connection over TLS on which a request has begun."""
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(10)
        plain.connect(str(self.folder / "443.sock"))
        trusted = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        line = trusted.wrap_socket(plain, server_hostname="server")
        line.sendall(head.encode("ascii"))
        return line

    def waiting(self) -> int:
        """Bytes that nginx keeps in files of its own."""
        files = (self.folder / "temp").rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("nginx")
    for name in ("service", "boot/menu", "boot/env", "boot/items"):
        (folder / name).mkdir(parents=True)
    # nginx answers as another user when the tests run as root.
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)
    service = Service(folder / "service", accel_redirect="/internal/chunks").start()
    make_certificates(folder, "IP:10.77.0.1", "DNS:server")
    (folder / f"boot/menu/{MAC}.ipxe").write_text("#!ipxe its menu")
    (folder / "boot/menu/unknown.ipxe").write_text("#!ipxe unknown")
    (folder / "boot/env/vmlinuz").write_text("kernel")
    (folder / "boot/boot.ipxe").write_text("#!ipxe first")
    (folder / "boot/environment.ipxe").write_text("#!ipxe environment")
    (folder / "boot/items/pc1.own.ipxe").write_text("#!ipxe own")
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        _image_server_http_socket=str(folder / "service/http"),
        _image_server_boot_root=str(folder / "boot"),
        _image_server_tls=str(folder),
        _image_server_logs=str(folder),
        image_server_store_dir=str(service.store),
    )
    # The same site on unix sockets: no port of the host is touched.
    site = re.sub(r"listen (80|443)", rf"listen unix:{folder}/\1.sock", site)
    (folder / "nginx.conf").write_text(configuration(folder, site))
    trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    clear = httpx.HTTPTransport(uds=str(folder / "80.sock"))
    tls = httpx.HTTPTransport(uds=str(folder / "443.sock"), verify=trusted)
    with running_nginx(folder, str(folder / "443.sock")):
        yield Front(
            service,
            httpx.Client(transport=clear, base_url="http://server", timeout=20),
            httpx.Client(transport=tls, base_url="https://server", timeout=20),
            folder,
        )
    service.close()


def test_in_clear_there_is_what_machines_boot_and_nothing_else(front: Front) -> None:
    get = front.clear.get
    assert get("/boot.ipxe").text == "#!ipxe first"
    assert get("/environment.ipxe").text == "#!ipxe environment"
    assert get("/env/vmlinuz").text == "kernel"
    assert get("/items/pc1.own.ipxe").text == "#!ipxe own"
    for path in (
        "/",
        "/env/",
        "/menu/unknown.ipxe",
        "/v1/session",
        "/v1/openapi.json",
        "/boot/x.ipxe",
        "/internal/chunks/x",
        "/items/",
        "/items/nosuch",
    ):
        assert get(path).status_code in (403, 404), path
    assert front.clear.post("/boot.ipxe").status_code == 405
    assert "nginx/" not in get("/").headers["server"]


@pytest.mark.parametrize(
    ("from_where", "status", "says"),
    [
        # As nginx calls who comes over a unix socket.
        (["unix:", "192.0.2.0/28"], 200, "# EOF"),
        (["192.0.2.1"], 403, "not_for_you"),
        ([], 404, "no_such_route"),
    ],
)
def test_the_server_in_numbers_is_for_those_who_are_named(
    front: Front, tmp_path: Path, from_where: list[str], status: int, says: str
) -> None:
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        _image_server_http_socket=str(front.folder / "service/http"),
        _image_server_metrics_socket=str(front.folder / "service/metrics"),
        _image_server_boot_root=str(front.folder / "boot"),
        _image_server_tls=str(front.folder),
        _image_server_logs=str(tmp_path),
        image_server_store_dir=str(front.service.store),
        image_server_metrics_from=from_where,
    )
    site = re.sub(r"listen (80|443)", rf"listen unix:{tmp_path}/\1.sock", site)
    (tmp_path / "nginx.conf").write_text(configuration(tmp_path, site))
    trusted = ssl.create_default_context(cafile=str(front.folder / "ca.crt"))
    door = httpx.HTTPTransport(uds=str(tmp_path / "443.sock"), verify=trusted)
    with (
        running_nginx(tmp_path, str(tmp_path / "443.sock")),
        httpx.Client(transport=door, base_url="https://server", timeout=20) as client,
    ):
        answer = client.get("/metrics")
        assert (answer.status_code, says in answer.text) == (status, True)
    # Machines fetch it nowhere.
    assert front.clear.get("/metrics").status_code == 404


def test_a_pending_session_beats_the_menu(front: Front) -> None:
    assert front.clear.get(f"/boot/{MAC}.ipxe").text == "#!ipxe its menu"
    assert front.clear.get(f"/boot/{OTHER}.ipxe").text == "#!ipxe unknown"
    pc = front.service.machine(mac=MAC.replace("-", ":"), arrived=False)
    script = front.clear.get(f"/boot/{MAC}.ipxe").text
    assert f"slipway.session={pc.session}" in script
    assert pc.check_in(address="", ticket=ticket_in(script)).status_code == 200
    assert front.clear.get(f"/boot/{MAC}.ipxe").text == "#!ipxe its menu"


def test_behind_tls_the_api_answers_itself(front: Front) -> None:
    content = cell("through nginx")
    pc = front.service.machine()
    headers = {"Authorization": f"Bearer {pc.token}"}
    path = f"/v1/chunks/{digest_of(content)}"
    for status in (201, 200):
        answer = front.tls.put(path, content=make_frame(content), headers=headers)
        assert answer.status_code == status
    assert front.tls.get("/v1/images", headers=headers).json() == {"images": []}
    assert pc.publish(content).status_code == 201
    reader = front.service.machine("restore", image=pc.name)
    headers = {"Authorization": f"Bearer {reader.token}"}
    answer = front.tls.get(path, headers=headers)
    assert decode_frame(digest_of(content), answer.content) == content
    # What broke off goes on from there.
    rest = front.tls.get(path, headers=headers | {"Range": "bytes=5-"})
    length = len(answer.content)
    assert rest.status_code == 206
    assert rest.headers["content-range"] == f"bytes 5-{length - 1}/{length}"
    assert rest.content == answer.content[5:]
    assert front.tls.get(path).status_code == 401
    assert front.tls.get(f"/internal{path[3:]}").status_code == 404


@pytest.mark.parametrize("size", [MAX_FRAME + 1, (5 << 20) + 1])
def test_bodies_that_are_too_long_get_the_same_form_of_refusal(front: Front, size: int) -> None:
    pc = front.service.machine()
    answer = front.tls.put(
        "/v1/chunks/" + "0" * 64,
        content=bytes(size),
        headers={"Authorization": f"Bearer {pc.token}"},
    )
    assert (answer.status_code, answer.json()["error"]) == (413, "too_long")


WITH_TOKEN = [
    ("PUT", "/v1/chunks/" + "0" * 64, 4 << 20),
    ("POST", "/v1/chunks/query", 300_000),
    ("POST", "/v1/images/pc1", 100 << 20),
    ("POST", "/v1/session/result", 1 << 20),
    ("POST", "/v1/session/progress", 16 << 10),
    ("POST", "/v1/session/heartbeat", 100),
    ("POST", "/v1/no-such-route", 1 << 20),
]


@pytest.mark.parametrize(("method", "path", "size"), WITH_TOKEN)
@pytest.mark.parametrize("token", ["", "Authorization: Bearer wrong\r\n"])
def test_without_a_token_no_body_is_read(
    front: Front, method: str, path: str, size: int, token: str
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: server\r\nContent-Length: {size}\r\n{token}"
    with front.raw(f"{head}Content-Type: application/json\r\n\r\n" + "{") as line:
        answer = line.recv(65536)
    assert b" 401 " in answer.splitlines()[0]
    assert b'"bad_token"' in answer
    assert front.waiting() == 0


def test_bodies_that_are_held_fill_nothing(front: Front) -> None:
    """Of requests without a token, too: they wait in memory, and are short."""
    lines = []
    for path in ("/v1/checkin", "/v1/choices", "/v1/registrations"):
        head = f"POST {path} HTTP/1.1\r\nHost: server\r\n"
        for body in (
            "Content-Length: 60000\r\n\r\n" + "x" * 59_999,
            "Transfer-Encoding: chunked\r\n\r\nea60\r\n" + "x" * 59_999,
        ):
            lines.append(front.raw(head + body))
    pc = front.service.machine()
    head = f"POST /v1/images/{pc.name} HTTP/1.1\r\nHost: server\r\n"
    head += f"Authorization: Bearer {pc.token}\r\nContent-Length: {100 << 20}\r\n\r\n"
    lines += [front.raw(head + "x" * 10_000) for _ in range(4)]
    time.sleep(0.5)
    assert front.waiting() == 0
    assert front.tls.get("/v1/session").status_code == 401
    for line in lines:
        line.close()


@pytest.mark.parametrize("path", ["/v1/checkin", "/v1/pending", "/v1/registrations"])
def test_long_bodies_without_a_token_are_refused_by_what_they_say(front: Front, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: server\r\nContent-Length: 900000\r\n\r\n"
    with front.raw(head) as line:
        assert b" 413 " in line.recv(65536).splitlines()[0]


@pytest.mark.plays
@pytest.mark.parametrize(
    "path",
    ["/v1/openapi.json", "/v1/session", "/v1/nosuch", "/v1/chunks/" + "0" * 64, "/v1/images/pc1"],
)
def test_whoever_shows_no_token_asks_no_oftener_than_who_needs_none(
    front: Front, path: str
) -> None:
    """A description of 100 KB, asked for 4000 times a second, would let no PC boot."""
    pc = front.service.machine()
    own = {"Authorization": f"Bearer {pc.token}"}
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: front.tls.get(path).status_code, range(600)))
        mine = pool.map(lambda _: front.tls.get("/v1/session", headers=own), range(100))
        assert {each.status_code for each in mine} == {200}
    assert refused.count(429) > 100
    # The turn comes again.
    time.sleep(1)
    assert front.tls.get(path).status_code != 429


def test_the_log_takes_the_beginning_of_a_line(front: Front) -> None:
    log, errors = front.folder / "access.log", front.folder / "error.log"
    for path in ("/env/" + "n" * 3900, "/env/" + "%0a" * 1200):
        assert front.clear.get(path).status_code == 404
        assert front.tls.get("/v1/" + path).status_code in (401, 404)
    for client in (front.clear, front.tls):
        answer = client.get("/env/" + "n" * 60_000)
        assert answer.status_code == 414
    assert answer.json()["remedy"]
    time.sleep(6)
    lines = log.read_bytes().splitlines()
    assert b"/env/nnnn" in b"".join(lines)
    assert max(map(len, lines)) < 400
    assert not errors.exists() or b"nnnn" not in errors.read_bytes()


def test_a_room_behind_one_address_boots(front: Front) -> None:
    """Sixty PCs that ask three times each, all at once."""
    pc = front.service.machine(mac="52:54:00:aa:00:77", arrived=False)
    path = "/boot/52-54-00-aa-00-77.ipxe"
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: front.clear.get(path).text, range(180)))
    assert [pc.session in answer for answer in answers] == [True] * 180


@pytest.mark.plays
def test_whoever_asks_to_be_registered_too_often_reaches_nobody(front: Front) -> None:
    """All of a unix socket's clients are one address to nginx."""
    answers = [front.tls.post("/v1/registrations", json={}) for _ in range(60)]
    codes = [answer.status_code for answer in answers]
    assert codes[:5] == [422] * 5
    assert codes.count(429) > 40
    assert answers[-1].json()["error"] == "too_many"
    assert answers[-1].json()["remedy"]
    # Everything else goes on.
    assert front.tls.get("/v1/session").status_code == 401
    log = front.service.folder.parent / "access.log"
    time.sleep(6)
    assert "/v1/registrations" in log.read_text()
    assert " 429 " not in log.read_text()
    assert "limiting" not in (log.parent / "error.log").read_text()


@pytest.mark.plays
def test_a_hung_or_stopped_service_leaves_the_menus(front: Front) -> None:
    front.service.pause()
    assert front.clear.get(f"/boot/{OTHER}.ipxe").text == "#!ipxe unknown"
    front.service.stop()
    assert front.clear.get(f"/boot/{MAC}.ipxe").text == "#!ipxe its menu"
    answer = front.tls.get("/v1/session")
    assert (answer.status_code, answer.json()["error"]) == (503, "service_down")
    front.service.start()
    assert front.tls.get("/v1/session").status_code == 401
