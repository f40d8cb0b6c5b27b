# SPDX-License-Identifier: GPL-3.0-or-later
"""dnsmasq's file of leases, as it writes it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from slipway_server.network import leases
from slipway_server.network.leases import Leases

CARD, OTHER = "52:54:00:77:00:01", "52:54:00:77:00:02"


def write(path: Path, *lines: str) -> None:
    new = path.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines))
    new.replace(path)


def test_a_lease_holds_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "leases"
    known = Leases(path)
    assert known.card_of("10.0.0.1") is None, "no file yet"
    now = int(time.time())
    write(
        path,
        f"{now + 100} {CARD} 10.0.0.1 pc1 01:{CARD}",
        f"{now - 1} {CARD} 10.0.0.2 pc1 *",
        f"0 {OTHER} 10.0.0.3 * *",
        f"{now + 100} 06-{OTHER} 10.0.0.4 * *",
        "duid 00:01:00:01:2c:aa",
        f"{now + 100} 123456 fd00::5 pc6 00:01:00:01",
        "",
        f"{now + 100} {CARD} 10.0.0.5",
    )
    found = [known.card_of(f"10.0.0.{number}") for number in range(1, 6)]
    assert found == [CARD, None, OTHER, None, None]
    write(path, f"{now + 100} {OTHER} 10.0.0.1 pc2 *")
    assert known.card_of("10.0.0.1") == OTHER
    path.unlink()
    assert known.card_of("10.0.0.1") is None


def test_where_somebody_else_hands_out_addresses_there_are_none() -> None:
    assert Leases(None).card_of("10.0.0.1") is None


def test_a_file_that_is_being_written_takes_nobodys_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases"
    lines = [f"0 52:54:00:77:01:{number:02x} 10.0.1.{number} pc{number} *" for number in range(200)]
    text = "".join(f"{line}\n" for line in lines)
    path.write_text(text)
    known = Leases(path)
    assert known.card_of("10.0.1.199") == "52:54:00:77:01:c7"
    # As dnsmasq writes it, caught at each step: emptied, a buffer's worth in the middle of a
    # line, one that happens to end with a line. However slow this machine is: "just now".
    for cut in (0, 4096, text.index("\n", 4096) + 1):
        with monkeypatch.context() as patched:
            patched.setattr(leases, "_QUIET_SECONDS", 60)
            patched.setattr(leases, "_LONG_QUIET_SECONDS", 60)
            path.write_text(text[:cut])
            assert known.card_of("10.0.1.199") == "52:54:00:77:01:c7", cut
        path.write_text(text)
        assert known.card_of("10.0.1.199") == "52:54:00:77:01:c7", "whole again"


def test_a_lease_that_ended_is_known_no_more_while_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = tmp_path / "leases", int(time.time())
    known = Leases(path)
    write(path, f"{now + 600} {CARD} 10.0.0.1 pc1 *")
    assert known.card_of("10.0.0.1") == CARD
    monkeypatch.setattr(leases, "_LONG_QUIET_SECONDS", 6000)
    path.write_text("")
    assert known.card_of("10.0.0.1") == CARD
    monkeypatch.setattr(leases.time, "time", lambda: now + 601.0)
    assert known.card_of("10.0.0.1") is None
