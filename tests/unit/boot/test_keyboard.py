# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment's keyboard: from the boot loader's word to the console's key map."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import LAYOUTS, boot_word

OVERLAY = Path(__file__).resolve().parents[3] / "client_image/image/overlay"


@pytest.fixture
def loaded(tmp_path: Path, mock_command: Callable[..., Any]) -> Callable[[str], list[list[str]]]:
    """What the environment's script tells a loadkeys that only notes it."""
    loadkeys = mock_command("loadkeys")
    (tmp_path / "proc").mkdir()

    def load(words: str) -> list[list[str]]:
        (tmp_path / "proc/cmdline").write_text(f"quiet {words} slipway.item=save\n")
        subprocess.run([OVERLAY / "usr/lib/slipway/set-keyboard", str(tmp_path)], check=True)
        return loadkeys.calls

    return load


@pytest.mark.parametrize("name", [name for name in LAYOUTS if boot_word(name)])
def test_each_layout_is_loaded(loaded: Callable[[str], list[list[str]]], name: str) -> None:
    options = ["--quiet", "--unicode", "--console=/dev/tty1"]
    assert loaded(boot_word(name)) == [[*options, LAYOUTS[name].keymap]]


@pytest.mark.parametrize(
    "words", ["", "slipway.keyboard=", "slipway.keyboard=../x", "slipway.keyboard=-C", "x.y=de"]
)
def test_what_is_no_key_map_is_left_out(
    loaded: Callable[[str], list[list[str]]], words: str
) -> None:
    assert loaded(words) == []


def test_nobody_is_asked_before_the_keyboard_is_right() -> None:
    units = OVERLAY / "etc/systemd/system"
    unit = (units / "slipway-keyboard.service").read_text()
    assert "Before=slipway-choice.service slipway-register.service\n" in unit
    assert "slipway-keyboard.service" in (units / "slipway.target").read_text()
