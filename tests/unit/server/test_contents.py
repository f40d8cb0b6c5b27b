# SPDX-License-Identifier: GPL-3.0-or-later
"""What a version holds, partition by partition, and who names it."""

from __future__ import annotations

from collections.abc import Callable

from slipway.format.codec import serialize
from slipway.format.extents import Extents
from slipway.format.frames import digest_of
from slipway.format.manifest import Disk, Identity, Manifest, Segment, Table, TablePartition

from .choosing import item, make_chooser, order
from .conftest import CELL, Service, cell
from .test_page_socket import ask
from .test_schedules import write as write_schedules

SHARED, ALONE = cell("in both partitions"), cell("in one of them")


def two_partitions(name: str, label: str = "Windows") -> bytes:
    """A manifest of a disk with an NTFS of two cells, one of them twice, and swap."""
    both, one = (bytes.fromhex(digest_of(each)) for each in (SHARED, ALONE))
    table = Table(
        "gpt",
        partitions=(
            TablePartition(1, 2048, 8192, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", name="Basic"),
            TablePartition(2, 10240, 2048, "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", name="swap"),
        ),
    )
    segments = (
        Segment("boot", 0, CELL, Extents.whole(CELL), both, content="table"),
        Segment(
            "partition",
            CELL,
            4 * CELL,
            Extents.of([(0, 3 * CELL)]),
            both + one + both,
            1,
            content="ntfs",
            method="used",
            label=label,
            unreadable=Extents.of([(0, 4096)]),
        ),
        Segment("partition", 5 * CELL, CELL, Extents.whole(CELL), both, 2, content="swap"),
    )
    disk = Disk("disk0", Identity("S1", "", "M1"), 6 * CELL, 512, 4096, table, segments)
    return serialize(Manifest(name, CELL, (disk,)))


def save(service: Service, label: str = "Windows") -> tuple[str, str]:
    pc = service.machine()
    for content in (SHARED, ALONE):
        pc.put(content)
    manifest = two_partitions(pc.name, label)
    made = pc.request("POST", f"/v1/images/{pc.name}", content=manifest)
    assert made.status_code == 201, made.text
    service.admin.delete(f"/v1/sessions/{pc.session}", params={"outcome": "done"})
    return pc.name, made.json()["version"]


def test_disks_and_partitions(service: Service) -> None:
    name, version = save(service)
    path = f"/v1/images/{name}/{version}/contents"
    [disk] = ask(service, "GET", path, "viewer").json()["disks"]
    partitions = disk.pop("partitions")
    assert disk == {
        "id": "disk0",
        "table": "gpt",
        "model": "M1",
        "serial": "S1",
        "size": 6 * CELL,
        "used": 5 * CELL,
    }
    both, one = (service.chunk_path(each).stat().st_size for each in (SHARED, ALONE))
    shown = [
        (each["id"], each["name"], each["content"], each["size"], each["used"], each["stored"])
        for each in partitions
    ]
    assert shown == [
        ("disk0:1", "Windows", "ntfs", 4 * CELL, 3 * CELL, both + one),
        ("disk0:2", "swap", "swap", CELL, CELL, both),
    ]
    assert [each["unreadable"] for each in partitions] == [4096, 0]
    assert partitions[0]["type"].startswith("EBD0A0A2")


def test_everybody_who_names_it(own_service: Callable[..., Service]) -> None:
    service = own_service()
    service.reconfigure(policy_dir=str(service.folder / "policy"))
    name, version = save(service)
    path = f"/v1/images/{name}/{version}/contents"
    assert ask(service, "GET", path).json()["named"] == []
    assert service.admin.post("/v1/aliases/base", json={"image": name}).status_code == 200
    items = [
        item("exactly", "restore", image=f"{name}@{version}"),
        item("newest", "restore", image=name),
        item("by-alias", "restore", image="base"),
    ]
    pc = make_chooser(service, *items)
    write_schedules(
        service,
        nightly={
            "verb": "restore",
            "machines": [pc.name],
            "image": f"{name}@{version}",
            "from": "03:00",
            "to": "03:01",
            "except": ["2000-01-01..2100-01-01"],
        },
    )
    assert order(service, pc.name, "restore", image=f"{name}@{version}").status_code == 201
    named = ask(service, "GET", path).json()["named"]
    [job] = [each for each in named if each["by"].startswith("job ")]
    assert job["exactly"] and pc.name in job["by"] and job["by"].endswith("(restore)")
    assert {each["by"]: each["exactly"] for each in named if each is not job} == {
        f"menu of {pc.name}, item exactly": True,
        f"menu of {pc.name}, item newest": False,
        f"menu of {pc.name}, item by-alias, by alias base": False,
        "alias base": False,
        "schedule nightly": True,
    }


def test_what_is_not_there_or_damaged_is_refused(own_service: Callable[..., Service]) -> None:
    service = own_service()
    name, version = save(service)
    wrong = ask(service, "GET", f"/v1/images/{name}/20200101T000000Z/contents")
    assert wrong.json()["error"] == "unknown_version"
    (service.store / "images" / name / f"{version}.json").write_text("{}")
    damaged = ask(service, "GET", f"/v1/images/{name}/{version}/contents")
    assert damaged.json()["error"] == "store_failed" and "damaged" in damaged.json()["message"]
