# SPDX-License-Identifier: GPL-3.0-or-later
"""The small programs that boot disks and CDs: what is served is what the sources say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "roles/boot_menu/files"


@pytest.mark.skipif(not shutil.which("as"), reason="no assembler; binutils has one")
def test_the_boot_program_of_cds_is_made_of_its_source(tmp_path: Path) -> None:
    made, program = tmp_path / "cdrom.o", tmp_path / "cdrom.0"
    subprocess.run(["as", "--32", "-o", made, FILES / "cdrom.S"], check=True)
    link = ["ld", "-m", "elf_i386", "-Ttext", "0x600", "--oformat", "binary", "-o", program, made]
    subprocess.run(link, check=True)
    assert program.read_bytes() == (FILES / "cdrom.0").read_bytes()
    # It moves 512 bytes of itself out of the way.
    assert program.stat().st_size <= 512


@pytest.mark.parametrize("name", ["disk.cfg", "cdrom.cfg"])
@pytest.mark.skipif(not shutil.which("grub-script-check"), reason="no GRUB here")
def test_grub_understands_its_scripts(name: str) -> None:
    subprocess.run(["grub-script-check", FILES / name], check=True)


@pytest.mark.parametrize("name", ["disk.cfg", "cdrom.cfg"])
def test_every_command_of_grub_is_built_in(name: str) -> None:
    modules = re.search(
        r"_boot_menu_grub_modules: (.*)", (ROOT / "roles/boot_menu/vars/main.yml").read_text()
    )
    assert modules
    module_of = {
        "[": "test",
        "echo": "echo",
        "regexp": "regexp",
        "chainloader": "chain",
        "boot": "normal",
        "exit": "minicmd",
    }
    text = (FILES / name).read_text()
    for command, module in module_of.items():
        assert re.search(rf"(^|\s){re.escape(command)}(\s|;|$)", text, re.MULTILINE), command
        assert module in modules[1].split()
