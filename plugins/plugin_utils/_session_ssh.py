"""The command line of SSH to the machine of a session: one host key, and nothing but the command.

SSH takes the first value that it finds of an option, and of most flags the last. So what a session
insists on stands in front of everything that an inventory or an environment may add, and the flags
that could undo it are undone behind that. `problems` then asks SSH itself what it would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean

# A socket's path has 108 bytes, and SSH makes it under a name that is 17 longer.
_LONGEST_SOCKET = 108 - 1 - 17
# SSH would read these in a path as something else.
_UNFIT = re.compile(r'["%$\\\x00-\x1f]')

# What SSH says when somebody else answers.
ANOTHER_KEY = ("Host key verification failed", "no matching host key type found")

# What decides whom SSH talks to, and what he gets beside the command.
_TELLING = (
    "StrictHostKeyChecking",
    "UserKnownHostsFile",
    "GlobalKnownHostsFile",
    "KnownHostsCommand",
    "HostKeyAlias",
    "HostKeyAlgorithms",
    "VerifyHostKeyDNS",
    "NoHostAuthenticationForLocalhost",
    "ControlPath",
    "ForwardAgent",
    "ForwardX11",
    "PermitLocalCommand",
    "Tunnel",
    "ClearAllForwardings",
    "GSSAPIDelegateCredentials",
    "PreferredAuthentications",
    "PasswordAuthentication",
    "KbdInteractiveAuthentication",
    "HostbasedAuthentication",
    "IdentitiesOnly",
    "UpdateHostKeys",
)
_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "SSH_AUTH_SOCK", "LANG", "LC_*")
_SPELLINGS = {"yes": "true", "no": "false"}


@dataclass(frozen=True)
class Target:
    """The machine of a session, as SSH has to reach it."""

    machine: str
    address: str
    port: int
    user: str
    known_hosts: Path
    key_type: str
    control: Path | None
    """Socket of the session's own master connection; None where its path would be too long."""
    identities: tuple[Path, ...] = ()

    def options(self) -> dict[str, str]:
        """Return what nobody may say otherwise."""
        control = {"ControlMaster": "no", "ControlPath": "none"}
        if self.control:
            control = {"ControlMaster": "auto", "ControlPath": f'"{self.control}"'}
        return {
            "Port": str(self.port),
            "User": self.user,
            # Whose key it must be, and where that key stands: there and nowhere else.
            "HostKeyAlias": self.machine,
            "HostKeyAlgorithms": self.key_type,
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "/dev/null",
            "KnownHostsCommand": "none",
            "VerifyHostKeyDNS": "no",
            "NoHostAuthenticationForLocalhost": "no",
            "CheckHostIP": "no",
            "UpdateHostKeys": "no",
            "CanonicalizeHostname": "no",
            # A master connection that somebody else opened has checked somebody else's key.
            **control,
            "ControlPersist": "60",
            # The machine gets one public key's signature, and no way back.
            "PreferredAuthentications": "publickey",
            "PubkeyAuthentication": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "HostbasedAuthentication": "no",
            "GSSAPIAuthentication": "no",
            "GSSAPIDelegateCredentials": "no",
            "IdentitiesOnly": "yes",
            "AddKeysToAgent": "no",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ForwardX11Trusted": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "Tunnel": "no",
            "ClearAllForwardings": "yes",
            "RequestTTY": "no",
            "EscapeChar": "none",
            # Its banner is no news.
            "LogLevel": "ERROR",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "3",
            "ConnectTimeout": "10",
        }


def fit(path: Path) -> bool:
    """Tell whether SSH reads a path in an option as that path."""
    return not _UNFIT.search(str(path))


def control_socket(folder: Path, mark: str) -> Path | None:
    """Return the socket of a session's master connection, or None if its path would be too long."""
    path = folder / f"slw-{mark}"
    return path if len(str(path).encode()) <= _LONGEST_SOCKET else None


def arguments(target: Target, common: Sequence[str] = ()) -> list[str]:
    """Return SSH's arguments up to and with the address; `common` is what the inventory adds."""
    words = [word for name, value in target.options().items() for word in ("-o", f"{name}={value}")]
    for path in target.identities:
        words += ["-o", f'IdentityFile="{path}"']
    words += common
    # -A, -X, -K, -t and -S set what they mean whatever -o said before; the last one counts.
    words += ["-a", "-x", "-k", "-T", "-S", str(target.control or "none")]
    return [*words, target.address]


def problems(target: Target, told: str) -> list[str]:
    """Return what SSH would do otherwise than the session wants; `told` is what ``ssh -G`` says."""
    wanted = {name.lower(): value for name, value in target.options().items() if name in _TELLING}
    meant: dict[str, str] = {}
    for row in told.splitlines():
        name, _space, value = row.partition(" ")
        meant.setdefault(name.lower(), value)
    return [*_others(wanted, meant), *_forwards(meant)]


def unsent(told: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what an SSH configuration would send to the machine.

    Options can't take back what a configuration adds, so SSH gets none of it: only the language,
    and what SSH and a proxy command cannot do without.
    """
    rows = (row.split() for row in told.splitlines())
    sent = [word for row in rows if row and row[0].lower() == "sendenv" for word in row[1:]]
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name, kept) for kept in _KEPT)
        or not any(fnmatchcase(name, pattern) for pattern in sent)
    }


def _others(wanted: dict[str, str], meant: dict[str, str]) -> Iterator[str]:
    for name, value in wanted.items():
        # SSH does not mention an option that is "none".
        found = _plain(meant.get(name, "none"))
        if found != _plain(value):
            yield f"{name} is {clean(found, 80)}"


def _forwards(meant: dict[str, str]) -> Iterator[str]:
    for name in ("localforward", "remoteforward", "dynamicforward"):
        if name in meant:
            yield f"{name} is {clean(meant[name], 80)}"


def _plain(value: str) -> str:
    text = value.strip('"')
    return _SPELLINGS.get(text.lower(), text)
