# SPDX-License-Identifier: GPL-3.0-or-later
"""BIOS PCs that start with the GRUB of the role pxe_server, on the screen of real firmware."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_grub as grub
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server

from ..fixtures import warm_python
from ..fixtures.small_kernel import small_kernel
from .firmware_pc import MAC, TFTP_SERVER, FirmwarePc
from .test_menu_screens import ROLE, boot_disc, disk, menu

# Else each worker would make a GRUB of its own.
pytestmark = pytest.mark.xdist_group("grub")

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "grubpc.0"
SIGNED = Path("/usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed")
DRIVES = [{"id": "fd", "action": "floppy"}, {"id": "cd", "action": "cdrom"}]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.package_facts: {manager: apt}
      when: ansible_check_mode  # Else nobody asks, and it takes a second.
    - ansible.builtin.include_role:
        name: slipway.imaging.pxe_server
        tasks_from: grub_bios
"""


def make_grub(folder: Path, *options: str) -> str:
    """Let the role make it; return what Ansible said."""
    (folder / "play.yml").write_text(PLAY)
    script = {
        "_pxe_server_tftp_root": str(folder),
        "_pxe_server_grub_script": str(folder / "grub-bios.cfg"),
        "_pxe_server_addresses": [TFTP_SERVER],
    }
    environment = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "LANG": "C.UTF-8",
    }
    host = ["-i", "localhost,", "-c", "local"]
    python = f"ansible_python_interpreter={warm_python.for_modules()}"
    words = [*host, "play.yml", "-e", json.dumps(script), "-e", python]
    command = [*warm_python.ansible(environment), *words, *options]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a GRUB that the role made."""
    folder = tmp_path_factory.mktemp("grub")
    assert "changed=2 " in make_grub(folder)
    return folder


def pc(folder: Path, made: Path, *arguments: str, **changes: Any) -> FirmwarePc:
    """A PC whose server has the files that the roles write, and the menu with these changes."""
    serve(folder, **changes)
    shutil.copy(made / PROGRAM, folder / PROGRAM)
    return FirmwarePc(folder, "", *arguments, program=PROGRAM)


def serve(folder: Path, **changes: Any) -> None:
    """Write what GRUB reads of the server."""
    items = changes.pop("items", [])
    for name, text in (
        ("grub/grub.cfg", grub.first_script(Server(TFTP_SERVER, "console=ttyS0"))),
        (f"menu/{MAC}.cfg", grub.render(menu(*items, **changes))),
    ):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)


def hard_disk(folder: Path) -> list[str]:
    local = disk(folder, "local", b"THE-DISK-RUNS", 1 << 20)
    return [
        "-drive",
        f"file={local},format=raw,if=none,id=disk",
        "-device",
        "ide-hd,drive=disk,bootindex=2",
    ]


def test_it_is_made_anew_only_when_its_parts_changed(made: Path) -> None:
    program = (made / PROGRAM).read_bytes()
    # PXE has half a megabyte at most.
    assert 100_000 < len(program) < 300_000
    assert "changed=0 " in make_grub(made)
    (made / PROGRAM).write_bytes(b"of last year")
    assert "changed=1 " in make_grub(made)
    assert (made / PROGRAM).read_bytes() == program
    left = {path.name for path in made.iterdir()} - {"play.yml", "grub-bios.cfg", PROGRAM}
    assert not {name for name in left if name.startswith(PROGRAM)}


@pytest.mark.slow
def test_in_check_mode_it_is_as_it_was(made: Path) -> None:
    program = (made / PROGRAM).read_bytes()
    assert "changed=0 " in make_grub(made, "--check")
    assert (made / PROGRAM).read_bytes() == program


def test_neither_editor_nor_command_line_opens(tmp_path: Path, made: Path) -> None:
    hidden = {"id": "more", "action": "memtest", "title": "Hidden one", "hidden": True}
    items = [{"id": "rescue", "action": "rescue_shell"}, hidden]
    with pc(tmp_path, made, items=items) as machine:
        # The user is known and his password nobody's: no guess is right, and so is none at all.
        for key, guess in (("c", "nobody"), ("e", "")):
            machine.wait_for("Rescue shell")
            machine.press(key)
            machine.wait_for("Enter username:")
            machine.press(*guess, "ret")
            machine.wait_for("Enter password:")
            machine.press(*guess, "ret")
        screen = "\n".join(machine.wait_for("Rescue shell"))
        assert "grub>" not in screen and "setparams" not in screen
        machine.press("h")
        machine.wait_for("Hidden one")
        machine.press("c")
        machine.wait_for("Enter username:")


@pytest.mark.slow
def test_debians_signed_grub_is_locked_too(tmp_path: Path) -> None:
    serve(tmp_path, items=[{"id": "rescue", "action": "rescue_shell"}])
    shutil.copy(SIGNED, tmp_path / "grubx64.efi")
    with FirmwarePc(tmp_path, "", uefi=True, program="grubx64.efi") as machine:

        def said(text: bytes, times: int) -> None:
            found = machine.serial.read_bytes
            machine.wait(lambda: found().count(text) >= times, f"{times} {text!r}", 300)

        said(b"Rescue shell", 1)
        for number, key in enumerate("ce", 1):
            machine.press(key)
            said(b"Enter username", number)
            machine.press("ret", "ret")
            said(b"Rescue shell", number + 1)
    assert b"grub>" not in machine.serial.read_bytes()


@pytest.mark.slow
def test_a_choice_boots_the_environment_with_its_words(tmp_path: Path, made: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env/vmlinuz").write_bytes(small_kernel())
    (tmp_path / "env/initrd.img").write_bytes(b"THE-INITRD. ")
    (tmp_path / "env/site.cpio").write_bytes(b"THE-OVERLAY.")
    with pc(tmp_path, made, items=[{"id": "save", "action": "backup"}]) as machine:
        machine.wait_for("Back up this PC")
        machine.press("down", "ret")
        machine.wait_for_serial("the-overlay.")
    said = machine.serial.read_bytes().decode(errors="replace")
    assert "/env/vmlinuz console=ttyS0 slipway.item=save" in said
    assert "THE-INITRD. THE-OVERLAY." in said


@pytest.mark.slow
def test_a_pending_session_comes_before_the_menu(tmp_path: Path, made: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env/vmlinuz").write_bytes(small_kernel())
    (tmp_path / "env/initrd.img").write_bytes(b"THE-INITRD.")
    (tmp_path / "env/site.cpio").write_bytes(b"THE-OVERLAY.")
    (tmp_path / "session").mkdir()
    wish = "slipway.session=0123456789abcdef"
    (tmp_path / f"session/{MAC}.cfg").write_text(f"set slw_wish='{wish}'\n")
    with pc(tmp_path, made) as machine:
        machine.wait_for_serial(wish)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["auto", "exit", "chain"])
def test_the_local_disk_boots_when_the_time_is_up(tmp_path: Path, made: Path, method: str) -> None:
    with pc(tmp_path, made, *hard_disk(tmp_path), timeout=2, method=method) as machine:
        machine.wait_for_serial("THE-DISK-RUNS")


@pytest.mark.slow
def test_a_disk_that_does_not_boot_ends_in_words(tmp_path: Path, made: Path) -> None:
    drive = hard_disk(tmp_path)
    (tmp_path / "local").write_bytes(bytes(1 << 20))
    with pc(tmp_path, made, *drive) as machine:
        machine.wait_for("Boot the local disk")
        machine.press("ret")
        machine.wait_for("There is no system on the local disk that could be booted.")
        machine.press("esc")
        machine.wait_for("Boot the local disk")


@pytest.mark.slow
def test_a_server_without_a_word_ends_at_the_local_disk(tmp_path: Path, made: Path) -> None:
    shutil.copy(made / PROGRAM, tmp_path / PROGRAM)
    machine = FirmwarePc(tmp_path, "", *hard_disk(tmp_path), program=PROGRAM)
    with machine:
        machine.wait_for("Boot the local disk")
        machine.press("c")
        machine.wait_for("Enter username:")
        machine.press("ret", "ret")
        machine.wait_for("Boot the local disk")
        machine.press("ret")
        machine.wait_for_serial("THE-DISK-RUNS")


def boots(folder: Path, made: Path, keys: list[str], drives: list[str], says: str) -> None:
    """The menu's item at these keys starts what says so."""
    (folder / "items").mkdir(parents=True)
    shutil.copy(ROLE / "files/cdrom.0", folder / "items/cdrom.0")
    with pc(folder, made, *drives, items=DRIVES) as machine:
        machine.wait_for("Boot from the CD or DVD")
        machine.press(*keys, "ret")
        machine.wait_for_serial(says)


def test_floppies_and_cds_boot(tmp_path: Path, made: Path) -> None:
    floppy = disk(tmp_path, "floppy", b"THE-FLOPPY-RUNS", 1474560)
    disc = tmp_path / "disc"
    disc.write_bytes(boot_disc())
    drives = [
        "-drive",
        f"file={floppy},format=raw,if=floppy",
        "-drive",
        f"file={disc},format=raw,media=cdrom",
    ]
    boots(tmp_path / "1", made, ["down"], drives, "THE-FLOPPY-RUNS")
    boots(tmp_path / "2", made, ["down", "down"], drives, "THE-CD-RUNS")


@pytest.mark.slow
def test_without_a_floppy_or_a_cd_it_goes_on(tmp_path: Path, made: Path) -> None:
    boots(tmp_path / "1", made, ["down", "down"], hard_disk(tmp_path), "THE-DISK-RUNS")
    with pc(tmp_path, made, items=DRIVES) as machine:
        machine.wait_for("Boot from the floppy disk")
        machine.press("down", "ret")
        machine.wait_for("There is no floppy disk in the drive that could be booted.")
        machine.press("esc")
        machine.wait_for("Boot from the CD or DVD")
