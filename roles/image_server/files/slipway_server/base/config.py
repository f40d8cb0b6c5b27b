# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's configuration: one JSON file, read once, every key checked."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from . import documents
from .names import PLACEHOLDERS, is_pattern

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")

# What becomes of who asks from an address of which nobody knows whose it is.
Policy = Literal["refuse", "accept"]


class ConfigError(Exception):
    """The configuration file can't be used; the text says which keys and why."""


def _address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
        ok = "%" not in text
    except ValueError:
        ok = bool(_HOST_NAME.match(text))
    if not ok:
        raise ValueError("is neither an IP address nor a host name")
    return text


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be a path that begins with /")
    return path


def _naming(text: str) -> str:
    if not is_pattern(text):
        words = ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
        raise ValueError(
            f"makes no names of machines: use lower-case letters, digits, '-' and {words}"
        )
    return text


_Folder = Annotated[Path, AfterValidator(_absolute)]
_Number = Annotated[int, Field(ge=1)]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Config:
    """What the role image_server decides for the service."""

    address: Annotated[str, AfterValidator(_address)]
    store_dir: _Folder
    state_dir: _Folder
    # Where pending sessions lie as files for boot loaders that speak TFTP alone; None: nowhere.
    tftp_dir: _Folder | None = None
    store_reserve_bytes: _Count = 1 << 30
    # What one backup may send at most, however large its machine says that its disks are.
    session_quota_bytes: _Number = 4 << 40
    # nginx's internal location for chunks; None: the service sends the bytes itself.
    accel_redirect: str | None = None
    threads: _Number = 4
    check_threads: _Number = 2
    # Bodies in flight at once: bounds memory to about this times 4 MiB.
    upload_slots: _Number = 32
    max_manifest_bytes: int = 128 << 20
    silent_seconds: _Number = 120
    sweep_seconds: float = 5.0
    # How long a sound read of a chunk is trusted while the file has not changed.
    check_memory_days: int = 7
    # How long ended sessions and jobs are kept for reports, and how many jobs at most.
    keep_days: _Number = 7
    keep_jobs: _Number = 2000
    # What each machine may choose, as the role boot_menu writes it.
    menu_dir: _Folder = Path("/etc/slipway/menus")
    # What the inventory says of images, as the role policy writes it.
    policy_dir: _Folder = Path("/etc/slipway/policy")
    # Where restore media are made, each set in a folder of its name.
    media_dir: _Folder = Path("/var/lib/slipway-media")
    # What looks into images, beside the service; None: nothing does.
    reader_socket: _Folder | None = None
    # A chunk that nothing names is removed once nobody was promised it for so long, and a little.
    collect_after_seconds: _Count = 86400
    collect_margin_seconds: _Count = 300
    # How often the service looks after images by itself; 0: when it is told to.
    upkeep_seconds: _Count = 86400
    # How often it is looked which media are to be made.
    media_seconds: _Number = 900
    # How often it is looked whether there is something to tell people.
    tell_seconds: _Number = 300
    # A job ends after that long: without a sign of the runner, in the queue, at work.
    runner_silent_seconds: _Number = 60
    job_wait_seconds: _Number = 6 * 3600
    job_seconds: _Number = 24 * 3600
    # PCs that may wait to be registered, and what they are called unless somebody says otherwise.
    registration_limit: _Number = 500
    registrations_per_second: _Number = 5
    registration_name: Annotated[str, AfterValidator(_naming)] = "pc-{serial}"
    # dnsmasq's leases; None: this server hands out no addresses.
    lease_file: _Folder | None = None
    # What becomes of who asks for a machine's session from an address of which nobody knows whose
    # it is: `refuse`, or `accept` in a network where everybody is trusted.
    unproven_addresses: Policy = "refuse"
    # A file that has approved registrations carried out here; None: somebody does it elsewhere.
    approve_file: _Folder | None = None
    # How many restores the page may order within an hour; 0: none.
    page_restores_per_hour: _Count = 60
    # When the certificates end, as the role has read it; empty: nobody knows.
    certificate_ends: str = ""
    ca_ends: str = ""

    @property
    def url_host(self) -> str:
        """The address as it stands in a URL (IPv6 in brackets)."""
        return f"[{self.address}]" if ":" in self.address else self.address


_CONFIG = TypeAdapter(Config)


def from_mapping(values: dict[str, Any]) -> Config:
    """Build a Config; unknown keys and wrong types are errors, not surprises."""
    try:
        return documents.parse(_CONFIG, json.dumps(values))
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from error


def load(path: Path) -> Config:
    """Read the configuration from ``path``."""
    try:
        return documents.read(_CONFIG, path)
    except documents.DocumentError as error:
        raise ConfigError(str(error)) from error
