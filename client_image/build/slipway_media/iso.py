# SPDX-License-Identifier: GPL-3.0-or-later
"""Discs as ISO 9660 by xorriso: one that boots, on a CD as on a stick, and those behind it.

Rock Ridge alone, since Joliet doubles what twenty thousand small files cost, and chunks in the
order in which a restore reads them, so that an optical drive never seeks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from slipway_media import grub, tools
from slipway_media.errors import MediaError
from slipway_media.layout import Layout
from slipway_media.spanning import SECTOR

_ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
_CORE, _EFI = "boot/grub/bios.img", "efi.img"


@dataclass(frozen=True)
class Chunk:
    """A chunk and its file in the store."""

    digest: str
    source: Path

    @property
    def place(self) -> str:
        """Its path on a disc: one level of folders, since two cost as much as the chunks."""
        return f"chunks/{self.digest[:2]}/{self.digest}"


def boot_files(tree: Path, mark: str) -> None:
    """Add to a disc's tree what starts it; its partition for UEFI lies beside the tree."""
    core, efi = _boot_images(mark)
    (tree / _CORE).write_bytes(core)
    tree.with_name(_EFI).write_bytes(efi)


@lru_cache(maxsize=1)
def _boot_images(mark: str) -> tuple[bytes, bytes]:
    """For BIOS and for UEFI. A plan asks how large they are, then the disc for the same ones."""
    with tempfile.TemporaryDirectory(prefix="slipway-media-") as name:
        work = Path(name)
        grub.bios_image(work / "core", mark, work)
        grub.efi_image(work / _EFI, mark, work)
        return (work / "core").read_bytes(), (work / _EFI).read_bytes()


def size(tree: Path, label: str, boots: bool) -> int:
    """Bytes of a disc that has this tree and no chunk yet."""
    printed = tools.run(*_words(tree, label, boots), "-print-size", f"/={tree}")
    return int(printed.split()[-1]) * SECTOR


def command(
    tree: Path, label: str, chunks: Sequence[Chunk], boots: bool, work: Path
) -> tuple[str, ...]:
    """What writes a disc to standard output; chunks are the last of its files, in this order."""
    paths, weights = work / "paths", work / "weights"
    with paths.open("w") as lines:
        lines.writelines(f"{each.place}={_quoted(each.source)}\n" for each in chunks)
    with weights.open("w") as lines:
        lines.writelines(f"{-at} /{each.place}\n" for at, each in enumerate(chunks, 1))
    made = ("-o", "-", "--sort-weight-list", str(weights), "-path-list", str(paths))
    return (*_words(tree, label, boots), *made, f"/={tree}")


def tail(tree: Path, layout: Layout, boots: bool) -> bytes:
    """What lies behind the chunks of a disc: what UEFI starts, and the second GPT."""
    found = bytearray(layout.end - layout.chunks_end)
    if boots and found:
        efi, at = tree.with_name(_EFI).read_bytes(), layout.efi - layout.chunks_end
        known = layout.second_gpt and at >= 0
        if not known or at + len(efi) + len(layout.second_gpt) > len(found):
            raise MediaError(
                "xorriso lays this disc out in a way that is not known here; nothing was made.",
                "Use the xorriso of a Debian that the README names.",
            )
        found[at : at + len(efi)] = efi
        found[-len(layout.second_gpt) :] = layout.second_gpt
    return bytes(found)


def _words(tree: Path, label: str, boots: bool) -> list[str]:
    words = [
        "xorriso",
        "-as",
        "mkisofs",
        "-quiet",
        "-r",
        "-follow-links",
        "-V",
        label,
        "-graft-points",
    ]
    words += ["--set_all_file_dates", "2020010100000000"]
    if not boots:
        return words
    efi = str(tree.with_name(_EFI))
    words += ["--grub2-mbr", str(grub.BOOT_HYBRID), "--protective-msdos-label"]
    words += ["-partition_offset", "16", "-b", _CORE, "-c", "boot/boot.cat", "-no-emul-boot"]
    words += ["-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info"]
    words += ["-append_partition", "2", _ESP, efi, "-appended_part_as_gpt"]
    words += ["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::"]
    return [*words, "-no-emul-boot"]


def _quoted(path: Path) -> str:
    """A path as the right side of a graft point has it."""
    return str(path).replace("\\", "\\\\").replace("=", "\\=")
