# SPDX-License-Identifier: GPL-3.0-or-later
"""Single files out of versions: the same bytes as on the source, and a reader that dies alone."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from . import containers
from .conftest import Agent
from .disk_builder import MAKERS, MIB, SHAPES, Disk, sh, sha256
from .exporting import Exporter, left_behind

# What they leave behind is looked for in folders that all exports of a machine share.
pytestmark = pytest.mark.xdist_group("export")

SYSTEMS = {"fat32": 1, "ext4": 2, "xfs": 3, "btrfs": 4, "ntfs": 5, "lvm": 6}
# The slow tier has a hundred of them; `make test` a few of each.
DAMAGED = {"fat16": 30, "ext4": 30, "ntfs": 22, "xfs": 6, "btrfs": 12}
FEW = 2
SIZES = {"xfs": 320, "btrfs": 120}


@pytest.fixture(scope="module")
def images(space: Path, tree: Path) -> Exporter:
    """A store with a disk that has one partition of each file system."""
    MAKERS["lvm"] = containers.make_linear(pieces=True)
    SHAPES["files"] = (
        "gpt",
        512,
        900,
        [
            (1, 1, 64, "fat32"),
            (2, 66, 96, "ext4"),
            (3, 166, 320, "xfs"),
            (4, 488, 160, "btrfs"),
            (5, 650, 100, "ntfs"),
            (6, 752, 64, "lvm"),
        ],
    )
    disk = Disk.build(space / "files.img", "files", tree)
    agent = Agent(space / "files-store")
    agent("backup", disk.path, "--name", "pc").ok()
    disk.path.unlink()
    return Exporter(agent.store)


def test_it_says_what_there_is(images: Exporter) -> None:
    answer = images("files", "--image", "pc", "--path", "/")
    kinds = {each["partition"]: each["content"] for each in answer["partitions"]}
    group = next(name for name in kinds if name.endswith("/root"))
    assert kinds == {
        "disk0:1": "fat",
        "disk0:2": "ext",
        "disk0:3": "xfs",
        "disk0:4": "btrfs",
        "disk0:5": "ntfs",
        group: "ext",
    }


def place_of(system: str, images: Exporter) -> tuple[tuple[str, ...], str]:
    """The words that name a partition, and the folder of it that holds the tree."""
    partition = f"disk0:{SYSTEMS[system]}"
    if system == "lvm":
        known = images("files", "--image", "pc", "--path", "/")["partitions"]
        partition = next(each["partition"] for each in known if each["partition"][0] != "d")
    root = "/tree/" if system in ("xfs", "btrfs", "ntfs") else "/"
    return ("--image", "pc", "--partition", partition), root


def saved(images: Exporter, where: tuple[str, ...], path: str, to: Path) -> str:
    """The hash of a file that was saved."""
    answer = images("files", *where, "--path", path, "--save", to)
    assert (answer["kind"], answer["size"]) == ("file", to.stat().st_size)
    assert to.stat().st_mode & 0o077 == 0
    return sha256(to)


@pytest.mark.every_case
@pytest.mark.parametrize("system", SYSTEMS)
def test_files_are_those_of_the_source(
    system: str, images: Exporter, tree: Path, room: Path
) -> None:
    where, root = place_of(system, images)
    listed = images("files", *where, "--path", f"{root}folder3")["entries"]
    assert {each["name"]: each["size"] for each in listed} == {
        path.name: path.stat().st_size for path in (tree / "folder3").iterdir()
    }
    for name in ("random", "folder3/file23"):
        assert saved(images, where, f"{root}{name}", room / "got") == sha256(tree / name)
    assert left_behind() == []


@pytest.mark.slow
@pytest.mark.every_case
@pytest.mark.parametrize("system", SYSTEMS)
def test_folders_and_zeros_are_those_of_the_source(
    system: str, images: Exporter, tree: Path, room: Path
) -> None:
    where, root = place_of(system, images)
    entries = images("files", *where, "--path", root)["entries"]
    names = {each["name"]: each["size"] for each in entries}
    assert {name: names.get(name) for name in ("random", "zeros", "folder3")} == {
        "random": 3 * MIB,
        "zeros": 2 * MIB,
        "folder3": None,
    }
    assert saved(images, where, f"{root}zeros", room / "got") == sha256(tree / "zeros")


def test_what_is_not_there_is_said(images: Exporter, room: Path) -> None:
    where = ("files", "--image", "pc", "--path")
    assert "has no /etc/hosts" in images.refused(*where, "/etc/hosts")
    assert "has no /tree/no/file" in images.refused(*where, "/tree/no/file")
    assert "is on disk0:3, disk0:4, disk0:5" in images.refused(*where, "/tree/random")
    assert "no partition disk0:9" in images.refused(*where, "/", "--partition", "disk0:9")
    said = images.refused(*where, "/", "--partition", "disk0:6")
    assert "LVM2_member" in said and "/root" in said
    assert "begin with a slash" in images.refused(*where, "(host)/etc/shadow")
    save = ("--partition", "disk0:2", "--save", room / "got")
    assert images(*where, "/folder1/", *save)["kind"] == "folder"
    assert not (room / "got").exists()


def test_an_empty_folder_is_no_missing_one(agent: Agent, room: Path) -> None:
    folder = room / "tree"
    (folder / "empty").mkdir(parents=True)
    (folder / ".hidden").write_text("seen")
    (folder / "full").mkdir()
    (folder / "full/within").write_text("seen")
    (folder / "link").symlink_to("full")
    (folder / "nowhere").symlink_to("nothing")
    (folder / "two  words\u00e4").write_text("x")
    disk = room / "disk"
    with disk.open("wb") as file:
        file.truncate(16 * MIB)
    sh("mkfs.ext4", "-q", "-F", "-d", folder, disk)
    agent("backup", disk, "--name", "pc").ok()
    files = Exporter(agent.store)
    root = files("files", "--image", "pc", "--path", "/")
    assert root["partition"] == "disk0:disk"
    names = [each["name"] for each in root["entries"]]
    assert names == [
        ".hidden",
        "empty",
        "full",
        "link",
        "lost+found",
        "nowhere",
        "two  words\u00e4",
    ]
    assert files("files", "--image", "pc", "--path", "/empty")["entries"] == []
    full = files("files", "--image", "pc", "--path", "/link")
    assert [each["name"] for each in full["entries"]] == ["within"]
    assert "neither a file nor a folder" in files.refused(
        "files", "--image", "pc", "--path", "/nowhere"
    )
    assert "has no /emptx" in files.refused("files", "--image", "pc", "--path", "/emptx")
    odd = files("files", "--image", "pc", "--path", "/two  words\u00e4", "--save", room / "got")
    assert (odd["kind"], (room / "got").read_text()) == ("file", "x")


def test_a_chunk_that_is_gone_is_named(golden: Callable[[str], Disk], agent: Agent, room: Path):
    agent("backup", golden("small").path, "--name", "pc").ok()
    for path in (agent.store / "chunks").rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 20:
            path.unlink()
    files = Exporter(agent.store)
    where = ("--path", "/random", "--partition", "disk0:1")
    said = files.refused("files", "--image", "pc", *where, "--save", room / "got")
    assert "is missing" in said and "chunk" in said
    assert not (room / "got").exists()
    assert not (room / ".got.part").exists()


def test_files_with_holes_are_whole(agent: Agent, room: Path) -> None:
    """GRUB gives up on a file of ext4 that begins with one."""
    folder = room / "tree"
    folder.mkdir()
    places = {
        "first": [(3 * MIB, 70_000)],
        "all": [],
        "between": [(0, 9), (2 * MIB, 9)],
        "many": [(MIB * n, 5000) for n in range(3, 90, 3)],
    }
    for name, pieces in places.items():
        with (folder / name).open("wb") as file:
            for at, length in pieces:
                file.seek(at)
                file.write(random.Random(at).randbytes(length))
            file.truncate(90 * MIB + 17)
    disk = room / "disk"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    sh("mkfs.ext4", "-q", "-F", "-d", folder, disk)
    agent("backup", disk, "--name", "pc").ok()
    files = Exporter(agent.store)
    for name in places:
        files("files", "--image", "pc", "--path", f"/{name}", "--save", room / "got")
        assert sha256(room / "got") == sha256(folder / name), name


@pytest.mark.parametrize("system", DAMAGED)
@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_damaged_file_systems_end_their_reader_alone(
    all_of_them: bool, system: str, tree: Path, agent: Agent, room: Path
) -> None:
    """Beside them all is one that is sound: it is read as if nothing was."""
    chance, count = random.Random(system), DAMAGED[system] if all_of_them else FEW
    size = SIZES.get(system, 20) * MIB
    sound = room / "part"
    with sound.open("wb") as file:
        file.truncate(size)
    few = room / "few"
    shutil.copytree(tree / "folder1", few)
    MAKERS[system](sound, 512, few)
    disk = room / "disk"
    lines = "label: gpt\n" + f"size={size // 512}\n" * (count + 1)
    with disk.open("wb") as file:
        file.truncate((count + 2) * size + 4 * MIB)
    sh("sfdisk", "-q", disk, input=lines)
    data = sound.read_bytes()
    used = [at for at in range(0, size, 4096) if data[at : at + 4096].strip(b"\0")]
    # What describes the others lies at the beginning, mostly.
    places = used[:60] * 3 + used
    with disk.open("r+b") as file:
        for number in range(count + 1):
            hurt = set(chance.sample(places, 1 + number * 4)) if number else set()
            for at in used:
                block = bytearray(data[at : at + 4096])
                for _ in range(20 if at in hurt else 0):
                    block[chance.randrange(4096)] = chance.randrange(256)
                file.seek(MIB + number * size + at)
                file.write(block)
    whole = [word for n in range(1, count + 2) for word in ("--whole", f"disk0:{n}")]
    agent("backup", disk, "--name", "pc", *whole).ok()
    disk.unlink()
    files = Exporter(agent.store)
    root = "/" if system in ("fat16", "ext4") else "/tree/"
    ended = {"read": 0, "refused": 0}
    file = ("files", "--image", "pc", "--path", f"{root}file1", "--partition")
    for number in range(2, count + 2):
        process = files.start(*file, f"disk0:{number}", "--save", room / "hurt")
        stdout, stderr = process.communicate(timeout=240)
        # A message in one line, whatever became of the child.
        assert process.returncode == 0 or stderr.count("\n") == 1, stderr
        ended["read" if stdout else "refused"] += 1
    print(system, ended)
    answer = files(*file, "disk0:1", "--save", room / "got")
    assert (answer["kind"], sha256(room / "got")) == ("file", sha256(few / "file1"))
    assert left_behind() == []
