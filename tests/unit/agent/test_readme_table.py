# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's table is the one that the storage tests run."""

import ast
from pathlib import Path

from ...storage import table
from ...storage.cases import CASES
from ...storage.checks import CHECKS
from ...storage.rows import ROWS

STORAGE = Path(__file__).resolve().parents[2] / "storage"


def test_the_readme_holds_the_table_of_today() -> None:
    text = table.README.read_text()
    assert table.with_table(text) == text, "run `make table`"


def test_names_are_unique_and_checks_exist() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
    assert {check for case in CASES for check in case.checks} <= set(CHECKS)
    assert [case.id for case in CASES if not case.checks] == []


def test_tests_that_rows_name_exist() -> None:
    for row in ROWS:
        file, _, name = row.test.partition(" ")
        nodes = ast.parse((STORAGE / file).read_text()).body
        assert name in {node.name for node in nodes if isinstance(node, ast.FunctionDef)}, row.test
