# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's table is the one that the storage tests run."""

import ast
import sys
from pathlib import Path

STORAGE = Path(__file__).resolve().parents[2] / "storage"
sys.path.insert(0, str(STORAGE))

import table  # noqa: E402 - lies beside the storage tests
from cases import CASES  # noqa: E402
from checks import CHECKS  # noqa: E402
from rows import ROWS  # noqa: E402


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
