# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports: the same disk as a restore writes, whole or not at all; told by QEMU, not by us."""

import hashlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Agent
from .disk_builder import MIB, Disk, sh
from .exporting import Exporter, left_behind

# What they leave behind is looked for in folders that all exports of a machine share.
pytestmark = pytest.mark.xdist_group("export")

Golden = Callable[[str], Disk]


@pytest.fixture
def exporter(agent: Agent) -> Exporter:
    return Exporter(agent.store)


def restored(agent: Agent, source: Path, room: Path) -> Path:
    """A disk of nothing, written by a restore."""
    target = room / "restored"
    with target.open("wb") as file:
        file.truncate(source.stat().st_size)
    agent("restore", "pc", "--target", f"disk0={target}").ok()
    return target


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ("mbr", ("qcow2", "vmdk", "raw")),
        ("gpt", ("qcow2",)),
        pytest.param("gpt", ("vmdk", "raw"), marks=pytest.mark.slow),
        pytest.param("gpt4k", ("qcow2", "vmdk", "raw"), marks=pytest.mark.slow),
    ],
)
def test_formats_are_what_a_restore_writes(
    shape: str, kinds: tuple[str, ...], golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    source = golden(shape).path
    agent("backup", source, "--name", "pc").ok()
    wanted = restored(agent, source, room)
    (room / "out").mkdir()
    for kind in kinds:
        words = ("export", "--image", "pc", "--format", kind, "--to", room / "out")
        planned = exporter(*words, "--check")
        path = Path(planned["path"])
        assert planned["changed"] is True
        assert not list((room / "out").glob("*"))
        assert exporter(*words) == planned
        assert "identical" in sh("qemu-img", "compare", "-f", "raw", "-F", kind, wanted, path)
        assert path.stat().st_blocks * 512 <= planned["needs"]
        assert path.stat().st_mode & 0o077 == 0
        # Again: it is there, whether it is asked for or made.
        assert exporter(*words)["changed"] is exporter(*words, "--check")["changed"] is False
        if kind == "vmdk":
            assert f'SPARSE "{path.name}"'.encode() in path.read_bytes()[:MIB]
        path.unlink()
    assert left_behind() == []


def test_a_backup_gpt_that_no_disk_gave_is_made(
    golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    """It comes back in a restore, so it does in an export."""
    source = golden("small").path
    agent("backup", source, "--name", "pc").ok()
    unread(agent.store)
    # Nothing of it is known, and a restore makes it of the primary.
    wanted = restored(agent, source, room)
    assert wanted.read_bytes()[-512:-504] == b"EFI PART"
    path = room / "export.raw"
    exporter("export", "--image", "pc", "--format", "raw", "--to", path)
    assert "identical" in sh("qemu-img", "compare", "-f", "raw", "-F", "raw", wanted, path)


def unread(store: Path) -> None:
    """Make the version one of which the disk's last sectors could not be read."""
    [path] = (store / "images/pc").glob("*.json")
    manifest = json.loads(path.read_bytes())["manifest"]
    for segment in manifest["disks"][0]["segments"]:
        if segment["kind"] == "gpt-backup":
            segment["used"] = segment["cells"] = ""
    body = json.dumps(manifest, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    path.write_text(f'{{"slipway":1,"sha256":"{digest}","manifest":{body}}}\n')


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_bad_chunk_leaves_no_file_and_is_named(
    damage: str, golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    agent("backup", golden("mbr").path, "--name", "pc").ok()
    chunks = [path for path in (agent.store / "chunks").rglob("*") if path.is_file()]
    victim = max(chunks, key=lambda path: path.stat().st_size)
    if damage == "missing":
        victim.unlink()
    else:
        with victim.open("r+b") as file:
            file.seek(1000)
            byte = file.read(1)
            file.seek(1000)
            file.write(bytes([byte[0] ^ 0xFF]))
    (room / "out").mkdir()
    for kind in ("qcow2", "raw"):
        said = exporter.refused(
            "export", "--image", "pc", "--format", kind, "--to", room / "out/pc.disk"
        )
        assert victim.name in said
        assert "another version" in said
    assert list((room / "out").iterdir()) == []


def test_what_can_t_be_meant_is_refused(
    golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    agent("backup", golden("small").path, "--name", "pc").ok()
    (room / "taken").write_text("a file of somebody's")
    for words, said in (
        (("--image", "pc", "--format", "vhdx", "--to", room), "choose one of qcow2"),
        (("--image", "other", "--to", room), "no image other"),
        (("--image", "pc@20200101T000000Z", "--to", room), "no version"),
        (("--image", "pc", "--disk", "disk1", "--to", room), "it has disk0"),
        (("--image", "pc", "--to", "out"), "no absolute path"),
        (("--image", "pc", "--to", room / "no/where.qcow2"), "no folder"),
        (("--image", "pc", "--to", room / 'a"b.vmdk'), "no name"),
        (("--image", "pc", "--to", room / "taken"), "left as it is"),
    ):
        assert said in exporter.refused("export", *words), words
    assert (room / "taken").read_text() == "a file of somebody's"
    assert sorted(path.name for path in room.iterdir()) == ["store", "taken"]


def test_no_room_is_said_before(golden: Golden, agent: Agent, exporter: Exporter, room: Path):
    agent("backup", golden("mbr").path, "--name", "pc").ok()
    small = room / "small"
    small.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", small)
    try:
        said = exporter.refused("export", "--image", "pc", "--to", small)
        assert "bytes left" in said and "make room" in said
        assert list(small.iterdir()) == []
    finally:
        sh("umount", small)


def test_killed_at_any_time_it_leaves_no_half_file(
    golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    agent("backup", golden("gpt").path, "--name", "pc").ok()
    path = room / "out" / "pc.qcow2"
    path.parent.mkdir()
    killed = 0
    for delay in (0.2, 0.5, 0.8, 1.1):
        process = exporter.start("export", "--image", "pc", "--to", path)
        time.sleep(delay)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
        if path.exists():
            break
        assert left_behind() == []
    assert killed
    exporter("export", "--image", "pc", "--to", path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    wanted = restored(agent, golden("gpt").path, room)
    assert "identical" in sh("qemu-img", "compare", "-f", "raw", "-F", "qcow2", wanted, path)


def test_it_has_neither_rights_nor_a_network(
    golden: Golden, agent: Agent, exporter: Exporter, room: Path
) -> None:
    """Looked at from outside while it works."""
    agent("backup", golden("noisy").path, "--name", "pc").ok()
    process = exporter.start("export", "--image", "pc", "--format", "raw", "--to", room / "raw")
    seen: dict[str, dict[str, str]] = {}
    own = Path("/proc/self/ns/net").readlink()
    while process.poll() is None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                name = (folder / "comm").read_text().strip()
                if (
                    name not in ("qemu-img", "nbdkit")
                    or "slipway-export" not in (folder / "cmdline").read_text()
                ):
                    continue
                status = (folder / "status").read_text().splitlines()
                facts = dict(line.split(":\t", 1) for line in status if ":\t" in line)
                assert (folder / "ns/net").readlink() != own
            except (FileNotFoundError, ProcessLookupError):
                continue
            seen[name] = facts
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()[1]
    process.communicate()
    assert set(seen) == {"qemu-img", "nbdkit"}
    assert seen["qemu-img"]["Uid"].split() == ["65534"] * 4
    for facts in seen.values():
        assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
        assert facts["NoNewPrivs"].strip() == "1"
