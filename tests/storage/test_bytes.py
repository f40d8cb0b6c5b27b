# SPDX-License-Identifier: GPL-3.0-or-later
"""What the store holds, to the byte, after ten backups of two disks that change.

Counted from its files and the text of its manifests, without the service's or the agent's code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..unit.server.both_ends import Server, serving
from ..unit.server.conftest import cell
from ..unit.server.test_prune import age, say
from .conftest import Agent
from .disk_builder import MIB, Disk, attached, mounted

ROUNDS = 10
PCS = ("pc1", "pc2")
KEPT = 3


@pytest.fixture
def server(room: Path) -> Iterator[Server]:
    folder = room / "server"
    folder.mkdir()
    with serving(folder, policy_dir=str(folder / "service/policy")) as made:
        yield made


def back_up(server: Server, room: Path, name: str, disk: Path) -> dict[str, Any]:
    pc = server.service.machine(image=name)
    token = room / "token"
    token.write_text(pc.token)
    place = ["--store", server.site.server, "--token-file", token, "--ca", server.site.ca]
    done = Agent(room, [str(each) for each in place])("backup", disk, "--name", name).ok()
    server.service.admin.delete(f"/v1/sessions/{pc.session}?outcome=done")
    return done


def change(disk: Disk, number: int) -> None:
    """A day's work: something new, something gone, something in the middle of a file."""
    part = disk.part(1)
    with attached(disk.path, offset=part.offset, size=part.size) as device:
        link = disk.path.with_name(f"{disk.path.name}.part")
        link.symlink_to(device)
        with mounted(link) as point:
            (point / f"new-{number}").write_bytes(os.urandom(3 * MIB))
            (point / f"new-{number - 2}").unlink(missing_ok=True)
            if number > 1:
                with (point / f"new-{number - 1}").open("r+b") as file:
                    file.seek(MIB)
                    file.write(os.urandom(4096))
        link.unlink()


def manifests(store: Path) -> dict[Path, dict[str, Any]]:
    found = [*(store / "images").rglob("*.json"), *(store / "trash").rglob("*.json")]
    return {path: json.loads(path.read_bytes())["manifest"] for path in found}


def named_by(manifest: dict[str, Any]) -> set[str]:
    text = [seg["cells"] for disk in manifest["disks"] for seg in disk["segments"]]
    return {cells[at : at + 64] for cells in text for at in range(0, len(cells), 64)}


def files_of(store: Path) -> dict[str, int]:
    """Every file below `chunks`, whatever it is, by its name."""
    found = [path for path in (store / "chunks").rglob("*") if path.is_file()]
    return {path.name: path.stat().st_size for path in found}


def accounted(store: Path, pending: frozenset[str] = frozenset()) -> dict[str, int]:
    """Look that there is what manifests name and what is pending, and not a file more."""
    there, known = files_of(store), manifests(store)
    named = {path: named_by(manifest) for path, manifest in known.items()}
    everything = set[str]().union(*named.values())
    assert set(there) == everything | pending
    for path, digests in named.items():
        assert known[path]["stored_bytes"] == sum(there[each] for each in digests), path
    assert list((store / "tmp").iterdir()) == []
    return {
        "kept": len(everything),
        "kept_bytes": sum(there[each] for each in everything),
        "pending": len(pending),
        "pending_bytes": sum(there[each] for each in pending),
    }


def collect(server: Server) -> dict[str, Any]:
    answer = server.service.admin.post("/v1/collect")
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


def test_the_store_holds_what_manifests_name_and_what_is_pending(
    golden: Callable[[str], Disk], server: Server, room: Path
) -> None:
    service, store = server.service, server.service.store
    say(service, keep={"last": KEPT})
    disks = {name: golden("mbr").copy(room / f"{name}.img") for name in PCS}
    for number in range(1, ROUNDS + 1):
        for name, disk in disks.items():
            change(disk, number)
            back_up(server, room, name, disk.path)
        if number == ROUNDS // 2:
            assert service.admin.post("/v1/prune", json={}).json()["removed"]
            age(service, 3)
            collect(server)
            # What is in the trash is whole.
            assert len(manifests(store)) == len(PCS) * number
            accounted(store)
    everything = sum(files_of(store).values())
    assert service.admin.post("/v1/prune", json={}).json()["removed"]
    for name in PCS:
        assert len(list((store / "images" / name).iterdir())) == KEPT
    service.admin.post("/v1/trash/empty", json={})
    [victim, *_] = service.admin.get(f"/v1/images/{PCS[0]}").json()["versions"][1:]
    deleted = service.admin.delete(f"/v1/images/{PCS[0]}/{victim['version']}")
    assert deleted.status_code == 200, deleted.text
    age(service, 3)
    # Backups that were given up, just now.
    given_up = service.machine()
    pending = frozenset(given_up.put(cell(f"given up {number}")) for number in range(3))
    service.admin.delete(f"/v1/sessions/{given_up.session}")
    done = collect(server)
    assert len(manifests(store)) == len(PCS) * KEPT
    counted = accounted(store, pending)
    assert {key: done[key] for key in counted} == counted
    left = counted["kept_bytes"] + counted["pending_bytes"]
    new = sum(files_of(store)[each] for each in pending)
    assert done["removed_bytes"] == everything + new - left > 10 * MIB
    # A day later they are gone, too.
    age(service, 3)
    assert collect(server)["removed"] == len(pending)
    accounted(store)
    for name, disk in disks.items():
        pc = service.machine("verify", image=name)
        (room / "token").write_text(pc.token)
        place = ["--store", server.site.server, "--token-file", room / "token"]
        agent = Agent(room, [str(each) for each in [*place, "--ca", server.site.ca]])
        assert agent("compare", name, disk.path).code == 0
