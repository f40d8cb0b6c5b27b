# SPDX-License-Identifier: GPL-3.0-or-later
"""The role web_page: what it refuses, what it writes, and the page behind its real nginx."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pwd
import re
import socket
import ssl
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ..roles.rendering import run
from ..server import small_disks
from ..server.choosing import password_hash
from ..server.reader_beside import POSSIBLE
from .conftest import PASSWORDS, ROOT, Page
from .front import ROLE, VARS, Front, render

SERVER = yaml.safe_load((ROOT / "roles/image_server/vars/main.yml").read_text())
ADMIN = {"name": "anna", "role": "admin", "password_hash": password_hash()}
VIEWER = {"name": "otto", "role": "viewer", "password_hash": password_hash()}


def packed() -> dict[str, bytes]:
    """The release as the role brings it."""
    spec = importlib.util.spec_from_file_location(
        "pack_code", ROOT / "roles/_common/files/pack_code.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tarfile.open(fileobj=io.BytesIO(module.pack(ROOT, "web"))) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar.getmembers()}  # type: ignore[union-attr]


def test_the_release_is_the_whole_page_and_nothing_else() -> None:
    names = set(packed())
    source = ROLE / "files"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - {"COMPLETE"} == there


def test_both_roles_mean_the_same_socket_and_group() -> None:
    assert VARS["_web_page_service_socket"] == SERVER["_image_server_page_socket"]
    assert VARS["_web_page_user"] == SERVER["_image_server_page_group"]
    assert VARS["_web_page_tls"] == SERVER["_image_server_tls"]
    assert VARS["_web_page_downloads"] == SERVER["_image_server_downloads"]
    unit = render("etc/systemd/system/slipway-web.service.j2")
    held = (
        "User=slipway-web",
        "StateDirectory=slipway-web",
        "RestrictAddressFamilies=AF_UNIX",
        "PrivateNetwork=yes",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "Nice=5",
    )
    for line in held:
        assert f"\n{line}\n" in unit
    assert "Service=slipway-web.service" in render("etc/systemd/system/slipway-page.socket.j2")


PLAY = """
- hosts: image_servers
  gather_facts: false
  tasks:
    - name: Run the role's own tasks
      block:
        - name: Preflight
          ansible.builtin.include_role:
            name: slipway.imaging.web_page
            tasks_from: preflight
            public: true
          # Where Ansible runs is what it is: a host of the test says what it would be elsewhere.
          vars:
            _web_page_inventory: "{{ said_inventory | default(inventory_dir) }}"
            _web_page_controller: >-
              {{ said_controller | default(lookup('ansible.builtin.file', '/etc/machine-id')) }}
            _web_page_playbook: >-
              {{ said_playbook
                 | default((ansible_playbook_python | dirname) ~ '/ansible-playbook') }}
        - name: Settings
          ansible.builtin.template:
            src: etc/slipway/web/web.json.j2
            dest: "{{ out }}/{{ inventory_hostname }}.json"
            mode: "0644"
        - name: Units
          ansible.builtin.template:
            src: etc/systemd/system/{{ item }}.j2
            dest: "{{ out }}/{{ inventory_hostname }}-{{ item }}"
            mode: "0644"
          loop: [slipway-approve.path, slipway-approve.service]
          when: web_page_approve_locally
          vars:
            _web_page_project: "{{ project }}"
      rescue:
        - name: Keep the refusal
          ansible.builtin.copy:
            content: "{{ ansible_failed_result.msg }}"
            dest: "{{ out }}/{{ inventory_hostname }}.refused"
            mode: "0644"
"""
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "noadmin": ({"web_page_users": [ADMIN | {"role": "viewer"}]}, "has the role admin"),
    "nobody": ({"web_page_users": []}, "has the role admin"),
    "twice": ({"web_page_users": [ADMIN, ADMIN]}, "must stand there once"),
    "clear": (
        {"web_page_users": [ADMIN, {"name": "otto", "role": "viewer", "password_hash": "hunter2"}]},
        "otto has not",
    ),
    "nohash": ({"web_page_users": [ADMIN, {"name": "otto", "role": "viewer"}]}, "otto has not"),
    "norole": (
        {"web_page_users": [ADMIN, {"name": "otto", "password_hash": password_hash()}]},
        "viewer, operator, admin",
    ),
    "onefile": ({"web_page_certificate": "/etc/ssl/x.pem"}, "two PEM files"),
    "inject": (
        {"web_page_certificate": "/x; include /y", "web_page_certificate_key": "/z"},
        "two PEM files",
    ),
    "nofile": (
        {"web_page_certificate": "/nowhere/x.pem", "web_page_certificate_key": "/nowhere/y"},
        "/nowhere/x.pem and no file /nowhere/y",
    ),
    "token": (
        {"web_page_tokens": [{"name": "robot", "role": "admin", "token_hash": "hunter2"}]},
        "playbooks/api_token.yml",
    ),
    "tokenname": (
        {"web_page_tokens": [{"name": "anna", "role": "admin", "token_hash": "0" * 64}]},
        "be no user's",
    ),
    "idle": ({"web_page_idle_minutes": 0}, "1 to 720"),
    "nofolder": (
        {"web_page_approve_locally": True, "said_inventory": "/nowhere"},
        "with the folder /nowhere",
    ),
    "nofile2": (
        {"web_page_approve_locally": True, "said_inventory": "/etc/hostname"},
        "with the folder /etc/hostname",
    ),
    "elsewhere": (
        {"web_page_approve_locally": True, "said_controller": "0" * 32},
        "the machine on which Ansible runs",
    ),
    "options": (
        {"web_page_approve_locally": True, "said_playbook": "/bin/sh -c reboot"},
        "the machine on which Ansible runs",
    ),
    "nobodys": (
        {"web_page_approve_locally": True, "said_inventory": "{{ out }}/nobodys"},
        "can't become root without a password",
    ),
    "group": (
        {"web_page_users": [ADMIN, VIEWER | {"groups": ["room_3", "room3"]}]},
        "otto: the inventory has no group room3 (did you mean room_3?)",
    ),
    "everygroup": (
        {"web_page_users": [ADMIN, VIEWER | {"groups": ["machines"]}]},
        "otto: group machines is every machine: leave groups out",
    ),
    "servergroup": (
        {"web_page_users": [ADMIN, VIEWER | {"groups": ["image_servers"]}]},
        "otto: group image_servers holds no machine",
    ),
    "nogroup": ({"web_page_users": [ADMIN, VIEWER | {"groups": []}]}, "one name or more"),
    "groupadmin": (
        {"web_page_users": [ADMIN | {"groups": ["room_3"]}]},
        "the role admin without groups",
    ),
    "tokengroup": (
        {
            "web_page_tokens": [
                {"name": "bot", "role": "admin", "token_hash": "0" * 64, "groups": ["rom_3"]}
            ]
        },
        "bot: the inventory has no group rom_3 (did you mean room_3?)",
    ),
}


@pytest.mark.plays
@pytest.mark.slow
def test_what_can_not_be_is_refused_and_the_rest_is_written(tmp_path: Path) -> None:
    hosts: dict[str, Any] = {name: said for name, (said, _) in WRONG.items()}
    hosts["good"] = {
        "web_page_users": [ADMIN, VIEWER | {"groups": ["room_3", "empty"]}],
        "web_page_restores": False,
        "web_page_approve_locally": os.geteuid() == 0,
    }
    inventory = {
        "machines": {"children": {"room_3": {"hosts": {"pc1": {}}}, "empty": {}}},
        "image_servers": {
            "hosts": hosts,
            "vars": {
                "ansible_connection": "local",
                "out": str(tmp_path),
                "project": str(ROOT),
                "ansible_python_interpreter": sys.executable,
                "web_page_users": [ADMIN],
            },
        },
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "nobodys").mkdir()
    if os.geteuid() == 0:
        os.chown(tmp_path / "nobodys", pwd.getpwnam("nobody").pw_uid, -1)
    else:
        for name in [
            name for name, (said, _) in WRONG.items() if "web_page_approve_locally" in said
        ]:
            del hosts[name]
    (tmp_path / "templates").symlink_to(ROLE / "templates")
    printed = run(tmp_path, "play.yml")
    for name, (_, word) in [(each, WRONG[each]) for each in hosts if each in WRONG]:
        refusal = (tmp_path / f"{name}.refused").read_text()
        assert word in refusal and "Nothing was changed" in refusal, (name, refusal)
        assert "hunter2" not in refusal
        assert not (tmp_path / f"{name}.json").exists()
    assert "hunter2" not in printed
    settings = json.loads((tmp_path / "good.json").read_text())
    assert (settings["idle_seconds"], settings["restores"]) == (3600, False)
    if os.geteuid() == 0:
        _is_one_fixed_command(tmp_path)
    assert [each.get("groups") for each in settings["users"]] == [None, ["room_3", "empty"]]
    folder = tmp_path / "release"
    for path, data in packed().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "slipway_web",
            "--check-config",
            "--config",
            str(tmp_path / "good.json"),
        ],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _is_one_fixed_command(folder: Path) -> None:
    """The unit runs that playbook, with this inventory, and takes a word of nobody."""
    unit = (folder / "good-slipway-approve.service").read_text()
    [line] = re.findall("^ExecStart=(.*)$", unit, re.M)
    program, _, words = line.partition(" ")
    assert Path(program).samefile(Path(sys.executable).with_name("ansible-playbook"))
    assert words == f"-i {folder} {ROOT}/playbooks/register.yml -e approve=decided"
    assert unit.count("ExecStart=") == 1 and "%" not in unit and "$" not in unit
    assert "\nUser=root\n" in unit and f"\nWorkingDirectory={ROOT}\n" in unit
    waits = (folder / "good-slipway-approve.path").read_text()
    place = SERVER["_image_server_state_dir"] + "/approve"
    assert f"\nPathExists={place}\n" in waits and f"rm -f {place}\n" in unit
    assert SERVER["_image_server_config"]["approve_file"].startswith("{{ (_image_server_state_dir")
    # What it names is there; the folder of this test holds more than an inventory.
    words = words.replace(str(folder), str(ROOT / "inventory/example"))
    look = subprocess.run(
        [program, *words.split(), "--list-tasks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert look.returncode == 0 and "Tell the PCs" in look.stdout, look.stderr


@pytest.fixture(scope="module")
def front(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    made = Front(page, tmp_path_factory.mktemp("front"))
    yield made
    made.close()


def client(front: Front) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(front.authority))
    # Its dates are as the test made them, and strict checks are for CAs of the world.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return httpx.Client(verify=context, base_url=front.url, timeout=30)


def test_the_page_behind_nginx(page: Page, front: Front) -> None:
    port, authority = front.port, front.authority
    with client(front) as browser:
        assert browser.get("/").status_code == 303
        origin = {"Origin": f"https://127.0.0.1:{port}"}
        words = {"name": "anna", "password": PASSWORDS["anna"]}
        foreign = browser.post("/sign-in", data=words, headers={"Origin": "https://127.0.0.1"})
        assert foreign.status_code == 403
        lie = {"X-Real-IP": "6.6.6.6"}
        entered = browser.post("/sign-in", data=words, headers=origin | lie)
        assert entered.status_code == 303
        shown = browser.get("/account")
        assert "127.0.0.1" in shown.text and "6.6.6.6" not in shown.text
        style = browser.get("/static/vendor/tabler.min.css", headers={"Accept-Encoding": "gzip"})
        assert style.headers["content-encoding"] == "gzip"
        assert "default-src 'none'" in style.headers["content-security-policy"]
        too_long = browser.post("/order", content=b"x" * 100_000, headers=origin)
        assert too_long.status_code == 413
    plain = httpx.get(f"http://127.0.0.1:{port}/machines", timeout=30)
    assert plain.headers["location"] == f"https://127.0.0.1:{port}/machines"
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port)) as line,
        context.wrap_socket(line, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "h2"


@pytest.mark.skipif(not POSSIBLE, reason="needs root and what exports are made with")
def test_what_was_taken_out_is_sent_by_nginx_to_who_may(
    page: Page, front: Front, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    name, version, _ = small_disks.save(page.service, tmp_path, {"hello.txt": content})
    key = small_disks.taken_out(page.service, name, version)
    place = next((page.service.folder / "downloads").glob(f"{key}/*"))
    with client(front) as browser:
        words = {"name": "otto", "password": PASSWORDS["otto"]}
        origin = {"Origin": front.url}
        assert browser.get(f"/downloads/{key}/file").status_code == 303
        assert browser.get(f"/internal/downloads/{key}/{place.name}").status_code == 404
        assert browser.post("/sign-in", data=words, headers=origin).status_code == 303
        assert browser.get(f"/internal/downloads/{key}/{place.name}").status_code == 404
        answer = browser.get(f"/downloads/{key}/file")
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''h")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "x-accel-redirect" not in answer.headers
        rest = browser.get(f"/downloads/{key}/file", headers={"Range": "bytes=299000-"})
        assert (rest.status_code, rest.content) == (206, content[299_000:])


def test_a_page_that_is_gone_is_said_by_nginx(page: Page, front: Front) -> None:
    page.stop()
    try:
        with client(front) as browser:
            answer = browser.get("/")
            assert answer.status_code == 503
            assert "Nothing was changed" in answer.text and "slipway-web" in answer.text
    finally:
        page.start()
    with client(front) as browser:
        assert browser.get("/sign-in").status_code == 200


def test_no_cookie_and_no_query_is_logged(page: Page, front: Front) -> None:
    with client(front) as browser:
        browser.get("/machines?q=secret-query", headers={"Cookie": "__Host-slipway=secret-cookie"})
    time.sleep(5.5)
    said = (front.authority.parent / "access.log").read_text()
    assert "GET /machines" in said
    assert "secret" not in said
