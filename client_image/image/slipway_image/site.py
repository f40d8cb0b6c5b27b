# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the site overlay: what makes the environment belong to one image server.

The boot loader loads it as a second initrd. It is served in clear and holds no secret.
"""

import argparse
import hashlib
import importlib.util
import io
import json
import py_compile
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from slipway_image import cpio
from slipway_image.errors import BuildError
from slipway_image.plan import HOME

_KEY = re.compile(r"(?:ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]{40,}={0,3}(?: [^\r\n]*)?")
_URL = re.compile(r"https://[A-Za-z0-9.:\[\]-]+")
_AGENT = "usr/lib/slipway/slipway"


def members(
    server: str,
    ca: bytes,
    ssh_keys: Sequence[str],
    agent: Path,
    epoch: int,
    networks: Sequence[str] = (),
) -> list[cpio.Member]:
    """Return what the overlay is made of; equal inputs give equal members.

    `networks` are texts NETWORK=URL: where machines reach the server by another address.
    """
    apart = dict(text.split("=", 1) for text in networks)
    for url in (server, *apart.values()):
        if not _URL.fullmatch(url):
            raise BuildError(f"{url!r} is no https address", "set image_server_address")
    if b"-----BEGIN CERTIFICATE-----" not in ca:
        raise BuildError("the CA certificate is not in PEM form", "run role image_server again")
    if b"PRIVATE KEY" in ca:
        raise BuildError("a private key lies in the CA certificate's file", "take it out")
    keys = list(dict.fromkeys(key.strip() for key in ssh_keys))
    if not keys or not all(_KEY.fullmatch(key) for key in keys):
        raise BuildError(
            "an SSH public key is not one line like `ssh-ed25519 AAAA... name`",
            "set client_image_ssh_public_key to the content of the .pub file",
        )
    about = {"server": server, "ca": "/etc/slipway/ca.crt"} | ({"networks": apart} if apart else {})
    site = json.dumps(about, indent=2) + "\n"
    found = [
        cpio.regular("etc/slipway/site.json", site.encode()),
        cpio.regular("etc/slipway/ca.crt", ca),
        cpio.folder("root", 0o700),
        cpio.folder("root/.ssh", 0o700),
        cpio.regular(
            "root/.ssh/authorized_keys", "".join(f"{key}\n" for key in keys).encode(), 0o600
        ),
        # systemd never lets the clock be earlier than this file's time: a PC with an empty clock
        # battery begins near today, until it has heard the server's time.
        cpio.regular("usr/lib/clock-epoch", b"", mtime=epoch),
    ]
    found += [
        cpio.regular(str(path.relative_to(HOME / "site")), path.read_bytes(), 0o755)
        for path in _files(HOME / "site", "*")
    ]
    if not (agent / "__main__.py").is_file():
        raise BuildError(f"{agent} is not the agent's package", "look at --agent")
    found += [
        cpio.regular(f"{_AGENT}/{path.relative_to(agent)}", path.read_bytes())
        for path in _files(agent, "*.py")
    ]
    return found


def bytecode(agent: Path) -> list[cpio.Member]:
    """Return the agent's compiled modules: on a slow PC they bring the check-in seconds nearer.

    Python looks at version and source before it uses one, so an environment with another
    Python is none the worse.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "module.pyc"
        for path in _files(agent, "*.py"):
            name = f"{_AGENT}/{path.relative_to(agent)}"
            py_compile.compile(
                str(path),
                cfile=str(compiled),
                dfile=f"/{name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
            )
            found.append(
                cpio.regular(importlib.util.cache_from_source(name), compiled.read_bytes())
            )
    return found


def pack(found: list[cpio.Member], agent: Path, target: Path) -> bool:
    """Write the overlay unless its inputs are those it was made from; say whether it changed."""
    inputs = io.BytesIO()
    cpio.write(found, inputs)
    inputs.write(sys.version.encode())
    key = hashlib.sha256(inputs.getvalue()).hexdigest().encode() + b"\n"
    # Two runs of Python may write different bytecode of the same source, so the content cannot
    # be compared; the overlay says what it was made from.
    if target.is_file() and key in target.read_bytes():
        return False
    packed = io.BytesIO()
    name = cpio.regular("usr/lib/slipway/site.sha256", key)
    cpio.write(cpio.with_parents([*found, *bytecode(agent), name]), packed)
    replace(target, packed.getvalue())
    return True


def _files(folder: Path, pattern: str) -> list[Path]:
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return [path for path in paths if "__pycache__" not in path.parts]


def replace(target: Path, content: bytes) -> None:
    """Write a file in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.write_bytes(content)
    new.rename(target)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(prog="pack-site", description=__doc__.splitlines()[0])
    add = result.add_argument
    add("--server", required=True, metavar="URL", help="https address that machines use")
    add(
        "--network",
        action="append",
        default=[],
        metavar="NETWORK=URL",
        help="address that machines in this network use; may be given several times",
    )
    add("--ca", required=True, type=Path, metavar="FILE", help="CA certificate; - reads stdin")
    add(
        "--ssh-key",
        required=True,
        action="append",
        metavar="LINE",
        help="public key of who comes in: the controller's; may be given several times",
    )
    add("--agent", type=Path, default=HOME.parent / "agent/slipway", metavar="DIR")
    add("--epoch", type=int, default=0, help="the environment's clock is never before this")
    add("--output", required=True, type=Path, metavar="FILE")
    return result


def main(argv: list[str] | None = None) -> int:
    """Pack the overlay; prints `changed` or `unchanged`."""
    args = parser().parse_args(argv)
    try:
        ca = sys.stdin.buffer.read() if str(args.ca) == "-" else args.ca.read_bytes()
        found = members(args.server, ca, args.ssh_key, args.agent, args.epoch, args.network)
        changed = pack(found, args.agent, args.output)
    except (BuildError, OSError, py_compile.PyCompileError) as error:
        print(f"error: {error}", file=sys.stderr)
        if isinstance(error, BuildError) and error.remedy:
            print(f"remedy: {error.remedy}", file=sys.stderr)
        return 1
    print("changed" if changed else "unchanged")
    return 0
