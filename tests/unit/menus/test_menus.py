# SPDX-License-Identifier: GPL-3.0-or-later
"""The menus of an inventory: precedence, files, and problems said all at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menus, _password_hash
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_ipxe import Server
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_preview import preview
from hypothesis import given
from hypothesis import strategies as st

from .conftest import LOCAL

SERVER = Server("192.0.2.1", "console=tty0")
OWN: dict[str, Any] = {
    "title": "Slipway",
    "banner": "",
    "timeout": 5,
    "default": "local",
    "colours": {},
    "method": "auto",
    "items": [LOCAL],
    "boot_args": "x",
    "unknown_default": "local",
    "unknown_items": [LOCAL, {"id": "reg", "action": "register"}],
}
HASH = _password_hash.make("secret")


def collect(machines: dict[str, dict[str, Any]], **server: Any) -> _menus.Menus:
    return _menus.collect(machines, {"img": server, **machines}, OWN, "img")


def pc(number: int, **variables: Any) -> dict[str, Any]:
    return {"machine_macs": [f"52:54:00:77:00:{number:02X}"], **variables}


def test_a_machine_comes_before_the_server_and_the_server_before_the_role() -> None:
    menus = collect(
        {"pc1": pc(1, boot_menu_title="Mine"), "pc2": pc(2)}, boot_menu_title="Server's"
    )
    assert [machine.menu.title for machine in menus.machines] == ["Mine", "Server's"]
    assert menus.unknown is not None
    assert (menus.unknown.title, menus.unknown.timeout) == ("Server's", 5)


def test_a_password_that_ipxe_walks_around_is_warned_of() -> None:
    shell = {"id": "sh", "action": "rescue_shell", "password_hash": HASH}
    save = {"id": "save", "action": "backup", "password_hash": HASH}
    plain = {"id": "sh", "action": "rescue_shell"}
    grub = {"machine_boot_loader": "grub"}
    machines = {
        "pc1": pc(1, boot_menu_items=[LOCAL, shell]),
        "pc2": pc(2, boot_menu_items=[LOCAL, save, plain]),
        "pc3": pc(3, boot_menu_items=[LOCAL, shell], **grub),
    }
    menus = collect(machines)
    assert menus.problems == ()
    [warning] = _menus.warnings(menus)
    assert "in the menu of pc1 keeps nobody out" in warning
    # Nobody knows whether it is a BIOS PC, or becomes one by a switch of its firmware.
    bios, uefi = {"pxe_server_bios_loader": "grub"}, {"pxe_server_uefi_loader": "grub"}
    assert _menus.warnings(collect(machines, **bios)) == [warning]
    assert _menus.warnings(collect(machines, **uefi)) == [warning]
    assert _menus.warnings(collect(machines, **bios, **uefi)) == []
    machines["pc3"]["machine_boot_loader"] = "ipxe"
    [said] = _menus.warnings(collect(machines, **bios, **uefi))
    assert "in the menu of pc3 keeps nobody out" in said
    many = collect({f"pc{n}": pc(n, boot_menu_items=[LOCAL, shell]) for n in range(1, 9)})
    assert "pc5, ... keeps" in _menus.warnings(many)[0]


def test_the_service_knows_the_fixed_address() -> None:
    menus = collect({"pc1": pc(1, machine_ip="192.168.1.20"), "pc2": pc(2)})
    known = _menus.files(menus, SERVER)["service"].values()
    found = [json.loads(each["content"]).get("address") for each in known]
    assert found == ["192.168.1.20", None]
    [problem] = collect({"pc1": pc(1, machine_ip="192.168.1")}).problems
    assert "pc1: machine_ip '192.168.1' is no address" in problem


def test_the_service_knows_the_groups_but_for_that_of_all_machines() -> None:
    menus = collect({"pc1": pc(1, group_names=["room_3", "machines", "cad"]), "pc2": pc(2)})
    known = _menus.files(menus, SERVER)["service"]
    said = [json.loads(each["content"]).get("groups") for each in known.values()]
    assert said == [["cad", "room_3"], None]


def test_every_card_gets_a_script_and_the_service_what_boots_the_environment() -> None:
    items = [
        LOCAL,
        {"id": "save", "action": "backup", "password_hash": HASH},
        {"id": "pick", "action": "restore", "images": ["a", "b"], "title": "Größe"},
        {"id": "own", "action": "ipxe", "script": "echo"},
    ]
    macs = ["52-54-00-77-00-0A", "52:54:00:77:00:0b"]
    menus = collect({"pc1": {"machine_macs": macs, "boot_menu_items": items}, "pc2": {}})
    files = _menus.files(menus, SERVER)
    assert menus.problems == ()
    assert sorted(files["menu"]) == [
        "52-54-00-77-00-0a.ipxe",
        "52-54-00-77-00-0b.ipxe",
        "unknown.ipxe",
    ]
    assert files["items"] == {"pc1.own.ipxe": {"content": "#!ipxe\necho\n", "label": "pc1"}}
    assert list(files["service"]) == ["pc1.json"]
    assert json.loads(files["service"]["pc1.json"]["content"]) == {
        "machine": "pc1",
        "macs": ["52:54:00:77:00:0a", "52:54:00:77:00:0b"],
        "items": [
            {
                "id": "save",
                "action": "backup",
                "title": "Back up this PC",
                "image": "pc1",
                "images": None,
                "password_hash": HASH,
            },
            {
                "id": "pick",
                "action": "restore",
                "title": "Größe",
                "image": None,
                "images": ["a", "b"],
                "password_hash": None,
            },
        ],
        "others": ["local", "own"],
    }
    assert sorted(files["grub_menu"]) == [
        "52:54:00:77:00:0a.cfg",
        "52:54:00:77:00:0b.cfg",
        "unknown.cfg",
    ]
    assert "slipway.item=save" in files["grub_menu"]["52:54:00:77:00:0a.cfg"]["content"]
    assert list(files["grub_first"]) == ["grub.cfg"]
    booted = ("first", "menu", "items", "grub_first", "grub_menu")
    scripts = [file for folder in booted for file in files[folder].values()]
    assert "scrypt" not in repr(scripts)


def test_programs_are_only_needed_where_a_menu_has_use_for_them() -> None:
    assert not any(_menus.needs(collect({"pc1": pc(1)})).values())
    menus = collect(
        {
            "pc1": pc(1, boot_menu_items=[LOCAL, {"id": "m", "action": "memtest"}]),
            "pc2": pc(2, boot_menu_method="chain"),
        }
    )
    assert _menus.needs(menus) == {"memtest": True, "cdrom": False, "disk": True, "grub": True}


def test_all_problems_are_said_at_once() -> None:
    class Broken(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            if key == "boot_menu_title":
                raise RuntimeError("'room' is undefined")
            return super().__getitem__(key)

    menus = collect(
        {
            "pc1": pc(1, boot_menu_itmes=[]),
            "pc2": pc(2, boot_menu_default="z"),
            "pc3": Broken(pc(3, boot_menu_title="{{ room }}")),
            "Pc4": pc(4),
            "pc5": {"machine_macs": "52:54:00:77:00:05"},
            "pc6": {"machine_macs": [1]},
            "pc7": pc(7),
            "pc8": pc(7),
        },
        boot_menu_unknown_items=[LOCAL, {"id": "x", "action": "restore", "image": "y"}],
    )
    wanted = ["pc1", "pc2", "pc3", "Pc4", "pc5", "pc6", "unknown machines", "pc7 and pc8 both"]
    assert len(menus.problems) == len(wanted)
    for problem, who in zip(menus.problems, wanted, strict=True):
        assert who in problem
    assert "Did you mean boot_menu_items?" in menus.problems[0]
    assert "'room' is undefined" in menus.problems[2]


def test_a_mistyped_variable_of_the_server_is_found() -> None:
    assert "mean boot_menu_unknown_items" in collect({}, boot_menu_unknown_item=[]).problems[0]


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=60))
def test_a_preview_is_a_frame_of_80_columns_whatever_it_shows(
    title: str, item: str, banner: str
) -> None:
    menus = collect(
        {
            "pc1": pc(
                1,
                boot_menu_title=title + "x",
                boot_menu_banner=banner,
                boot_menu_items=[
                    LOCAL,
                    {
                        "id": "r",
                        "action": "restore",
                        "image": "lab",
                        "title": item + "x",
                        "hidden": True,
                        "password_hash": HASH,
                    },
                ],
            )
        }
    )
    if menus.problems:
        assert "boot_menu_banner" in menus.problems[0]
        return
    lines = preview(menus.machines[0].menu)
    frame = lines[: lines.index("")]
    assert {len(line) for line in frame} == {80}
    assert "> Boot the local disk" in "\n".join(frame)
    said = "\n".join(lines[len(frame) :])
    assert "The key h shows the hidden items, too." in said
    assert "r: writes lab; hidden; asks for a password" in said.replace("\n    ", " ")


@pytest.mark.parametrize("cards", ["eepro100", ["x && shell"], ["${x}"], [82556]])
def test_a_card_that_can_not_be_one_is_refused(cards: object) -> None:
    [problem] = collect({}, boot_menu_tftp_cards=cards).problems
    assert problem.startswith("boot_menu_tftp_cards") and "Remedy: " in problem
