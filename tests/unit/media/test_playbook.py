# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/boot_media.yml: made once, compared in check mode, refused in plain words."""

import os
import subprocess
from pathlib import Path

import pytest

from ...fixtures import warm_python

pytestmark = pytest.mark.plays

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text("image_servers: {hosts: {img: {image_server_address: 192.0.2.10}}}\n")
    return path


def play(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "5000"}
    environment["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
    words = [*warm_python.ansible(environment), "-i", str(inventory), "playbooks/boot_media.yml"]
    folder = f"boot_media_folder={inventory.parent / 'media'}"
    return subprocess.run(
        [*words, "-e", folder, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_media_are_made_once_and_check_mode_makes_none(inventory: Path) -> None:
    media = inventory.parent / "media"
    done = play(inventory, "--check")
    assert "changed=1" in done.stdout, done.stdout + done.stderr
    assert not media.exists()
    done = play(inventory)
    assert "changed=1" in done.stdout
    assert str(media / "img.iso") in done.stdout
    assert "changed=0" in play(inventory).stdout


def test_where_the_server_has_a_name_its_address_is_on_the_media(inventory: Path) -> None:
    python = warm_python.for_modules()
    inventory.write_text(
        "image_servers: {hosts: {img: {image_server_address: imgserver, pxe_server_interface: lo,"
        f" ansible_connection: local, ansible_python_interpreter: {python}}}}}}}\n"
    )
    done = play(inventory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"http://127.0.0.1/boot.ipxe" in (inventory.parent / "media/img.iso").read_bytes()


def test_what_cannot_be_made_is_said(inventory: Path) -> None:
    done = play(inventory, "-e", "boot_media_router=192.0.2.1")
    assert done.returncode != 0
    assert "no address. Remedy: Set boot_media_address too" in done.stdout + done.stderr
    assert not (inventory.parent / "media").exists()
