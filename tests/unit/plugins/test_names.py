# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and MAC addresses: what gets through, and that nothing else does."""

import pytest
import yaml
from ansible_collections.slipway.imaging.plugins.module_utils import _names
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.test.names import TestModule as NameTests
from hypothesis import given
from hypothesis import strategies as st

TESTS = NameTests().tests()
BAD_NAMES = [
    "../x",
    "-oProxyCommand=x",
    "{{ 1 }}",
    "all",
    "",
    "PC1",
    "pc1\n",
    "a" * 64,
    "pc_1",
    1,
    None,
    ["pc1"],
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused(name: object) -> None:
    assert not TESTS["machine_name"](name)
    assert not TESTS["image_name"](name)
    assert not TESTS["image_reference"](name)
    if isinstance(name, str):
        assert not TESTS["image_reference"](f"{name}@20260131T235959Z")


@pytest.mark.parametrize("name", ["pc1", "1", "lab-base", "a" * 63])
def test_good_names(name: str) -> None:
    assert TESTS["machine_name"](name)
    assert _names.split_reference(f"{name}@20260131T235959Z-2") == (name, "20260131T235959Z-2")


@pytest.mark.parametrize("version", ["", "../x", "latest", "20260131T235959", "{{ 1 }}"])
def test_bad_versions_are_refused(version: str) -> None:
    with pytest.raises(SlipwayError) as refusal:
        _names.split_reference(f"pc1@{version}")
    assert refusal.value.error == "bad_version"
    assert refusal.value.remedy


@given(st.text())
def test_an_accepted_name_needs_no_quoting_anywhere(text: str) -> None:
    if TESTS["image_name"](text):
        assert text.isascii()
        assert text.replace("-", "a").isalnum()
        assert not text.startswith("-")


@given(st.binary(min_size=6, max_size=6), st.sampled_from(":-"), st.booleans())
def test_every_spelling_of_a_mac_address_becomes_one(raw: bytes, mark: str, upper: bool) -> None:
    text = raw.hex(mark).upper() if upper else raw.hex(mark)
    assert _names.check_mac(text) == raw.hex(":")


@given(st.binary(min_size=6, max_size=6), st.sampled_from(".:-"), st.booleans())
def test_nor_does_it_matter_how_switches_write_it(raw: bytes, mark: str, upper: bool) -> None:
    plain = raw.hex().upper() if upper else raw.hex()
    fours, sixes = raw.hex(mark, 2), raw.hex(mark, 3)
    for text in (plain, fours, sixes, fours.upper(), f"\u00a0{plain}\t"):
        assert _names.check_mac(text) == raw.hex(":")


@pytest.mark.parametrize(
    ("macs", "says"),
    [
        ("52:54:00:12:34:56", ["no list"]),
        (yaml.safe_load("[52:54:00:12:34:56, 525400123456]"), ["(not text)"]),
        (["52-54-00-12-34-56", "x", "525400.123456"], ["'x' is no MAC", "stands there twice"]),
        (["01:80:c2:00:00:0e"], ["a group of cards"]),
        (["FF-FF-FF-FF-FF-FF"], ["a group of cards, or all"]),
        (["0000.0000.0000"], ["stands for none"]),
    ],
)
def test_what_no_card_of_a_machine_has_is_refused(macs: object, says: list[str]) -> None:
    with pytest.raises(SlipwayError) as refusal:
        _names.check_macs(macs)
    assert [text for text in says if text not in refusal.value.message] == []


@given(st.one_of(st.text(), st.integers(), st.none()))
def test_what_is_no_mac_address_is_refused_with_a_remedy(value: object) -> None:
    if TESTS["mac_address"](value):
        assert len(_names.check_mac(value)) == 17
        return
    with pytest.raises(SlipwayError) as refusal:
        _names.check_mac(value)
    assert "quotation marks" in refusal.value.remedy


@given(st.text())
def test_cleaned_text_can_not_act_on_a_terminal(text: str) -> None:
    assert not any(ord(letter) < 32 or 0x7F <= ord(letter) < 0xA0 for letter in clean(text))
