# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of machines as spreadsheets, switches and people write them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.imaging.plugins.filter.machine_list import machine_list
from ansible_collections.slipway.imaging.plugins.plugin_utils._csv_table import decode
from hypothesis import given
from hypothesis import strategies as st

from ...fixtures import warm_python
from .test_machines import ROOT
from .test_machines import inventory as inventory

PLAIN = (
    "name,macs,ip,groups\n"
    "pc5,52:54:00:77:00:05 52:54:00:77:00:06,10.0.0.5,\n"
    "pc6,52:54:00:77:00:07,,room_1 lab\n"
)
FORMS = {
    "plain": PLAIN,
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "what separates is said": "sep=;\n" + PLAIN.replace(",", ";"),
    "what separates is said, in quotation marks": '"sep=;"\r\n' + PLAIN.replace(",", ";"),
    "what separates is said in capitals": "SEP=\t\n" + PLAIN.replace(",", "\t"),
    "blank lines": "\n  \n,,,\n" + PLAIN.replace("\npc6", "\n\n,,\n \t\npc6") + "\n\n",
    "comments": "# of the first floor, it's old\n" + PLAIN.replace("pc6", '# "5 is new\npc6'),
    "empty columns behind": PLAIN.replace("\n", ",,,\n"),
    "empty columns behind rows alone": PLAIN.replace(",\n", ",,,\n"),
    "CRLF": PLAIN.replace("\n", "\r\n"),
    "CR": PLAIN.replace("\n", "\r"),
    "no end of the last line": PLAIN.rstrip("\n"),
    "capitals": PLAIN.replace("name,macs,ip,groups", "Name,MACs,IP,Groups"),
    "spaces and hyphens": PLAIN.replace(
        "name,macs,ip,groups", " host-name , MAC addresses ,ip_address, Group "
    ),
    "names of variables": PLAIN.replace("macs,ip", "machine_macs,machine_ip"),
    "another order": "groups,ip,macs,name\n,10.0.0.5,52:54:00:77:00:05 52:54:00:77:00:06,pc5\n"
    "room_1 lab,,52:54:00:77:00:07,pc6\n",
    "all in quotation marks": "\n".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.splitlines()
    ),
    "spaces around": PLAIN.replace(",", " , ").replace("\n", " \n"),
    "spaces that no line breaks at": PLAIN.replace("pc5,", "\u00a0pc5\u00a0,\u00a0"),
    "spaces without a width": PLAIN.replace("pc6", "\u200bpc6\ufeff"),
    "addresses in two lines of a cell": PLAIN.replace(
        "52:54:00:77:00:05 52:54:00:77:00:06", '"52:54:00:77:00:05\n52:54:00:77:00:06"'
    ),
    "addresses with commas between": PLAIN.replace(
        "52:54:00:77:00:05 52:54:00:77:00:06", '"52:54:00:77:00:05, 52:54:00:77:00:06"'
    ),
    "other spellings": PLAIN.replace("52:54:00:77:00:05", "5254.0077.0005")
    .replace("52:54:00:77:00:06", "52-54-00-77-00-06")
    .replace("52:54:00:77:00:07", "525400-770007"),
}
WRITTEN = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "Unicode text": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 without a mark": lambda text: text.encode("utf-16-le"),
    "Windows": lambda text: ("# B\u00fcro\n" + text).encode("cp1252"),
}
MADE = [
    {
        "name": "pc5",
        "groups": ["room_9"],
        "vars": {
            "machine_macs": ["52:54:00:77:00:05", "52:54:00:77:00:06"],
            "machine_ip": "10.0.0.5",
        },
    },
    {"name": "pc6", "groups": ["room_1", "lab"], "vars": {"machine_macs": ["52:54:00:77:00:07"]}},
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: str) -> None:
    assert machine_list(FORMS[form], [], ["img"], "room_9") == MADE


@pytest.mark.parametrize("written", WRITTEN)
def test_every_encoding_says_the_same(written: str) -> None:
    for form in ("plain", "tabs", "spaces that no line breaks at"):
        if (written, form) != ("Windows", "spaces without a width"):
            text = decode(WRITTEN[written](FORMS[form]))
            assert machine_list(text, [], ["img"], "room_9") == MADE


def refusal(text: str) -> str:
    known: list[dict[str, Any]] = [
        {
            "inventory_hostname": "pc1",
            "inventory_file": "/i/hosts.yml",
            "machine_ip": "10.0.0.1",
            "machine_macs": ["52-54-00-77-00-01"],
        },
    ]
    with pytest.raises(AnsibleFilterError) as failure:
        machine_list(text, known, ["img", "pc1"])
    return str(failure.value)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("PC 5,52:54:00:77:00:05", ["Line 2: 'PC 5' is no machine name (column name)", "1 to 63"]),
        ("pc5,52:54", ["'52:54' is no MAC address (column macs)", "Write it as"]),
        ("pc5,5.254E+11", ["'5.254E+11'", "A spreadsheet made numbers"]),
        ("pc5,01:00:5e:00:00:01", ["a group of cards"]),
        ("pc5,52:54:00:77:00:05 525400770005", ["stands there twice"]),
        ("pc5,52:54:00:77:00:05,10.0.0.256", ["'10.0.0.256' is no IPv4 address (column ip)"]),
        ("pc5,52:54:00:77:00:05,,Room 1", ["'Room' can't be a group of machines (column groups)"]),
        ("pc5,52:54:00:77:00:05,,,more", ["'more' stands behind the last column"]),
        ("img,52:54:00:77:00:05", ["img is there already, as a host or a group of the inventory"]),
        ("pc5,52:54:00:77:00:01", ["52:54:00:77:00:01 belongs to pc1 of the inventory"]),
        ("pc5,52:54:00:77:00:05,10.0.0.1", ["10.0.0.1 belongs to pc1 of the inventory"]),
        (
            "pc5,52:54:00:77:00:05\n\npc5,52:54:00:77:00:06",
            ["Line 4: pc5 stands in line 2 of the list too"],
        ),
        (
            "pc5,52:54:00:77:00:05\n# pc6\npc7,5254.0077.0005",
            ["Line 4: 52:54:00:77:00:05 belongs to pc5 in line 2 of the list (column macs)"],
        ),
        (
            "pc5,52:54:00:77:00:05,10.0.0.5\npc6,52:54:00:77:00:06,10.0.0.5",
            ["Line 3: 10.0.0.5 belongs to pc5 in line 2 of the list (column ip)"],
        ),
        # All at once, also within a line, and what no CSV can be hides nothing.
        (
            'PC5,x,y,Z\npc6,"52:54"00\npc7,',
            ["'PC5'", "'x' is", "'y' is", "'Z' can't", "Line 3 is no CSV", "Line 4: it has no MAC"],
        ),
    ],
)
def test_what_is_wrong_is_said_with_line_column_value_and_rule(rows: str, says: list[str]) -> None:
    said = refusal(f"name,macs,ip,groups\n{rows}\n")
    assert [text for text in says if text not in said] == [], said
    assert "Nothing of the list was taken" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no columns"),
        ("\n\nname;ip\n", "line 3, names 'name;ip'"),
        ("name,macs,vlan\n", "the column 'vlan'"),
        ("name,mac,macs\n", "the column macs twice"),
        ("# a\nsep=x\nname,macs\n", "line 2, names 'sep=x'"),
    ],
)
def test_a_first_line_that_names_other_columns_is_refused(text: str, says: str) -> None:
    said = refusal(text)
    assert says in said
    assert "The first line names the columns" in said


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(content: bytes) -> None:
    for head in (b"", b"name,macs\n"):
        try:
            made = machine_list(decode(head + content), [], [])
        except AnsibleFilterError as failure:
            assert "Remedy" in str(failure)
        else:
            assert made == []


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder in which the user stands."""
    folder = tmp_path / "desk"
    folder.mkdir()
    return folder


@pytest.fixture
def run(inventory: Path, desk: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the playbook; this host is the server."""
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    variables = "ansible_connection=local ansible_become=false pxe_server_interface=lo"
    variables += " image_server_address=192.0.2.10"
    dhcp = '{"pxe_server_dhcp_range": {"first": "127.0.0.100", "last": "127.0.0.200"}}'
    variables += f" ansible_python_interpreter={warm_python.for_modules()}"
    playbook = str(ROOT / "playbooks/machine_import.yml")
    command = [*warm_python.ansible(environment), playbook, "-e", variables, "-e", dhcp]

    def runs(*arguments: str, source: Path = inventory) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "-i", str(source), *arguments],
            cwd=desk,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return runs


@pytest.mark.plays
def test_the_list_is_found_where_the_user_stands(
    inventory: Path, desk: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (desk / "pcs.csv").write_bytes(WRITTEN["Unicode text"](FORMS["tabs"]))
    done = run("--check", "--diff", "-e", "csv=pcs.csv", "-e", "pxe_server_dhcp_mode=none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"52:54:00:77:00:07"' in done.stdout and '"room_1"' in done.stdout
    assert list((inventory / "machines.d").iterdir()) == []
    assert "can't be read: No such file" in run("-e", "csv=pc.csv").stdout
    assert "Say which list" in run().stdout


@pytest.mark.plays
def test_a_list_with_an_address_that_can_not_be_leaves_no_file(
    inventory: Path, desk: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (desk / "pcs.csv").write_text(
        "name,macs,ip\npc71,52:54:00:77:00:71,127.0.0.1\npc72,52:54:00:77:00:72,10.9.9.9\n"
    )
    done = run("-e", "csv=pcs.csv")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "pc71: machine_ip 127.0.0.1 is this server's own" in said
    assert "pc72: machine_ip 10.9.9.9 is in none of" in said
    assert list((inventory / "machines.d").iterdir()) == []


@pytest.mark.plays
@pytest.mark.parametrize("group", ["pc1", "img", "pc72"])
def test_a_group_with_the_name_of_a_host_leaves_no_file(
    inventory: Path, desk: Path, run: Callable[..., subprocess.CompletedProcess[str]], group: str
) -> None:
    (desk / "pcs.csv").write_text(
        f"name,macs,groups\npc71,525400770071,{group}\npc72,525400770072,\n"
    )
    done = run("-e", "csv=pcs.csv")
    assert done.returncode != 0
    assert f"{group} would be a host of the inventory and a group" in " ".join(done.stdout.split())
    assert list((inventory / "machines.d").iterdir()) == []


@pytest.mark.plays
def test_files_that_the_inventory_does_not_read_are_told_of(
    inventory: Path, desk: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The play knows the machines all the same: it had to look at them before."""
    (desk / "pcs.csv").write_text("name,macs\npc71,525400770071\n")
    done = run("-e", "csv=pcs.csv", source=inventory / "hosts.yml")
    assert done.returncode != 0
    assert "the inventory of this run does not read them" in " ".join(done.stdout.split())
