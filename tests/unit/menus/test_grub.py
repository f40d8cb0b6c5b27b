# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus for GRUB: the same items and actions, and no text that GRUB would act on.

``shlex`` is the independent reader: GRUB's quoting is that of a POSIX shell, where it is used here.
``grub-script-check`` is GRUB's own parser.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_grub as grub
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen as screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import parse
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server
from hypothesis import example, given
from hypothesis import strategies as st

from .conftest import data

SERVER = Server("10.77.0.1", "console=tty0 console=ttyS0,115200 quiet")
PXE_SERVER = Path(__file__).resolve().parents[3] / "roles/pxe_server"
GRUB_PC = Path("/usr/lib/grub/i386-pc")
HOSTILE = [
    "it's",
    "'; set superusers= ; halt; '",
    "' { } menuentry 'x' { halt",
    "$(halt) ${root} `halt` $net_default_mac",
    'a "quoted" \\" title\\',
    "two\nlines\r\n}\nhalt",
    "# no comment",
    "--users nobody",
    "日本語のタイトル Сохранить файлы",
    "{{ lookup('pipe', 'id') }}",
    "%s%n \x1b[2J",
]


def read(script: str) -> list[str]:
    return shlex.split(script, comments=True)


def check(script: str) -> None:
    """Let GRUB's own parser read it."""
    done = subprocess.run(
        ["grub-script-check"], input=script, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + script


def entries(script: str) -> dict[str, list[str]]:
    """What each entry of the first level does, by its title."""
    found: dict[str, list[str]] = {}
    title, depth = "", 0
    words = read(script)
    for index, word in enumerate(words):
        if word == "menuentry" and depth == 0:
            title = words[index + 2]
            found[title] = []
        elif word == "}":
            depth -= 1
        elif depth:
            found.get(title, []).append(word)
        if word == "{":
            depth += 1
            title = title if words[index - 1] == title else ""
    return found


def every_item(**changes: Any) -> list[dict[str, Any]]:
    items = [{"id": f"do-{a.replace('_', '-')}", "action": a, "title": f"Do {a}"} for a in ACTIONS]
    for item in items:
        if item["action"] == "ipxe":
            item["script"] = "shell"
    return [item | changes for item in items]


def test_every_action_has_its_entry() -> None:
    menu = parse(data(*every_item()), "pc1")
    script = grub.render(menu)
    check(script)
    found = entries(script)
    assert list(found) == ["Slipway - pc1", "Boot the local disk", *(f"Do {a}" for a in ACTIONS)]
    for action in ("backup", "restore", "rescue_shell"):
        wish = f"slipway.item=do-{action.replace('_', '-')}"
        assert found[f"Do {action}"] == ["slw_environment", wish]
    assert found["Do register"] == ["slw_environment", "slipway.register=1"]
    assert found["Do local_disk"] == ["slw_local_chain"]
    assert "/EFI/BOOT/BOOTX64.EFI;" in found["Do cdrom"]
    assert "/items/memtest.efi;" in found["Do memtest"]
    # On BIOS.
    assert "/items/cdrom.0;" in found["Do cdrom"]
    assert "/items/memtest.bin;" in found["Do memtest"]
    assert " ".join(found["Do floppy"]).startswith("if [ $grub_platform = pc ]; then slw_drive fd0")
    assert found["Do floppy"][-1] == found["Do ipxe"][-1] == "slw_wait"


@pytest.mark.parametrize(
    ("method", "way"),
    [("auto", "chain"), ("chain", "chain"), ("exit", "exit")],
)
def test_the_local_disk_boots_as_the_machine_wants_it(method: str, way: str) -> None:
    menu = parse(data(method=method), "pc1")
    assert entries(grub.render(menu))["Boot the local disk"] == [f"slw_local_{way}"]


def test_the_default_starts_when_the_time_is_up() -> None:
    text = "two lines\nof a banner"
    menu = parse(data({"id": "cd", "action": "cdrom"}, default="cd", banner=text), "pc1")
    script = grub.render(menu)
    titles = list(entries(script))
    assert "set timeout=5\n" in script
    assert titles[1:3] == ["two lines", "of a banner"]
    default = titles.index("Boot from the CD or DVD")
    assert f"set default={default}\n" in script
    # A default that fails goes on to the disk.
    assert entries(script)["Boot from the CD or DVD"][-1] == "slw_local_chain"
    assert "set timeout=-1\n" in grub.render(parse(data(timeout=0), "pc1"))


def test_hidden_items_are_behind_a_key() -> None:
    secret = {"id": "wipe", "action": "restore", "title": "Restore", "hidden": True}
    script = grub.render(parse(data(secret), "pc1"))
    check(script)
    assert "Restore" not in entries(script)
    shown, more = script.split("submenu --unrestricted --hotkey=h ' ' {\n")
    assert "slipway.item=wipe" not in shown
    assert "slipway.item=wipe" in more
    assert "hotkey" not in grub.render(parse(data(), "pc1"))


def test_nobody_edits_an_entry() -> None:
    script = grub.render(parse(data(*every_item()), "pc1"))
    words = read(script)
    opened = [words[i + 1] for i, word in enumerate(words) if word in ("menuentry", "submenu")]
    assert set(opened) == {"--unrestricted"}
    assert "set superusers=nobody\nexport superusers\n" in grub.first_script(SERVER)


@pytest.mark.skipif(not GRUB_PC.exists(), reason="no GRUB for BIOS here")
def test_every_command_is_built_into_the_grub_for_bios() -> None:
    variables = yaml.safe_load((PXE_SERVER / "vars/main.yml").read_text())
    modules = {*variables["_pxe_server_grub_modules"].split(), "the kernel"}
    module_of = dict.fromkeys(("set", "insmod"), "the kernel")
    for line in (GRUB_PC / "command.lst").read_text().splitlines():
        command, _, module = line.removeprefix("*").partition(": ")
        module_of[command] = module
    own = (PXE_SERVER / "templates/etc/slipway/grub-bios.cfg.j2").read_text()
    register = {"id": "register", "action": "register"}
    menus = (parse(data(*every_item()), "pc1"), parse(data(register), None))
    script = "\n".join((own, grub.first_script(SERVER), *map(grub.render, menus)))
    used = set(re.findall(r"(?m)^ *(?:(?:el)?if +)?([a-z0-9_\[]+)(?= |$)", script))
    functions = set(re.findall(r"(?m)^function ([a-z_]+)", script))
    language = {"if", "elif", "else", "fi", "for", "while", "done", "function", "return", "break"}
    assert {"chainloader", "linux16", "source", "sleep", "["} <= used
    missing = {name: module_of.get(name) for name in used - functions - language}
    assert not {name: module for name, module in missing.items() if module not in modules}


def test_unknown_machines_are_told_their_card() -> None:
    register = {"id": "register", "action": "register"}
    script = grub.render(parse(data(register), None))
    check(script)
    assert f"{screen.UNKNOWN_NOTE}$net_default_mac" in entries(script)


def test_colours_are_those_that_grub_knows() -> None:
    colours = {"text": "yellow", "background": "white", "selected_text": "red"}
    script = grub.render(parse(data(colours=colours), "pc1"))
    assert "set menu_color_normal=yellow/light-gray\n" in script
    assert "set menu_color_highlight=light-red/red\n" in script
    assert "color" not in grub.render(parse(data(), "pc1"))


def test_the_first_script_boots_what_a_session_boots() -> None:
    script = grub.first_script(SERVER)
    check(script)
    assert "linux /env/vmlinuz 'console=tty0' 'console=ttyS0,115200' 'quiet' \"$1\"" in script
    assert "initrd /env/initrd.img /env/site.cpio" in script
    # A session comes before every menu, and each file may be missing.
    session = script.index('source "/session/$net_default_mac.cfg"')
    card = script.index('source "/menu/$net_default_mac.cfg"')
    assert session < card < script.index("source /menu/unknown.cfg")
    assert f"for slw_loader in {' '.join(grub.LOADERS)}; do" in script
    assert grub.LOADERS[-1].endswith("/EFI/BOOT/BOOTX64.EFI")


texts = st.one_of(st.text(max_size=120), st.lists(st.sampled_from(HOSTILE)).map(" ".join))


@pytest.mark.fuzz
@given(texts, texts, texts)
@example("".join(HOSTILE), "\n".join(HOSTILE[:7]), " ".join(HOSTILE))
def test_no_text_is_ever_script(title: str, banner: str, item_title: str) -> None:
    changes = {
        "title": title.strip() or "x",
        "banner": "\n".join(banner.splitlines()[:8]),
    }
    try:
        menu = parse(data(*every_item(title=item_title, hidden=True), **changes), "pc1")
    except SlipwayError:
        return
    script = grub.render(menu)
    words = read(script)
    shown = [words[i + 2] for i, word in enumerate(words[:-2]) if word == "menuentry"]
    assert not [title for title in shown if title.startswith("-")], "that would be an option"
    items = [screen.item_text(item) for item in menu.items]
    head = [screen.title(menu), *screen.banner(menu)]
    first = screen.item_text(menu.items[0])
    assert [title.strip() for title in shown] == [*head, first, *head, *items]
    # What is left without those texts is what a harmless menu consists of.
    plain = grub.render(parse(data(*every_item(hidden=True)), "pc1"))
    texts_of = set(shown)
    left = {word for word in words if word not in texts_of and not word.startswith("default=")}
    assert left <= set(read(plain)) | texts_of
    assert all(" " <= char <= "~" or char == "\n" for char in script)


@pytest.mark.parametrize("text", HOSTILE)
def test_grubs_own_parser_takes_any_text(text: str) -> None:
    check(grub.render(parse(data(*every_item(title=text), title=text, banner=text), "pc1")))


def test_only_printable_ascii_is_quoted() -> None:
    assert grub.quoted("a'b") == "'a'\\''b'"
    for text in ("a\nb", "\x1b[2J", "é"):
        with pytest.raises(ValueError, match="printable"):
            grub.quoted(text)
