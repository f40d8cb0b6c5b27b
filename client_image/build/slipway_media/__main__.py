# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line: `python3 -m slipway_media --folder media --name img --server 192.0.2.10`."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

from slipway_media import media, script, tools
from slipway_media.errors import MediaError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def main(argv: list[str] | None = None) -> int:
    """Make what is missing or different; print JSON, or one message and exit code 1."""
    try:
        print(json.dumps(make(_parser().parse_args(argv))))
    except MediaError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway_media", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--address", default="")
    parser.add_argument("--router", default="")
    parser.add_argument("--dns", default="")
    parser.add_argument("--efi", type=Path, default=tools.EFI)
    parser.add_argument("--check", action="store_true", help="change nothing, say what would be")
    return parser


def make(options: argparse.Namespace) -> dict[str, object]:
    """Make the media of one server and return what changed, the files, and what to know."""
    if not _NAME.fullmatch(options.name):
        raise MediaError(
            f"{options.name!r} can't be the name of media.",
            "Use lower-case letters, digits and '-' in boot_media_name.",
        )
    tools.check_installed([options.efi])
    fixed = script.parse_fixed(options.address, options.router, options.dns)
    efi, notes = _for_uefi(options.efi.read_bytes(), fixed)
    parts = media.Parts(script.render(options.server, fixed), tools.LKRN.read_bytes(), efi)
    made = {}
    with tempfile.TemporaryDirectory(prefix="slipway-media-") as folder:
        for pattern, build in media.MEDIA.items():
            fresh = Path(folder) / pattern.format(options.name)
            build(parts, fresh, Path(folder) / "work" / fresh.suffix)
            made[str(options.folder / fresh.name)] = _put(fresh, options)
    return {"changed": any(made.values()), "files": list(made), "notes": notes}


def _for_uefi(efi: bytes, fixed: script.Fixed | None) -> tuple[bytes | None, list[str]]:
    """Return what starts on UEFI, if anything can, and what the administrator must know of it."""
    if media.reads_scripts(efi):
        return efi, []
    newer = "The package ipxe of Debian 13 reads it, and also fits Debian 12."
    if fixed:
        return None, [
            "These media are for BIOS alone. This iPXE reads no script on UEFI, so it can't know a"
            f" fixed address. {newer}"
        ]
    return efi, [
        "This iPXE reads no script on UEFI: there it goes where DHCP sends it, so"
        " pxe_server_dhcp_mode must be full or proxy, or the DHCP server must know what"
        f" playbooks/dhcp_options.yml prints. {newer}"
    ]


def _put(fresh: Path, options: argparse.Namespace) -> bool:
    """Put a medium where it belongs, whole or not at all; return whether it is another one."""
    target: Path = options.folder / fresh.name
    content = fresh.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return False
    if not options.check:
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.new")
        half.write_bytes(content)
        half.replace(target)
    return True


if __name__ == "__main__":
    sys.exit(main())
