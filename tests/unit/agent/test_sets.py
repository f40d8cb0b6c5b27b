# SPDX-License-Identifier: GPL-3.0-or-later
"""set.json: what a disc says of itself, read from discs that nobody vouches for."""

import json
from typing import Any

import pytest
from slipway.format import FormatError, MediaSet, parse_set, serialize_set

SET = MediaSet(
    "a" * 64,
    "pc1",
    "20261129T100000Z",
    "b" * 64,
    2,
    ("PC1_1OF3", "PC1_2OF3", "PC1_3OF3"),
    (0, 10, 10),
)


def test_it_comes_back() -> None:
    assert parse_set(serialize_set(SET)) == SET
    assert SET.name() == "disc 2 of 3 of pc1@20261129T100000Z (PC1_2OF3)"


def test_each_chunk_has_its_disc() -> None:
    assert [SET.disc_of(at) for at in (0, 9, 10, 999)] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    "change",
    [
        {"slipway_set": 2},
        {"id": "x"},
        {"image": "../x"},
        {"version": "1"},
        {"manifest": 1},
        {"disc": 0},
        {"disc": 4},
        {"disc": True},
        {"disc": "1"},
        {"labels": []},
        {"labels": ["PC1", "PC1"]},
        {"labels": ["a\n", "B", "C"]},
        {"labels": "ABC"},
        {"starts": [0, 5]},
        {"starts": [1, 5, 6]},
        {"starts": [0, 7, 6]},
        {"starts": [0, 1.5, 2]},
        {"starts": None},
        {"more": 1},
    ],
    ids=str,
)
def test_other_values_are_refused(change: dict[str, Any]) -> None:
    facts = json.loads(serialize_set(SET)) | change
    with pytest.raises(FormatError):
        parse_set(json.dumps(facts).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b"\xff", b" " * ((1 << 20) + 1)]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_set(data)
