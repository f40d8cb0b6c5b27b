# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS: header, and the ciphertext of what is in use inside, when a passphrase is given."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from slipway.engine.content.base import Decision, Look, Volume
from slipway.engine.dm import have_device_mapper, held, new_name
from slipway.engine.errors import DeviceError, ToolError, UsageError
from slipway.engine.run import Finished, run
from slipway.format import Extents

_LUKS1_PAYLOAD = re.compile(r"^Payload offset:\s*(\d+)$", re.MULTILINE)
_SECTOR = 512
_WRONG_PASSPHRASE = 2


@dataclass(frozen=True)
class _Payload:
    """Where the ciphertext lies, in bytes."""

    offset: int
    size: int
    sector: int
    """A sector of the encryption: only whole ones can be decrypted."""


class Luks:
    """The passphrase is needed to see what is in use; nothing decrypted is ever saved."""

    types = frozenset({"crypto_LUKS"})

    def __init__(self, look: Look) -> None:
        """`look` decides about the content inside, and maps it."""
        self._look = look

    def decide(self, volume: Volume) -> Decision:
        """Whole without a passphrase; with one, what is inside decides."""
        if volume.key is None:
            return Decision("whole", "encrypted, and no passphrase was given")
        payload = _payload(volume)
        if isinstance(payload, str):
            return Decision("whole", payload)
        with _opened(volume, payload) as inside:
            found = self._look(inside, False)
        return replace(found.decision, method="used", reason=f"inside: {found}")

    def used(self, volume: Volume) -> Extents:
        """The header with its key slots, used ciphertext, and all behind it."""
        payload = _payload(volume)
        if isinstance(payload, str):
            return Extents.whole(volume.size)
        with _opened(volume, payload) as inside:
            used = self._look(inside, True).used
        shifted = used.aligned(payload.sector).shift(payload.offset)
        return shifted.union([(0, payload.offset), (payload.offset + payload.size, volume.size)])


def _payload(volume: Volume) -> _Payload | str:
    """Where the ciphertext lies, or why there is no such place."""
    if volume.fields.get("ID_FS_VERSION") == "1":
        found = _LUKS1_PAYLOAD.search(run(["cryptsetup", "luksDump", str(volume.device)]).stdout)
        if found is None:
            return "its header can't be read"
        offset, size, sector = int(found[1]) * _SECTOR, "dynamic", _SECTOR
    else:
        query = ["cryptsetup", "luksDump", "--dump-json-metadata", str(volume.device)]
        header = json.loads(run(query).stdout)
        segments = list(header["segments"].values())
        if len(segments) != 1 or segments[0]["type"] != "crypt":
            return "its encryption is being changed, or is of several parts"
        if "integrity" in segments[0] or header["config"].get("requirements", {}).get("mandatory"):
            return "it checks integrity, or needs what Slipway does not know"
        offset, size, sector = (segments[0][key] for key in ("offset", "size", "sector_size"))
    length = volume.size - int(offset) if size == "dynamic" else int(size)
    length -= length % int(sector)
    if int(offset) <= 0 or length <= 0 or int(offset) + length > volume.size:
        return "its header says that it is larger than it is"
    return _Payload(int(offset), length, int(sector))


@contextmanager
def _opened(volume: Volume, payload: _Payload) -> Generator[Volume, None, None]:
    if not have_device_mapper():
        raise DeviceError(
            f"{volume.id} can't be opened: this kernel has no device-mapper",
            "load the kernel modules dm_mod and dm_crypt, or give no passphrase: "
            "then it is saved whole",
        )
    name, key = new_name(), volume.key or b""
    result = _open(volume, name, key)
    if result.code == _WRONG_PASSPHRASE and key.endswith(b"\n"):
        # Editors and echo end a line; cryptsetup takes a key file as it is.
        result = _open(volume, name, key.removesuffix(b"\n"))
    if result.code == _WRONG_PASSPHRASE:
        raise UsageError(
            f"the passphrase does not open {volume.id}",
            "give the right one with --luks-key, or none: then it is saved whole",
        )
    if result.code != 0:
        raise ToolError(f"{volume.id} can't be opened: {result.last_words()}")
    with held(name) as device:
        # The key opens this volume, and a container inside of it as well.
        yield replace(volume, device=device, size=payload.size, inside="inside of it")


def _open(volume: Volume, name: str, key: bytes) -> Finished:
    command = ["cryptsetup", "open", "--readonly", "--disable-keyring", "--type", "luks"]
    command += ["--key-file", "-", str(volume.device), name]
    return run(command, ok=None, input=key)
