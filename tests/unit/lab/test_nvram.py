# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot order written into a variable store is what OVMF would have written itself."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway_lab import nvram
from slipway_lab.errors import LabError

# What OVMF 2022.11 itself made for this card in slot 2 and a disk in slot 3 of QEMU's q35.
MAC = "52:54:00:12:34:56"
NETWORK = bytes.fromhex(
    "0100000056005500450046004900200050005800450076003400200028004d00410043003a00350032003500"
    "3400300030003100320033003400350036002900000002010c00d041030a00000000010106000002030b2500"
    "525400123456000000000000000000000000000000000000000000000000000001030c1b0000000000000000"
    "000000000000000000000000000000007fff04004eac0881119f594d850ee21a522c59b2"
)
DISK = bytes.fromhex(
    "010000001e0055004500460049002000510045004d0055002000510045004d00550020004800410052004400"
    "4400490053004b002000000002010c00d041030a0000000001010600000303020800000000007fff04004eac"
    "0881119f594d850ee21a522c59b2"
)


def empty_store() -> bytearray:
    """Return what begins like Debian's OVMF_VARS_4M.fd."""
    store = bytearray(b"\xff" * 8192)
    store[40:44] = b"_FVH"
    struct.pack_into("<H", store, nvram.FV_HEADER_LENGTH, 72)
    store[72:88] = nvram.STORE_GUID.bytes_le
    return store


def test_options_equal_those_of_the_firmware() -> None:
    made = nvram.variables(MAC)
    assert made["Boot0000"] == NETWORK
    assert made["Boot0001"] == DISK
    assert made["BootOrder"] == b"\0\0\1\0"


def test_variables_can_be_read_back(tmp_path: Path) -> None:
    template, target = tmp_path / "template", tmp_path / "vars"
    template.write_bytes(empty_store())
    nvram.write(template, target, MAC)
    store = target.read_bytes()
    assert len(store) == 8192
    found, at = {}, 72 + nvram.STORE_HEADER
    while store[at : at + 2] == b"\xaa\x55":
        assert at % 4 == 0
        name_length, data_length = struct.unpack_from("<II", store, at + 36)
        name = store[at + 60 : at + 60 + name_length].decode("utf-16-le").rstrip("\0")
        data = at + 60 + name_length
        found[name] = store[data : data + data_length]
        at = (data + data_length + 3) & ~3
    assert found == nvram.variables(MAC)
    assert set(store[at:]) == {0xFF}


def test_keys_of_secure_boot_stay(tmp_path: Path) -> None:
    template, target = tmp_path / "template", tmp_path / "vars"
    store = empty_store()
    pair = (nvram._variable("PK", b"a platform's key"), nvram._variable("db", b"others"))
    keys = b"".join(raw.ljust((len(raw) + 3) & ~3, b"\xff") for raw in pair)
    start = 72 + nvram.STORE_HEADER
    store[start : start + len(keys)] = keys
    template.write_bytes(store)
    nvram.write(template, target, MAC)
    written = target.read_bytes()
    assert written[start : start + len(keys)] == keys
    order = nvram._variable("Boot0000", nvram.variables(MAC)["Boot0000"])
    assert written[start + len(keys) :].startswith(order)


def test_an_older_boot_order_is_forgotten(tmp_path: Path) -> None:
    template, target = tmp_path / "template", tmp_path / "vars"
    store = empty_store()
    old = nvram._variable("BootOrder", b"\7\0")
    store[100 : 100 + len(old)] = old
    template.write_bytes(store)
    nvram.write(template, target, MAC)
    written = target.read_bytes()
    assert written[102] == 0x3D, "it is deleted"
    assert nvram._variable("BootOrder", b"\0\0\1\0") in written


def _store_that_is_damaged(store: bytearray) -> None:
    store[100:104] = b"junk"


def _no_store(store: bytearray) -> None:
    store[72:88] = bytes(16)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_store_that_is_damaged, "ends in the middle"),
        (_no_store, "no variable store of OVMF"),
    ],
)
def test_a_store_that_is_not_what_we_know_is_refused(
    tmp_path: Path, spoil: Callable[[bytearray], None], words: str
) -> None:
    template = tmp_path / "template"
    store = empty_store()
    spoil(store)
    template.write_bytes(store)
    with pytest.raises(LabError, match=words):
        nvram.write(template, tmp_path / "vars", MAC)
    assert not (tmp_path / "vars").exists()
