# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of machines: its parts are the service's to find, and nothing in it is of yesterday."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from slipway.format.frames import make_frame
from slipway_server.choices.menu_files import MenuFiles

from .choosing import Runner, item, order, write_menu
from .conftest import Machine, Service, cell
from .test_menu_files import write
from .test_page_socket import ask, shown


def listed(service: Service, **asked: Any) -> dict[str, Any]:
    answer = ask(service, "GET", "/v1/machines", "viewer", params=asked)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(found: dict[str, Any]) -> list[str]:
    return [each["name"] for each in found["machines"]]


def machine_with_menu(service: Service, name: str, number: int, *groups: str) -> str:
    mac = f"52:54:00:11:{number >> 8:02x}:{number & 255:02x}"
    write_menu(service, name, [mac], [item("backup", "backup", image=name)], groups=[*groups])
    return mac


def save(service: Service, name: str, mac: str, content: bytes) -> str:
    pc: Machine = service.machine(machine=name, mac=mac, image=name)
    pc.put(content)
    version: str = pc.publish(content).json()["version"]
    service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    return version


def test_a_list_is_filtered_sorted_and_cut_where_it_is(own_service: Callable[..., Service]) -> None:
    service = own_service()
    macs = {f"pc{number:03}": number for number in range(250)}
    for name, number in macs.items():
        macs[name] = machine_with_menu(service, name, number)  # type: ignore[assignment]
    whole = listed(service)
    assert names(whole) == sorted(macs)
    assert [whole[key] for key in ("found", "total", "page", "pages")] == [250, 250, 1, 1]
    third = listed(service, page=3)
    assert names(third) == sorted(macs)[200:]
    assert [third[key] for key in ("found", "total", "page", "pages")] == [250, 250, 3, 3]
    assert names(listed(service, page=10**9)) == names(third), "beyond the last: the last"
    few = listed(service, q="PC01", sort="-name", page=1)
    assert names(few) == [f"pc{number:03}" for number in range(19, 9, -1)]
    assert (few["found"], few["total"], few["pages"]) == (10, 250, 1)
    assert names(listed(service, q=f"pc {macs['pc007']}")) == ["pc007"], "all of the words"
    assert listed(service, q="nobody has this", page=1)["pages"] == 1
    save(service, "pc123", macs["pc123"], cell("of pc123"))  # type: ignore[arg-type]
    for key in ("saved", "heard"):
        assert names(listed(service, sort=f"-{key}", page=1))[0] == "pc123"
    assert names(listed(service, sort="nonsense", page=1)) == sorted(macs)[:100]
    for wrong in ({"page": 0}, {"page": "x"}, {"q": "x" * 201}):
        assert ask(service, "GET", "/v1/machines", params=wrong).json()["error"] == "bad_request"


def test_a_list_of_a_group(own_service: Callable[..., Service]) -> None:
    service = own_service()
    for number in range(6):
        machine_with_menu(service, f"pc{number}", number, f"room_{number % 2}", "school", "a b")
    one = listed(service, group="room_1", page=1)
    assert names(one) == ["pc1", "pc3", "pc5"]
    assert [one[key] for key in ("found", "total", "pages")] == [3, 6, 1]
    # What can be no group of a user costs the machine nothing.
    assert one["groups"] == ["room_0", "room_1", "school"]
    assert one["machines"][0]["groups"] == ["room_1", "school"]
    assert names(listed(service, group="room_1", q="pc3")) == ["pc3"]
    for nobodys in ("room_9", "ROOM_1", "room"):
        assert names(listed(service, group=nobodys)) == []
    found = ask(service, "GET", "/v1/machines", groups="room_0").json()
    assert (names(found), found["groups"]) == (["pc0", "pc2", "pc4"], ["room_0", "school"])
    there = ask(service, "GET", "/v1/machines?group=room_1", groups="room_0").json()
    assert (there["machines"], there["total"]) == ([], 3)


def test_what_was_saved_is_as_it_is_now(own_service: Callable[..., Service]) -> None:
    service = own_service()
    mac = machine_with_menu(service, "pc1", 1)

    def newest() -> str | None:
        saved = shown(service, "pc1")["saved"]
        assert ask(service, "GET", "/v1/machines/pc1").json()["saved"] == saved
        return f"{saved['image']}@{saved['version']}" if saved else None

    def act(method: str, path: str, **body: Any) -> None:
        answer = service.admin.request(method, path, json=body or None)
        assert answer.status_code in (200, 201), answer.text

    assert newest() is None
    first = save(service, "pc1", mac, cell("first"))
    assert newest() == f"pc1@{first}"
    second = save(service, "pc1", mac, cell("second"))
    assert newest() == f"pc1@{second}"
    act("DELETE", f"/v1/images/pc1/{second}")
    assert newest() == f"pc1@{first}"
    act("POST", "/v1/trash/undelete", name="pc1", version=second)
    assert newest() == f"pc1@{second}"
    # A chunk is lost, which a check sees, and sent again.
    path = service.chunk_path(cell("second"))
    path.write_bytes(b"")
    service.admin.post(f"/v1/images/pc1/{second}/check")
    assert newest() == f"pc1@{first}"
    path.write_bytes(make_frame(cell("second")))
    assert newest() == f"pc1@{second}"
    act("POST", "/v1/images/pc1/rename", to="other")
    assert newest() is None, "what says no machine is of the one whose name it has"
    service.restart()
    assert newest() is None


def test_what_needs_somebody_is_counted(own_service: Callable[..., Service]) -> None:
    service = own_service()
    macs = {name: machine_with_menu(service, name, n) for n, name in enumerate(("new", "lost"))}
    machine_with_menu(service, "never", 2)
    versions = {name: save(service, name, mac, cell(name)) for name, mac in macs.items()}

    def overview(**more: Any) -> dict[str, Any]:
        answer = ask(service, "GET", "/v1/overview", "viewer", **more)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    found = overview()
    assert [found[key] for key in ("machines", "images", "versions", "old")] == [3, 2, 2, 1]
    assert found["oldest"] == [{"name": "never", "saved": None}] and found["broken"] == []
    assert (found["failed"], found["runner"]) == ([], False)
    service.chunk_path(cell("lost")).unlink()
    service.admin.post(f"/v1/images/lost/{versions['lost']}/check")
    found = overview()
    broken = {"image": "lost", "version": versions["lost"], "problem": None, "lacking": 1}
    assert found["broken"] == [broken]
    assert {each["name"] for each in found["oldest"]} == {"never", "lost"}
    path = service.store / "images/new" / f"{versions['new']}.json"
    path.write_bytes(b"{}")
    # Whoever looks at the image sees it first; in any case it is seen after half a minute.
    ask(service, "GET", "/v1/images/new")
    [damaged] = [each for each in overview()["broken"] if each["image"] == "new"]
    assert "damaged" in damaged["problem"]
    [job] = [order(service, "never", "wake").json()["id"]]
    runner = Runner(service)
    runner.poll()
    runner.end(job, "failed", message="it did not answer", remedy="look")
    assert [(each["id"], each["message"]) for each in overview()["failed"]] == [
        (job, "it did not answer")
    ]
    none = overview(groups="room_9")
    assert [none[key] for key in ("machines", "images", "old", "failed", "broken")] == [
        0,
        0,
        0,
        [],
        [],
    ]


@pytest.mark.parametrize("settled", [False, True])
def test_a_menu_that_is_put_there_in_one_step_is_seen_at_once(
    tmp_path: Path, settled: bool
) -> None:
    folder, aside = tmp_path / "menus", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    menus = MenuFiles(folder)
    for number in range(20):
        if settled:
            os.utime(folder, (1000 + number, 1000 + number))
        menus.all()
        write(aside, "pc1", keymap=f"map{number}")
        (aside / "pc1.json").rename(folder / "pc1.json")
        found = menus.of("pc1")
        assert found is not None and found.keymap == f"map{number}"
    (folder / "pc1.json").unlink()
    assert menus.of("pc1") is None and menus.all() == []
