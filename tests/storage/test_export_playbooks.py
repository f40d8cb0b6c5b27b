# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks over what an image server is given: the packed program, its venv, a store."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..fixtures import warm_python
from .conftest import Agent
from .disk_builder import MIB, Disk, sh

# What they leave behind is looked for in folders that all exports of a machine share.
pytestmark = pytest.mark.xdist_group("export")

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Server:
    """This computer in the place of an image server."""

    folder: Path

    def play(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "5000",
            "PWD": str(self.folder),
        }
        program = warm_python.ansible(environment)
        extra = [part for word in words for part in (("-e", word) if word[0] != "-" else (word,))]
        inventory = str(self.folder / "hosts.yml")
        return subprocess.run(
            [*program, "-i", inventory, str(ROOT / f"playbooks/{name}.yml"), *extra],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def done(self, name: str, *words: str) -> str:
        play = self.play(name, *words)
        assert play.returncode == 0, play.stdout + play.stderr
        return play.stdout

    def refused(self, name: str, *words: str) -> str:
        play = self.play(name, *words)
        assert play.returncode != 0, play.stdout
        return play.stdout + play.stderr


@pytest.fixture(scope="module")
def server(space: Path, tree: Path, golden: Callable[[str], Disk]) -> Server:
    folder = space / "server"
    for each in ("lib", "exports"):
        (folder / each).mkdir(parents=True)
    sh(sys.executable, ROOT / "roles/_common/files/pack_code.py", ROOT, folder, "export")
    [packed] = folder.glob("export-*.tar")
    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as tar:
        tar.extractall(folder / "lib")
    Agent(folder / "store")("backup", golden("small").path, "--name", "pc").ok()
    (folder / "hosts.yml").write_text(f"""
image_servers:
  hosts:
    img:
      ansible_connection: local
      ansible_python_interpreter: {warm_python.for_modules()}
      image_server_address: 192.0.2.1
      image_server_store_dir: {folder}/store
""")
    return Server(folder)


@pytest.fixture
def options(server: Server) -> list[str]:
    """What a role's vars say is stronger than an inventory."""
    folder = server.folder
    venv = Path(sys.executable).parents[1]
    return [
        f"_image_server_{key}={value}"
        for key, value in {"export": folder, "exports": folder / "exports", "venv": venv}.items()
    ]


@pytest.fixture
def usb(room: Path) -> Iterator[Path]:
    """A disk of its own."""
    disk = room / "usb.img"
    with disk.open("wb") as file:
        file.truncate(200 * MIB)
    sh("mkfs.ext4", "-q", "-F", disk)
    point = room / "usb"
    point.mkdir()
    sh("mount", "-o", "loop", disk, point)
    yield point
    sh("umount", point)


def test_export(server: Server, options: list[str]) -> None:
    exports = server.folder / "exports"
    assert "changed=1" in server.done("export", "image=pc", "format=qcow2", *options)
    [path] = exports.iterdir()
    assert path.name.startswith("pc-") and path.name.endswith("-disk0.qcow2")
    assert "changed=0" in server.done("export", "image=pc", "format=qcow2", *options)
    assert "Say which image" in server.refused("export", *options)


def test_files(server: Server, options: list[str], tree: Path) -> None:
    said = server.done("files", "image=pc", "path=/folder1", "partition=disk0:1", *options)
    assert "file1" in said and "changed=0" in said
    words = ("image=pc", "path=/folder1/file1", "partition=disk0:2", "to=got", *options)
    assert "changed=1" in server.done("files", *words)
    assert (server.folder / "got/file1").read_bytes() == (tree / "folder1/file1").read_bytes()
    assert "changed=0" in server.done("files", *words)
    assert "has no /etc/hosts" in server.refused("files", "image=pc", "path=/etc/hosts", *options)
    assert not list(Path("/tmp").glob("slipway-file-*"))


def test_replicate(server: Server, options: list[str], usb: Path) -> None:
    words = ("image=pc", f"to={usb}/slipway", *options)
    assert "changed=1" in server.done("replicate", *words)
    Agent(usb / "slipway")("verify", "pc").ok()
    assert "changed=0" in server.done("replicate", *words)
    said = server.refused("replicate", "image=pc", f"to={server.folder}/usb", *options)
    assert "not on a disk of its own" in said


def test_a_mount_wants_to_be_meant(server: Server, options: list[str]) -> None:
    words = ("image=pc", "partition=disk0:1", *options)
    assert "-e accept=kernel" in server.refused("mount", *words)
    point = server.folder / "mounted"
    words = (*words, "accept=kernel", f"to={point}")
    assert "changed=1" in server.done("mount", *words)
    try:
        assert (point / "folder1/file1").is_file()
        assert "changed=0" in server.done("mount", *words)
    finally:
        said = server.done("mount", "state=absent", f"to={point}", *options)
    assert "changed=1" in said
    assert not point.exists()


# --- the slow tier -------------------------------------------------------------


@pytest.mark.slow
def test_check_mode_makes_nothing(server: Server, options: list[str], usb: Path) -> None:
    to = f"to={server.folder}/exports/checked.qcow2"
    said = server.done("export", "image=pc", "format=qcow2", to, "--check", *options)
    # Ansible folds long messages.
    assert "would be made" in " ".join(said.split()) and "changed=1" in said
    assert not (server.folder / "exports/checked.qcow2").exists()
    words = ("image=pc", f"to={usb}/slipway", *options)
    said = server.done("replicate", *words, "--check")
    assert "would be copied" in said and "changed=1" in said
    assert not (usb / "slipway").exists()
    assert "changed=1" in server.done("replicate", *words)
    assert "changed=0" in server.done("replicate", *words, "--check")


@pytest.mark.slow
def test_what_there_is_is_said(server: Server, options: list[str]) -> None:
    said = server.done("files", "image=pc", "path=/", *options)
    assert "disk0:1  ext" in said and "disk0:2  fat" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("export", "image=pc", "format=iso"), "choose one of qcow2"),
        (("files", "image=pc"), "Say what to look at"),
        (("replicate", "image=pc", "to=usb"), "Say where to"),
        (("mount", "image=pc", "accept=kernel"), "Say what to mount"),
    ],
)
def test_what_is_not_said_is_refused(
    server: Server, options: list[str], words: tuple[str, ...], says: str
) -> None:
    assert says in server.refused(*words, *options)
