"""The boot order written into a variable store is what OVMF would have written itself."""

import struct
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


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    template = tmp_path / "template"
    store = empty_store()
    store[100:102] = b"\xaa\x55"
    template.write_bytes(store)
    with pytest.raises(LabError, match="no empty variable store"):
        nvram.write(template, tmp_path / "vars", MAC)
    assert not (tmp_path / "vars").exists()
