# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds where Debian packages come from: by default, from where this host gets its own."""

import re
from collections.abc import Iterator
from pathlib import Path

DEFAULT_MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def suites(release: str) -> tuple[str, str, str]:
    """Return the suites of a release that hold its packages."""
    return release, f"{release}-updates", f"{release}-security"


def from_mirror(mirror: str, release: str, components: str) -> list[str]:
    """Return sources for a mirror; security updates lie beside the archive, as at Debian's."""
    base = mirror.rstrip("/")
    main, updates, security = suites(release)
    beside = SECURITY_MIRROR if base == DEFAULT_MIRROR else f"{base}-security"
    return [
        f"deb {base} {main} {components}",
        f"deb {base} {updates} {components}",
        f"deb {beside} {security} {components}",
    ]


def of_host(apt: Path, release: str, components: str) -> list[str]:
    """Return the host's own Debian sources that serve a release, else Debian's mirror.

    Other people's repositories on the host are left out: they have no part in the image.
    """
    wanted = suites(release)
    found = []
    for uri, suite, parts, signed_by in _entries(apt):
        if suite in wanted and "main" in parts:
            option = f"[signed-by={signed_by}] " if signed_by else ""
            found.append(f"deb {option}{uri} {suite} {components}")
    found = list(dict.fromkeys(found))
    complete = any(f" {release} " in line for line in found)
    return found if complete else from_mirror(DEFAULT_MIRROR, release, components)


# Address, suite, components, path of the key file.
_Entry = tuple[str, str, list[str], str]


def _entries(apt: Path) -> Iterator[_Entry]:
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.suffix == ".list":
            yield from _one_line(text)
        elif path.suffix == ".sources":
            yield from _stanzas(text)


def _one_line(text: str) -> Iterator[_Entry]:
    pattern = re.compile(
        r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<parts>[^#]+)"
    )
    for line in text.splitlines():
        match = pattern.match(line.strip())
        if match:
            key = re.search(r"signed-by=(\S+)", match["options"] or "")
            yield match["uri"], match["suite"], match["parts"].split(), key[1] if key else ""


def _stanzas(text: str) -> Iterator[_Entry]:
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if line and not line.startswith("#")]
        # A key written into the stanza spans lines that begin with a space: mmdebstrap finds
        # Debian's keys by itself, so only the path of a key file is taken.
        pairs = (line.split(":", 1) for line in lines if ":" in line and line[0] != " ")
        fields = {name.lower(): value.strip() for name, value in pairs}
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        key = fields.get("signed-by", "")
        key = key if key.startswith("/") else ""
        parts = fields.get("components", "").split()
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite, parts, key
