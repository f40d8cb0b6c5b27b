# SPDX-License-Identifier: GPL-3.0-or-later
"""The API: each route for each role, what a token is, and what programs send."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway_server.apps import APPS
from slipway_web.api import API, PREFIX
from slipway_web.config import ROLES, ConfigError, load

from ..server import small_disks
from ..server.choosing import make_chooser, password_hash
from ..server.conftest import Service, cell
from ..server.reader_beside import POSSIBLE, Beside
from ..server.test_begun import until
from ..server.test_who_may import FOR_USERS
from .conftest import Page

TOKENS = {role: f"slipway_{role}-of-programs" for role in ROLES}


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("service")
    places = {"policy_dir": "policy", "reader_socket": "reader"}
    service = Service(folder, **{key: str(folder / name) for key, name in places.items()})
    beside = Beside(service) if POSSIBLE else None
    service.start()
    tokens = [
        {"name": f"{role}-program", "role": role, "token_hash": hash_of(token)}
        for role, token in TOKENS.items()
    ]
    made = Page(tmp_path_factory.mktemp("page") / "page", service, tokens=tokens)
    yield made.start()
    made.close()
    service.close()
    if beside is not None:
        beside.close()


def ask(
    page: Page, method: str, path: str, token: str | None = None, **more: Any
) -> httpx.Response:
    headers = {"X-Real-IP": "10.77.0.9"} | more.pop("headers", {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return page.client.request(method, PREFIX + path, headers=headers, **more)


def test_it_is_what_the_service_lends_the_page_and_for_whom() -> None:
    lent = {
        line.replace("/v1", "", 1): str(APPS["web"].rules[line].caller.who) for line in FOR_USERS
    }
    words = {"a user": "viewer", "an operator": "operator", "an administrator": "admin"}
    by_role = {
        line: next(role for word, role in words.items() if who.startswith(word))
        for line, who in lent.items()
    }
    assert by_role == API


@pytest.mark.parametrize("line", API)
def test_who_may(page: Page, line: str) -> None:
    method, template = line.split(" ")
    path = re.sub("{[a-z_]+}", "nothing-here", template)
    for token in (None, "x", "slipway_nobody", TOKENS["admin"][:-1], hash_of(TOKENS["admin"])):
        answer = ask(page, method, path, token)
        assert (answer.status_code, answer.json()["error"]) == (401, "bad_token")
    for role, token in TOKENS.items():
        answer = ask(page, method, path, token, **({"json": {}} if method == "POST" else {}))
        may = ROLES.index(role) >= ROLES.index(API[line])
        assert (answer.status_code == 403) == (not may), answer.text
        assert answer.status_code < 500
        assert may or answer.json()["error"] == "wrong_role"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"


def test_a_browser_that_is_signed_in_opens_nothing_here(page: Page) -> None:
    cookie = page.browser("anna").cookies["__Host-slipway"]
    headers = {"Cookie": f"__Host-slipway={cookie}", "Slipway-Role": "admin", "Slipway-By": "anna"}
    assert ask(page, "GET", "/machines", headers=headers).status_code == 401
    basic = {"Authorization": f"Basic {TOKENS['admin']}"}
    assert ask(page, "GET", "/machines", headers=basic).status_code == 401
    # Nor does a token open the page.
    answer = page.client.get("/machines", headers={"Authorization": f"Bearer {TOKENS['admin']}"})
    assert answer.status_code == 303


def test_a_program_orders_a_job_and_cancels_it(page: Page) -> None:
    pc, token = make_chooser(page.service), TOKENS["operator"]
    wanted = {"machine": pc.name, "verb": "backup"}
    plan = ask(page, "GET", "/plan", token, params=wanted).json()
    assert plan["by"] == "operator-program"
    made = ask(page, "POST", "/jobs", token, json=wanted)
    assert made.status_code == 201
    again = ask(page, "POST", "/jobs", token, json=wanted)
    assert (again.status_code, again.json()["error"]) == (409, "machine_busy")
    assert set(again.json()) >= {"error", "message", "remedy"}
    job = made.json()["id"]
    running = ask(page, "GET", "/jobs", token, params={"state": "queued"}).json()["jobs"]
    assert job in [each["id"] for each in running]
    assert ask(page, "DELETE", f"/jobs/{job}", token).json()["outcome"] == "cancelled"
    told = ask(page, "GET", "/audit", TOKENS["admin"]).json()["lines"]
    assert {(each["who"], each["role"], each["where"]) for each in told[-2:]} == {
        ("operator-program", "operator", "page, 10.77.0.9")
    }


def test_a_version_is_deleted_and_taken_back(page: Page) -> None:
    token, (name, version) = TOKENS["admin"], page.service.image(cell("by a program"))
    copied = {"version": version, "to": f"{name}-kept"}
    assert ask(page, "POST", f"/images/{name}/copy", token, json=copied).status_code == 200
    gone = ask(page, "DELETE", f"/images/{name}/{version}", token, params={"reason": "old"})
    assert gone.status_code == 200
    assert ask(page, "GET", f"/images/{name}", token).status_code == 404
    back = {"name": name, "version": version}
    assert ask(page, "POST", "/trash/undelete", token, json=back).status_code == 200


@pytest.mark.skipif(not POSSIBLE, reason="needs root and what exports are made with")
def test_a_program_takes_a_file_out_and_gets_it_by_nginx(page: Page, tmp_path: Path) -> None:
    token = TOKENS["operator"]
    name, version, _ = small_disks.save(page.service, tmp_path, {"hello.txt": b"hello"})
    wanted = {"kind": "file", "partition": "disk0:1", "path": "/hello.txt"}
    made = ask(page, "POST", f"/images/{name}/{version}/downloads", token, json=wanted).json()
    until(lambda: ask(page, "GET", f"/downloads/{made['id']}", token).json()["ended"])
    refused = ask(page, "POST", f"/downloads/{made['id']}/take", TOKENS["viewer"])
    assert refused.status_code == 403 and "x-accel-redirect" not in refused.headers
    sent = ask(page, "POST", f"/downloads/{made['id']}/take", token)
    assert sent.headers["x-accel-redirect"] == f"/internal/downloads/{made['id']}/data"
    assert sent.headers["content-disposition"].endswith("''hello.txt")
    told = ask(page, "GET", "/audit", TOKENS["admin"]).json()["lines"][-1]
    assert (told["who"], told["verb"], told["after"]) == (
        "operator-program",
        "download",
        "hello.txt",
    )


def test_the_description_is_of_what_is_there(page: Page) -> None:
    said = ask(page, "GET", "/openapi.json", TOKENS["viewer"]).json()
    lines = {
        f"{method.upper()} {path.removeprefix(PREFIX)}"
        for path, methods in said["paths"].items()
        for method in methods
    }
    assert lines == set(API)
    assert "slipway-by" not in json.dumps(said["paths"]).lower()
    assert said["security"] == [{"token": []}]
    assert ask(page, "GET", "/openapi.json").status_code == 401


BODIES = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b"null",
    b"[" * 5000,
    b'{"machine": 1}',
    b'{"machine": "../../x", "verb": "backup"}',
    b'{"machine": "all", "verb": "restore"}',
    b"x" * 70_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_is_none_is_refused(page: Page, body: bytes) -> None:
    answer = ask(page, "POST", "/jobs", TOKENS["admin"], content=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/machines/..%2f..%2fx",
        "/images/%00",
        "/jobs?state=%ff",
        "/jobs?state=x",
        "/prune/with?last=x&method=DELETE&path=/v1/jobs",
        "/machines?who=x&body=y",
        "/images/" + "x" * 3000,
    ],
)
def test_nonsense_reaches_nothing(page: Page, path: str) -> None:
    answer = ask(page, "GET", path, TOKENS["admin"])
    assert answer.status_code < 500
    assert answer.status_code >= 400 or path.startswith("/machines?"), answer.text


def test_tokens_that_can_not_be_are_refused(tmp_path: Path) -> None:
    user = {"name": "anna", "role": "admin", "password_hash": password_hash()}
    good = {"name": "robot", "role": "viewer", "token_hash": "0" * 64}
    base = {"service_socket": "/x", "state_dir": "/y", "users": [user]}
    path = tmp_path / "web.json"
    for wrong in (
        good | {"name": "anna"},
        good | {"token_hash": "slipway_clear"},
        good | {"role": "root"},
        good | {"more": 1},
    ):
        path.write_text(json.dumps(base | {"tokens": [wrong]}))
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert "slipway_clear" not in str(caught.value)
    path.write_text(json.dumps(base | {"tokens": [good, good]}))
    with pytest.raises(ConfigError):
        load(path)
    path.write_text(json.dumps(base | {"tokens": [good]}))
    assert load(path).tokens[0].name == "robot"
