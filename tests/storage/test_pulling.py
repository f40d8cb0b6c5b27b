# SPDX-License-Identifier: GPL-3.0-or-later
"""A site pulls from another: real services behind nginx and TLS, the program that pulls, killed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway_server.base import tokens

from ..unit.server.both_ends import Server, serving
from ..unit.server.conftest import cell, manifest_of
from ..unit.server.test_prune import age, say
from ..unit.server.test_telling import admit, of_kind
from .conftest import AGENT, Agent
from .disk_builder import MIB, sh

ROOT = Path(__file__).resolve().parents[2]
CUTS = 10
# As its unit has it where a folder is pulled from.
NOBODY = 65534
UNPRIVILEGED = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
    "--no-new-privs",
)
DISK = 480


@dataclass
class Sites:
    """Berlin has images, Bonn pulls them."""

    berlin: Server
    bonn: Server
    folder: Path

    def configure(self, **changes: Any) -> None:
        source = {
            "from": self.berlin.site.server,
            "token": (self.folder / "token").read_text(),
            "ca": str(self.berlin.site.ca),
            "images": ["*"],
        } | changes
        (self.folder / "pull.json").write_text(json.dumps({"berlin": source}))

    def start(
        self, *words: str, inside: Sequence[str] = (), state: Path | None = None
    ) -> subprocess.Popen[str]:
        state = state or self.folder / "state"
        place = ["--config", self.folder / "pull.json", "--state", state]
        socket = ["--socket", self.bonn.service.folder / "puller"]
        return subprocess.Popen(
            [
                *inside,
                sys.executable,
                "-P",
                "-m",
                "slipway_puller",
                *map(str, [*place, *socket]),
                *words,
            ],
            env=os.environ | {"PYTHONPATH": f"{AGENT}:{ROOT / 'roles/policy/files'}"},
            stderr=subprocess.PIPE,
            text=True,
        )

    def pull(
        self, *words: str, inside: Sequence[str] = (), state: Path | None = None
    ) -> tuple[int, str]:
        run = self.start(*words, inside=inside, state=state)
        _, said = run.communicate(timeout=300)
        return run.returncode, said


@pytest.fixture
def sites(room: Path) -> Iterator[Sites]:
    with ExitStack() as stack:
        made = []
        for name in ("berlin", "bonn"):
            folder = room / name
            folder.mkdir()
            config = {"policy_dir": str(folder / "service/policy"), "tell_seconds": 1}
            made.append(stack.enter_context(serving(folder, **config)))
        token = tokens.new_token()
        (room / "token").write_text(token)
        lent = {"token_hash": tokens.digest_of(token), "images": ["*"]}
        say(made[0].service, sites={"bonn": lent})
        (room / "state").mkdir()
        found = Sites(made[0], made[1], room)
        found.configure()
        yield found


def agent_of(server: Server, room: Path, verb: str, **wanted: str) -> Agent:
    pc = server.service.machine(verb, **wanted)
    (room / "session").write_text(pc.token)
    place = ["--store", server.site.server, "--token-file", room / "session"]
    return Agent(room, [str(each) for each in [*place, "--ca", server.site.ca]])


def saved(server: Server, room: Path, size: int) -> Path:
    """A disk of so many MiB, no two of them alike, of which the server has an image."""
    disk = room / "disk.img"
    with disk.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(MIB))
    sh("sfdisk", "-q", disk, input="label: dos\n2048,,83\n")
    agent_of(server, room, "backup", image="pc")("backup", disk, "--name", "pc").ok()
    return disk


def kept(server: Server) -> int:
    """Bytes of the chunks that are there."""
    return sum(
        each.stat().st_size
        for each in (server.service.store / "chunks").glob("*/*/*")
        if each.is_file()
    )


def sent(server: Server) -> int:
    """Bytes that nginx has sent of chunks; it writes its log every five seconds."""
    time.sleep(6)
    log = (server.site.ca.parent / "access.log").read_text()
    return sum(int(each) for each in re.findall(r'/chunks/[0-9a-f]{64}[^"]*" 20[06] (\d+)', log))


def manifests(server: Server) -> dict[str, bytes]:
    root = server.service.store / "images"
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*.json")}


@pytest.mark.slow
def test_killed_ten_times_it_completes_and_sends_hardly_anything_twice(
    sites: Sites, room: Path
) -> None:
    disk = saved(sites.berlin, room, DISK)
    stored = kept(sites.berlin)
    for step in range(1, CUTS + 1):
        run = sites.start()
        while run.poll() is None and kept(sites.bonn) < stored * step // (CUTS + 2):
            time.sleep(0.005)
        assert run.poll() is None, run.communicate()
        run.kill()
        run.communicate()
        assert manifests(sites.bonn) == {}, "a part of a version is none"
    code, said = sites.pull()
    assert code == 0, said
    assert manifests(sites.bonn) == manifests(sites.berlin)
    assert stored <= sent(sites.berlin) < stored * 1.05
    assert kept(sites.bonn) == stored
    # Sound, as its own server says who reads all of it, and as a PC there sees it.
    [path] = manifests(sites.bonn)
    check = sites.bonn.service.admin.post(f"/v1/images/{path.removesuffix('.json')}/check").json()
    assert check["state"] == "sound"
    assert agent_of(sites.bonn, room, "verify", image="pc")("compare", "pc", disk).code == 0
    # Nothing is due, and nothing is asked of the other site.
    before = sent(sites.berlin)
    assert sites.pull() == (0, "")
    assert sites.pull("--now")[0] == 0
    assert sent(sites.berlin) == before


def test_two_sites_pull_at_once_each_what_it_may(sites: Sites, room: Path) -> None:
    saved(sites.berlin, room, DISK // 16)
    secret, _ = sites.berlin.service.image(cell("for nobody else"))
    folder = room / "cologne"
    (folder / "state").mkdir(parents=True)
    token = tokens.new_token()
    (folder / "token").write_text(token)
    with serving(folder) as made:
        cologne = Sites(sites.berlin, made, folder)
        cologne.configure()
        lent = {"token_hash": tokens.digest_of(token), "images": ["pc"]}
        known = {"token_hash": tokens.digest_of((room / "token").read_text()), "images": ["*"]}
        say(sites.berlin.service, sites={"bonn": known, "cologne": lent})
        runs = [each.start() for each in (sites, cologne)]
        for run in runs:
            said = run.communicate(timeout=300)[1]
            assert run.returncode == 0, said
        assert manifests(sites.bonn) == manifests(sites.berlin)
        there = manifests(sites.berlin)
        assert manifests(made) == {
            path: text for path, text in there.items() if path.split("/")[0] != secret
        }


def test_a_run_waits_for_the_one_that_is_at_work(sites: Sites) -> None:
    sites.berlin.service.image(cell("waits"))
    with (sites.folder / "state/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = sites.start("--now")
        assert run.stderr is not None
        assert "waits for it" in run.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(3)
        assert manifests(sites.bonn) == {}
    assert run.wait(300) == 0
    assert manifests(sites.bonn) == manifests(sites.berlin)


def test_what_can_not_be_noted_comes_all_the_same_and_not_twice(sites: Sites) -> None:
    sites.berlin.service.image(cell("noted"))
    full = sites.folder / "full"
    full.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full)
    try:
        (full / "filling").write_bytes(bytes(4096))
        for _ in range(2):
            code, said = sites.pull("--now", state=full)
            assert code == 0 and "what came is not noted: [Errno 28]" in said, said
            assert manifests(sites.bonn) == manifests(sites.berlin)
    finally:
        sh("umount", full)


def test_it_goes_on_when_the_service_is_killed_on_either_side(sites: Sites, room: Path) -> None:
    saved(sites.berlin, room, DISK // 4)
    stored = kept(sites.berlin)
    run = sites.start()
    for server, part in ((sites.bonn, 4), (sites.berlin, 2)):
        while run.poll() is None and kept(sites.bonn) < stored // part:
            time.sleep(0.005)
        assert run.poll() is None, run.communicate()
        server.service.restart(9)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 0, said
    assert manifests(sites.bonn) == manifests(sites.berlin)
    assert kept(sites.bonn) == stored


def test_a_bad_chunk_at_the_source_is_not_published_and_told(sites: Sites) -> None:
    berlin, bonn = sites.berlin.service, sites.bonn.service
    admit(bonn, "mail")
    bad, good = cell("rots"), cell("stays well")
    name, _ = berlin.image(bad, good)
    other, _ = berlin.image(good)
    path = berlin.chunk_path(bad)
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 255]))
    code, said = sites.pull()
    assert code == 1
    assert "not published" in said and name in said
    # The rest comes all the same.
    assert [each.split("/")[0] for each in manifests(sites.bonn)] == [other]
    deadline = time.monotonic() + 30
    while not (told := of_kind(bonn, "replication_failed")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert name in told[0]["lines"][0]
    # As soon as it is healed it comes, though the site is not due.
    path.write_bytes(sound)
    assert sites.pull()[0] == 0
    assert manifests(sites.bonn) == manifests(sites.berlin)
    time.sleep(2)
    assert len(of_kind(bonn, "replication_failed")) == 1


def test_what_was_removed_since_it_came_does_not_come_again(sites: Sites) -> None:
    berlin, bonn = sites.berlin.service, sites.bonn.service
    first, version = berlin.image(cell("first"))
    assert sites.pull()[0] == 0
    assert bonn.admin.delete(f"/v1/images/{first}/{version}").status_code == 200
    assert bonn.admin.post("/v1/trash/empty", json={}).status_code == 200
    second, _ = berlin.image(cell("second"))
    assert sites.pull("--now")[0] == 0
    assert [each.split("/")[0] for each in manifests(sites.bonn)] == [second]
    # What is deleted there stays here.
    berlin.admin.delete(f"/v1/images/{second}", params={"by": "root"})
    assert sites.pull("--now")[0] == 0
    assert [each.split("/")[0] for each in manifests(sites.bonn)] == [second]


def test_what_goes_there_while_it_comes_is_no_alarm(sites: Sites, room: Path) -> None:
    berlin, bonn = sites.berlin.service, sites.bonn.service
    admit(bonn, "mail")
    saved(sites.berlin, room, DISK // 4)
    stored = kept(sites.berlin)
    other, _ = berlin.image(cell("stays there"))
    for each in berlin.admin.get("/v1/sessions").json()["sessions"]:
        berlin.admin.delete(f"/v1/sessions/{each['id']}")
    run = sites.start()
    while run.poll() is None and kept(sites.bonn) < stored // 4:
        time.sleep(0.005)
    run.send_signal(signal.SIGSTOP)
    assert berlin.admin.delete("/v1/images/pc", params={"by": "root"}).status_code == 200
    assert berlin.admin.post("/v1/trash/empty", json={}).status_code == 200
    age(berlin, 3)
    assert berlin.admin.post("/v1/collect").json()["removed"] > 0
    run.send_signal(signal.SIGCONT)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 0, said
    assert "went before it was copied" in said
    assert [each.split("/")[0] for each in manifests(sites.bonn)] == [other]
    time.sleep(2)
    assert of_kind(bonn, "replication_failed") == []


def test_an_image_that_got_another_name_there_comes_without_its_chunks(sites: Sites) -> None:
    berlin = sites.berlin.service
    name, version = berlin.image(*(cell(f"part {number}") for number in range(20)))
    assert sites.pull()[0] == 0
    before = sent(sites.berlin)
    assert berlin.admin.post(f"/v1/images/{name}/rename", json={"to": "new-name"}).is_success
    assert sites.pull("--now")[0] == 0
    assert sorted(manifests(sites.bonn)) == sorted(
        [f"{name}/{version}.json", f"new-name/{version}.json"]
    )
    assert sent(sites.berlin) == before


def test_a_full_store_is_told_and_what_came_is_not_sent_again(sites: Sites, room: Path) -> None:
    bonn = sites.bonn.service
    saved(sites.berlin, room, DISK // 8)
    stored = kept(sites.berlin)
    run = sites.start()
    while run.poll() is None and kept(sites.bonn) < stored // 3:
        time.sleep(0.005)
    bonn.reconfigure(store_reserve_bytes=1 << 60)
    said = run.communicate(timeout=300)[1]
    assert run.returncode == 1, said
    assert "kept in reserve" in said
    assert manifests(sites.bonn) == {}
    bonn.reconfigure(store_reserve_bytes=0)
    assert sites.pull()[0] == 0
    assert manifests(sites.bonn) == manifests(sites.berlin)
    assert sent(sites.berlin) < stored * 1.05


def test_patterns_and_the_folder_of_a_store(sites: Sites, room: Path) -> None:
    name, version = sites.berlin.service.image(cell("in a folder"))
    sites.berlin.service.image(cell("not wanted"))
    source = {"from": str(sites.berlin.service.store), "images": [name]}
    (room / "pull.json").write_text(json.dumps({"berlin": source}))
    os.chown(room / "state", NOBODY, NOBODY)
    (sites.bonn.service.folder / "puller").chmod(0o666)
    assert sites.pull(inside=UNPRIVILEGED)[0] == 0
    assert list(manifests(sites.bonn)) == [f"{name}/{version}.json"]
    # A disk that is not plugged in is told of.
    source["from"] = str(room / "gone")
    (room / "pull.json").write_text(json.dumps({"berlin": source}))
    code, said = sites.pull("--now", inside=UNPRIVILEGED)
    assert (code, "gone" in said) == (1, True)
    # One that it may not read, too, where nobody gave it the right.
    locked = room / "locked"
    shutil.copytree(sites.berlin.service.store, locked)
    locked.chmod(0o700)
    source["from"] = str(locked)
    (room / "pull.json").write_text(json.dumps({"berlin": source}))
    barred = [each.replace("+dac_read_search", "-dac_read_search") for each in UNPRIVILEGED]
    code, said = sites.pull("--now", inside=barred)
    assert code == 1 and f"the store {locked} can't be read: Permission denied" in said
    assert "Traceback" not in said


def test_a_disk_that_is_pulled_out_is_told_and_costs_the_other_sites_nothing(
    sites: Sites, room: Path
) -> None:
    saved(sites.berlin, room, DISK // 4)
    usb = room / "usb"
    shutil.copytree(sites.berlin.service.store, usb)
    name, _ = sites.berlin.service.image(cell("elsewhere"))
    known = json.loads((room / "pull.json").read_text())["berlin"]
    said = {"usb": {"from": str(usb), "images": ["pc"]}, "berlin": known | {"images": [name]}}
    (room / "pull.json").write_text(json.dumps(said))
    run = sites.start()
    while run.poll() is None and kept(sites.bonn) < kept(sites.berlin) // 4:
        time.sleep(0.002)
    run.send_signal(signal.SIGSTOP)
    usb.rename(room / "pulled out")
    run.send_signal(signal.SIGCONT)
    words = run.communicate(timeout=300)[1]
    assert run.returncode == 1, words
    assert f"the store {usb} can't be read" in words and "Traceback" not in words
    assert [each.split("/")[0] for each in manifests(sites.bonn)] == [name]
    (room / "pulled out").rename(usb)
    assert sites.pull()[0] == 0
    assert manifests(sites.bonn) == manifests(sites.berlin)


def test_another_version_of_that_name_is_left_alone(sites: Sites) -> None:
    name, version = sites.berlin.service.image(cell("there"))
    bonn = sites.bonn.service
    pc = bonn.machine()
    pc.put(cell("here"))
    folder = bonn.store / "images" / name
    folder.mkdir()
    (folder / f"{version}.json").write_bytes(manifest_of(name, cell("here")))
    assert sites.pull()[0] == 0
    assert (folder / f"{version}.json").read_bytes() == manifest_of(name, cell("here"))


def test_a_site_that_is_away_or_refuses_is_told(sites: Sites) -> None:
    sites.berlin.service.image(cell("lent"))
    (sites.folder / "token").write_text("another")
    sites.configure()
    code, said = sites.pull()
    assert (code, "policy_sites" in said) == (1, True)
    assert manifests(sites.bonn) == {}
