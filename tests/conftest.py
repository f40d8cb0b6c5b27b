# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share."""

from collections import defaultdict
from pathlib import Path

import pytest

LONG = 60
_SLOW_TIERS = {Path(__file__).parent / name for name in ("storage", "e2e")}


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument and number where its value is too long to be a name.

    pytest-xdist runs nothing when two workers know a test by different names, so none may come
    from random bytes.
    """
    return argname if isinstance(val, str | bytes) and len(val) > LONG else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a long table of cases, `make test` tries the ends; `make test-slow` the rest.

    So it is where a case takes seconds: with real disks, in the lab and with whole playbooks.
    Where each case is a capability of its own the test is marked `every_case`.
    """
    tables: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _takes_seconds(item) and item.get_closest_marker("every_case") is None:
            tables[item.nodeid.partition("[")[0]].append(item)
    for cases in tables.values():
        for item in cases[1:-1]:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Know what failed by the name that it has without workers, where it runs once more, alone.

    pytest-xdist puts a test's group behind it.
    """
    name, at, group = report.nodeid.rpartition("@")
    from_a_worker = hasattr(report, "node")
    if from_a_worker and at and "::" not in group and not group.endswith("]"):
        report.nodeid = name


def _takes_seconds(item: pytest.Item) -> bool:
    in_tier = not _SLOW_TIERS.isdisjoint(item.path.parents)
    return in_tier or item.get_closest_marker("plays") is not None
