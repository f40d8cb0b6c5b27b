# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyboards of PCs: one list, in the boot words of both loaders, and what they can type."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import (
    _menu_grub,
    _menu_ipxe,
    _menus,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._keyboards import (
    LAYOUTS,
    check_keyboard,
    warnings,
)
from slipway_server.base.config import Config
from slipway_server.choices.menu_files import MenuFiles
from slipway_server.sessions import boot_script

ITEMS = [{"id": "local", "action": "local_disk"}, {"id": "save", "action": "backup"}]
UNKNOWN = [{"id": "local", "action": "local_disk"}, {"id": "reg", "action": "register"}]
OWN: dict[str, Any] = {
    "title": "Slipway",
    "default": "local",
    "unknown_default": "local",
    "items": ITEMS,
    "unknown_items": UNKNOWN,
}
SERVER = _menu_ipxe.Server("10.77.0.1", "quiet")


def menus(machine: dict[str, Any], server: dict[str, Any] | None = None) -> _menus.Menus:
    variables = {"pc1": {"machine_macs": ["52:54:00:77:00:01"], **machine}, "img": server or {}}
    return _menus.collect(["pc1"], variables, OWN, "img")


def test_both_boot_loaders_tell_the_environment() -> None:
    found = menus({"machine_keyboard": "de"}, {"machine_keyboard": "fr"})
    assert not found.problems
    (machine,) = found.machines
    words = "slipway.item=save slipway.keyboard=de-latin1-nodeadkeys"
    assert f"set slwwish {words}\n" in _menu_ipxe.render(machine.menu, SERVER)
    assert f"slw_environment {words}\n" in _menu_grub.render(machine.menu)
    # Who registers a PC that nobody knows types a name: there the site's keyboard counts.
    assert found.unknown is not None
    words = "slipway.register=1 slipway.keyboard=fr-latin9"
    assert f"set slwwish {words}\n" in _menu_ipxe.render(found.unknown, SERVER)
    assert f"slw_environment {words}\n" in _menu_grub.render(found.unknown)


@pytest.mark.parametrize("machine", [{}, {"machine_keyboard": "us"}, {"machine_keyboard": ""}])
def test_a_us_keyboard_needs_no_word(machine: dict[str, Any]) -> None:
    files = _menus.files(menus(machine), SERVER)
    assert "slipway.keyboard" not in str(files)
    assert "keymap" not in str(files["service"])


def test_an_order_tells_it_too(tmp_path: Path) -> None:
    files = _menus.files(menus({"machine_keyboard": "cz"}), SERVER)["service"]
    (tmp_path / "pc1.json").write_text(files["pc1.json"]["content"])
    menu = MenuFiles(tmp_path).of("pc1")
    assert menu is not None and menu.keymap == "cz-us-qwertz"
    config = Config("10.77.0.1", tmp_path, tmp_path)
    script = boot_script.render_item(config, "save", "0123456789abcdef", menu.keymap)
    assert " slipway.keyboard=cz-us-qwertz\n" in script
    assert "keyboard" not in boot_script.render_item(config, "save", "0123456789abcdef")


@pytest.mark.parametrize("keymap", ["us init=/bin/sh", "../us", 7, None])
def test_a_key_map_that_can_be_none_costs_the_machine_its_items(
    tmp_path: Path, keymap: object
) -> None:
    files = _menus.files(menus({"machine_keyboard": "cz"}), SERVER)["service"]
    text = files["pc1.json"]["content"].replace('"cz-us-qwertz"', repr(keymap).replace("'", '"'))
    (tmp_path / "pc1.json").write_text(text.replace("None", "null"))
    assert MenuFiles(tmp_path).of("pc1") is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("DE", "Did you mean de?"),
        ("de-CH", "There are us, gb, de"),
        # YAML's Norway.
        (False, "in quotation marks"),
        ("de slipway.item=wipe", "There are us"),
        (7, "There are us"),
    ],
)
def test_an_unknown_layout_is_refused(name: object, says: str) -> None:
    with pytest.raises(SlipwayError, match=re.escape(says)):
        check_keyboard(name)
    (problem,) = menus({"machine_keyboard": name}).problems
    assert problem.startswith("The menu of pc1: machine_keyboard is") and says in problem
    with pytest.raises(SlipwayError):
        list(warnings("open sesame", [name]))


@pytest.mark.parametrize(
    ("password", "keyboards", "says"),
    [
        ("open sesame", [], []),
        ("open sesame", ["de", "fr", "us"], []),
        ("schlüssel", ["de"], []),
        (
            "schlüssel",
            [],
            ["PCs without machine_keyboard have no key for these of its characters: ü"],
        ),
        ("schlüssel", ["de", "us"], ["PCs with machine_keyboard us have no key .*: ü"]),
        (
            "łódź",
            ["de", "pl"],
            ["machine_keyboard de have no key for these of its characters: łóź"],
        ),
        ("a~b", ["br"], ["machine_keyboard br have no key .*: ~"]),
        # One room is said to be German, another one is not said to be anything.
        ("lazy-dog", ["de", ""], ["without machine_keyboard are taken .*: zy-"]),
        ("home run", ["de", ""], []),
    ],
)
def test_what_a_keyboard_cannot_type_is_said(
    password: str, keyboards: list[str], says: list[str]
) -> None:
    found = list(warnings(password, keyboards))
    assert len(found) == len(says)
    assert all(re.search(said, line) for said, line in zip(says, found, strict=True))


KEYMAPS = Path("/usr/share/keymaps/i386")
LOADKEYS = shutil.which("loadkeys", path="/usr/bin:/bin")


def typed(keymap: str) -> dict[str, tuple[str, int]]:
    """Each character of a key map with its place, as the real loadkeys reads it."""
    (file,) = KEYMAPS.glob(f"*/{keymap}.kmap.gz")
    words = [str(LOADKEYS), "--quiet", "--unicode", "--mktable", str(file)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    maps = dict(re.findall(r"(\w+)_map\[NR_KEYS\] = \{(.*?)\};", text, re.DOTALL))
    found: dict[str, tuple[str, int]] = {}
    for name in ("plain", "shift", "altgr", "shift_altgr"):
        for place, word in enumerate(re.findall("0x[0-9a-f]+", maps.get(name, ""))[:128]):
            value = int(word, 16)
            if value < 0xF000 or value >> 8 in (0xF0, 0xFB):
                char = chr(value if value < 0xF000 else value & 0xFF)
                found.setdefault(char, (name, place))
    return found


@pytest.mark.skipif(
    LOADKEYS is None or not KEYMAPS.is_dir(), reason="no kbd and console-data on this host"
)
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_list_is_what_the_environments_key_maps_say(name: str) -> None:
    layout = LAYOUTS[name]
    here, us = typed(layout.keymap), typed("us")
    ascii_chars = [chr(code) for code in range(32, 127)]
    assert layout.lacks == "".join(char for char in ascii_chars if char not in here)
    moved = [char for char in ascii_chars if char in here and here[char] != us[char]]
    assert layout.elsewhere == "".join(moved)
    assert set(layout.more) <= set(here)
