# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's configuration: one JSON file, read once, every key checked."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from pathlib import Path
from typing import Any

from .names import PLACEHOLDERS, is_pattern

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")

# What becomes of who asks from an address of which nobody knows whose it is.
POLICIES = ("refuse", "accept")


class ConfigError(Exception):
    """The configuration file can't be used; the text says which key and why."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What the role image_server decides for the service."""

    address: str
    store_dir: Path
    state_dir: Path
    # Where pending sessions lie as files for boot loaders that speak TFTP alone; None: nowhere.
    tftp_dir: Path | None = None
    store_reserve_bytes: int = 1 << 30
    # What one backup may send at most, however large its machine says that its disks are.
    session_quota_bytes: int = 4 << 40
    # nginx's internal location for chunks; None: the service sends the bytes itself.
    accel_redirect: str | None = None
    threads: int = 4
    check_threads: int = 2
    # Bodies in flight at once: bounds memory to about this times 4 MiB.
    upload_slots: int = 32
    max_manifest_bytes: int = 128 << 20
    silent_seconds: int = 120
    sweep_seconds: float = 5.0
    # How long a sound read of a chunk is trusted while the file has not changed.
    check_memory_days: int = 7
    # How long ended sessions and jobs are kept for reports, and how many jobs at most.
    keep_days: int = 7
    keep_jobs: int = 2000
    # What each machine may choose, as the role boot_menu writes it.
    menu_dir: Path = Path("/etc/slipway/menus")
    # A job ends after that long: without a sign of the runner, in the queue, at work.
    runner_silent_seconds: int = 60
    job_wait_seconds: int = 6 * 3600
    job_seconds: int = 24 * 3600
    # PCs that may wait to be registered, and what they are called unless somebody says otherwise.
    registration_limit: int = 500
    registrations_per_second: int = 5
    registration_name: str = "pc-{serial}"
    # dnsmasq's leases; None: this server hands out no addresses.
    lease_file: Path | None = None
    # What becomes of who asks for a machine's session from an address of which nobody knows whose
    # it is: `refuse`, or `accept` in a network where everybody is trusted.
    unproven_addresses: str = "refuse"
    # When the certificates end, as the role has read it; empty: nobody knows.
    certificate_ends: str = ""
    ca_ends: str = ""

    def __post_init__(self) -> None:
        """Refuse values that would end up in a boot script or break the service."""
        if not _is_address(self.address):
            raise ConfigError(f"address {self.address!r} is neither an IP address nor a host name")
        for key in (
            "threads",
            "check_threads",
            "upload_slots",
            "silent_seconds",
            "keep_days",
            "keep_jobs",
            "runner_silent_seconds",
            "job_wait_seconds",
            "job_seconds",
            "registration_limit",
            "registrations_per_second",
            "session_quota_bytes",
        ):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} must be at least 1")
        if not is_pattern(self.registration_name):
            words = ", ".join(f"{{{word}}}" for word in PLACEHOLDERS)
            raise ConfigError(
                f"registration_name {self.registration_name!r} makes no names of machines: use "
                f"lower-case letters, digits, '-' and {words}"
            )
        if self.unproven_addresses not in POLICIES:
            raise ConfigError(f"unproven_addresses must be one of {', '.join(POLICIES)}")
        if self.store_reserve_bytes < 0:
            raise ConfigError("store_reserve_bytes must not be negative")

    @property
    def url_host(self) -> str:
        """The address as it stands in a URL (IPv6 in brackets)."""
        return f"[{self.address}]" if ":" in self.address else self.address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(_HOST_NAME.match(text))
    return "%" not in text


def from_mapping(values: dict[str, Any]) -> Config:
    """Build a Config; unknown keys and wrong types are errors, not surprises."""
    fields = {field.name: field for field in dataclasses.fields(Config)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"unknown keys: {', '.join(unknown)}")
    missing = sorted({"address", "store_dir", "state_dir"} - set(values))
    if missing:
        raise ConfigError(f"missing keys: {', '.join(missing)}")
    made: dict[str, Any] = {}
    for key, value in values.items():
        made[key] = _typed(key, str(fields[key].type), value)
    return Config(**made)


def _typed(key: str, wanted: str, value: Any) -> Any:
    ok: bool
    if wanted in ("Path", "Path | None"):
        ok = isinstance(value, str) and value.startswith("/")
        value = Path(value) if ok else value
    elif wanted == "int":
        ok = isinstance(value, int) and not isinstance(value, bool)
    elif wanted == "float":
        ok = isinstance(value, int | float) and not isinstance(value, bool)
    elif wanted == "str | None":
        ok = value is None or isinstance(value, str)
    else:
        ok = isinstance(value, str)
    if not ok:
        raise ConfigError(f"{key} must be of type {wanted}, not {value!r}")
    return value


def load(path: Path) -> Config:
    """Read the configuration from ``path``."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return from_mapping(values)
