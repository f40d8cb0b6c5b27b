# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack code on the controller: one deterministic tar, named by its content.

Usage: pack_code.py PROJECT CACHE WHAT. WHAT is `server`, the control service, `export`, what reads
images beside it, `runner`, the job runner with the playbooks that it runs, `web`, the page,
`teller`, what tells people, `puller`, what pulls images from other sites, or `media`, the builder
of restore media. Prints the tar's digest; the tar is CACHE/WHAT-<digest>.tar.
Copying a folder file by file would take a second each and bring __pycache__ along.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

# Of the agent the server needs the image format alone: a new engine does not restart it.
# Root of the pattern, pattern, folder in the tar.
SOURCES = {
    "server": (
        ("client_image/agent", "slipway/__init__.py", ""),
        ("client_image/agent", "slipway/format/*.py", ""),
        ("roles/image_server/files", "slipway_server/**/*.py", ""),
    ),
    "export": (
        ("client_image/agent", "slipway/**/*.py", ""),
        ("roles/image_server/files", "slipway_export/*.py", ""),
    ),
    "runner": (
        (".", "ansible.cfg", ""),
        (".", "galaxy.yml", ""),
        (".", "meta/runtime.yml", ""),
        (".", "playbooks/*.yml", ""),
        (".", "plugins/**/*.py", ""),
        (".", "plugins/**/*.yml", ""),
        (".", "roles/_common/**/*.yml", ""),
        (".", "roles/imaging_session/**/*.yml", ""),
        ("roles/job_runner/files", "slipway_runner/*.py", "lib/"),
    ),
    "web": (
        ("roles/web_page/files", "slipway_web/**/*.py", ""),
        ("roles/web_page/files", "slipway_web/templates/*.html", ""),
        ("roles/web_page/files", "slipway_web/static/**/*.*", ""),
    ),
    "teller": (("roles/policy/files", "slipway_teller/*.py", ""),),
    "puller": (
        ("client_image/agent", "slipway/**/*.py", ""),
        ("roles/policy/files", "slipway_puller/*.py", ""),
    ),
    # The media carry the agent, and what makes it a part of the environment.
    "media": (
        (".", "client_image/agent/slipway/**/*.py", ""),
        (".", "client_image/build/slipway_media/*.py", ""),
        (".", "client_image/build/medium/**/*.*", ""),
        (".", "client_image/image/site/**/slipway", ""),
        (".", "client_image/image/slipway_image/*.py", ""),
    ),
}
# What makes the collection's names work in place.
LINKS = {"runner": {".collections/ansible_collections/slipway/imaging": "../../.."}}


def pack(project: Path, what: str) -> bytes:
    """The tar's bytes; the same sources give the same bytes everywhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for root, pattern, target in SOURCES[what]:
            files = sorted((project / root).glob(pattern))
            if not files:
                sys.exit(f"pack_code: nothing matches {root}/{pattern} in {project}")
            for file in files:
                add(tar, target + str(file.relative_to(project / root)), file.read_bytes())
        for name, destination in LINKS.get(what, {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, destination
            tar.addfile(link)
        # Last: whoever finds it knows that everything before was unpacked.
        add(tar, "COMPLETE", b"")
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file without owner and time, which would differ from checkout to checkout."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def main() -> None:
    """Write the tar unless it is there, print its digest."""
    project, cache, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    data = pack(project, what)
    digest = hashlib.sha256(data).hexdigest()[:16]
    target = cache / f"{what}-{digest}.tar"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".new")
        temporary.write_bytes(data)
        temporary.rename(target)
        for other in cache.glob(f"{what}-*.tar"):
            if other != target:
                other.unlink()
    print(digest)


if __name__ == "__main__":
    main()
