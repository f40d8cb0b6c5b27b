# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of a menu: what it refuses, with which remedy, and what it makes of the rest."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.plugin_utils import _password_hash
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu import parse
from ansible_collections.slipway.imaging.plugins.plugin_utils._menu_actions import ACTIONS
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import LOCAL, data

HASH = _password_hash.make("secret", salt=b"0123456789abcdef")


def test_a_menu_holds_what_was_said() -> None:
    menu = parse(
        data(
            {"id": "save", "action": "backup", "title": "  Сохранить\tвид ", "order": -1},
            {"id": "back", "action": "restore", "hidden": True, "password_hash": HASH},
            {"id": "pick", "action": "restore", "images": ["a", "b@20260131T235959Z"]},
            {"id": "base", "action": "restore", "image": "base"},
            banner="one\n\ntwo\n",
            colours={"background": "black"},
            method="exit",
        ),
        "pc1",
    )
    assert [item.id for item in menu.items] == ["save", "local", "back", "pick", "base"]
    save, local, back, pick, _base = menu.items
    assert (save.title, save.image, local.method) == ("Сохранить вид", "pc1", "exit")
    assert (back.image, back.password_hash) == ("pc1", HASH)
    assert menu.hidden == (back,)
    assert (pick.image, pick.images) == (None, ("a", "b@20260131T235959Z"))
    assert menu.images == ("a", "b@20260131T235959Z", "base")
    assert menu.banner == ("one", "", "two")
    assert (menu.colours.background, menu.colours.text) == ("black", "white")


BAD: list[tuple[dict[str, Any], str, str]] = [
    (data(default=""), "no default", "Set boot_menu_default to one of"),
    (data(default=["local", "x"]), "no item has the id of the default", "local"),
    (data({"id": "x", "action": "memtest", "hidden": True}, default="x"), "is hidden", "local"),
    (data({"id": "x", "action": "backup"}, default="x"), "would start by itself", "timeout to 0"),
    (data(items=[LOCAL | {"hidden": True}]), "every item is hidden", "Leave one"),
    (data(LOCAL), "two items have the id local", "its own id"),
    (data(items=[]), "it has 0 items", "local_disk"),
    (data(items="local"), "boot_menu_items is 'local'", "a list"),
    (data("x"), "item 2 is 'x', not a dictionary", "{id: local"),
    (data(titel="x"), "no boot_menu_titel", "Did you mean boot_menu_title?"),
    (data({"id": "x", "action": "memtest", "titel": "y"}), "item 2 has no titel", "mean title"),
    (data({"id": "X", "action": "memtest"}), "has the id 'X'", "lower-case"),
    (data({"id": "x", "action": "reboot"}), "'reboot'", "memtest"),
    (data({"id": "x", "action": "memtest", "title": "\u200b\n"}), "0 characters", "1 to 200"),
    (data({"id": "x", "action": "memtest", "password_hash": HASH}), "password_hash", "hide"),
    (data({"id": "x", "action": "backup", "password_hash": "secret"}), "no hash", "menu_password"),
    (data({"id": "x", "action": "backup", "image": "a@20260131T235959Z"}), "no image name", "63"),
    (data({"id": "x", "action": "restore", "image": "../etc"}), "no image name", "63"),
    (data({"id": "x", "action": "restore", "images": []}), "images is empty", "pick from"),
    (data({"id": "x", "action": "restore", "images": ["a", "a"]}), "names one twice", "pick from"),
    (data({"id": "x", "action": "ipxe"}), "script is missing", "script: |"),
    (data({"id": "x", "action": "ipxe", "script": "\x00"}), "no text", "line feeds"),
    (data({"id": "x", "action": "memtest", "hidden": "yes"}), "hidden is 'yes'", "true or false"),
    (data(timeout=-1), "boot_menu_timeout is -1", "0 to 3600"),
    (data(timeout=True), "boot_menu_timeout is True", "whole number"),
    (data(banner="x\n" * 9), "9 lines", "at most 8"),
    (data(colours={"background": "pink"}), "'pink'", "magenta"),
    (data(colours={"backgruond": "red"}), "no backgruond", "Did you mean background?"),
    (data(method="reset"), "'reset'", "chain"),
    (data(method="sanboot"), "another name of auto", "Write auto"),
    (data({"id": "x", "action": "local_disk", "method": "sanboot"}), "item x", "Write auto"),
]


@pytest.mark.parametrize(("menu", "says", "remedy"), BAD, ids=lambda value: str(value)[:40])
def test_what_can_not_be_meant_is_refused(menu: dict[str, Any], says: str, remedy: str) -> None:
    with pytest.raises(SlipwayError) as refused:
        parse(menu, "pc1")
    assert refused.value.message.startswith("The menu of pc1: ")
    assert says in refused.value.message
    assert remedy in refused.value.remedy


def test_a_hash_is_never_shown() -> None:
    with pytest.raises(SlipwayError) as refused:
        parse(data({"id": "x", "action": "backup", "password_hash": "hunter2"}), "pc1")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("action", ["backup", "restore", "rescue_shell"])
def test_machines_that_nobody_knows_get_no_image(action: str) -> None:
    with pytest.raises(SlipwayError, match="unknown machines: item x"):
        parse(data({"id": "x", "action": action}), None)
    assert parse(data({"id": "x", "action": "register"}), None).items[1].action == "register"


def test_only_a_machine_that_nobody_knows_registers_by_itself() -> None:
    wanted = data({"id": "x", "action": "register"}, default="x", timeout=5)
    assert parse(wanted, None).default == "x"
    with pytest.raises(SlipwayError, match="would start by itself"):
        parse(wanted, "pc1")


def test_a_backup_may_be_the_default_when_nothing_starts_by_itself() -> None:
    assert parse(data({"id": "x", "action": "backup"}, default="x", timeout=0), "pc1").timeout == 0


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
ITEM = st.fixed_dictionaries(
    {"id": ANY | st.just("x"), "action": st.sampled_from(sorted(ACTIONS)) | ANY},
    optional=dict.fromkeys(
        ["title", "image", "images", "hidden", "password_hash", "order", "script", "method", "no"],
        ANY,
    ),
)


@pytest.mark.fuzz
@given(
    st.fixed_dictionaries(
        {"title": ANY, "default": ANY | st.just("x"), "items": st.lists(ITEM, max_size=3) | ANY},
        optional=dict.fromkeys(["timeout", "banner", "colours", "method", "extra"], ANY),
    ),
    st.just("pc1") | st.none() | st.text(max_size=5),
)
def test_any_data_is_a_menu_or_a_refusal_with_a_remedy(
    menu: dict[str, Any], machine: str | None
) -> None:
    try:
        parsed = parse(menu, machine)
    except SlipwayError as refused:
        assert refused.remedy
    else:
        assert parsed.default in {item.id for item in parsed.visible}


# A hash is slow on purpose.
@settings(max_examples=10)
@given(st.text(min_size=1, max_size=30).filter(str.isprintable))
def test_hashes_of_passwords_are_what_the_service_reads(password: str) -> None:
    text = _password_hash.make(password)
    assert _password_hash.check_hash(text) == text
    _name, n, r, p, salt, digest = text.split("$")
    made = hashlib.scrypt(
        password.encode(), salt=base64.b64decode(salt), n=int(n), r=int(r), p=int(p), dklen=32
    )
    assert base64.b64decode(digest) == made


@pytest.mark.parametrize("password", ["", "\n", "x" * 1025])
def test_passwords_that_nobody_can_type_are_refused(password: str) -> None:
    with pytest.raises(SlipwayError, match="can't be typed"):
        _password_hash.make(password)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scrypt",
        "scrypt$3$8$1$MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg==",
        "scrypt$1048576$8$1$MDEyMzQ1Njc4OWFiY2RlZg==$MDEyMzQ1Njc4OWFiY2RlZg==",
        "scrypt$16384$8$1$!$MDEyMzQ1Njc4OWFiY2RlZg==",
        HASH[:-30],
        HASH + "\n",
        "ssha" + HASH,
    ],
)
def test_hashes_that_the_service_would_not_bear_are_refused(text: str) -> None:
    with pytest.raises(SlipwayError):
        _password_hash.check_hash(text)
