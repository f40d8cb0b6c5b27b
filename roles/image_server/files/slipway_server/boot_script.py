"""The iPXE script that boots a machine into its pending session."""

from __future__ import annotations

import re

from .config import Config

_SESSION_ID = re.compile(r"[0-9a-f]{16}\Z")


def render(config: Config, session_id: str) -> str:
    """Render the script; the address and the arguments were checked when Config was made."""
    if not _SESSION_ID.match(session_id):
        raise ValueError(f"not a session id: {session_id!r}")
    env = f"http://{config.url_host}/env"
    arguments = " ".join(config.boot_args.split())
    # A boot medium with a fixed address sets slwip, else it is nothing.
    return (
        "#!ipxe\n"
        f"kernel {env}/vmlinuz initrd=initrd.img initrd=site.cpio {arguments} "
        f"${{slwip}} slipway.session={session_id}\n"
        f"initrd --name initrd.img {env}/initrd.img\n"
        f"initrd --name site.cpio {env}/site.cpio\n"
        "boot\n"
    )
