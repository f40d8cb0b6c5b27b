# SPDX-License-Identifier: GPL-3.0-or-later
"""What a --limit may say, and that it is read as Ansible reads it."""

from pathlib import Path

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils._selection import (
    Selection,
    check_hosts,
)

INVENTORY = """
image_servers: {hosts: {img: {}}}
machines:
  children:
    room_a: {hosts: {pc1: {}, pc2: {}, pc11: {}}}
    room_b: {hosts: {pc21: {}, pc22: {}}}
    spare: {hosts: {}}
"""
EVERYTHING = "which selects all 5"


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> InventoryManager:
    folder = tmp_path_factory.mktemp("selection")
    (folder / "hosts.yml").write_text(INVENTORY)
    return InventoryManager(DataLoader(), [str(folder / "hosts.yml")])


def problems(
    ansible: InventoryManager,
    limit: str | None,
    required: bool = True,
    everything: bool = False,
) -> str:
    ansible.subset(limit)
    try:
        selected = [host.name for host in ansible.get_hosts("all")]
    finally:
        ansible.subset(None)
    selection = Selection(ansible.get_groups_dict(), limit)
    assert selection.hosts("all") == selected, "not read as Ansible reads it"
    return " ".join(selection.problems(selected, required=required, everything=everything))


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("pc1,pcl2", "pcl2 (did you mean pc2"),
        ("room_a:!pc1l", "!pc1l (did you mean pc1"),
        ("room_a,!pc1l", "!pc1l"),
        ("room_a !pc1l", "!pc1l"),
        ("!pc1l", "!pc1l"),
        ("room_a:&rooma", "&rooma (did you mean room_a"),
        ("room_a:!PC11", "!PC11 (did you mean pc11"),
        ("room_a:!!pc1", "!!pc1"),
        ("room_a,! pc1", "! pc1"),
        ("room_a:!pc1,pc2", "room_a:!pc1 (beside commas"),
        ("room_a:!pc[1:2]", "!pc[1:2]"),
        ("pc1,pc[1:3]", "pc[1:3]"),
        ("pc1,room_a[5:7]", "room_a[5:7]"),
        ("pc1,room_c[0]", "room_c[0] (did you mean room_"),
        ("room_a:!room_c*", "!room_c*"),
        ("room_a:!~^pcx", "!~^pcx"),
        ("pc1,localhost", "localhost"),
        ("pc1,127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_name_that_nobody_has_is_named(ansible: InventoryManager, limit: str, named: str) -> None:
    assert named in problems(ansible, limit)
    assert named in problems(ansible, limit, required=False, everything=True)


@pytest.mark.parametrize(
    "limit",
    [
        "all",
        "*",
        "machines",
        "~.",
        "!img",
        "[a-z]*",
        "room_a,room_b",
        "all:&machines",
        "pc*",
        "machines:!spare",
        "room_a:room_b[0:]",
        "",
        " ",
        ",",
        "pc1,pc2,room_*",
    ],
)
def test_everything_is_judged_by_the_result(ansible: InventoryManager, limit: str) -> None:
    assert EVERYTHING in problems(ansible, limit)
    assert problems(ansible, limit, everything=True) == ""


@pytest.mark.parametrize("limit", ["all", "machines", "*", "~.", "[a-z]*", "room_*", "", ":"])
def test_where_no_limit_means_all_only_names_may_mean_it_too(
    ansible: InventoryManager, limit: str
) -> None:
    assert "leave --limit out" in problems(ansible, limit, required=False)
    for names in ("!img", "room_a,room_b", "!spare:!img"):
        assert problems(ansible, names, required=False) == ""


@pytest.mark.parametrize(
    "limit",
    [
        "pc1",
        "pc1,pc1",
        "room_a",
        "room_a:!pc1",
        "!room_a",
        "all:&room_a",
        "all:!pc1",
        "room_a[0:1]",
        "room_a[0]",
        "~pc2",
        "pc1?",
        "pc1,spare",
        "room_a:!spare",
        "pc1,img",
        "pc1,pc2,pc11,pc21,pc22",
        "pc22 , pc21,pc11 ,pc2,pc1",
    ],
)
def test_what_means_what_it_says(ansible: InventoryManager, limit: str) -> None:
    assert problems(ansible, limit) == ""


def test_a_file_of_names(ansible: InventoryManager, tmp_path: Path) -> None:
    retry = tmp_path / "restore.retry"
    retry.write_text("pc1\npc2\n\n")
    assert problems(ansible, f"@{retry}") == ""
    retry.write_text("pc1\npc2l\n")
    assert "pc2l (did you mean pc2" in problems(ansible, f"@{retry}")
    # Ansible splits no line of a file.
    retry.write_text("room_a\n!pc1,pc2\n")
    assert "!pc1,pc2" in problems(ansible, f"@{retry}")
    retry.write_text("")
    assert EVERYTHING in problems(ansible, f"@{retry}")
    assert f"@{retry}" in problems(ansible, f"@{retry}")
    # A pipe, such as a shell's <(...), was read by Ansible and is empty now.
    assert "@/dev/null" in " ".join(
        Selection(ansible.get_groups_dict(), "@/dev/null").problems(
            ["pc1"], required=True, everything=False
        )
    )


def test_no_limit(ansible: InventoryManager) -> None:
    assert "wants to be told which machines" in problems(ansible, None)
    assert problems(ansible, None, everything=True) == ""
    assert problems(ansible, None, required=False) == ""


def test_the_only_machine_is_not_everything() -> None:
    selection = Selection({"all": ["pc1"], "machines": ["pc1"]}, "all")
    assert list(selection.problems(["pc1"], required=True, everything=False)) == []


def test_nobody(ansible: InventoryManager) -> None:
    assert "No machine is selected" in problems(ansible, "img")
    assert "No machine is selected" in problems(ansible, "spare,img")


@pytest.mark.parametrize(
    ("groups", "limit", "says"),
    [
        ({"all": []}, None, "no hosts"),
        ({"all": []}, "pc1", "with -i"),
        ({"all": ["pc1"], "machines": ["pc1"]}, None, "no host in image_servers"),
        ({"all": ["pc1", "img"], "image_servers": ["img"]}, "pc1", '"pc1" leaves no host'),
    ],
)
def test_a_play_without_hosts_is_refused(
    groups: dict[str, list[str]], limit: str | None, says: str
) -> None:
    with pytest.raises(SlipwayError) as refusal:
        check_hosts("image_servers", groups, limit)
    assert says in str(refusal.value)
    assert "Nothing was done" in refusal.value.message


def test_a_play_with_hosts_keeps_its_pattern() -> None:
    groups = {"all": ["img", "pc1"], "image_servers": ["img"], "machines": ["pc1"]}
    assert check_hosts("machines:image_servers", groups, "pc1") == "machines:image_servers"
