# SPDX-License-Identifier: GPL-3.0-or-later
"""Making restore media: same bytes, in order, nothing of the site on them, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from slipway.engine.drives import sizes
from slipway.format import parse, parse_set
from slipway_media.writing import differs_at, main, put

from .conftest import Agent
from .disk_builder import sh, sha256
from .media_sets import BUILDER, build, command, environment, files, flip, make_disk, run

SMALL = ("--image", "pc", "--medium", "usb")


def make_store(folder: Path, megabytes: int) -> Path:
    folder.mkdir()
    source = make_disk(folder / "source", megabytes, seed=4)
    Agent(folder / "store")("backup", source, "--name", "pc").ok()
    return folder / "store"


@pytest.fixture(scope="module")
def golden_store(space: Path) -> Path:
    return make_store(space / "builder", 8)


@pytest.fixture(scope="module")
def golden_wide(space: Path) -> Path:
    return make_store(space / "wide", 40)


@pytest.fixture
def store(golden_store: Path, room: Path) -> Path:
    """A copy that a test may spoil."""
    sh("cp", "-a", golden_store, room / "store")
    return room / "store"


@pytest.fixture
def wide(golden_wide: Path, room: Path) -> Path:
    """The same, with an image that takes two discs of 40 MB."""
    sh("cp", "-a", golden_wide, room / "store")
    return room / "store"


@pytest.fixture
def env(room: Path) -> Path:
    return environment(room / "env")


def read(iso: Path, *words: str) -> str:
    return sh("xorriso", "-indev", f"stdio:{iso}", *words)


def test_the_same_bytes_again_and_nothing_changed(store: Path, env: Path, room: Path) -> None:
    made = build(store, env, room / "media", *SMALL)
    assert made["changed"] and made["bytes"] == sum(each["bytes"] for each in made["discs"])
    [iso] = files(made, room / "media")
    assert sha256(iso) == made["discs"][0]["sha256"]
    assert build(store, env, room / "media", *SMALL) == made | {"changed": False}
    # Other times of the store's files make no other medium.
    sh("find", store, "-exec", "touch", "-d", "2001-01-01", "{}", "+")
    again = build(store, env, room / "again", *SMALL)
    assert again == made | {"made": again["made"]}
    assert iso.read_bytes() == files(again, room / "again")[0].read_bytes()


def test_check_plans_discs_and_bytes_and_makes_nothing(wide: Path, env: Path, room: Path) -> None:
    words = ("--image", "pc", "--medium", 40_000_000)
    planned = build(wide, env, room / "media", *words, "--check")
    assert planned["changed"] and not (room / "media").exists()
    made = build(wide, env, room / "media", *words)
    assert [each["file"] for each in planned["discs"]] == [each["file"] for each in made["discs"]]
    assert len(made["discs"]) == 2
    for plan, disc in zip(planned["discs"], made["discs"], strict=True):
        assert disc["bytes"] <= plan["bytes"] and disc["bytes"] < 40_000_000 - (4 << 20)


def test_chunks_lie_in_the_order_in_which_they_are_read(store: Path, env: Path, room: Path) -> None:
    [iso] = files(build(store, env, room / "media", *SMALL), room / "media")
    report = read(iso, "-find", "/chunks", "-type", "f", "-exec", "report_lba", "--")
    places = {
        found[2]: int(found[1])
        for found in re.finditer(r",\s*(\d+)\s*,.*'/chunks/../([0-9a-f]{64})'", report)
    }
    [manifest] = (store / "images/pc").iterdir()
    wanted = [digest for digest, _ in parse(manifest.read_bytes()).chunks()]
    assert wanted == sorted(places, key=lambda digest: places[digest])


def test_it_boots_in_four_ways_as_far_as_tables_say(store: Path, env: Path, room: Path) -> None:
    [iso] = files(build(store, env, room / "media", *SMALL), room / "media")
    report = read(iso, "-report_el_torito", "plain", "-report_system_area", "plain")
    assert re.search(r"El Torito boot img :\s+1\s+BIOS", report)
    assert re.search(r"El Torito boot img :\s+2\s+UEFI", report)
    assert "grub2-mbr" in report and "protective-msdos-label" in report
    assert "28732ac11ff8d211ba4b00a0c93ec93b" in report  # an EFI system partition in GPT
    table = json.loads(sh("sfdisk", "--json", iso))["partitiontable"]
    assert table["label"] == "gpt"


# What no medium may hold: private keys, public keys that open a door, tokens, certificates.
SECRETS = re.compile(
    rb"PRIVATE KEY|authorized_keys|ssh-(ed25519|rsa) AAAA|BEGIN CERTIFICATE|site\.json\"|scrypt\$"
)


def test_nothing_of_the_site_is_on_a_medium(store: Path, env: Path, room: Path) -> None:
    (store.parent / "token").write_text("a-token-of-the-site")
    [iso] = files(build(store, env, room / "media", *SMALL), room / "media")
    folder = room / "out"
    folder.mkdir()
    read(iso, "-osirrox", "on", "-extract", "/slipway/medium.cpio", str(folder / "medium.cpio"))
    listed = subprocess.run(
        ["cpio", "-t", "--quiet"], stdin=(folder / "medium.cpio").open(), capture_output=True
    ).stdout.decode()
    assert "etc/slipway/medium.json" in listed and "usr/local/bin/slipway" in listed
    assert not re.search(r"\.ssh|\.crt|\.key|site\.json", listed)
    content = (folder / "medium.cpio").read_bytes()
    # The agent's own sources speak of keys; whole lines of them are no secrets.
    found = {match[0] for match in SECRETS.finditer(content)}
    assert found <= {b"PRIVATE KEY", b"authorized_keys", b'site.json"'}, found
    assert not re.search(rb"-----BEGIN|AAAA[A-Za-z0-9+/]{40}", content)
    read(iso, "-osirrox", "on", "-extract", "/", str(folder / "all"))
    others = [path for path in (folder / "all").rglob("*") if path.is_file()]
    names = {path.name for path in others if "chunks" not in path.parts}
    assert {"vmlinuz", "initrd.img", "medium.cpio", "grub.cfg", "set.json", "info"} <= names
    for path in others:
        if "chunks" not in path.parts and path.name != "medium.cpio":
            assert not SECRETS.search(path.read_bytes()), path


def test_the_menu_is_a_script_of_grub(store: Path, env: Path, room: Path) -> None:
    for number, more in enumerate(((), ("--unattended",), ("--shell",))):
        [iso] = files(build(store, env, room / str(number), *SMALL, *more), room / str(number))
        menu = room / f"menu{number}"
        read(iso, "-osirrox", "on", "-extract", "/boot/grub/grub.cfg", str(menu))
        sh("grub-script-check", menu)
        text = menu.read_text()
        assert ("set default=write" in text) is ("--unattended" in more)
        assert ("slipway.item=shell" in text) is ("--shell" in more)
        assert "systemd.unit=$2" in text and "(shim 1" in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--image", "nosuch", "--medium", "cd"), "there is no image nosuch"),
        (("--image", "pc@20200101T000000Z", "--medium", "cd"), "has no version"),
        (("--image", "../pc", "--medium", "cd"), "is no image name"),
        (("--image", "pc", "--medium", "tape"), "is no medium"),
        (("--image", "pc", "--medium", "30000000"), "The medium is too small"),
        (("--image", "pc", "--medium", "1"), "The medium is too small"),
        ((*SMALL, "--name", "../../etc"), "is no medium name"),
        ((*SMALL, "--rule", '{"modle": "x"}'), "says nothing about a target"),
        ((*SMALL, "--countdown", "9999"), "The countdown"),
        ((*SMALL, "--reserve", str(1 << 60)), "has room for 0; nothing was made"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    store: Path, env: Path, room: Path, words: tuple[str, ...], says: str
) -> None:
    done = run(store, env, room / "media", *words)
    assert done.returncode == 1 and says in done.stderr and "Remedy: " in done.stderr, done.stderr
    assert not [path for path in (room / "media").glob("*") if path.name != ".lock"]


@pytest.mark.parametrize("fault", ["flipped", "gone", "short", "longer", "no environment"])
def test_a_damaged_image_goes_on_no_medium(store: Path, env: Path, room: Path, fault: str) -> None:
    before = build(store, env, room / "media", *SMALL)
    chunk = max((store / "chunks").rglob("?" * 64), key=lambda path: path.stat().st_size)
    if fault == "flipped":
        flip(chunk)
    elif fault == "gone":
        chunk.unlink()
    elif fault == "short":
        chunk.write_bytes(chunk.read_bytes()[:1000])
    elif fault == "longer":
        chunk.write_bytes(chunk.read_bytes() + b"more")
    else:
        (env / "vmlinuz").unlink()
    done = run(store, env, room / "media", *SMALL, "--countdown", 5)
    assert done.returncode == 1 and "Remedy: " in done.stderr, done.stderr
    # The set of before is still there, whole.
    [iso] = files(before, room / "media")
    assert sha256(iso) == before["discs"][0]["sha256"]
    assert sorted(path.name for path in (room / "media").iterdir()) == [".lock", "pc"]


def test_a_version_deleted_meanwhile_makes_no_half_medium(
    store: Path, env: Path, room: Path
) -> None:
    """A program in xorriso's place deletes the image, and then is xorriso."""
    fake = room / "bin"
    fake.mkdir()
    real = shutil.which("xorriso")
    (fake / "xorriso").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *" -o "*) rm -r {store}/images/pc {store}/chunks;; esac\n'
        f'exec {real} "$@"\n'
    )
    (fake / "xorriso").chmod(0o755)
    environ = BUILDER | {"PATH": f"{fake}:/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        command(store, env, room / "media", *SMALL), env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Remedy: " in done.stderr, done.stderr
    assert not (room / "media/pc").exists()


@pytest.mark.parametrize("when", ["before the disc", "before the record"])
def test_a_disk_that_gets_full_leaves_the_set_of_before(
    store: Path, env: Path, room: Path, when: str
) -> None:
    """A program in the place of one of the builder's fills the disk, beside being that program."""
    media, fake, key = room / "media", room / "bin", room / "key"
    media.mkdir()
    fake.mkdir()
    sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    name = "xorriso" if when == "before the disc" else "ssh-keygen"
    fill = f"dd if=/dev/zero of={media}/full bs=1k 2>/dev/null"
    real = f'{shutil.which(name)} "$@"'
    both = f"{fill}; exec {real}" if name == "xorriso" else f"{real} || exit; {fill}; exit 0"
    program = f'case "$*" in *" -o "*|*sign*) {both};; *) exec {real};; esac'
    (fake / name).write_text(f"#!/bin/sh\n{program}\n")
    (fake / name).chmod(0o755)
    sh("mount", "-t", "tmpfs", "-o", "size=160M", "none", media)
    try:
        small = (*SMALL, "--sign-key", key)
        before = build(store, env, media, *small)
        environ = BUILDER | {"PATH": f"{fake}:/usr/sbin:/usr/bin:/sbin:/bin"}
        words = command(store, env, media, *small, "--countdown", 5)
        done = subprocess.run(words, env=environ, capture_output=True, text=True)
        assert done.returncode == 1 and "Remedy: " in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and (media / "full").exists()
        (media / "full").unlink()
        [iso] = files(before, media)
        assert sha256(iso) == before["discs"][0]["sha256"]
        assert sorted(path.name for path in media.iterdir()) == [".lock", "pc"]
        assert build(store, env, media, *small) == before | {"changed": False}
    finally:
        sh("umount", media)


def test_an_alias_that_moves_meanwhile_changes_nothing(store: Path, env: Path, room: Path) -> None:
    """NAME is one version from the first look on: a newer one makes another set later."""
    first = build(store, env, room / "media", *SMALL)
    source = make_disk(room / "newer", 1, seed=9)
    newer = Agent(store)("backup", source, "--name", "pc").ok()["version"]
    second = build(store, env, room / "media", *SMALL)
    assert second["changed"] and second["version"] == newer != first["version"]
    kept = build(store, env, room / "media", "--image", f"pc@{newer}", "--medium", "usb")
    assert kept["changed"] is False


@pytest.mark.parametrize("by", [-(1 << 20), -1, None])
def test_a_file_that_is_not_whole_is_made_anew(
    store: Path, env: Path, room: Path, by: int | None
) -> None:
    made = build(store, env, room / "media", *SMALL)
    [iso] = files(made, room / "media")
    content = iso.read_bytes()
    iso.unlink()
    if by is not None:
        iso.write_bytes(content[:by])
    again = build(store, env, room / "media", *SMALL)
    assert again == made | {"made": again["made"]}
    assert iso.read_bytes() == content


@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6, 2.4])
def test_killed_at_any_time_the_set_of_before_stays_and_nothing_is_left(
    store: Path, env: Path, room: Path, seconds: float
) -> None:
    before = build(store, env, room / "media", *SMALL)
    words = command(store, env, room / "media", *SMALL, "--countdown", 5)
    killed = subprocess.Popen(words, env=os.environ | BUILDER, stdout=subprocess.DEVNULL)
    try:
        killed.wait(seconds)
    except subprocess.TimeoutExpired:
        killed.kill()
        killed.wait()
        # Killed in its last moment it has put the new set there, as whole as the other one.
        there = json.loads((room / "media/pc/media.json").read_text())
        [iso] = files(there, room / "media")
        assert sha256(iso) == there["discs"][0]["sha256"]
        assert there == {key: before[key] for key in there} or there["set"] != before["set"]
    # Whatever is made next cleans up behind it, be it another set.
    (room / "media/.pc9.new").mkdir()
    build(store, env, room / "media", *SMALL, "--name", "pc2")
    assert sorted(path.name for path in (room / "media").iterdir()) == [".lock", "pc", "pc2"]


def test_a_set_that_had_just_lost_its_name_has_it_again(store: Path, env: Path, room: Path) -> None:
    """Killed between the two renames that put a new set in the place of the old one."""
    made = build(store, env, room / "media", *SMALL)
    (room / "media/pc").rename(room / "media/.pc.old.new")
    build(store, env, room / "media", *SMALL, "--name", "pc2")
    assert sorted(path.name for path in (room / "media").iterdir()) == [".lock", "pc", "pc2"]
    assert build(store, env, room / "media", *SMALL) == made | {"changed": False}


def test_two_at_once_make_one_set(store: Path, env: Path, room: Path) -> None:
    words = command(store, env, room / "media", *SMALL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | BUILDER}
    both = [subprocess.Popen(words, text=True, **pipes) for _ in range(2)]
    answers = []
    for each in both:
        said, errors = each.communicate(timeout=300)
        assert each.returncode == 0, errors
        answers.append(json.loads(said))
    assert sorted(answer["changed"] for answer in answers) == [False, True]
    assert answers[0]["discs"] == answers[1]["discs"]
    assert sorted(path.name for path in (room / "media").iterdir()) == [".lock", "pc"]


def test_each_disc_says_what_it_is(wide: Path, env: Path, room: Path) -> None:
    made = build(wide, env, room / "media", "--image", "pc", "--medium", 40_000_000)
    for number, iso in enumerate(files(made, room / "media"), 1):
        out = room / f"set{number}"
        read(iso, "-osirrox", "on", "-extract", "/set.json", str(out))
        found = parse_set(out.read_bytes())
        assert (found.disc, found.count, found.id) == (number, 2, made["set"])
        assert f"Volume id    : '{found.labels[number - 1]}'" in read(iso, "-toc")


@pytest.mark.parametrize("medium", ["usb", 40_000_000])
def test_each_disc_says_how_long_it_is(wide: Path, env: Path, room: Path, medium: object) -> None:
    """A file that lost its last MiB on the way is known by that, without reading it."""
    made = build(wide, env, room / "media", "--image", "pc", "--medium", medium)
    for iso in files(made, room / "media"):
        whole = iso.stat().st_size
        size, stated = sizes(iso)
        assert size == whole and stated == whole
        # What a writer or a longer stick adds says nothing.
        with iso.open("r+b") as file:
            file.truncate(whole + (300 << 10))
        size, stated = sizes(iso)
        assert size >= stated == whole
        for less in (1 << 20, 2048):
            with iso.open("r+b") as file:
                file.truncate(whole - less)
            size, stated = sizes(iso)
            assert size == whole - less and stated == whole


# --- onto a stick --------------------------------------------------------------


def test_a_stick_is_written_once_and_read_back(room: Path) -> None:
    file, stick = room / "file", room / "stick"
    file.write_bytes(bytes(range(256)) * 40_000)
    stick.write_bytes(b"\xa5" * 12_000_000)
    assert put(file, stick) and not put(file, stick)
    content = stick.read_bytes()
    assert content.startswith(file.read_bytes()) and len(content) == 12_000_000
    flip(stick, 5_000_000)
    assert differs_at(file, stick) == 5_000_000
    assert put(file, stick) and differs_at(file, stick) is None


def test_what_is_no_stick_is_not_written(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = room / "file"
    file.write_bytes(b"x" * 4096)
    image = room / "image"
    image.write_bytes(bytes(1 << 20))
    loop = sh("losetup", "--find", "--show", image).strip()
    try:
        for device, says in ((loop, "is no USB stick"), (str(file), "There is no")):
            assert main(["--file", str(file), "--stick", device]) == 1
            assert says in capsys.readouterr().err
    finally:
        sh("losetup", "-d", loop)
    assert image.read_bytes() == bytes(1 << 20)
