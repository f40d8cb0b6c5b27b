# SPDX-License-Identifier: GPL-3.0-or-later
"""The card of a dock or an adapter: whose menu it shows, and who can't share it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.plugin_utils import _menus

from .ipxe_script import Run
from .test_menus import SERVER, collect

DOCK, OWN = "52:54:00:77:00:d0", "52:54:00:77:00:01"
ONE, OTHER = "4c4c4544-0001-1001-8020-b7c04f202020", "4c4c4544-0001-1002-8020-b7c04f202020"


def laptop(*macs: str, **variables: Any) -> dict[str, Any]:
    return {"machine_macs": list(macs or (DOCK,)), **variables}


def test_the_firmware_says_whose_menu_it_is() -> None:
    menus = collect(
        {
            "pc1": laptop(DOCK, OWN, machine_uuid=ONE.upper()),
            "pc2": laptop(machine_uuid=OTHER, machine_serial="5CG-1.x"),
        }
    )
    assert menus.problems == ()
    files = _menus.files(menus, SERVER)
    script = files["menu"]["52-54-00-77-00-d0.ipxe"]["content"]
    for said, whose in (
        ({"uuid": ONE}, "pc1"),
        ({"uuid": ONE, "serial": "another"}, "pc1"),
        ({"uuid": OTHER, "serial": "5CG-1.x"}, "pc2"),
        ({"uuid": OTHER}, "_unknown"),
        ({"uuid": OTHER, "serial": "5CG-1"}, "_unknown"),
        ({"serial": "5CG-1.x"}, "_unknown"),
        ({}, "_unknown"),
    ):
        done = Run(script, settings=dict(said)).play().done
        chained = next(words[-1] for words in done if words[0] == "chain")
        assert chained == f"http://192.0.2.1/items/{whose}.-menu.ipxe", said
    # What is chained to is the menu that a card of its own would show.
    own = files["menu"]["52-54-00-77-00-01.ipxe"]["content"]
    assert files["items"]["pc1.-menu.ipxe"]["content"] == own
    unknown = files["menu"]["unknown.ipxe"]["content"]
    assert files["items"]["_unknown.-menu.ipxe"]["content"] == unknown
    # GRUB asks by the card alone: for that of a dock there is nothing but the unknown ones' menu.
    assert set(files["grub_menu"]) == {f"{OWN}.cfg", "unknown.cfg"}
    told = json.loads(files["service"]["pc2.json"]["content"])
    assert (told["uuid"], told["serial"]) == (OTHER, "5CG-1.x")


def test_what_the_boot_loader_says_goes_to_the_server() -> None:
    first = _menus.files(collect({}), SERVER)["first"]["boot.ipxe"]["content"]
    said = {"uuid": ONE, "serial:uristring": "5CG%201"}
    asked = Run(first, settings=said).play().ended
    assert asked.endswith(f"/boot/52-54-00-00-00-01.ipxe?uuid={ONE}&serial=5CG%201")


@pytest.mark.parametrize(
    ("machines", "server", "word"),
    [
        ([{}, {}], {}, "both have the MAC address 52:54:00:77:00:d0."),
        ([{"machine_uuid": ONE}, {}], {}, "pc1 and pc2 both have"),
        ([{"machine_uuid": ONE}, {"machine_serial": "x1"}], {}, "pc1 and pc2 both have"),
        ([{"machine_uuid": ONE}, {"machine_uuid": ONE.upper()}], {}, "pc1 and pc2 both have"),
        (
            [{"machine_uuid": ONE}, {"machine_uuid": OTHER}, {"machine_uuid": OTHER}],
            {},
            "pc2 and pc3 both have",
        ),
        (
            [{"machine_uuid": ONE, "machine_ip": "192.0.2.9"}, {"machine_uuid": OTHER}],
            {},
            "pc1 shares the card 52:54:00:77:00:d0 with other machines and has a machine_ip",
        ),
        (
            [{"machine_uuid": ONE}, {"machine_uuid": OTHER, "machine_boot_loader": "grub"}],
            {},
            "pc2 shares the card 52:54:00:77:00:d0 with other machines and starts with GRUB",
        ),
        (
            [{"machine_uuid": ONE, "machine_boot_loader": "ipxe"}, {"machine_uuid": OTHER}],
            {"pxe_server_uefi_loader": "grub"},
            "pc2 shares the card",
        ),
        (
            [{"machine_uuid": ONE, "machine_boot_loader": "ipxe"}, {"machine_uuid": OTHER}],
            {"pxe_server_bios_loader": "grub"},
            "pc2 shares the card",
        ),
        (
            [{"machine_uuid": "0" * 8 + "-0000-0000-0000-" + "0" * 12}, {"machine_uuid": ONE}],
            {},
            "pc1 and pc2 both have",
        ),
        (
            [{"machine_uuid": "of pc1"}, {"machine_uuid": ONE}],
            {},
            "as /sys/class/dmi/id/product_uuid",
        ),
        ([{"machine_serial": "a b"}, {"machine_serial": "${x}"}], {}, "one word of letters"),
    ],
)
def test_what_keeps_machines_from_sharing_a_card(
    machines: list[dict[str, Any]], server: dict[str, Any], word: str
) -> None:
    named = {f"pc{number}": laptop(**each) for number, each in enumerate(machines, 1)}
    menus = collect(named, **server)
    assert any(word in problem and "Remedy:" in problem for problem in menus.problems), (
        menus.problems
    )


def test_what_a_registration_wrote_changes_nothing_where_no_card_is_shared() -> None:
    said = {"machine_uuid": ONE, "machine_serial": "S/N 1 {{ x }}", "machine_ip": "192.0.2.9"}
    menus = collect({"pc1": laptop(**said, machine_boot_loader="grub")})
    assert menus.problems == ()
    files = _menus.files(menus, SERVER)
    assert "uuid" not in json.loads(files["service"]["pc1.json"]["content"])
    assert not files["items"]
    assert "iseq ${uuid}" not in files["menu"]["52-54-00-77-00-d0.ipxe"]["content"]
