# SPDX-License-Identifier: GPL-3.0-or-later
"""Registrations on the controller's side: who looks like whom, what is planned, what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.machine_list import machine_list
from ansible_collections.slipway.imaging.plugins.filter.registration_plan import registration_plan
from ansible_collections.slipway.imaging.plugins.module_utils import _machine_file

from ...fixtures import warm_python
from .test_machines import inventory as inventory
from .test_machines import run

MAC, MAC2 = "52:54:00:77:00:03", "52:54:00:77:00:04"
UUID = "4c4c4544-0042-3510-8052-b4c04f564433"
OTHER_UUID = "5c4c4544-0042-3510-8052-b4c04f564434"


def pc(number: int = 3, **changes: Any) -> dict[str, Any]:
    """A PC of the queue, as the service shows it."""
    return {
        "id": f"{number:016x}",
        "state": "waiting",
        "name": f"pc-{number}",
        "macs": [f"52:54:00:77:00:{number:02x}"],
        "uuid": None,
        "serial": None,
        "hardware": {"vendor": "Acme", "model": "PC", "disks": [], "cards": [], "memory": 1},
        "address": "10.0.0.3",
        "agent_version": "0.1.0",
        "created": "2026-01-31T10:00:00Z",
        "last_heard": "2026-01-31T10:00:00Z",
        "machine": None,
        "reason": None,
        "refused_reports": 0,
        "refused_from": None,
    } | changes


def machine(name: str = "pc1", file: bool = True, **changes: Any) -> dict[str, Any]:
    """A machine's variables, as the inventory has them."""
    source = "/i/machines.yml" if file else "/i/hosts.yml"
    return {"inventory_hostname": name, "inventory_file": source} | changes


def plan(
    queue: list[dict[str, Any]],
    machines: list[dict[str, Any]] | None = None,
    identities: list[dict[str, Any]] | None = None,
    **wishes: Any,
) -> dict[str, Any]:
    found = {"registrations": queue, "identities": identities or []}
    machines = machines or []
    taken = ["img", "all", "room_1", *(entry["inventory_hostname"] for entry in machines)]
    return registration_plan(found, machines, taken, wishes)


def test_nobody_waits() -> None:
    assert plan([])["table"] == ["No PC waits to be registered."]
    assert plan([], approve="all", refuse="all")["approve"] == []


def test_what_was_decided_at_the_page_is_done() -> None:
    decided = {"wish": "pc9", "wished_by": "anna"}
    queue = [
        pc(3, **decided),
        pc(4),
        pc(5, state="refused", **decided),
        pc(6, wish="pc10", wished_by="anna"),
    ]
    made = plan(queue, approve="decided", into="room_1")
    assert [(each["id"], each["name"]) for each in made["approve"]] == [
        (pc(3)["id"], "pc9"),
        (pc(6)["id"], "pc10"),
    ]
    assert "waiting, to be pc9 as anna has decided" in made["table"][0]
    assert plan([pc(4)], approve="decided")["approve"] == []
    both = plan(queue, approve={"decided": None, "pc-4": "pc11"})["approve"]
    assert [each["name"] for each in both] == ["pc9", "pc10", "pc11"]


def test_what_was_decided_amiss_keeps_nobody_else_waiting() -> None:
    # What would be a merge is one still, whoever decided it.
    known = machine("pc1", machine_macs=[pc(3)["macs"][0]])
    wishes = {3: "pc9", 4: "pc9", 5: "img", 6: "pc1", 7: "pc9", 8: "not a name", 9: "pc10"}
    queue = [pc(number, wish=name, wished_by="anna") for number, name in wishes.items()]
    made = plan(queue, [known], approve="decided")
    assert [(each["id"], each["name"]) for each in made["approve"]] == [
        (pc(4)["id"], "pc9"),
        (pc(9)["id"], "pc10"),
    ]
    left = {line.split(" ")[0]: line for line in made["left"]}
    assert left.keys() == {pc(number)["id"] for number in (3, 5, 6, 7, 8)}
    assert "is pc1 by its MAC" in left[pc(3)["id"]]
    assert "img is a host or a group of the inventory already" in left[pc(5)["id"]]
    assert "another name" in left[pc(5)["id"]], "what to do"
    assert "would be of two machines" in left[pc(7)["id"]]
    # Who says it himself is told, and then nothing is done.
    with pytest.raises(AnsibleFilterError, match="Nothing was changed"):
        plan(queue, [known], approve={"decided": None, pc(5)["id"]: "img"})


def test_approval_makes_a_file_that_reads_back() -> None:
    queue = [pc(uuid=UUID, serial="S3"), pc(4)]
    made = plan(queue, approve="all", into="room_3,lab")
    first = made["approve"][0]
    assert first["name"] == "pc-3" and first["replace"] is False
    assert first["groups"] == ["room_3", "lab"]
    assert first["vars"]["machine_macs"] == [MAC]
    assert (first["vars"]["machine_uuid"], first["vars"]["machine_serial"]) == (UUID, "S3")
    assert "machine_uuid" not in made["approve"][1]["vars"]
    file = _machine_file.MachineFile(first["name"], tuple(first["groups"]), first["vars"])
    assert _machine_file.parse("pc-3", _machine_file.render(file)) == file


PLAIN = MAC.replace(":", "")
CISCO = f"{PLAIN[:4]}.{PLAIN[4:8]}.{PLAIN[8:]}"


@pytest.mark.parametrize(
    "selector",
    ["0" * 15 + "3", "pc-3", MAC, MAC.upper().replace(":", "-"), PLAIN, CISCO, CISCO.upper()],
)
def test_one_is_named_by_id_name_or_mac(selector: str) -> None:
    queue = [pc(3), pc(4)]
    assert [new["id"] for new in plan(queue, approve=selector)["approve"]] == [pc(3)["id"]]
    assert plan(queue, refuse=[selector], reason="no\x1b")["refuse"] == [
        {"id": pc(3)["id"], "reason": "no"}
    ]


@pytest.mark.parametrize("approve", [525400123456, [40837299296], {40837299296: "pc3"}])
def test_a_mac_address_that_yaml_took_for_a_number_is_refused(approve: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="in quotation marks"):
        plan([pc(3)], approve=approve)


def test_a_pc_with_no_cards_address_is_left_to_be_decided_alone() -> None:
    made = plan([pc(3), pc(4, macs=["01:00:5e:00:00:01"])], approve="all")
    assert [new["name"] for new in made["approve"]] == ["pc-3"]
    assert "a group of cards" in made["left"][0]


def test_renamed_and_grouped_one_by_one() -> None:
    wishes = {"pc-3": "lab1", "pc-4": {"name": "lab2", "groups": ["room_4"], "ip": "10.0.0.9"}}
    made = plan([pc(3), pc(4), pc(5)], approve=wishes, into="room_3", server="img")["approve"]
    assert [(new["name"], new["groups"]) for new in made] == [
        ("lab1", ["room_3"]),
        ("lab2", ["room_4"]),
    ]
    assert made[1]["vars"]["machine_ip"] == "10.0.0.9"
    assert made[1]["vars"]["machine_image_server"] == "img"


@pytest.mark.parametrize(
    ("waits", "known", "identity", "text"),
    [
        ({"macs": [MAC]}, {"machine_macs": [MAC.upper()]}, {}, "is pc1 by its MAC"),
        ({"macs": [MAC, MAC2]}, {"machine_macs": [MAC]}, {}, "another card besides"),
        (
            {"uuid": UUID, "serial": "S"},
            {"machine_macs": [MAC2], "machine_uuid": UUID.upper(), "machine_serial": "S"},
            {},
            "a replaced card",
        ),
        ({"uuid": UUID}, {"machine_macs": [MAC2]}, {"uuid": UUID}, "a replaced card"),
        ({"serial": "S"}, {"machine_macs": [MAC2]}, {"serial": "S"}, "a replaced card"),
        (
            {"macs": [MAC], "uuid": OTHER_UUID},
            {"machine_macs": [MAC]},
            {"uuid": UUID},
            "a replaced mainboard",
        ),
        (
            {"uuid": UUID, "serial": "S"},
            {"machine_macs": [MAC2], "machine_uuid": UUID, "machine_serial": "T"},
            {},
            "gave one UUID twice",
        ),
        (
            {"uuid": UUID, "serial": "S"},
            {"machine_macs": [MAC2], "machine_uuid": OTHER_UUID, "machine_serial": "S"},
            {},
            "another UUID and another MAC",
        ),
        ({"uuid": None, "serial": None}, {"machine_macs": [MAC2]}, {"uuid": None}, None),
    ],
)
def test_who_looks_like_a_machine_is_shown_and_never_approved_with_all(
    waits: dict[str, Any], known: dict[str, Any], identity: dict[str, Any], text: str | None
) -> None:
    machines = [machine(**known)]
    identities = [{"machine": "pc1", "macs": [], "uuid": None, "serial": None} | identity]
    made = plan([pc(**waits)], machines, identities, approve="all")
    if text is None:
        assert made["left"] == [] and len(made["approve"]) == 1
        return
    assert text in "\n".join(made["table"])
    assert made["approve"] == [] and text in made["left"][0]
    assert plan([pc(**waits)], machines, identities, refuse="all")["refuse"]


def test_a_mac_never_gets_a_second_machine_and_a_merge_is_asked_for() -> None:
    waits = [pc(macs=[MAC], uuid=OTHER_UUID)]
    machines = [machine(machine_macs=[MAC], machine_uuid=UUID)]
    for wishes in (
        {"approve": "pc-3"},
        {"approve": {"pc-3": "pc1"}},
        {"approve": "pc-3", "replace": True},
    ):
        with pytest.raises(AnsibleFilterError, match=r"replace=true.*Nothing was changed"):
            plan(waits, machines, **wishes)
    made = plan(waits, machines, approve={"pc-3": "pc1"}, replace=True)["approve"][0]
    assert (made["replace"], made["vars"]["machine_uuid"]) == (True, OTHER_UUID)
    with pytest.raises(AnsibleFilterError, match="by hand"):
        plan(
            waits, [machine(file=False, machine_macs=[MAC])], approve={"pc-3": "pc1"}, replace=True
        )


def test_a_run_that_was_cut_short_goes_on() -> None:
    machines = [machine("pc-3", machine_macs=[MAC], machine_uuid=UUID)]
    made = plan([pc(uuid=UUID)], machines, approve="pc-3")["approve"][0]
    assert made["replace"] is False


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"approve": "nosuch"}, "no PC"),
        ({"approve": {"pc-3": "PC 3"}}, "no machine name"),
        ({"approve": {"pc-3": "img"}}, "host or a group"),
        ({"approve": {"pc-3": "room_1"}}, "no machine name"),
        ({"approve": {"pc-3": "{{ 1 }}"}}, "no machine name"),
        ({"approve": {"pc-3": "x", "pc-4": "x"}}, "two machines"),
        ({"approve": {"pc-3": {"nmae": "x"}}}, "nothing that an approval"),
        ({"approve": {"pc-3": {"ip": "10.0.0.9"}}}, "10.0.0.9"),
        ({"approve": "pc-3", "into": "image_servers"}, "can't be a group"),
        ({"approve": "pc-3", "into": "{{ 1 }}"}, "can't be a group"),
        ({"refuse": "pc-5"}, "refused already"),
    ],
)
def test_wishes_that_can_not_be_meant(wishes: dict[str, Any], says: str) -> None:
    queue = [pc(3), pc(4), pc(5, state="refused")]
    with pytest.raises(AnsibleFilterError, match=says):
        plan(queue, [machine(machine_ip="10.0.0.9")], **wishes)


def test_twins_in_the_queue() -> None:
    queue = [pc(3, uuid=UUID), pc(4, uuid=UUID)]
    made = plan(queue, approve="all")
    assert made["approve"] == [] and "waits too" in made["left"][0]
    assert len(plan(queue, approve="pc-3,pc-4")["approve"]) == 2


def test_the_queue_for_a_person() -> None:
    queue = [
        pc(3, serial="S\x1b[2J", hardware={"vendor": "Ac\nme", "model": "x" * 500}),
        pc(4, state="refused", reason="not ours", refused_reports=2, refused_from="10.0.0.66"),
        pc(5, state="approved", machine="pc5", uuid=UUID),
    ]
    lines = plan(queue, [machine("pc5", machine_uuid=UUID)])["table"]
    assert lines[0] == "0000000000000003  pc-3  waiting, since 2026-01-31 10:00 UTC, from 10.0.0.3"
    assert "refused (not ours)" in lines[2] and "2 reports" in lines[4]
    assert "approved as pc5" in lines[5] and len(lines) == 7
    assert all(len(line) < 200 and line.isprintable() for line in lines)


# --- files ----------------------------------------------------------------------------------


def test_files_are_written_once(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> None:
    folder = tmp_path / "machines.d"
    wanted = {
        "folder": str(folder),
        "name": "pc3",
        "groups": ["room_3"],
        "vars": {"machine_macs": [MAC], "machine_serial": "{{ 7 * 7 }}"},
    }
    shown = run_module("machine_file", check_mode=True, **wanted)
    assert shown["changed"] and MAC in shown["diff"]["after"] and not folder.exists()
    assert run_module("machine_file", **wanted)["changed"]
    assert not run_module("machine_file", **wanted)["changed"]
    assert [file.name for file in folder.iterdir()] == ["pc3.json"]
    before = (folder / "pc3.json").read_bytes()
    other = wanted | {"vars": {"machine_macs": [MAC2]}}
    failed = run_module("machine_file", **other)
    assert failed["failed"] and "left alone" in failed["msg"]
    assert (folder / "pc3.json").read_bytes() == before
    assert run_module("machine_file", **other, replace=True)["changed"]
    kept = json.loads((folder / "pc3.json").read_text())
    assert kept["vars"] == {"machine_macs": [MAC2], "machine_serial": "{{ 7 * 7 }}"}
    assert run_module("machine_file", **wanted | {"name": "pc4"}, replace=True)["failed"]
    assert run_module("machine_file", **wanted, state="absent")["changed"]
    assert not run_module("machine_file", **wanted, state="absent")["changed"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"},
        {"name": "all"},
        {"groups": ["image_servers"]},
        {"groups": ["../x"]},
        {"vars": {"ansible_connection": "local"}},
        {"vars": {"machine_macs": ["x"]}},
    ],
)
def test_no_file_is_written_that_could_not_be_read(
    changes: dict[str, Any], tmp_path: Path, run_module: Callable[..., dict[str, Any]]
) -> None:
    wanted = {"folder": str(tmp_path / "d"), "name": "pc3", "vars": {"machine_macs": [MAC]}}
    failed = run_module("machine_file", **wanted | changes)
    assert failed["failed"] and "Remedy" in failed["msg"]
    assert not (tmp_path / "d").exists()


# --- modules and playbooks ------------------------------------------------------------------


def test_modules(service: Any, run_module: Callable[..., dict[str, Any]]) -> None:
    admin = {"admin_socket": service.path}
    service.answer("GET", "/v1/registrations", {"registrations": [pc()]})
    service.answer("GET", "/v1/identities", {"identities": []})
    assert run_module("registration_info", **admin)["registrations"] == [pc()]
    decision = {"id": pc()["id"], "state": "approved", "machine": "pc3", **admin}
    path = f"/v1/registrations/{pc()['id']}/approve"
    service.answer("POST", path, pc(state="approved", machine="pc3"))
    assert run_module("registration", check_mode=True, **decision)["changed"]
    assert not any(method == "POST" for method, _, _ in service.asked)
    assert run_module("registration", **decision)["changed"]
    assert service.asked[-1] == ("POST", path, {"machine": "pc3"})
    service.answer(
        "GET", "/v1/registrations", {"registrations": [pc(state="approved", machine="pc3")]}
    )
    assert not run_module("registration", **decision)["changed"]
    assert run_module("registration", **decision | {"id": "x"})["failed"]


@pytest.mark.plays
def test_the_playbook_shows_what_it_would_do(
    service: Any,
    inventory: Path,
    tmp_path: Path,
) -> None:
    canary = tmp_path / "canary"
    hostile = "{{ lookup('ansible.builtin.pipe', 'touch " + str(canary) + "') }}"
    hardware = {"vendor": hostile, "model": hostile, "disks": [{"serial": hostile}], "cards": []}
    queue = [pc(serial=hostile, hardware=hardware), pc(4, macs=["52:54:00:77:00:01"])]
    service.answer("GET", "/v1/registrations", {"registrations": queue})
    service.answer("GET", "/v1/identities", {"identities": []})
    variables = "ansible_connection=local ansible_become=false pxe_server_interface=lo"
    variables += " image_server_address=192.0.2.10"
    variables += f" ansible_python_interpreter={warm_python.for_modules()}"
    variables += f" imaging_session_admin_socket={service.path} pxe_server_dhcp_mode=none"
    options = ["-i", str(inventory), "-e", variables]
    done = run("ansible-playbook", "playbooks/register.yml", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    # YAML folds long lines and doubles quotation marks.
    shown = " ".join(done.stdout.split()).replace("''", "'")
    assert "is pc1 by its MAC" in shown and "lookup('ansible" in shown
    asked = ("--check", "--diff", "-e", "approve=all into=room_3")
    done = run("ansible-playbook", "playbooks/register.yml", *options, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Left alone" in done.stdout and '"room_3"' in done.stdout
    assert not canary.exists()
    assert list((inventory / "machines.d").iterdir()) == []
    assert not any(method == "POST" for method, _, _ in service.asked)
    (inventory / "machines.yml").unlink()
    done = run("ansible-playbook", "playbooks/register.yml", *options, "-e", "approve=pc-3")
    assert done.returncode != 0 and "has no machines.yml" in done.stdout


# --- lists ----------------------------------------------------------------------------------


def test_a_list_of_machines() -> None:
    text = (
        "\ufeffName;MACs;ip;groups\r\n"
        "pc5;52-54-00-77-00-05 52:54:00:77:00:06;10.0.0.5;\r\n"
        ";;;\r\n"
        "pc6;52:54:00:77:00:07;;room_1 lab\r\n"
    )
    made = machine_list(text, [], ["img"], "room_9")
    assert made[0] == {
        "name": "pc5",
        "groups": ["room_9"],
        "vars": {
            "machine_macs": ["52:54:00:77:00:05", "52:54:00:77:00:06"],
            "machine_ip": "10.0.0.5",
        },
    }
    assert made[1]["groups"] == ["room_1", "lab"]
    assert machine_list("name,macs\n", [], []) == []
    # A second run finds them there.
    known = [machine("pc5", machine_macs=made[0]["vars"]["machine_macs"], machine_ip="10.0.0.5")]
    assert machine_list(text, known, ["pc5"], "room_9") == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "first line"),
        ("pc5,52:54:00:77:00:05", "first line"),
        ("name,macs,name\n", "first line"),
        ('name,macs\n"pc5,52', "no CSV"),
        ("name,macs\nPC 5,52:54:00:77:00:05\n", "Line 2: 'PC 5'"),
        ("name,macs\npc5,\n", "no MAC"),
        ("name,macs\npc5\n", "no MAC"),
        ("name,macs\npc5,{{ 1 }}\n", "no MAC address"),
        ("name,macs\nimg,52:54:00:77:00:05\n", "there already"),
        ("name,macs\npc5,52:54:00:77:00:05\npc5,52:54:00:77:00:06\n", "Line 3: pc5"),
        ("name,macs\npc5,52:54:00:77:00:05\npc6,52:54:00:77:00:05\n", "belongs to pc5"),
        ("name,macs\npc5,52:54:00:77:00:01\n", "belongs to pc1"),
        ("name,macs,ip\npc5,52:54:00:77:00:05,10.0.0.256\n", "no IPv4"),
        ("name,macs,groups\npc5,52:54:00:77:00:05,image_servers\n", "can't be a group"),
        ("name,macs\n" + "x y,\n" * 50, "and 40 more"),
    ],
)
def test_a_list_with_a_wrong_line_is_refused_as_a_whole(text: str, says: str) -> None:
    known = [machine("pc1", file=False, machine_macs=["52:54:00:77:00:01"])]
    with pytest.raises(AnsibleFilterError) as refusal:
        machine_list(text, known, ["img", "pc1"])
    assert says in str(refusal.value) and "Remedy" in str(refusal.value)
