# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make demo-night` shows at its end, and that it waits for nothing in vain."""

import pytest
from slipway_lab.demo_night import Morning, table, wait_for
from slipway_lab.errors import LabError


def test_the_table_says_how_each_night_went() -> None:
    machines = {
        "pc2": {"outcome": "was_on", "message": "pc2 is on."},
        "pc1": {"outcome": "done", "message": ""},
    }
    shown = table(Morning(machines, "nightly: 1 done", ["pc1@1"], {"removed": 3, "pending": 4}))
    lines = shown.splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["pc1", "done"],
        ["pc2", "was_on", "pc2", "is", "on."],
    ]
    assert "nightly: 1 done" in shown and "pc1@1" in shown and "3 chunks; 4 wait" in shown


def test_what_does_not_come_is_said() -> None:
    assert wait_for(lambda: 5, "never") == 5
    with pytest.raises(LabError, match="no mail came: waited for 0 s"):
        wait_for(lambda: None, "no mail came", 0)
