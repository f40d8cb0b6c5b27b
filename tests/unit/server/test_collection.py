# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeing what nobody names: what was promised stays, and what can't be known stops it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slipway.format.frames import digest_of, make_frame
from slipway_server.images.collector import Collector, Stopped
from slipway_server.images.marked import SHARED, Marked
from slipway_server.images.promises import Promises, are_kept_in
from slipway_server.images.upkeep import cutoff_of

from . import worlds
from .conftest import Service, cell
from .test_kill_points import CONTENTS, open_images, publish
from .test_prune import age, chunks, made, say

DAY = 86400
MADE = "20260101T000000Z"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., tuple[Service, worlds.World]]]:
    there: list[Service] = []

    def make(*, promising: bool = True) -> tuple[Service, worlds.World]:
        folder = tmp_path / str(len(there))
        folder.mkdir()
        service, made_one = worlds.make(folder, promising=promising)
        there.append(service)
        return service.start(), made_one

    yield make
    for each in there:
        each.close()


@pytest.mark.parametrize("place", ["query", "put"])
@pytest.mark.parametrize("promising", [True, False])
def test_who_was_told_that_a_chunk_is_here_can_publish_it(
    world: Callable[..., tuple[Service, worlds.World]], place: str, promising: bool
) -> None:
    service, _ = world(promising=promising)
    content = cell(f"promised by {place}")
    pc = service.machine()
    pc.put(content)
    # As if an earlier backup had sent it, of a version that is gone.
    age(service, 3)
    if place == "query":
        asked = {"digests": [digest_of(content)]}
        assert pc.request("POST", "/v1/chunks/query", json=asked).json()["missing"] == []
    else:
        pc.put(content)
    assert service.admin.post("/v1/collect").json()["removed"] == (0 if promising else 1)
    # Without promises this is what backups would meet.
    assert pc.publish(content).status_code == (201 if promising else 409)


def test_what_a_backup_was_told_of_outlives_the_version_that_it_was_told_by(
    world: Callable[..., tuple[Service, worlds.World]],
) -> None:
    service, _ = world()
    content = cell("of a version that goes")
    name, version = service.image(content)
    pc = service.machine(image=name)
    asked = {"digests": [digest_of(content)]}
    assert pc.request("POST", "/v1/chunks/query", json=asked).json()["missing"] == []
    service.stop(9)
    (service.store / f"images/{name}/{version}.json").unlink()
    service.start()
    age(service, 0)
    service.admin.post("/v1/collect")
    assert pc.publish(content, name=name).status_code == 201


@pytest.mark.parametrize("jumps", [(2, -2, 2), (-2, 2), (2, 0), (0, -2, 0, 2)])
def test_a_clock_that_jumps_both_ways_takes_nobodys_chunk(
    world: Callable[..., tuple[Service, worlds.World]], jumps: tuple[int, ...]
) -> None:
    service, clock = world()
    content, other = cell("jumps"), cell("jumps, too")
    pc = service.machine()
    pc.put(content)
    for days in jumps:
        clock.set_clock(days * DAY)
        pc.put(other)
        service.restart(9)
        pc.put(other)
        assert service.admin.post("/v1/collect").status_code == 200
    assert pc.publish(content, other).status_code == 201


def test_what_a_backup_sent_stays_while_it_is_open_and_goes_a_day_later(
    world: Callable[..., tuple[Service, worlds.World]],
) -> None:
    service, clock = world()
    content = cell("never published")
    pc = service.machine(ttl_seconds=3600)
    pc.put(content)
    clock.set_clock(2 * DAY)
    assert service.admin.post("/v1/collect").json()["pending"] == 1
    service.admin.delete(f"/v1/sessions/{pc.session}")
    done = service.admin.post("/v1/collect").json()
    assert (done["removed"], done["pending"]) == (1, 0)
    assert chunks(service) == []
    # What is gone is sent again, and nobody is told that it is here.
    again = service.machine(image=pc.name)
    asked = {"digests": [digest_of(content)]}
    assert again.request("POST", "/v1/chunks/query", json=asked).json()["missing"]
    again.put(content)
    assert again.publish(content, name=pc.name).status_code == 201


@pytest.mark.parametrize("where", ["images", "trash"])
def test_a_manifest_that_cannot_be_read_stops_it_before_anything_is_removed(
    own_service: Callable[..., Service], where: str
) -> None:
    service = own_service()
    made(service, "sound", MADE, cell("sound"))
    made(service, "flipped", MADE, cell("flipped"))
    pc = service.machine()
    pc.put(cell("of nobody"))
    service.admin.delete(f"/v1/sessions/{pc.session}")
    if where == "trash":
        assert service.admin.delete("/v1/images/flipped").is_success
    path = service.store / where / f"flipped/{MADE}.json"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    age(service, 3)
    answer = service.admin.post("/v1/collect")
    assert (answer.status_code, answer.json()["error"]) == (409, "collection_stopped")
    assert str(path) in answer.json()["message"]
    assert len(chunks(service)) == 3
    assert any("flipped" in each for each in service.admin.get("/v1/status").json()["warnings"])
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert service.admin.post("/v1/collect").json()["removed"] == 1
    assert service.admin.get("/v1/status").json()["warnings"] == []


def test_a_file_that_looks_like_a_manifest_stops_it(own_service: Callable[..., Service]) -> None:
    service = own_service()
    made(service, "pc1", MADE, cell("odd names"))
    odd = service.store / "images/pc1/copy-of-20260101T000000Z.json"
    odd.write_bytes((service.store / f"images/pc1/{MADE}.json").read_bytes())
    assert service.admin.post("/v1/collect").json()["error"] == "collection_stopped"


def test_a_file_system_that_forgets_access_times_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert are_kept_in(tmp_path)
    real = os.utime

    def forgetful(path: Path, times: None = None, ns: tuple[int, int] = (0, 0)) -> None:
        real(path, ns=(time.time_ns() - 5 * 10**9, ns[1]))

    monkeypatch.setattr(os, "utime", forgetful)
    assert not are_kept_in(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_counted_to_the_byte(own_service: Callable[..., Service]) -> None:
    """Ten backups of two machines with changes, some deleted: all that is left is accounted for."""
    service = own_service()
    versions = []
    for number in range(10):
        name = f"pc{number % 2}"
        contents = [cell(f"base {name}"), cell(f"change {number // 4}"), cell(f"of {number}")]
        versions.append(made(service, name, f"202601{number + 10}T000000Z", *contents))
    pc = service.machine()
    pc.put(cell("pending"))
    for reference in versions[:6]:
        assert service.admin.delete("/v1/images/" + reference.replace("@", "/")).is_success
    service.admin.post("/v1/trash/empty", json={})
    age(service, 3)
    pc.put(cell("pending"))
    done = service.admin.post("/v1/collect").json()
    on_disk = {path.name: path.stat().st_size for path in chunks(service)}
    named: set[str] = set()
    for reference in versions[6:]:
        manifest = service.admin.get("/v1/images/" + reference.replace("@", "/")).text
        named |= {digest for digest in on_disk if digest in manifest}
    pending = {digest_of(cell("pending"))}
    assert on_disk.keys() == named | pending
    assert done["kept_bytes"] == sum(on_disk[each] for each in named)
    assert done["pending_bytes"] == sum(on_disk[each] for each in pending)
    shown = service.admin.get("/v1/images").json()["images"]
    alone = {
        f"{image['name']}@{each['version']}": each["own"]
        for image in shown
        for each in image["versions"]
    }
    for number, reference in enumerate(versions[6:], 6):
        assert alone[reference] == on_disk[digest_of(cell(f"of {number}"))]


def test_a_missing_chunk_is_found_and_told_of_the_version(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    content = cell("lost")
    made(service, "pc1", MADE, content, cell("left"))
    service.admin.post("/v1/collect")
    service.chunk_path(content).unlink()
    assert service.admin.post("/v1/collect").json()["missing"] == 1
    [version] = service.admin.get("/v1/images/pc1").json()["versions"]
    assert (version["good"], version["lacking"]) == (False, 1)
    pc = service.machine()
    pc.put(content)
    [version] = service.admin.get("/v1/images/pc1").json()["versions"]
    assert (version["good"], version["lacking"]) == (True, 0)


def test_a_bad_chunk_marks_every_version_and_the_next_backup_heals_them(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    content = cell("rots")
    for name in ("pc1", "pc2"):
        made(service, name, MADE, content, cell(f"of {name}"))
    made(service, "pc3", MADE, cell("of pc3"))
    data = bytearray(service.chunk_path(content).read_bytes())
    data[-6] ^= 255
    service.chunk_path(content).write_bytes(data)
    done = scrubbed(service)
    assert (done["read"], done["bad_count"]) == (4, 1)
    assert done["broken"] == [f"pc1@{MADE}", f"pc2@{MADE}"]
    assert any(
        "chunks are bad" in each for each in service.admin.get("/v1/status").json()["warnings"]
    )
    good = {
        image["name"]: image["versions"][0]["good"]
        for image in service.admin.get("/v1/images").json()["images"]
    }
    assert good == {"pc1": False, "pc2": False, "pc3": True}
    pc = service.machine(image="pc1")
    pc.put(content)
    assert all(
        image["versions"][0]["good"] for image in service.admin.get("/v1/images").json()["images"]
    )
    # Those read lately are not read again.
    assert scrubbed(service, older_than_days=1)["read"] == 0


def scrubbed(service: Service, **wanted: Any) -> dict[str, Any]:
    begun = service.admin.post("/v1/scrub", json=wanted)
    assert (begun.status_code, begun.json()) == (202, {"waits_for": []})
    return ended(service)


def ended(service: Service) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (shown := service.admin.get("/v1/upkeep").json())["under_way"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found: dict[str, Any] = shown["scrub"]
    return found


def test_a_scrub_that_waits_for_a_restore_says_so_at_once(
    own_service: Callable[..., Service],
) -> None:
    service = own_service()
    name, version = service.image(cell("read by two"))
    pc = service.machine("restore", image=name, version=version)
    # What the restore's own check reads meanwhile is none of the scrub's.
    service.session(pc.session, wait=10, until="image_checked")
    began = time.monotonic()
    said = service.admin.post("/v1/scrub", json={}).json()["waits_for"]
    assert time.monotonic() - began < 10
    assert said == [f"restore of {pc.name} (session {pc.session})"]
    shown = service.admin.get("/v1/upkeep").json()
    assert (shown["under_way"], shown["waits_for"], shown["scrub"]) == (["scrub"], said, None)
    again = service.admin.post("/v1/scrub", json={})
    assert (again.status_code, again.json()["error"]) == (409, "already_runs")
    assert said[0] in again.json()["message"]
    service.admin.delete(f"/v1/sessions/{pc.session}")
    assert ended(service)["read"] == 1


def test_all_of_it_is_done_by_the_service_itself(
    own_service: Callable[..., Service], tmp_path: Path
) -> None:
    quick = {"upkeep_seconds": 1, "collect_after_seconds": 0, "collect_margin_seconds": 0}
    service = own_service(policy_dir=str(tmp_path / "0/policy"), **quick)
    old, new = cell("goes by itself"), cell("stays by itself")
    made(service, "pc1", MADE, old)
    made(service, "pc1", "20260102T000000Z", new)
    say(service, keep={"last": 1}, trash_days=0)
    deadline = time.monotonic() + 120
    while service.chunk_path(old).exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not service.chunk_path(old).exists()
    assert service.chunk_path(new).exists()
    while not (done := service.admin.get("/v1/upkeep").json())["scrub"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert done["scrub"]["problem"] is done["collection"]["problem"] is None


def test_what_many_versions_name_fits_a_file(tmp_path: Path) -> None:
    digests = [bytes([number]) * 32 for number in range(200)]
    for most in (1000, 50):
        marked = Marked(tmp_path / "spill", most)
        marked.add(digests[:120], 0)
        marked.add(digests[100:150], 1)
        marked.add(digests[:10], 0)
        assert len(marked) == 150
        assert [marked.owner(digests[at]) for at in (5, 110, 140, 160)] == [0, SHARED, 1, None]
        assert (tmp_path / "spill").exists() == (most == 50)
        marked.close()
        assert not (tmp_path / "spill").exists()


def test_the_cutoff_is_before_all_that_somebody_may_rely_on() -> None:
    assert cutoff_of(1e6, [], 86400, 300) == 1e6 - 86700
    assert cutoff_of(1e6, [9e5, 5e5], 86400, 300) == 5e5 - 300


def test_a_promise_changes_nothing_that_is_known_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "chunk"
    path.write_bytes(b"x")
    os.utime(path, (1, 2))
    before, promises = path.stat(), Promises()
    assert promises.keep(path)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (
        before.st_mtime_ns,
        before.st_size,
        before.st_ino,
    )
    assert time.time() - after.st_atime < 60
    assert promises.remove(path, (time.time_ns() // 10**9 - 60) * 10**9) is False
    assert promises.remove(path, time.time_ns() + 10**9) is True
    assert (promises.keep(path), promises.remove(path, 0)) == (False, None)


def test_a_run_that_ends_early_leaves_nothing_to_repair(tmp_path: Path) -> None:
    store, images = open_images(tmp_path)
    for content in (*CONTENTS, cell("of nobody")):
        store.put(digest_of(content), make_frame(content))
    publish(images, "pc", MADE)
    collector = Collector(store, images, images._memory, tmp_path / "spill")
    collector.stop()
    with pytest.raises(Stopped):
        collector.collect(time.time() + 60, lambda: False)
    fresh = Collector(store, images, images._memory, tmp_path / "spill")
    assert fresh.collect(time.time() + 60, lambda: True)["removed"] == 1
    assert store.missing(digest_of(each) for each in CONTENTS) == []
