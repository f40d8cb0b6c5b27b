# SPDX-License-Identifier: GPL-3.0-or-later
"""Users who have groups, at the page's socket: what is others' is answered as what is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from slipway_server.api.reach import Reach

from . import small_disks
from .choosing import item, order, write_menu
from .conftest import Service, cell
from .path_values import filled
from .reader_beside import POSSIBLE, Beside
from .test_registrations import hardware, report
from .test_schedules import write as write_schedules
from .test_who_may import FOR_USERS, as_user

# What each route is for who has groups: his part of a list ("part"), as if others' things were not
# there ("his"), nothing ("refused"), or the same for everybody ("all").
ROUTES = {
    "GET /v1/overview": "part",
    "GET /v1/machines": "part",
    "GET /v1/machines/{machine}": "his",
    "GET /v1/jobs": "part",
    "GET /v1/jobs/{job_id}": "his",
    "GET /v1/jobs/{job_id}/output": "his",
    "GET /v1/sessions": "part",
    "GET /v1/sessions/{session_id}": "his",
    "GET /v1/images": "part",
    "GET /v1/image-list": "part",
    "GET /v1/images/{name}": "his",
    "GET /v1/images/{name}/{version}/contents": "his",
    "GET /v1/images/{name}/{version}/check": "his",
    "GET /v1/images/{name}/{version}/files": "his",
    "POST /v1/images/{name}/{version}/downloads": "his",
    "GET /v1/downloads": "part",
    "GET /v1/downloads/{key}": "his",
    "POST /v1/downloads/{key}/take": "his",
    "DELETE /v1/downloads/{key}": "his",
    "GET /v1/trash": "part",
    "GET /v1/registrations": "part",
    "GET /v1/prune": "refused",
    "GET /v1/prune/with": "refused",
    "GET /v1/upkeep": "part",
    "GET /v1/status": "part",
    "GET /v1/room": "all",
    "GET /v1/backups/{machine}": "his",
    "GET /v1/schedules": "part",
    "GET /v1/schedules/{name}": "his",
    "GET /v1/audit": "refused",
    "GET /v1/plan": "his",
    "POST /v1/jobs": "his",
    "DELETE /v1/jobs/{job_id}": "his",
    "DELETE /v1/sessions/{session_id}": "his",
    "POST /v1/next-boots/{machine}": "his",
    "DELETE /v1/next-boots/{machine}": "his",
    "POST /v1/images/{name}/{version}/check": "his",
    "POST /v1/schedules/{name}/run": "his",
    "POST /v1/schedules/{name}/pause": "his",
    "POST /v1/schedules/{name}/skip": "his",
    "POST /v1/images/{name}/label": "his",
    "DELETE /v1/images/{name}/{version}": "his",
    "POST /v1/trash/undelete": "his",
    "POST /v1/images/{name}/copy": "his",
    "POST /v1/images/{name}/rename": "his",
    "POST /v1/aliases/{alias}": "refused",
    "DELETE /v1/aliases/{alias}": "refused",
    "POST /v1/collect": "refused",
    "POST /v1/prune": "refused",
    "POST /v1/registrations/{key}/refuse": "refused",
    "POST /v1/registrations/{key}/wish": "refused",
}


FILE = {"kind": "file", "partition": "disk0:1", "path": "/hello.txt"}
_OUT = ("/files", "/downloads", "/downloads/{key}", "/downloads/{key}/take")


def needs_reader(path: str) -> bool:
    """Whether a route is about what is taken out of versions."""
    return path.endswith(_OUT) and not POSSIBLE


@dataclass
class Room:
    """A machine, and all that is about it."""

    name: str
    night: str
    version: str = "20260101T000000Z"
    older: str = "20260101T000000Z"
    gone: str = "20260101T000000Z"
    # Of a disk with a file system, and a file of it that can be downloaded.
    disk: str = "20260101T000000Z"
    download: str = "0" * 16
    job: str = "0" * 16
    session: str = "0" * 16
    registration: str = "0" * 16

    def request(self, line: str) -> dict[str, Any]:
        """What a route is asked, of this room's things."""
        method, path = line.split(" ")
        name = self.night if "/schedules/" in path else self.name
        made: dict[str, Any] = {
            "method": method,
            "url": filled(
                path,
                machine=self.name,
                name=name,
                version=self._version(method, path),
                job_id=self.job,
                session_id=self.session,
                alias=f"{self.name}-alias",
                key=self.download if "/downloads/" in path else self.registration,
            ),
        }
        bodies: dict[str, Any] = {
            "/v1/jobs": {"machine": self.name, "verb": "backup"},
            "/v1/next-boots/{machine}": {"item": "backup"},
            "/v1/images/{name}/{version}/downloads": FILE,
            "/v1/schedules/{name}/pause": {"until": None},
            "/v1/images/{name}/label": {"version": self.version, "note": "seen"},
            "/v1/trash/undelete": {"name": self.name, "version": self.gone},
            "/v1/images/{name}/copy": {"version": self.version, "to": self.name},
            "/v1/images/{name}/rename": {"to": self.name},
            "/v1/aliases/{alias}": {"image": self.name},
            "/v1/registrations/{key}/wish": {"machine": self.name},
        }
        if method == "POST":
            made["json"] = bodies.get(path, {})
        elif path == "/v1/plan":
            made["params"] = {"machine": self.name, "verb": "backup"}
        elif path == "/v1/prune/with":
            made["params"] = {"last": 1}
        return made

    def _version(self, method: str, path: str) -> str:
        if path.endswith(("/files", "/downloads")):
            return self.disk
        return self.older if method == "DELETE" else self.version

    def unnamed(self, answer: httpx.Response) -> tuple[int, str]:
        """An answer without the names that it was asked with."""
        text = answer.text
        for word in (self.name, self.night, self.version, self.older, self.gone, self.disk):
            text = text.replace(word, "NAME")
        text = text.replace(self.download, "KEY")
        return answer.status_code, text


class World:
    """Two rooms, and one that is not there."""

    def __init__(self, service: Service, base: str, folder: Path) -> None:
        self.service, self.base, self.folder = service, base, folder
        self.theirs = self._room("canary-pc", "room_b", 1)
        self.mine = self._room("mine-pc", "room_a", 2)
        self.nobodys = Room("nobody-pc", "nobody_pc_night")
        nights = {
            each.night: {"verb": "wake", "machines": [each.name], "from": "03:00", "to": "03:01"}
            for each in (self.theirs, self.mine)
        }
        never = {"except": ["2000-01-01..2100-01-01"]}
        both = {"verb": "verify", "machines": ["canary-pc", "mine-pc"], "pattern": "canary-pc,mine"}
        nights["both_night"] = both | {"from": "05:00", "to": "05:01"}
        write_schedules(service, **{name: said | never for name, said in nights.items()})

    def _room(self, name: str, group: str, number: int) -> Room:
        service, mac = self.service, f"52:54:00:99:00:{number:02x}"
        items = [
            item("backup", "backup", image=name),
            item("restore", "restore", images=[name, self.base]),
        ]
        write_menu(service, name, [mac], items, groups=[group, "school"])
        made = Room(name, f"{name.replace('-', '_')}_night")
        if POSSIBLE:
            files = {"hello.txt": name.encode()}
            _, made.disk, _ = small_disks.save(service, self.folder, files, name)
            made.download = small_disks.taken_out(service, name, made.disk)
        for turn in ("gone", "older", "newest"):
            pc = service.machine(machine=name, mac=mac, image=name)
            pc.put(cell(name + turn))
            made.version = pc.publish(cell(name + turn)).json()["version"]
            if turn != "newest":
                setattr(made, turn, made.version)
            service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
        said = service.admin.delete(f"/v1/images/{name}/{made.gone}")
        assert said.status_code == 200, said.text
        made.session = pc.session
        alias = service.admin.post(f"/v1/aliases/{name}-alias", json={"image": name})
        assert alias.status_code == 200, alias.text
        made.job = order(service, name, "wake").json()["id"]
        asked = report(number + 40, hardware=hardware(serial=f"{name}-serial", uuid=str(number)))
        made.registration = service.http.post("/v1/registrations", json=asked).json()[
            "registration"
        ]["id"]
        return made

    def ask(self, line: str, room: Room, groups: str = "room_a", role: str = "admin") -> Any:
        return self.service.web.request(headers=as_user(role, groups), **room.request(line))

    def of_theirs(self) -> Any:
        """What root sees of what is theirs."""
        seen = {}
        for kind in ("jobs", "sessions", "trash", "schedules", "next-boots", "aliases", "images"):
            found = self.service.admin.get(f"/v1/{kind}").json()[kind.replace("-", "_")]
            seen[kind] = [each for each in found if "canary" in json.dumps(each)]
        for image in seen["images"]:
            for version in image["versions"]:
                version.pop("checked"), version.pop("kept_because")
        return seen


@contextmanager
def make_world(folder: Path) -> Iterator[World]:
    """On a service of its own."""
    places = {"policy_dir": str(folder / "policy"), "reader_socket": str(folder / "reader")}
    service = Service(folder, **places)
    beside = Beside(service) if POSSIBLE else None
    # An image that both rooms' menus name.
    service.start()
    pc = service.machine(machine="builder", image="lab-base")
    pc.put(cell("lab base"))
    version = pc.publish(cell("lab base"), name="lab-base").json()["version"]
    service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    yield World(service, f"lab-base@{version}", folder)
    service.close()
    if beside is not None:
        beside.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("groups")) as made:
        yield made


def test_each_route_says_what_it_is_for_who_has_groups() -> None:
    assert ROUTES.keys() == set(FOR_USERS)


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
@pytest.mark.parametrize("line", ROUTES)
def test_a_foreign_group(world: World, line: str, role: str) -> None:
    if needs_reader(line):
        pytest.skip("what looks into images needs root here")
    before = world.of_theirs()
    answer = world.ask(line, world.theirs, role=role)
    if answer.status_code == 403 and answer.json()["error"] == "wrong_role":
        return
    kind = ROUTES[line]
    if kind == "his":
        absent = world.ask(line, world.nobodys, role=role)
        assert 400 <= answer.status_code < 500
        assert world.theirs.unnamed(answer) == world.nobodys.unnamed(absent)
    elif kind == "refused":
        assert (answer.status_code, answer.json()["error"]) == (403, "wrong_group")
    else:
        assert answer.status_code == 200, answer.text
        assert "canary" not in answer.text
        assert "mine-pc" in answer.text or line.split("/")[-1] in (
            "room",
            "status",
            "upkeep",
            "registrations",
            "overview",
        )
    assert world.of_theirs() == before


@pytest.mark.parametrize("line", ROUTES)
def test_his_own_group_and_all_groups(world: World, line: str) -> None:
    if needs_reader(line):
        pytest.skip("what looks into images needs root here")
    method = line.split(" ")[0]
    if method == "GET" or line in ("POST /v1/prune", "POST /v1/collect"):
        # Its machine has a job.
        good = {"GET /v1/plan": 409, "POST /v1/collect": 202}.get(line, 200)
        assert world.ask(line, world.theirs, groups="*").status_code == good
        assert world.ask(line, world.theirs, groups="room_b,room_z").status_code == (
            403 if ROUTES[line] == "refused" else good
        )
    if ROUTES[line] == "his":
        answer = world.ask(line, world.mine)
        # The image is named by its machine's menu, and so stays.
        kept = line.endswith(("/rename", "/copy", "POST /v1/jobs", "/plan", "/skip"))
        assert answer.status_code < 300 or (kept and answer.status_code == 409), answer.text


def test_what_names_a_version_is_told_without_names_of_others() -> None:
    reach = Reach(frozenset({"mine-pc"}), frozenset({"mine-pc"}))
    others = ["media canary", "schedule canary", "job 1 of canary (backup)", "menu of canary"]
    mine = ["menu of mine-pc, item restore", "session of mine-pc (backup)", "held: exams"]
    for each in others:
        assert "canary" not in "".join(reach.reasons([each])), each
    assert reach.reasons(mine) == mine


def test_a_group_that_nobody_is_in_reaches_nothing(world: World) -> None:
    for groups in ("room_z", "ROOM_A", "machines"):
        found = world.ask("GET /v1/machines", world.mine, groups=groups).json()
        assert (found["machines"], found["total"]) == ([], 0)
    for wrong in ("", ",", "room_a,", "room a", "*,room_a", "room_a;room_b", "x" * 70):
        answer = world.ask("GET /v1/machines", world.mine, groups=wrong)
        assert answer.json()["error"] == "bad_request", wrong


def test_an_image_that_his_menus_name_is_restored_and_not_changed(world: World) -> None:
    ask, headers = world.service.web.request, as_user("admin", "room_a")
    shown = ask("GET", "/v1/images/lab-base", headers=headers).json()
    assert "canary" not in json.dumps(shown)
    [version] = shown["versions"]
    assert "menu of mine-pc, item restore" in version["kept_because"]
    held = f"/v1/images/lab-base/{version['version']}/contents"
    named = ask("GET", held, headers=headers).json()["named"]
    assert "canary" not in json.dumps(named)
    assert [each["by"] for each in named if "mine-pc" in each["by"]], named
    assert "canary" in ask("GET", held, headers=as_user("admin")).text
    wanted = {"machine": "mine-pc", "verb": "restore", "image": f"lab-base@{version['version']}"}
    world.service.admin.delete(f"/v1/jobs/{world.mine.job}")
    for job in world.service.admin.get("/v1/jobs", params={"machine": "mine-pc"}).json()["jobs"]:
        world.service.admin.delete(f"/v1/jobs/{job['id']}")
    assert ask("GET", "/v1/plan", headers=headers, params=wanted).status_code == 200
    for image in ("canary-pc", "canary-pc-alias", "nobodys-image"):
        refused = ask("GET", "/v1/plan", headers=headers, params=wanted | {"image": image})
        assert (refused.status_code, refused.json()["error"]) == (404, "unknown_image")
        assert "canary" not in refused.text
    into = {"machine": "mine-pc", "verb": "backup", "image": "lab-base"}
    assert ask("POST", "/v1/jobs", headers=headers, json=into).json()["error"] == "wrong_group"
    for line, body in (
        ("POST /v1/images/lab-base/label", {"note": "mine"}),
        ("POST /v1/images/lab-base/rename", {"to": "mine-pc"}),
        ("POST /v1/images/mine-pc/copy", {"to": "canary-pc"}),
        ("POST /v1/images/mine-pc/copy", {"to": "anything"}),
        (f"DELETE /v1/images/lab-base/{version['version']}", None),
        ("POST /v1/schedules/both_night/run", {}),
        ("POST /v1/schedules/both_night/skip", {}),
    ):
        method, path = line.split(" ")
        answer = ask(method, path, headers=headers, json=body)
        assert (answer.status_code, answer.json()["error"]) == (403, "wrong_group"), line


def test_a_schedule_of_several_rooms_shows_his_part(world: World) -> None:
    headers = as_user("viewer", "room_a")
    said = world.service.web.get("/v1/schedules/both_night", headers=headers)
    assert said.json()["machines"] == ["mine-pc"] and "canary" not in said.text
