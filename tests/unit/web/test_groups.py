# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and programs that have groups, at the page: nothing of others' stands on any of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from slipway_web.api import API
from slipway_web.app import PAGES
from slipway_web.config import ConfigError, load

from ..server.choosing import item, password_hash, write_menu
from ..server.test_groups import ROUTES, Room, World, make_world
from .conftest import PASSWORDS, Browser, Page, forms
from .front import Front
from .test_api import ask, hash_of

ROOMS = {"greta": ["room_a"], "anna": None}
TOKEN = "slipway_of-one-room"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def page(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    users = [
        {"name": name, "role": "admin", "password_hash": password_hash(PASSWORDS["anna"])}
        | ({"groups": groups} if groups else {})
        for name, groups in ROOMS.items()
    ]
    token = {"name": "of-a-room", "role": "admin", "token_hash": hash_of(TOKEN)}
    made = Page(
        tmp_path_factory.mktemp("page") / "page",
        world.service,
        users=users,
        tokens=[token | {"groups": ["room_a"]}],
    )
    yield made.start()
    made.close()


def browser_of(page: Page, name: str) -> Browser:
    made = Browser(page)
    assert made.sign_in(name, PASSWORDS["anna"]).status_code == 303
    return made


def places(room: Room) -> dict[str, str]:
    """A path for each of the page's routes that has a name in it, to a room's things."""
    version = f"image={room.name}&version={room.version}"
    gone = f"image={room.name}&version={room.gone}"
    return {
        "/machines/{machine}": f"/machines/{room.name}",
        "/images/{image}": f"/images/{room.name}",
        "/images/{image}/{version}": f"/images/{room.name}/{room.version}",
        "/jobs/{job}": f"/jobs/{room.job}",
        "/schedules/{schedule}": f"/schedules/{room.night}",
        "/order": f"/order?verb=backup&machine={room.name}",
        **{
            f"/act/{name}": f"/act/{name}?{version}"
            for name in ("check", "note", "hold", "release", "delete", "copy", "point")
        },
        **{
            f"/act/{name}": f"/act/{name}?schedule={room.night}"
            for name in ("run", "pause", "skip")
        },
        "/act/rename": f"/act/rename?image={room.name}",
        "/act/boot": f"/act/boot?machine={room.name}&item=backup",
        "/act/unboot": f"/act/unboot?machine={room.name}",
        "/act/drop-alias": f"/act/drop-alias?alias={room.name}-alias",
        "/act/undelete": f"/act/undelete?{gone}",
        "/act/cancel": f"/act/cancel?job={room.job}",
        "/act/end-session": f"/act/end-session?session={room.session}",
        "/act/approve": f"/act/approve?id={room.registration}",
        "/act/refuse": f"/act/refuse?id={room.registration}",
    }


_PAGES = [line for line in PAGES if line.startswith("GET ") and line != "GET /live"]


@pytest.mark.parametrize("line", _PAGES)
def test_a_page_of_a_foreign_group(page: Page, world: World, line: str) -> None:
    path = line.split(" ")[1]
    there = places(world.theirs).get(path, path)
    greta = browser_of(page, "greta")
    assert browser_of(page, "anna").get(there).status_code in (200, 303), "it is there"
    answer = greta.get(there)
    if PAGES[line].whole:
        assert (answer.status_code, "looks after all machines" in answer.text) == (403, True)
    elif there == path:
        assert answer.status_code == (303 if path == "/sign-in" else 200)
        assert "canary" not in answer.text
    else:
        absent = greta.get(places(world.nobodys)[path])
        assert world.theirs.unnamed(answer) == world.nobodys.unnamed(absent)
        assert path == "/order" or answer.status_code in (400, 404)


@pytest.mark.parametrize("line", [line for line in _PAGES if not PAGES[line].whole])
def test_a_page_of_the_own_group(page: Page, world: World, line: str) -> None:
    path = line.split(" ")[1]
    answer = browser_of(page, "greta").get(places(world.mine).get(path, path))
    assert answer.status_code == (303 if path == "/sign-in" else 200), answer.text
    assert "canary" not in answer.text


@pytest.mark.parametrize("line", [line for line in PAGES if line.startswith("POST /act/")])
def test_an_act_on_what_is_theirs(page: Page, world: World, line: str) -> None:
    path = line.split(" ")[1]
    there = places(world.theirs).get(path, path)
    greta, anna = browser_of(page, "greta"), browser_of(page, "anna")
    known = anna.get(there)
    assert known.status_code == 200
    before = world.of_theirs()
    # The plan as somebody has seen it who may.
    answer = greta.send(known, path, key=greta.key(), typed="canary-pc")
    assert answer.status_code in (400, 403, 404, 409), answer.text
    assert world.of_theirs() == before


def test_an_order_for_theirs_is_none(page: Page, world: World) -> None:
    greta, before = browser_of(page, "greta"), world.of_theirs()
    for verb in ("backup", "verify", "wake", "restore"):
        shown = greta.get(f"/order?verb={verb}&machine=canary-pc&machine=mine-pc&image=canary-pc")
        assert "This server has no menu of canary-pc" in shown.text or shown.status_code == 404
    said = {"verb": "wake", "machine": "canary-pc", "plan": "x", "key": greta.key()}
    assert greta.post("/order", said).status_code == 409
    assert world.of_theirs() == before


def test_the_page_remembers_for_each_its_own(page: Page, world: World) -> None:
    anna, greta = browser_of(page, "anna"), browser_of(page, "greta")
    for path in ("/machines", "/jobs", "/images"):
        assert "canary-pc" in anna.get(path).text
        assert "canary" not in greta.get(path).text
    world.service.stop()
    try:
        for path in ("/machines", "/jobs", "/images"):
            assert "canary-pc" in anna.get(path).text, "what was true"
            assert "canary" not in greta.get(path).text
        assert greta.get("/machines/canary-pc").status_code == 503
    finally:
        world.service.start()


@pytest.mark.parametrize("line", API)
def test_a_token_that_has_groups(page: Page, world: World, line: str) -> None:
    method, template = line.split(" ")
    asked = world.theirs.request(f"{method} /v1{template}")
    path = asked.pop("url").removeprefix("/v1")
    asked.pop("method")
    before = world.of_theirs()
    answer = ask(page, method, path, TOKEN, **asked)
    kind = ROUTES[f"{method} /v1{template}"]
    if kind in ("his", "refused"):
        assert answer.status_code == (403 if kind == "refused" else 404), answer.text
    else:
        assert answer.status_code == 200 and "canary" not in answer.text
    assert world.of_theirs() == before


def test_groups_that_can_not_be_are_refused(tmp_path: Path) -> None:
    user = {"name": "anna", "role": "admin", "password_hash": password_hash()}
    base = {"service_socket": "/x", "state_dir": "/y"}
    path = tmp_path / "web.json"
    for wrong in ([], [""], ["a,b"], ["*"], ["room a"], "room_a", [1], ["x" * 64]):
        path.write_text(json.dumps(base | {"users": [user | {"groups": wrong}]}))
        with pytest.raises(ConfigError):
            load(path)
    path.write_text(json.dumps(base | {"users": [user | {"groups": ["room_a", "x-1.b"]}]}))
    with pytest.raises(ConfigError, match="without groups"):
        load(path)
    whole = {"name": "otto", "role": "admin", "password_hash": password_hash()}
    both = [user | {"groups": ["room_a", "x-1.b"]}, whole]
    path.write_text(json.dumps(base | {"users": both}))
    assert load(path).users[0].groups == ("room_a", "x-1.b")


def test_the_machines_of_a_group_are_filtered_and_marked_by_name(page: Page) -> None:
    service = page.service
    wide = [f"{'wide-room-' * 5}pc{number:03}" for number in range(150)]
    for number, name in enumerate(wide):
        card = f"52:54:00:98:{number >> 8:02x}:{number & 255:02x}"
        write_menu(service, name, [card], [item("backup", "backup", image=name)], groups=["wide"])
    anna = browser_of(page, "anna")
    shown = anna.get("/machines?group=wide&sort=-name")
    assert "150 of" in shown.text and "canary" not in shown.text
    assert "<option selected>wide</option>" in shown.text
    assert shown.text.count('name="machine"') == 100 and " checked" not in shown.text
    # Links keep the group, and so does a sort.
    assert "page=2&amp;group=wide" in shown.text and "?sort=model&amp;group=wide" in shown.text
    every = anna.get("/machines?group=wide&mark=found&page=2")
    named = set(re.findall(r'name="machine" value="([^"]+)"', every.text))
    assert named == set(wide) and every.text.count(" checked") == 50
    assert "100 on other pages are marked, too." in every.text
    query = "&".join(f"machine={name}" for name in sorted(named))
    plan = anna.get(f"/order?verb=wake&{query}")
    sent = dict.fromkeys(
        value
        for _, action, hidden in forms(plan)
        if action == "/order"
        for key, value in hidden
        if key == "machine"
    )
    assert set(sent) == set(wide), "the form names them, and has no filter"
    # Who comes to the group between plan and order is not ordered for.
    write_menu(service, "late-pc", ["52:54:00:98:ff:01"], [], groups=["wide"])
    done = anna.send(plan, "/order")
    assert done.text.count("queued") == 150 and "late-pc" not in done.text
    assert "Mark all" not in anna.get("/machines?group=nobodys").text
    assert anna.get("/machines?group=" + "x" * 300).status_code == 200


def test_two_hundred_names_go_through_nginx(page: Page, tmp_path: Path) -> None:
    front = Front(page, tmp_path)
    try:
        query = "&".join(f"machine={'n' * 59}{number:04}" for number in range(200))
        said = httpx.get(f"{front.url}/order?verb=wake&{query}", verify=False)
        assert said.headers["location"] == "/sign-in?next=/order"
        cookie = browser_of(page, "anna").cookies["__Host-slipway"]
        headers = {"Cookie": f"__Host-slipway={cookie}"}
        plan = httpx.get(f"{front.url}/order?verb=wake&{query}", headers=headers, verify=False)
        assert (plan.status_code, plan.text.count("This server has no menu")) == (200, 200)
    finally:
        front.close()
