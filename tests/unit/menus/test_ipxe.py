# SPDX-License-Identifier: GPL-3.0-or-later
"""Menus as iPXE scripts: what is shown, what is chosen, and that no text ever acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menu_screen
from ansible_collections.slipway.imaging.plugins.plugin_utils._ascii_text import to_ascii
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import parse
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import (
    Server,
    first_script,
    render,
)
from hypothesis import example, given
from hypothesis import strategies as st
from slipway_server.base.config import Config
from slipway_server.sessions import boot_script

from ...fixtures.environment_script import environment_script
from .conftest import LOCAL, data
from .ipxe_script import Run, read

ROOT = Path(__file__).resolve().parents[3]
DEFAULTS = yaml.safe_load((ROOT / "roles/boot_menu/defaults/main.yml").read_text())
SERVER = Server("192.0.2.1", "console=tty0 quiet", tuple(DEFAULTS["boot_menu_tftp_cards"]))
URL = "http://192.0.2.1"
ALL: list[dict[str, Any]] = [
    {"id": "save", "action": "backup"},
    {"id": "back", "action": "restore", "hidden": True},
    {"id": "fd", "action": "floppy"},
    {"id": "cd", "action": "cdrom"},
    {"id": "shell", "action": "rescue_shell"},
    {"id": "ram", "action": "memtest"},
    {"id": "reg", "action": "register"},
    {"id": "own", "action": "ipxe", "script": "echo mine"},
]

IDS = [item["id"] for item in ALL]
ENVIRONMENT = {f"{URL}/environment.ipxe": environment_script("192.0.2.1", "console=tty0  quiet ")}


def run(menu: dict[str, Any], *answers: str | None, machine: str | None = "pc1", **how: Any) -> Run:
    script = render(parse(menu, machine), SERVER)
    return Run(script, answers=list(answers), chained=ENVIRONMENT, **how).play()


def test_what_is_shown() -> None:
    menu = data(*ALL, title="Lab room", banner="Saturday: no backups\n\ncall 4711")
    screen = run(menu).screens[0]
    assert screen.title == "Lab room - pc1"
    assert [text for _label, text in screen.rows[:4]] == [
        "Saturday: no backups",
        "",
        "call 4711",
        "",
    ]
    assert list(screen.choices) == ["local", *(item for item in IDS if item != "back"), ".more"]
    assert screen.choices["save"] == "Back up this PC"
    assert (screen.default, screen.timeout, screen.keys) == ("local", 5000, {"h": ".more"})
    shown = run(menu, "h").screens[1]
    assert list(shown.choices) == ["local", *IDS]
    assert shown.timeout == 0
    assert run(data(timeout=0)).screens[0].timeout == 0


@pytest.mark.parametrize(
    ("answers", "platform", "ends"),
    [
        ([""], "pcbios", "sanboot --no-describe --drive 0x80"),
        ([""], "efi", "exit 1"),
        ([None], "pcbios", "sanboot --no-describe --drive 0x80"),
        (["save"], "efi", "boot"),
        (["h", "back"], "pcbios", "boot"),
        (["fd"], "pcbios", "sanboot --no-describe --drive 0x00"),
        (["fd", ""], "efi", "exit 1"),
        (["cd"], "pcbios", f"chain {URL}/items/cdrom.0"),
        (["cd"], "efi", f"chain {URL}/items/cdrom.efi"),
        (["ram"], "pcbios", f"chain {URL}/items/memtest.bin"),
        (["ram"], "efi", f"chain {URL}/items/memtest.efi"),
        (["reg"], "efi", "boot"),
    ],
)
def test_what_is_chosen_happens(answers: list[str | None], platform: str, ends: str) -> None:
    assert run(data(*ALL), *answers, platform=platform).ended == ends


@pytest.mark.parametrize(
    ("item", "wish"),
    [("save", "slipway.item=save"), ("shell", "slipway.item=shell"), ("reg", "slipway.register=1")],
)
def test_the_environment_is_booted_for_an_item(item: str, wish: str) -> None:
    booted(run(data(*ALL), item), wish)


def test_the_environment_is_booted_for_a_session_by_the_same_script(tmp_path: Path) -> None:
    config = Config("192.0.2.1", tmp_path, tmp_path)
    script = boot_script.render(config, "0" * 16, "t" * 43)
    played = Run(script, chained=ENVIRONMENT).play()
    booted(played, f"slipway.session={'0' * 16} slipway.ticket={'t' * 43}")


@pytest.mark.parametrize("failing", ["kernel", "initrd --name initrd.img", "initrd --name site"])
def test_an_environment_that_can_not_be_loaded_is_said(failing: str) -> None:
    played = run(data(*ALL), "save", failing=(failing,))
    said = [" ".join(line) for line in played.done]
    assert "echo This choice could not be started. Nothing was changed." in said
    assert played.ended == f"chain --replace {URL}/boot.ipxe"


def booted(played: Run, wish: str) -> None:
    """The environment was started, with these words and nothing else."""
    assert played.ended == "boot"
    done = played.done
    kernel = (
        f"kernel {URL}/env/vmlinuz initrd=initrd.img initrd=site.cpio console=tty0 quiet {wish}"
    )
    # A boot medium with a fixed address would say it in one more word, which is empty here.
    assert kernel.split() in [" ".join(line).split() for line in done]
    for name in ("initrd.img", "site.cpio"):
        assert f"initrd --name {name} {URL}/env/{name}".split() in done


@pytest.mark.parametrize(
    ("item", "ends"),
    [("ram", f"chain {URL}/items/memtest.bin"), ("local", "sanboot --no-describe --drive 0x80")],
)
def test_boot_once_leads_to_its_item_without_a_question(item: str, ends: str) -> None:
    played = run(data(*ALL), settings={"slwonce": item})
    assert played.ended == ends
    assert played.screens == []
    assert ["clear", "slwonce"] in played.done, "what leads back to the menu shows it"


def test_an_own_script_is_chained_and_leads_back() -> None:
    played = run(data(*ALL), "own", "")
    assert f"chain {URL}/items/pc1.own.ipxe".split() in played.done
    assert played.ended.startswith("sanboot")


@pytest.mark.parametrize(
    ("method", "platform", "ends"),
    [
        ("auto", "pcbios", "sanboot --no-describe --drive 0x80"),
        ("exit", "pcbios", "exit 0"),
        ("chain", "pcbios", "sanboot --no-describe --drive 0x80"),
        ("auto", "efi", "exit 1"),
        ("exit", "efi", "exit 1"),
        ("chain", "efi", f"chain {URL}/items/disk.efi"),
    ],
)
def test_methods(method: str, platform: str, ends: str) -> None:
    assert run(data(method=method), platform=platform).ended == ends
    assert run(data(items=[LOCAL | {"method": method}]), platform=platform).ended == ends
    escaped = run(data(method=method), None, platform=platform)
    assert escaped.ended == ends


@pytest.mark.parametrize("action", ["floppy", "cdrom"])
def test_a_default_that_fails_goes_on_to_the_disk(action: str) -> None:
    menu = data({"id": "x", "action": action}, default="x")
    failing = ("sanboot --no-describe --drive 0x00", f"chain {URL}/items/")
    assert run(menu, failing=failing).ended == "sanboot --no-describe --drive 0x80"
    assert run(menu, platform="efi", failing=failing).ended == "exit 1"
    chosen = run(data({"id": "x", "action": action}), "x", "", failing=failing)
    assert len(chosen.screens) == 2


@pytest.mark.parametrize("failing", ["kernel", "initrd", "boot"])
def test_an_environment_that_can_not_be_fetched_asks_the_server_again(failing: str) -> None:
    played = run(data(*ALL), "save", failing=(failing,))
    assert played.ended == f"chain --replace {URL}/boot.ipxe"
    assert "Nothing was changed." in " ".join(" ".join(words) for words in played.done)


def test_a_disk_without_a_system_is_said() -> None:
    played = run(data(), failing=("sanboot",))
    assert "no system on the local disk" in " ".join(" ".join(words) for words in played.done)
    assert played.ended == f"chain --replace {URL}/boot.ipxe"


def test_unknown_machines_are_looked_up_by_their_other_cards() -> None:
    played = run(data({"id": "reg", "action": "register"}), machine=None)
    assert played.settings["slwcard"] == "2"
    screen = played.screens[0]
    assert screen.title == "Slipway"
    assert "not in the inventory. It booted from the card MAC" in screen.rows[-1][1]
    other = Run(render(parse(data(), None), SERVER))
    other.settings["net1/mac:hexhyp"] = "52-54-00-00-00-99"
    assert other.play().ended == f"chain --replace {URL}/boot/52-54-00-00-00-99.ipxe?uuid=&serial="


def test_the_first_script_asks_and_then_boots_the_disk() -> None:
    ask = f"chain --replace {URL}/boot/52-54-00-00-00-01.ipxe?uuid=&serial="
    assert Run(first_script(SERVER)).play().ended == ask
    played = Run(first_script(SERVER), failing=(ask,)).play()
    assert played.ended == "sanboot --no-describe --drive 0x80"
    assert played.done.count(ask.split()) == 5
    assert "http://[2001:db8::1]/boot/" in first_script(Server("2001:db8::1", ""))


@pytest.mark.parametrize("chip", ["eepro100", "82559er", "pcnet32"])
def test_cards_that_lose_packets_load_over_tftp(chip: str) -> None:
    first = Run(first_script(SERVER), settings={"netX/chip": chip}).play()
    assert first.ended.startswith(f"chain --replace {URL}/boot/"), "small files come over HTTP"
    menu = run(data(*ALL), "save", settings=first.settings)
    files = [word for line in menu.done for word in line if "/env/" in word]
    assert [file.partition("/env/")[0] for file in files] == ["tftp://192.0.2.1"] * 3
    assert run(data(*ALL), "ram", settings=first.settings).ended == (
        "chain tftp://192.0.2.1/items/memtest.bin"
    )


def test_an_administrator_names_another_card() -> None:
    script = first_script(Server("192.0.2.1", "", ("rtl8139",)))
    assert "iseq ${netX/chip} rtl8139 && set slwfiles tftp://192.0.2.1 ||" in script
    assert "eepro100" not in script


def test_other_cards_load_over_http() -> None:
    first = Run(first_script(SERVER), settings={"netX/chip": "virtio-net"}).play()
    assert not any(
        "tftp:" in word
        for line in run(data(*ALL), "save", settings=first.settings).done
        for word in line
    )


def test_colours_are_only_named_when_they_were_chosen() -> None:
    assert "cpair" not in render(parse(data(), "pc1"), SERVER)
    script = render(parse(data(colours={"background": "black"}), "pc1"), SERVER)
    assert "cpair --foreground 7 --background 0 1 ||" in script
    # An iPXE without the command goes on.
    assert Run(script, failing=("cpair",)).play().ended.startswith("sanboot")


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Zurück … jetzt", "Zuruck ... jetzt"),
        ("Восстановить", "Vosstanovit"),
        ("Ελληνικά", "Ellinika"),
        ("バックアップ", "bakuapu"),
        ("복구", "boggu"),
        ("还原", "Test the memory (x)"),
        ("还原 C:", "Test the memory (x)"),
        ("🙂 Test RAM", "? Test RAM"),
        ("Price: 5 $ {tax}", "Price: 5 $ (tax)"),
        ("C:\\", "C:\\"),
        ("x" * 80, "x" * 64 + "..."),
        ("\"quoted\" & 'so'", "\"quoted\" & 'so'"),
        ("#1 || reboot && a ; b --key", "#1 || reboot && a ; b --key"),
        ("--hidden -k", "--hidden -k"),
        ("${net0/mac}", "$(net0/mac)"),
        ("two\nlines", "two lines"),
    ],
)
def test_titles_in_any_script_are_shown_as_well_as_can_be(title: str, shown: str) -> None:
    assert (
        run(data({"id": "x", "action": "memtest", "title": title})).screens[0].choices["x"] == shown
    )


CANARIES = [
    "${net0/mac}",
    "$${}{net0/mac}",
    "|| reboot",
    "&& reboot",
    "; reboot",
    "\nreboot",
    "\r\nreboot",
    "\\\nreboot",
    "x\\",
    "# x",
    "#",
    "--",
    "--gap",
    "-k x",
    "--key=x",
    ":label",
    "\x1b[31m",
    "\x00",
    "'",
    '"',
    "{{ 1 }}",
    "%s%n",
    "\u2028reboot",
    "\x85reboot",
    "goto slw-failed",
    "}${",
    "${",
    "|| ${",
    "\u202ereboot",
]
HOSTILE = st.lists(
    st.sampled_from(CANARIES) | st.text(max_size=8) | st.sampled_from(list("${}|&;#\\- \n\t:")),
    min_size=1,
    max_size=6,
).map("".join)


def shape(script: str) -> list[list[tuple[str, ...]]]:
    """The commands of a script without what is text by our own rules: titles and rows."""

    def bare(words: list[str]) -> tuple[str, ...]:
        if words and words[0] in ("menu", "item") and "--" in words:
            at = words.index("--") + 1
            return tuple(words[: at + (words[0] == "item" and words[1] != "--gap")])
        return tuple(words)

    return [
        [(str(line.label), *bare(command.words), command.end) for command in line.commands]
        for line in read(script)
    ]


@pytest.mark.fuzz
@given(title=HOSTILE, banner=HOSTILE, item=HOSTILE)
@example(title="$", banner="{net0/mac}", item="\\")
@example(title="${}", banner="${}\\", item="|| reboot")
def test_no_text_ever_acts(title: str, banner: str, item: str) -> None:
    def made(title: str, banner: str, item: str) -> str | None:
        changed = data({"id": "x", "action": "backup", "title": item}, title=title, banner=banner)
        try:
            return render(parse(changed, "pc1"), SERVER)
        except SlipwayError:
            return None

    script = made(title, banner, item)
    if script is None:
        return
    assert all(char == "\n" or " " <= char <= "~" for char in script)
    # The script has the same commands as one with harmless text, whatever a banner's lines are.
    harmless = made("t", "\n".join("b" for _ in parse_banner(banner)), "i")
    assert harmless is not None
    assert shape(script) == shape(harmless)
    # What is shown is text from nowhere else: no setting is expanded in it.
    played = Run(script, answers=[""], settings={"net0/mac": "EXPANDED"}).play()
    assert played.ended == "sanboot --no-describe --drive 0x80"
    assert "EXPANDED" not in repr(played.screens)
    assert list(played.screens[0].choices) == ["local", "x"]


def parse_banner(banner: str) -> list[str]:
    """The lines of a banner that are shown: those in letters that can't be are left out."""
    return list(_menu_screen.banner(parse(data(banner=banner), "pc1")))


@given(st.text(max_size=40))
def test_ascii_text_is_printable(text: str) -> None:
    shown, lost = to_ascii(text)
    assert all(" " <= char <= "~" for char in shown)
    assert lost <= len(text)
