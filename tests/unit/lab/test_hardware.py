# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix leaves out no card and no controller, and its table is what was measured."""

import json

import yaml
from slipway_lab.hardware import BUSES, CARDS
from slipway_lab.playbook_runs import ROOT

from ...matrix import results
from ...matrix.results import Row

HOSTS = yaml.safe_load((ROOT / "inventory/matrix/hosts.yml").read_text())["machines"]["hosts"]


def test_every_card_and_every_controller_has_a_pc() -> None:
    assert {pc["lab_nic"] for pc in HOSTS.values()} == set(CARDS)
    assert {pc["lab_disk_bus"] for pc in HOSTS.values()} == set(BUSES)


def test_the_table_shows_what_was_measured() -> None:
    rows = results.load()
    measured = {name: (row.card, row.bus) for name, row in rows.items()}
    wanted = {name: (pc["lab_nic"], pc["lab_disk_bus"]) for name, pc in HOSTS.items()}
    assert measured == wanted, "run `make matrix`"
    assert results.BEGIN + results.table(rows) + results.END in results.README.read_text()


def test_a_measured_row_replaces_its_older_self(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.README.write_text(f"before\n{results.BEGIN}old\n{results.END}after\n")
    row = Row("tulip", ("tulip",), "DVD/CD", "ide", ("ata_piix",), 50, 20)
    results.keep("pc9", row)
    results.keep("pc8", row)
    text = results.README.read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert text.count("| tulip | tulip | DVD/CD | ide | ata_piix | 50 s | 20 s |\n") == 2
    assert "old" not in text
    assert list(json.loads(results.RESULTS.read_text())) == ["pc8", "pc9"]
    assert results.load()["pc9"].card_drivers == ["tulip"]
