# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as objects: deleting, holding, aliases, names, and who is asked before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from .choosing import item, make_chooser
from .conftest import Service, cell
from .test_prune import age, chunks, listed, made, say


@pytest.fixture
def service(own_service: Callable[..., Service], tmp_path: Path) -> Service:
    return own_service(policy_dir=str(tmp_path / "0/policy"))


def refused(answer: httpx.Response, error: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert found.get("error") == error, found
    assert [word for word in words if word not in found["message"]] == []
    return found


def menu(service: Service, machine: str, mac: str, *items: dict[str, Any]) -> None:
    file = {"machine": machine, "macs": [mac], "items": list(items)}
    (service.folder / "menus" / f"{machine}.json").write_text(json.dumps(file))


DAYS = ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z")


def test_what_is_named_is_not_deleted_and_who_names_it_is_said(service: Service) -> None:
    for day in DAYS:
        made(service, "pc1", day, cell(f"named {day}"))
    path = f"/v1/images/pc1/{DAYS[0]}"

    menu(service, "kiosk", "52:54:00:cc:00:01", item("again", "restore", image=f"pc1@{DAYS[0]}"))
    refused(service.admin.delete(path), "image_named", "menu of kiosk, item again")
    refused(service.admin.delete("/v1/images/pc1"), "image_named", "menu of kiosk")
    (service.folder / "menus/kiosk.json").unlink()

    order = {
        "machine": "pc9",
        "macs": ["52:54:00:cc:00:09"],
        "item": "x",
        "image": f"pc1@{DAYS[0]}",
    }
    assert service.admin.post("/v1/next-boots", json=order).status_code == 201
    refused(service.admin.delete(path), "image_named", "boot_once of pc9")
    service.admin.delete("/v1/next-boots/pc9")

    reader = service.machine("restore", image="pc1", version=DAYS[0])
    refused(service.admin.delete(path), "image_named", f"session of {reader.name} (restore)")
    service.admin.delete(f"/v1/sessions/{reader.session}")

    chooser = make_chooser(service, item("pick", "restore", image=f"pc1@{DAYS[0]}"))
    assert chooser.choose("pick").status_code == 201
    (service.folder / "menus" / f"{chooser.name}.json").unlink()
    found = refused(service.admin.delete(path), "image_named", f"of {chooser.name} (restore)")
    assert len(found["named_by"]) == 1
    [job] = service.admin.get("/v1/jobs").json()["jobs"]
    service.admin.delete(f"/v1/jobs/{job['id']}")

    assert service.admin.post("/v1/aliases/base", json={"image": f"pc1@{DAYS[0]}"}).is_success
    refused(service.admin.delete(path), "image_named", "alias base")
    assert service.admin.delete("/v1/aliases/base").json()["aliases"] == []

    wanted = {"version": DAYS[0], "hold": True, "reason": "exams"}
    assert service.admin.post("/v1/images/pc1/label", json=wanted).json()["held"] == ["held: exams"]
    refused(service.admin.delete(path), "image_named", "held: exams")
    service.restart()
    refused(service.admin.delete(path), "image_named", "held: exams")
    service.admin.post("/v1/images/pc1/label", json={"version": DAYS[0], "hold": False})

    assert service.admin.delete(path, params={"reason": "old"}).json()["versions"] == [DAYS[0]]
    [gone] = service.admin.get("/v1/trash").json()["trash"]
    assert (gone["by"], gone["why"]) == ("root", "old")
    refused(service.admin.delete(path), "unknown_version")


def test_a_plan_leaves_out_what_is_held_or_named(service: Service) -> None:
    for day in DAYS:
        made(service, "pc1", day, cell(f"plan {day}"))
    say(service, keep={"last": 1}, images={"pc1": {"hold": [DAYS[0]]}})
    plan = service.admin.get("/v1/prune").json()
    assert [each["version"] for each in plan["remove"]] == [DAYS[1]]
    assert listed(service, "pc1")[DAYS[0]]["kept_because"] == ["held by the inventory"]
    refused(
        service.admin.post("/v1/images/pc1/label", json={"version": DAYS[0], "hold": False}),
        "image_fixed",
        "policy_images.pc1.hold",
    )
    service.machine("verify", image="pc1", version=DAYS[1])
    assert service.admin.post("/v1/prune", json={}).json()["removed"] == []


def test_a_plan_that_is_too_large_waits_for_its_digest(service: Service) -> None:
    for number in range(12):
        made(service, "pc1", f"202601{number + 10}T000000Z", cell("the same"))
    say(service, keep={"last": 1})
    waits = refused(service.admin.post("/v1/prune", json={}), "prune_waits", "11 of 12")
    # Asking again is no word: that it was tried is not that it was done.
    assert refused(service.admin.post("/v1/prune", json={}), "prune_waits") == waits
    service.restart()
    assert refused(service.admin.post("/v1/prune", json={}), "prune_waits") == waits
    assert len(listed(service, "pc1")) == 12
    assert any("11 of 12" in each for each in service.admin.get("/v1/status").json()["warnings"])
    other = service.admin.post("/v1/prune", json={"confirm": "0" * 16})
    assert refused(other, "plan_changed")["digest"] == waits["digest"]
    done = service.admin.post("/v1/prune", json={"confirm": waits["digest"]})
    assert len(done.json()["removed"]) == 11
    assert service.admin.get("/v1/status").json()["warnings"] == []


def test_an_alias_is_good_wherever_an_image_is_read(service: Service) -> None:
    for day in DAYS:
        made(service, "office", day, cell(f"alias {day}"))
    say(service, aliases={"lab-base": f"office@{DAYS[1]}", "newest": "office"})
    for alias, version in (("lab-base", DAYS[1]), ("newest", DAYS[2])):
        pc = service.machine("restore", image=alias)
        assert (pc.seen()["image"], pc.seen()["version"]) == ("office", version)
        service.admin.delete(f"/v1/sessions/{pc.session}")
    assert service.admin.get("/v1/images/lab-base").json()["name"] == "office"
    chooser = make_chooser(
        service,
        item("one", "restore", image="lab-base"),
        item("list", "restore", images=["lab-base", "nosuch"]),
    )
    offered = refused(chooser.choose("list"), "image_required")["images"]
    assert offered == [{"image": "lab-base", "versions": 1, "newest": DAYS[1]}]
    assert chooser.choose("one").status_code == 201
    refused(
        service.ask(machine="pcx", macs=["52:54:00:cc:01:01"], verb="backup", image="lab-base"),
        "is_alias",
        f"office@{DAYS[1]}",
    )
    refused(
        service.ask(
            machine="pcx",
            macs=["52:54:00:cc:01:01"],
            verb="restore",
            image="lab-base",
            version=DAYS[0],
        ),
        "is_alias",
    )
    refused(service.admin.post("/v1/aliases/lab-base", json={"image": "office"}), "image_fixed")
    refused(service.admin.delete("/v1/aliases/lab-base"), "image_fixed", "policy_aliases.lab-base")
    refused(service.admin.post("/v1/aliases/office", json={"image": "office"}), "name_taken")
    refused(service.admin.post("/v1/aliases/more", json={"image": "newest"}), "is_alias")
    refused(service.admin.post("/v1/aliases/more", json={"image": "nosuch"}), "unknown_image")


def test_a_policy_that_cannot_be_used_removes_nothing_and_stops_no_backup(service: Service) -> None:
    for day in DAYS:
        made(service, "pc1", day, cell("broken policy"))
    say(service, keep={"dialy": 1})
    found = refused(service.admin.post("/v1/prune", json={}), "policy_broken", "policy_keep.dialy")
    assert "did you mean daily?" in found["message"]
    assert len(listed(service, "pc1")) == 3
    assert any("dialy" in each for each in service.admin.get("/v1/status").json()["warnings"])
    reader = service.machine("restore", image="pc1")
    assert reader.seen()["version"] == DAYS[2]
    service.admin.delete(f"/v1/sessions/{reader.session}")
    assert service.image(cell("still"))
    say(service, keep={"last": 1})
    assert len(service.admin.post("/v1/prune", json={}).json()["removed"]) == 2


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"keep": {"last": 0, "daily": 0}}, ["policy_keep: every number is 0"]),
        (
            {"keep": {"dialy": 1}, "time_zone": "Europe/Berln"},
            ["dialy", "did you mean daily?", "did you mean Europe/Berlin?"],
        ),
        ({"keep": {"daily": -1, "weekly": "4"}}, ["policy_keep.daily", "policy_keep.weekly"]),
        ({"kep": {}}, ["policy_kep", "did you mean policy_keep?"]),
        ({"images": {"pc1": {"holds": []}}}, ["policy_images.pc1.holds", "did you mean hold?"]),
        ({"images": {"pc1": {"hold": ["20260101T000001Z"]}}}, ["did you mean 20260101T000000Z?"]),
        ({"images": {"pc2": {"hold": [DAYS[0]]}}}, ["no image pc2 (did you mean pc1?)"]),
        ({"images": {"Pc 1": {}}}, ["is no image name"]),
        ({"aliases": {"pc1": "office"}}, ["policy_aliases.pc1: there is an image of that name"]),
        (
            {"aliases": {"a": "b", "b": "a"}},
            ["policy_aliases.a: b is an alias itself", "policy_aliases.b: a is an alias itself"],
        ),
        ({"aliases": {"a": f"office@{DAYS[0]}"}}, ["is in the trash"]),
        ({"aliases": {"a": "nosuch"}}, ["There is no image nosuch"]),
        ({"trash_days": -1, "check_days": 0}, ["policy_trash_days", "policy_check_days"]),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_all_at_once(
    holder: Service, policy: dict[str, Any], says: list[str]
) -> None:
    effect = holder.admin.post("/v1/policy/effect", json={"policy": policy}).json()
    text = " ".join(effect["problems"])
    assert [words for words in says if words not in text] == []
    assert effect["after"] == []


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("policies")
    made_one = Service(folder, policy_dir=str(folder / "policy")).start()
    made(made_one, "pc1", DAYS[0], cell("holder"))
    for day in DAYS[:2]:
        made(made_one, "office", day, cell("holder"))
    assert made_one.admin.delete(f"/v1/images/office/{DAYS[0]}").is_success
    yield made_one
    made_one.close()


def test_a_policy_says_what_it_would_change(holder: Service) -> None:
    policy = {
        "keep": {"last": 1},
        "images": {"pc1": {"note": "Reception"}, "later": {}},
        "aliases": {"base": "office"},
    }
    effect = holder.admin.post("/v1/policy/effect", json={"policy": policy}).json()
    assert effect["problems"] == []
    assert effect["warnings"] == ["policy_images.later: there is no image later yet."]
    before, after = set(effect["before"]), set(effect["after"])
    assert {"alias base is office", "pc1: Reception"} <= after - before
    assert any(line.startswith(f"pc1@{DAYS[0]} kept") and "last 1" in line for line in after)


def test_the_name_of_a_version_in_the_trash_is_not_given_again(service: Service) -> None:
    name, version = service.image(cell("once"))
    assert service.admin.delete(f"/v1/images/{name}").is_success
    pc = service.machine(image=name)
    pc.put(cell("twice"))
    again = pc.publish(cell("twice"), name=name)
    assert again.status_code == 201, again.text
    assert again.json()["version"] != version
    assert service.admin.post("/v1/trash/undelete", json={"name": name}).is_success
    assert len(listed(service, name)) == 2
    refused(service.admin.post("/v1/trash/undelete", json={"name": name}), "not_in_trash")


def test_renamed_and_copied_versions_are_whole(service: Service) -> None:
    for day in DAYS:
        made(service, "old", day, cell(f"moved {day}"), cell("shared"))
    made(service, "taken", DAYS[0], cell("other"))
    label = {"version": DAYS[0], "hold": True, "note": "the first"}
    assert service.admin.post("/v1/images/old/label", json=label).is_success
    refused(service.admin.post("/v1/images/old/rename", json={"to": "taken"}), "name_taken")
    menu(service, "kiosk", "52:54:00:cc:00:01", item("again", "restore", image="old"))
    refused(service.admin.post("/v1/images/old/rename", json={"to": "new"}), "image_named", "kiosk")
    (service.folder / "menus/kiosk.json").unlink()

    done = service.admin.post("/v1/images/old/copy", json={"to": "copied"})
    assert done.json() == {"name": "copied", "versions": [DAYS[2]]}
    assert service.admin.post("/v1/images/old/rename", json={"to": "new"}).is_success
    shown = listed(service, "new")
    assert list(shown) == list(reversed(DAYS))
    assert (shown[DAYS[0]]["note"], shown[DAYS[0]]["held"]) == ("the first", ["held"])
    refused(service.admin.get("/v1/images/old"), "unknown_image")
    assert len(service.admin.get("/v1/trash").json()["trash"]) == 3
    service.admin.post("/v1/trash/empty", json={})
    age(service, 3)
    before = len(chunks(service))
    collected = service.admin.post("/v1/collect").json()
    assert (collected["removed"], collected["kept"]) == (0, before)
    for name, version in [*(("new", day) for day in DAYS), ("copied", DAYS[2])]:
        check = service.admin.post(f"/v1/images/{name}/{version}/check").json()
        assert check["state"] == "sound"
    manifest = service.admin.get(f"/v1/images/new/{DAYS[0]}").json()["manifest"]
    assert (manifest["name"], manifest["version"]) == ("new", DAYS[0])
