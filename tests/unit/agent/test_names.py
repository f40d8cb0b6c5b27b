# SPDX-License-Identifier: GPL-3.0-or-later
"""Names: what is allowed gets through unchanged, everything else is refused."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.format import (
    FormatError,
    ahead_warning,
    check_digest,
    check_mac,
    check_name,
    check_version,
    is_ahead,
    is_name,
    make_version,
    parse_image_ref,
    version_key,
)

GOOD = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "-oProxyCommand=x",
        "{{ 1 }}",
        "all",
        "localhost",
        "image_servers",
        "PC1",
        "a b",
        "a/b",
        "a\n",
        "ä",
        "a" * 64,
        ".",
        "..",
        "a.b",
        "-a",
        "\u0661",
        None,
        7,
    ],
)
def test_refused_names(name: object) -> None:
    with pytest.raises(FormatError) as error:
        check_name(name)
    assert "\n" not in str(error.value)


@given(st.text())
def test_accepted_names_are_safe_in_paths_and_command_lines(text: str) -> None:
    if is_name(text):
        assert re.fullmatch(r"[a-z0-9-]{1,63}", text, re.ASCII)
        assert not text.startswith("-")
        assert check_name(text) == text
    else:
        with pytest.raises(FormatError):
            check_name(text)


@given(GOOD.filter(is_name), st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))
def test_references_come_back(name: str, moment: datetime) -> None:
    version = make_version(moment.replace(tzinfo=UTC))
    assert str(parse_image_ref(f"{name}@{version}")) == f"{name}@{version}"
    assert parse_image_ref(name).version is None


@pytest.mark.parametrize("text", ["pc@", "pc@x", "@20260101T000000Z", "pc@20260101T000000Z@x", ""])
def test_refused_references(text: str) -> None:
    with pytest.raises(FormatError):
        parse_image_ref(text)


def test_versions_are_utc_and_never_collide() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    taken: list[str] = []
    for _ in range(12):
        taken.append(make_version(moment, taken))
    assert taken[:3] == ["20260102T010405Z", "20260102T010405Z-1", "20260102T010405Z-2"]
    assert sorted(taken, key=version_key) == taken
    assert [check_version(version) for version in taken] == taken


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (["20251231T235959Z"], "20260102T010405Z"),
        (["20260102T010405Z-3"], "20260102T010405Z-4"),
        (["20260102T010405Z", "20260102T010405Z-9", "20260102T010405Z-10"], "20260102T010405Z-11"),
        (["20260102T010405Z-9999"], "20260102T010406Z"),
        (["20260102T010406Z"], "20260102T010407Z"),
        (["20290228T235959Z-5", "20260101T000000Z"], "20290301T000000Z"),
        (["99991231T235959Z"], "99991231T235959Z-1"),
        (["20291399T000000Z"], "20291399T000000Z-1"),
    ],
)
def test_the_next_version_is_newer_than_all(taken: list[str], expected: str) -> None:
    moment = datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert make_version(moment, taken) == expected
    assert max([*taken, expected], key=version_key) == check_version(expected)


def test_nothing_follows_the_last_version_of_all() -> None:
    with pytest.raises(FormatError, match="no version can follow"):
        make_version(datetime(2026, 1, 2, tzinfo=UTC), ["99991231T235959Z-9999"])


@pytest.mark.parametrize(
    ("version", "ahead"),
    [
        ("20260102T010905Z", False),
        ("20260102T010906Z", True),
        ("20290101T000000Z-3", True),
        ("20250101T000000Z", False),
    ],
)
def test_versions_of_a_time_to_come(version: str, ahead: bool) -> None:
    moment = datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert is_ahead(version, moment) is ahead
    assert (ahead_warning("pc", version, moment) is not None) is ahead


@pytest.mark.parametrize("mac", ["52:54:00:AA:00:01", "52-54-00-aa-00-01"])
def test_mac_has_one_form(mac: str) -> None:
    assert check_mac(mac) == "52:54:00:aa:00:01"


@pytest.mark.parametrize("mac", ["", "52:54:00:aa:00", "52:54:00:aa:00:0g", "525400aa0001", None])
def test_refused_macs(mac: object) -> None:
    with pytest.raises(FormatError):
        check_mac(mac)


@pytest.mark.parametrize("digest", ["", "0" * 63, "A" * 64, "../" + "0" * 61, "0" * 64 + "\n", 5])
def test_refused_digests(digest: object) -> None:
    with pytest.raises(FormatError):
        check_digest(digest)
