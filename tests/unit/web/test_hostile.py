# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is not who he says, forms from elsewhere, guesses, and text that wants to be more."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slipway_web.app import PAGES
from slipway_web.config import ConfigError, load
from slipway_web.pages.jobs import progress_of
from slipway_web.tries import OF_ACCOUNT, OF_ADDRESS, Tries

from ..server.choosing import Runner, item, make_chooser, password_hash, write_menu
from ..server.conftest import Service, cell
from ..server.test_registrations import report
from .conftest import ORIGIN, PASSWORDS, Browser, Page

CANARY = "<script>alert(1)</script>{{ 7654321 * 7654321 }}{% raw %}\"onload='x'"
EVIL = [
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://server:8443"},
    {"Origin": "https://server"},
    {"Origin": "https://server:8443.evil.example"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "none"},
    {"Origin": None, "Sec_Fetch_Site": None},
]


@pytest.mark.parametrize("headers", EVIL, ids=str)
def test_a_form_of_another_site_does_nothing(page: Page, headers: dict[str, str | None]) -> None:
    browser, pc = page.browser("otto"), make_chooser(page.service)
    plan = browser.get(f"/order?verb=backup&machine={pc.name}")
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', plan.text)
    data = dict(hidden)
    answer = browser.post("/order", data, **headers)
    assert (answer.status_code, "did not come from a page" in answer.text) == (403, True)
    stranger = Browser(page)
    words = {"name": "otto", "password": PASSWORDS["otto"]}
    assert stranger.post("/sign-in", words, **headers).status_code == 403
    assert stranger.cookies == {}
    assert not [each for each in jobs(page) if each["machine"] == pc.name]
    assert browser.post("/order", data).status_code == 303, "and from ours it does"


def jobs(page: Page) -> list[dict[str, Any]]:
    return list(page.service.admin.get("/v1/jobs").json()["jobs"])


@pytest.mark.parametrize("line", [line for line in PAGES if line.startswith("POST")])
def test_every_form_asks_for_the_key_of_its_own_sign_in(page: Page, line: str) -> None:
    path = line.partition(" ")[2]
    if path == "/sign-in":
        return
    others, browser = page.browser("anna").key(), page.browser("anna")
    for key in ("", "x", others, "\u00e4"):
        answer = browser.post(path, {"key": key})
        assert "did not come from a page" in answer.text, key
    assert browser.get("/").status_code == 200, "still signed in"


def test_a_cookie_from_before_is_worth_nothing(page: Page) -> None:
    browser = Browser(page, cookies={"__Host-slipway": "chosen-by-somebody"})
    answer = browser.sign_in("vera")
    assert browser.cookies["__Host-slipway"] != "chosen-by-somebody"
    said = answer.headers["set-cookie"]
    assert all(each in said for each in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"))
    assert "Domain" not in said
    before = dict(browser.cookies)
    browser.sign_in("vera")
    assert browser.cookies != before
    assert Browser(page, cookies=before).get("/").status_code == 303


ELSEWHERE = [
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "/a\r\nSet-Cookie: x=y",
    "/sign-in",
]


@pytest.mark.parametrize("to", ELSEWHERE)
def test_signing_in_leads_to_pages_of_ours_alone(page: Page, to: str) -> None:
    assert Browser(page).sign_in("vera", next=to).headers["location"] == "/"
    good = Browser(page).sign_in("vera", next="/machines?q=x")
    assert good.headers["location"] == "/machines?q=x"


def test_nobody_is_who_a_header_says(page: Page) -> None:
    for name in ("X-Slipway-User", "Slipway-By", "Slipway-Role", "Remote-User", "Authorization"):
        assert Browser(page).ask("GET", "/", b"", **{name: "anna"}).status_code == 303
        viewer = page.browser("vera")
        assert viewer.ask("GET", "/audit", b"", **{name: "admin"}).status_code == 403


def test_guesses_are_slowed_by_account_and_by_address(page: Page) -> None:
    def guess(name: str, address: str) -> int:
        return Browser(page, address).sign_in(name, "wrong").status_code

    said = [guess("nobody-here", f"10.9.0.{number}") for number in range(8)]
    assert said[:5] == [403] * 5 and 429 in said[5:]
    # From one address, whoever is guessed at.
    said = [guess(f"name{number}", "10.9.1.1") for number in range(20)]
    assert said[:15] == [403] * 15 and 429 in said[15:]
    # Others sign in meanwhile.
    assert Browser(page, "10.9.2.2").sign_in("vera").status_code == 303
    # What was typed as a name may be a password.
    assert "nobody-here" not in page.journal()


def test_pauses_grow_and_sink() -> None:
    now = 0.0
    tries = Tries(OF_ACCOUNT, lambda: now)
    pauses = []
    for _ in range(12):
        tries.wrong("x")
        pauses.append(tries.wait("x"))
    assert pauses == [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]
    guessed = 0
    for _ in range(10_000):
        now += 1
        if tries.wait("x") == 0:
            tries.wrong("x")
            guessed += 1
    assert guessed < 360, "in three hours"
    now += 3 * 86400
    assert tries.wait("x") == 0
    many = Tries(OF_ADDRESS, lambda: now)
    for number in range(30_000):
        many.wrong(str(number))
    assert len(many._counts) <= 20_000


NASTY = [
    "../../x",
    "..%2f..%2fx",
    "%2e%2e",
    "all",
    "%00",
    "%ff%fe",
    "a%0d%0ab",
    "x" * 3000,
    "@",
    "%F0%9F%90%99",
    "-1",
    "1e9",
    "99999999999999999999",
    "{{7*7}}",
    "<b>",
    "%E2%80%AEx",
]


@pytest.mark.parametrize(
    "line", [line for line in PAGES if line[:3] == "GET" and line[4:] != "/live"]
)
def test_nonsense_is_refused_and_never_a_crash(page: Page, line: str) -> None:
    browser, path = page.browser("anna"), line.partition(" ")[2]
    names = ("machine", "image", "version", "job", "session", "id", "after", "next")
    for word in NASTY:
        asked = [re.sub("{[a-z]+}", word, path)] if "{" in path else []
        if "{" not in path:
            lists = ("q", "sort", "page")
            asked += [f"{path}?" + "&".join(f"{name}={word}" for name in lists)]
            asked += [f"{path}?verb=restore&" + "&".join(f"{name}={word}" for name in names)]
        for each in asked:
            answer = browser.get(each)
            assert answer.status_code < 500, each
            assert "<b>" not in answer.text and ">49<" not in answer.text, each


@pytest.mark.parametrize(
    "body",
    [
        b"x=%ff",
        b"x=%00",
        b"x=" + b"a" * 70_000,
        b"&".join(b"machine=pc%d" % n for n in range(10_000)),
        b"\xff\xfe",
        b"",
        b"key",
        b"=" * 5000,
    ],
    ids=range(8),
)
def test_a_form_that_is_none_changes_nothing(page: Page, body: bytes) -> None:
    browser = page.browser("otto")
    known = len(jobs(page))
    headers = {"Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
    for kind in (headers["Content-Type"], "multipart/form-data; boundary=x", "text/plain", ""):
        answer = browser.ask("POST", "/order", body, **(headers | {"Content_Type": kind}))
        assert answer.status_code in (400, 403), kind
    assert len(jobs(page)) == known


def test_too_many_machines_are_refused_as_a_whole(page: Page) -> None:
    browser = page.browser("otto")
    many = "&".join(f"machine=pc{number}" for number in range(300))
    answer = browser.get(f"/order?verb=backup&{many}")
    assert answer.status_code == 400 and "at most 200" in answer.text


def test_what_a_pc_says_is_text(page: Page) -> None:
    """Every field that a PC or a person fills, on every page."""
    service, browser = page.service, page.browser("anna")
    plain = CANARY.replace("\n", " ")
    pc = make_chooser(service)
    write_menu(service, pc.name, [pc.mac], [item("backup", "backup", image=pc.name, title=CANARY)])
    saved = service.machine(machine=pc.name, mac=pc.mac, image=pc.name, arrived=False)
    disk = {"path": CANARY, "model": CANARY, "serial": CANARY, "size": CANARY}
    hardware = {"model": CANARY, "disks": [disk, CANARY, None], "serial": CANARY}
    assert saved.check_in(hardware=hardware).status_code == 200
    saved.put(cell("canary"))
    version = saved.publish(cell("canary")).json()["version"]
    about = f"?image={pc.name}&version={version}"
    browser.send(browser.get(f"/act/note{about}"), "/act/note", text=plain)
    browser.send(browser.get(f"/act/hold{about}"), "/act/hold", text=plain)
    name, gone = service.image(cell("canary 2"))
    service.admin.delete(f"/v1/images/{name}/{gone}", params={"reason": plain})
    said = report()
    said["hardware"] |= {"vendor": plain[:120], "model": plain[:120], "serial": plain[:120]}
    assert service.http.post("/v1/registrations", json=said).status_code == 201
    job = run_a_job(service)
    tricks = Browser(page)
    login = {"name": "anna", "password": PASSWORDS["anna"]}
    assert tricks.post("/sign-in", login, User_Agent=CANARY).status_code == 303
    paths = [
        "/",
        "/machines",
        f"/machines/{pc.name}",
        "/images",
        f"/images/{pc.name}",
        f"/images/{pc.name}/{version}",
        "/jobs",
        f"/jobs/{job}",
        "/registrations",
        "/store",
        "/audit",
        "/account",
        f"/order?verb=restore&machine={pc.name}",
        f"/act/delete{about}",
        f"/order?verb=backup&machine={CANARY}",
        "/machines?q=" + CANARY.replace("%", "%25"),
    ]
    shown = 0
    for path in paths:
        text = browser.get(path.replace("{", "%7B").replace("}", "%7D")).text
        assert not [bad for bad in ("<script>alert", "58588629771041", "'x'") if bad in text], path
        shown += "&lt;script&gt;alert" in text
    assert shown >= 11, "the canary was there"


def run_a_job(service: Service) -> str:
    """A job whose PC and whose end say what they like."""
    pc, runner = make_chooser(service), Runner(service)
    assert pc.choose("backup").status_code == 201
    job = next(each for each in runner.poll(64)["begin"] if each["machine"] == pc.name)
    session = runner.open_session(job).json()["id"]
    answer = pc.check_in(session)
    assert answer.status_code == 200, answer.text
    token = answer.json()["token"]
    progress = {
        "phase": CANARY,
        "disk": CANARY,
        "partition": [CANARY],
        "waiting": CANARY,
        "done": CANARY,
        "total": float(10**30),
        "rate": -1,
        "eta": {},
    }
    answer = service.http.post(
        "/v1/session/progress", json=progress, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 200, answer.text
    other = make_chooser(service)
    assert other.choose("backup").status_code == 201
    [failed] = runner.poll(64)["begin"]
    runner.end(failed["id"], "failed", message=CANARY, remedy=CANARY)
    return str(job["id"])


amounts = st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans())
keys = st.sampled_from(["phase", "disk", "partition", "done", "total", "rate", "eta", "waiting"])


@given(st.dictionaries(keys, amounts))
@example({"total": 5e-324, "done": 1})
@example({"total": 1, "done": 10**400})
def test_any_progress_can_be_shown(said: dict[str, Any]) -> None:
    shown = progress_of({"progress": said})
    assert shown is not None and shown["percent"] in (None, *range(101))


def test_what_the_inventory_takes_away_is_gone_at_once(page: Page, tmp_path: Path) -> None:
    own = Page(tmp_path / "own", page.service).start()
    try:
        users = {each["name"]: each for each in own.config["users"]}
        anna, otto, vera = (own.browser(name) for name in ("anna", "otto", "vera"))
        assert anna.get("/audit").status_code == 200
        own.stop()
        own.config["users"] = [
            users["anna"] | {"role": "viewer"},
            users["otto"] | {"password_hash": password_hash("another", n=32)},
            {"name": "boss", "role": "admin", "password_hash": password_hash("x")},
        ]
        own.start()
        assert anna.get("/").status_code == 200, "sign-ins outlive a restart"
        assert anna.get("/audit").status_code == 403, "with the role of today"
        assert otto.get("/").status_code == 303, "a new password ends the old sign-ins"
        assert vera.get("/").status_code == 303, "and so does no user any more"
    finally:
        own.close()


def test_a_service_that_is_gone_leaves_what_was_true(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(folder).start()
    pc = make_chooser(service)
    own = Page(tmp_path / "own", service).start()
    try:
        browser = own.browser("otto")
        assert pc.name in browser.get("/machines").text
        plan = browser.get(f"/order?verb=backup&machine={pc.name}")
        service.stop()
        shown = browser.get("/machines")
        assert shown.status_code == 200 and pc.name in shown.text
        assert "What you see was true at" in shown.text
        never = browser.get("/store")
        assert never.status_code == 503 and "systemctl status slipway" in never.text
        acted = browser.send(plan, "/order")
        assert acted.status_code == 503 and "is shown by the jobs" in acted.text
        service.start()
        assert "What you see was true at" not in browser.get("/machines").text
        assert browser.send(plan, "/order").status_code == 303
    finally:
        own.close()
        service.close()


def test_configurations_that_can_not_be_are_refused(tmp_path: Path) -> None:
    good = {"name": "a", "role": "admin", "password_hash": password_hash()}
    base = {"service_socket": "/x", "state_dir": "/y"}
    wrong: list[Any] = [
        [],
        [good | {"role": "viewer"}],
        [good, good],
        [good | {"role": "root"}],
        [good | {"password_hash": "secret in clear"}],
        [good | {"name": "a b"}],
        [good | {"password_hash": "scrypt$1048576$8$1$c2FsdHNhbHQ=$" + "A" * 44}],
        [good | {"more": 1}],
    ]
    path = tmp_path / "web.json"
    for users, number in zip(wrong, itertools.count(), strict=False):
        path.write_text(json.dumps(base | {"users": users}))
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert "secret in clear" not in str(caught.value), number
    path.write_text(json.dumps(base | {"users": [good]}))
    assert load(path).users[0].name == "a"


def test_all_that_is_wrong_with_a_configuration_is_said_at_once(tmp_path: Path) -> None:
    secret = {"name": "anna", "role": "admin", "password_hash": "scrypt$hush$sesame$1$x$y"}
    users = [secret, secret | {"name": "a b", "role": "root"}]
    path = tmp_path / "web.json"
    path.write_text(json.dumps({"users": users, "idle_seconds": 0, "restores": "no", "typo": 1}))
    with pytest.raises(ConfigError) as caught:
        load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    keys = ["service_socket", "state_dir", "users.0.password_hash", "users.1.name"]
    keys += ["users.1.role", "users.1.password_hash", "idle_seconds", "restores", "typo"]
    assert [key for key in keys if f"{key}: " not in said] == []
    assert "hush" not in said and "sesame" not in said
    good = {"name": "anna", "role": "viewer", "password_hash": password_hash()}
    path.write_text(json.dumps({"service_socket": "/x", "state_dir": "/y", "users": [good, good]}))
    with pytest.raises(ConfigError, match="anna stands there twice; nobody has the role admin"):
        load(path)
    path.unlink()
    with pytest.raises(ConfigError, match=f"^can't read {path}: No such file"):
        load(path)
