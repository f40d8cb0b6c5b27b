"""The rendered nginx configuration in front of the real service: what it lets through."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from slipway.format.frames import MAX_FRAME, decode_frame, digest_of, make_frame

from .conftest import Service, cell, ticket_in
from .nginx_site import NGINX, make_certificates, render

pytestmark = pytest.mark.skipif(
    not Path(NGINX).exists(), reason="no nginx on this host; the lab's server runs it end to end"
)
MAC, OTHER = "52-54-00-aa-00-01", "52-54-00-aa-00-02"


@dataclass
class Front:
    """nginx with the service behind it."""

    service: Service
    clear: httpx.Client
    tls: httpx.Client


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
    (folder / "boot/items/pc1.own.ipxe").write_text("#!ipxe own")
    site = render(
        "etc/nginx/conf.d/slipway.conf.j2",
        _image_server_http_socket=str(folder / "service/http"),
        _image_server_boot_root=str(folder / "boot"),
        _image_server_tls=str(folder),
        image_server_store_dir=str(service.store),
    )
    # The same site on unix sockets: no port of the host is touched.
    site = re.sub(r"listen (80|443)", rf"listen unix:{folder}/\1.sock", site)
    site = site.replace("/var/log/nginx/", f"{folder}/")
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; user root;\n"
        f"events {{}} http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/px;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"{site} }}\n"
    )
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    clear = httpx.HTTPTransport(uds=str(folder / "80.sock"))
    tls = httpx.HTTPTransport(uds=str(folder / "443.sock"), verify=trusted)
    for _ in range(100):
        if (folder / "443.sock").exists():
            break
        time.sleep(0.05)
    yield Front(
        service,
        httpx.Client(transport=clear, base_url="http://server", timeout=20),
        httpx.Client(transport=tls, base_url="https://server", timeout=20),
    )
    process.terminate()
    process.wait(10)
    service.close()


def test_in_clear_there_is_what_machines_boot_and_nothing_else(front: Front) -> None:
    get = front.clear.get
    assert get("/boot.ipxe").text == "#!ipxe first"
    assert get("/env/vmlinuz").text == "kernel"
    assert get("/items/pc1.own.ipxe").text == "#!ipxe own"
    for path in ("/", "/env/", "/menu/unknown.ipxe", "/v1/session", "/v1/openapi.json",
                 "/boot/x.ipxe", "/internal/chunks/x", "/items/", "/items/nosuch"):  # fmt: skip
        assert get(path).status_code in (403, 404), path
    assert front.clear.post("/boot.ipxe").status_code == 405
    assert "nginx/" not in get("/").headers["server"]


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
    log = front.service.folder.parent / "slipway.log"
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
