# SPDX-License-Identifier: GPL-3.0-or-later
"""Media that are made by themselves: what can't be meant, what is due, made, failed and told."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.engine.target_rule import Rule
from slipway.format import MEDIA, ImageRef
from slipway_media import orders
from slipway_server.base.policy_files import PolicyError
from slipway_server.images.media import Media
from slipway_server.images.media_policy import Target, Wanted, is_due, order_of, parse

from .conftest import ROOT, Service, cell
from .test_media import RECORD, keep
from .test_prune import made
from .test_telling import admit, of_kind, wait_for

DAY = 86400.0
DAYS = ("20260101T000000Z", "20260102T000000Z", "20260103T000000Z")


# --- what is wanted, and when it is due ------------------------------------------


def test_all_that_cannot_be_meant_is_said_at_once_with_what_was_meant() -> None:
    with pytest.raises(PolicyError) as found:
        parse(
            {
                "media": {
                    "pc1": {"medium": "dvdl", "every_day": 3},
                    "pc2": {"medium": "usb", "every_days": 0, "target": {"modle": "x"}},
                    "pc3": {},
                    "PC4": {"medium": "cd"},
                    "pc5": {"medium": "cd", "countdown": 3601, "unattended": "yes"},
                    "pc6": {"medium": -1, "image": "pc6@yesterday"},
                }
            }
        )
    said = "\n".join(found.value.problems)
    for words in (
        "policy_media.pc1.medium: must be one of cd, dvd, dvd-dl, bd, bd-dl, usb, or a number of "
        "bytes (did you mean dvd",
        "policy_media.pc1.every_day: there is no such key (did you mean every_days?)",
        "policy_media.pc2.every_days: ",
        "policy_media.pc2.target.modle: there is no such key (did you mean model?)",
        "policy_media.pc3.medium: ",
        "policy_media.PC4",
        "policy_media.pc5.countdown: ",
        "policy_media.pc5.unattended: ",
        "policy_media.pc6.medium: ",
        "policy_media.pc6.image: ",
    ):
        assert words in said, said


@pytest.mark.parametrize("medium", [*MEDIA, 4_000_000_000, "4000000000"])
def test_a_medium_is_said_by_name_or_by_bytes(medium: str | int) -> None:
    [wanted] = parse({"media": {"pc1": {"medium": medium}}}).media.values()
    assert (wanted.medium, wanted.every_days, wanted.image_of("pc1")) == (str(medium), 30, "pc1")


def test_a_target_has_the_same_keys_everywhere() -> None:
    specs = yaml.safe_load((ROOT / "roles/restore_media/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]["restore_media_target"]["options"]
    rule = {field.name for field in dataclasses.fields(Rule)}
    assert rule == set(Target.model_fields) == set(options)


NOW = datetime(2026, 3, 1, tzinfo=UTC)


def set_made(days_ago: float, **facts: Any) -> Media:
    when = (NOW - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Media.model_validate(RECORD | {"medium": "usb", "made": when} | facts)


@pytest.mark.parametrize(
    ("there", "due"),
    [
        (None, True),
        # The image has not changed, however old the set is.
        (set_made(1), False),
        (set_made(1000), False),
        # It has changed: then the days count.
        (set_made(6.9, version="20250101T000000Z"), False),
        (set_made(7, version="20250101T000000Z"), True),
        # A clock that was wrong keeps nobody from new media.
        (set_made(-2, version="20250101T000000Z"), True),
        (set_made(1, version="20250101T000000Z", made="some day"), True),
        # Another set than the one that is wanted.
        (set_made(1, medium="cd"), True),
        (set_made(1, image="pc2"), True),
        (set_made(1, unattended=True), True),
    ],
)
def test_due_is_what_changed_once_the_days_are_over(there: Media | None, due: bool) -> None:
    wanted = Wanted(medium="usb", every_days=7)
    version = ImageRef("pc1", RECORD["version"])
    assert is_due(wanted, version, there, NOW.timestamp()) is due


def test_only_an_unattended_set_has_the_rule_of_its_machine() -> None:
    known = {"only_fixed": True, "machine_serial": "5CG1", "machine_uuid": ""}
    said = {"target": Target(machine_serial="X")}
    version = ImageRef("pc1", DAYS[0])
    rules = [
        order_of(Wanted(medium="cd", unattended=flag, **more), version, known)["rule"]
        for flag, more in ((False, {}), (True, {}), (True, said), (False, said))
    ]
    assert rules == [
        {},
        known,
        known | {"machine_serial": "X"},
        {"machine_serial": "X"},
    ]


# --- the clockwork, with the builder itself --------------------------------------


class Site:
    """A service, its media, and the builder as its unit runs it."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.media = folder / "media"
        self.env = folder / "env"
        self.env.mkdir()
        for name in ("vmlinuz", "initrd.img"):
            (self.env / name).write_bytes(b"no kernel" * 1000)
        self.orders = service.state / "media-orders"

    def say(self, **media: Any) -> None:
        folder = self.service.folder / "policy"
        folder.mkdir(exist_ok=True)
        (folder / "new").write_text(json.dumps({"media": media}))
        (folder / "new").rename(folder / "media.json")

    def order(self, name: str) -> dict[str, Any]:
        """What is asked for, once it is."""
        path = self.orders / f"{name}.json"
        wait_for(path.exists)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def work(self, reserve: int = 0) -> int:
        words = ["--orders", self.orders, "--outcomes", self.media / ".outcomes"]
        words += ["--store", self.service.store, "--environment", self.env]
        words += ["--folder", self.media, "--reserve", reserve]
        return orders.main(list(map(str, words)))

    def nothing_is_asked(self) -> bool:
        """Whether that stays so over some looks."""
        time.sleep(2.5)
        return not list(self.orders.glob("*.json"))

    def older(self, name: str, days: float) -> None:
        """Let a set be of some days ago."""
        path = self.media / name / "media.json"
        when = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"made": when}))


@pytest.fixture
def site(own_service: Callable[..., Service], tmp_path: Path) -> Site:
    (tmp_path / "media").mkdir()
    service = own_service(
        policy_dir=str(tmp_path / "0/policy"),
        media_dir=str(tmp_path / "media"),
        media_seconds=1,
        tell_seconds=1,
    )
    admit(service, "mail")
    return Site(service, tmp_path)


def test_made_anew_when_the_image_changed_and_the_days_are_over(site: Site) -> None:
    made(site.service, "pc1", DAYS[0], cell("first"))
    site.say(pc1={"medium": "usb", "every_days": 30})
    asked = site.order("pc1")
    assert asked["image"] == f"pc1@{DAYS[0]}" and asked["medium"] == "usb"
    assert site.work() == 0 and (site.media / "pc1/pc1.iso").exists()
    wait_for(lambda: not (site.orders / "pc1.json").exists())
    assert site.nothing_is_asked()
    # The days alone are no reason, nor is a new version.
    site.older("pc1", 31)
    assert site.nothing_is_asked()
    site.older("pc1", 29)
    made(site.service, "pc1", DAYS[1], cell("second"))
    assert site.nothing_is_asked()
    site.older("pc1", 30)
    assert site.order("pc1")["image"] == f"pc1@{DAYS[1]}"
    site.service.restart()
    assert site.work() == 0
    [image] = site.service.admin.get("/v1/images").json()["images"]
    shown = {each["version"]: [it["name"] for it in each["media"]] for each in image["versions"]}
    assert shown == {DAYS[0]: [], DAYS[1]: ["pc1"]}
    wait_for(lambda: not (site.orders / "pc1.json").exists())
    assert not of_kind(site.service, "media_failed")


def test_what_fails_is_told_once_tried_again_after_a_day_and_well_at_last(site: Site) -> None:
    made(site.service, "pc1", DAYS[0], cell("has no room"))
    site.say(pc1={"medium": "cd"}, pc2={"medium": "cd"}, front={"medium": "dvd", "image": "pc1"})
    site.order("front")
    asked = site.order("pc1")
    assert site.work(reserve=1 << 60) == 1

    def told() -> dict[str, str]:
        lines = [it for each in of_kind(site.service, "media_failed") for it in each["lines"]]
        return dict(line.split(": ", 1) for line in lines)

    wait_for(lambda: len(told()) == 3)
    assert "nothing was made. Remedy: " in told()["pc1"] == told()["front"]
    assert told()["pc2"].startswith("There is no image pc2.")
    shown = site.service.admin.get("/v1/status").json()["warnings"]
    assert [each for each in shown if each.startswith("media pc1: The media take ")]
    count = len(of_kind(site.service, "media_failed"))
    assert site.nothing_is_asked()
    # A day later.
    path = site.media / ".outcomes/pc1.json"
    outcome = json.loads(path.read_text())
    assert outcome["id"] == asked["id"]
    path.write_text(json.dumps(outcome | {"at": "2026-01-01T00:00:00Z"}))
    assert site.order("pc1")["id"] != asked["id"]
    assert site.work() == 0
    wait_for(lambda: not (site.orders / "pc1.json").exists())
    # Something else is wanted of the other: that is tried at once.
    site.say(pc1={"medium": "cd"}, front={"medium": "bd", "image": "pc1"})
    assert site.order("front")["medium"] == "bd"
    assert site.work() == 0
    wait_for(lambda: not (site.orders / "front.json").exists())
    assert len(of_kind(site.service, "media_failed")) == count


def test_an_order_that_nobody_takes_up_is_said(site: Site) -> None:
    made(site.service, "pc1", DAYS[0], cell("nobody"))
    site.say(pc1={"medium": "cd"})
    asked = site.order("pc1")
    path = site.orders / "pc1.json"
    path.write_text(json.dumps(asked | {"asked": "2026-01-01T00:00:00Z"}))
    [told] = wait_for(lambda: of_kind(site.service, "media_failed"))
    assert told["subject"] == "1 set of media was not made"
    assert "slipway-media.path" in told["lines"][0]
    # A unit that missed it hears of it again.
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    wait_for(lambda: path.stat().st_ino != inode)
    assert json.loads(path.read_text())["id"] == asked["id"]
    # What is wanted no more is asked for no more.
    site.say()
    wait_for(lambda: not path.exists())


def test_the_newest_good_version_and_the_one_that_an_alias_names(site: Site) -> None:
    service = site.service
    lost = cell("rotten")
    made(service, "pc1", DAYS[0], cell("good"))
    made(service, "pc1", DAYS[1], cell("also good"))
    made(service, "pc1", DAYS[2], lost)
    service.chunk_path(lost).unlink()
    assert service.admin.post(f"/v1/images/pc1/{DAYS[2]}/check").json()["state"] == "broken"
    answer = service.admin.post("/v1/aliases/front", json={"image": f"pc1@{DAYS[0]}"})
    assert answer.status_code < 300, answer.text
    site.say(pc1={"medium": "cd"}, front={"medium": "cd"})
    assert site.order("pc1")["image"] == f"pc1@{DAYS[1]}"
    assert site.order("front")["image"] == f"pc1@{DAYS[0]}"


def test_a_new_policy_is_looked_at_at_once(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    (tmp_path / "media").mkdir()
    places = {"policy_dir": str(tmp_path / "0/policy"), "media_dir": str(tmp_path / "media")}
    site = Site(own_service(media_seconds=86400, **places), tmp_path)
    made(site.service, "pc1", DAYS[0], cell("at once"))
    site.say(pc1={"medium": "cd"})
    assert site.order("pc1")["medium"] == "cd"
    site.say(pc1={"medium": "dvd"})
    wait_for(lambda: site.order("pc1")["medium"] == "dvd")
    site.say()
    wait_for(lambda: not (site.orders / "pc1.json").exists())


def test_a_policy_that_cannot_be_used_changes_nothing(site: Site) -> None:
    made(site.service, "pc1", DAYS[0], cell("kept"))
    site.say(pc1={"medium": "cd"})
    site.order("pc1")
    (site.service.folder / "policy/media.json").write_text("{")
    time.sleep(2.5)
    assert (site.orders / "pc1.json").exists()
    [shown] = site.service.admin.get("/v1/status").json()["warnings"]
    assert "policy/media.json can't be used" in shown


def test_unattended_it_knows_its_machine(site: Site) -> None:
    service = site.service
    made(service, "pc7", DAYS[0], cell("of pc7"))
    machine = service.machine(machine="pc7", arrived=False)
    service.lease(machine.mac)
    hardware = {"cpu": "test", "uuid": "4c4c4544-0042-3510-8054-b7c04f4d3732", "serial": "5CG1"}
    assert machine.check_in(hardware=hardware).status_code == 200
    service.admin.delete(f"/v1/sessions/{machine.session}")
    site.say(pc7={"medium": "usb", "unattended": True})
    assert site.order("pc7")["rule"] == {
        "only_fixed": True,
        "machine_serial": "5CG1",
        "machine_uuid": "4c4c4544-0042-3510-8054-b7c04f4d3732",
    }


# --- the policy as a whole ---------------------------------------------------------


def effect(service: Service, **policy: Any) -> dict[str, Any]:
    answer = service.admin.post("/v1/policy/effect", json={"policy": policy})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_effect_of_a_policy_speaks_of_media(site: Site) -> None:
    service = site.service
    made(service, "pc1", DAYS[0], cell("effect"))
    wrong = effect(service, media={"pc1": {"medum": "cd"}}, schedules={"x": {}}, keep={"lasst": 1})
    said = " ".join(wrong["problems"])
    assert "policy_media.pc1.medum: there is no such key (did you mean medium?)" in said
    assert "policy_schedules.x" in said and "policy_keep.lasst" in said
    gone = effect(service, media={"pc1": {"medium": "cd", "image": f"pc1@{DAYS[1]}"}})
    assert gone["problems"][0].startswith("policy_media.pc1.image: Image pc1 has no version")
    site.say(pc1={"medium": "cd"})
    found = effect(
        service, media={"pc1": {"medium": "usb", "unattended": True}, "pc11": {"medium": "cd"}}
    )
    assert found["warnings"] == [
        "policy_media.pc11: there is no image pc11 (did you mean pc1?) yet."
    ]
    assert "media pc1: pc1 for cd, at most every 30 days" in found["before"]
    assert "media pc1: pc1 for usb, unattended, at most every 30 days" in found["after"]


def test_a_version_that_media_are_made_of_is_not_deleted(site: Site) -> None:
    service = site.service
    for day in DAYS[:2]:
        made(service, "pc1", day, cell(f"named {day}"))
    site.say(front={"medium": "cd", "image": f"pc1@{DAYS[0]}"})
    answer = service.admin.delete(f"/v1/images/pc1/{DAYS[0]}")
    assert answer.json()["error"] == "image_named" and "media front" in answer.json()["message"]


def test_media_that_are_gone_are_made_again(site: Site) -> None:
    made(site.service, "pc1", DAYS[0], cell("gone"))
    record = RECORD | {"name": "pc1", "version": DAYS[0], "medium": "usb"}
    keep(site.media, "pc1", json.dumps(record))
    site.say(pc1={"medium": "usb"})
    assert site.order("pc1")["image"] == f"pc1@{DAYS[0]}"
