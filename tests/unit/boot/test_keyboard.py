# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's keyboard: from the boot loader's word to the console's key map."""

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import LAYOUTS, boot_word

OVERLAY = Path(__file__).resolve().parents[3] / "client_image/image/overlay"


def loaded(root: Path, words: str) -> str:
    """What the environment's script tells a loadkeys that only notes it."""
    for folder in ("proc", "bin"):
        (root / folder).mkdir()
    (root / "proc/cmdline").write_text(f"quiet {words} slipway.item=save\n")
    fake = root / "bin/loadkeys"
    fake.write_text(f'#!/bin/sh\necho "$@" >{root}/told\n')
    fake.chmod(0o755)
    path = {"PATH": f"{root}/bin:{os.environ['PATH']}"}
    program = OVERLAY / "usr/lib/slipway/set-keyboard"
    subprocess.run([program, str(root)], check=True, env=path)
    told = root / "told"
    return told.read_text() if told.exists() else ""


@pytest.mark.parametrize("name", [name for name in LAYOUTS if boot_word(name)])
def test_each_layout_is_loaded(tmp_path: Path, name: str) -> None:
    said = loaded(tmp_path, boot_word(name))
    assert said == f"--quiet --unicode --console=/dev/tty1 {LAYOUTS[name].keymap}\n"


@pytest.mark.parametrize(
    "words", ["", "slipway.keyboard=", "slipway.keyboard=../x", "slipway.keyboard=-C", "x.y=de"]
)
def test_what_is_no_key_map_is_left_out(tmp_path: Path, words: str) -> None:
    assert loaded(tmp_path, words) == ""


def test_nobody_is_asked_before_the_keyboard_is_right() -> None:
    units = OVERLAY / "etc/systemd/system"
    unit = (units / "slipway-keyboard.service").read_text()
    assert "Before=slipway-choice.service slipway-register.service\n" in unit
    assert "slipway-keyboard.service" in (units / "slipway.target").read_text()
