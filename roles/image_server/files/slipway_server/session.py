"""One stay of a machine in the imaging environment: a pure state machine.

``requested`` -> ``checked_in`` -> ``ended``. The functions take a session and return the next
one, or raise ServiceError; nothing here reads a clock, a file or a socket.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from . import tokens
from .errors import ServiceError

VERBS = ("backup", "restore", "verify", "service")
OUTCOMES = ("done", "failed", "abandoned", "expired", "cancelled")


@dataclass(frozen=True)
class Session:
    """Everything the service knows of a session. Times are seconds since the epoch."""

    id: str
    machine: str
    macs: tuple[str, ...]
    verb: str
    image: str | None
    version: str | None
    created: float
    ttl_seconds: int
    state: str = "requested"
    outcome: str | None = None
    checked_in_at: float | None = None
    last_heard: float | None = None
    ended_at: float | None = None
    address: str | None = None
    host_key: str | None = None
    hardware: dict[str, Any] = field(default_factory=dict)
    agent_version: str | None = None
    boot_script_served: int = 0
    refused_checkins: int = 0
    refused_from: str | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    image_check: dict[str, Any] | None = None
    nonce_hash: str | None = None
    token_hash: str | None = None
    token_used: bool = False
    # The job that it is for, if any. Its machine waits in the environment already: it gets no boot
    # script, and only the nonce and the host key of the choice may check in.
    job: str | None = None
    # SHA-256 of the manifest that this session publishes: a retry finds its own version again.
    manifest_hash: str | None = None
    # Publishes that began and of which the service did not see the end.
    publish_strikes: int = 0

    @property
    def open(self) -> bool:
        """Whether the session has not ended."""
        return self.state != "ended"

    @property
    def awaits_boot(self) -> bool:
        """Whether the machine's next boot shall lead into the session.

        Not that of a job: its machine has booted, and a power cut must not repeat the job.
        """
        return self.state == "requested" and self.job is None


@dataclass(frozen=True)
class CheckIn:
    """What a machine reports when it arrives."""

    macs: tuple[str, ...]
    host_key: str
    agent_version: str
    address: str | None
    hardware: dict[str, Any] = field(default_factory=dict)
    nonce: str | None = None


def check_in(session: Session, report: CheckIn, token_hash: str, now: float) -> Session:
    """Bind the session to the first machine that reports with one of its MACs.

    A retry after a lost answer is told from an attack by the nonce, a secret that the machine
    made when it booted and has only ever sent over TLS. It gets a new token as long as nobody
    used the one before, and that one dies.
    """
    if not session.open:
        raise ended(session)
    if not set(report.macs) & set(session.macs):
        raise ServiceError("no_such_session", "There is no such session for these MAC addresses.")
    bound = session.state == "checked_in" or session.job is not None
    if bound and not _is_retry(session, report):
        raise ServiceError(
            "already_checked_in",
            f"The session of {session.machine} already has its machine. This is recorded.",
        )
    return dataclasses.replace(
        session,
        state="checked_in",
        checked_in_at=session.checked_in_at or now,
        last_heard=now,
        address=report.address,
        host_key=report.host_key,
        hardware=report.hardware,
        agent_version=report.agent_version,
        nonce_hash=tokens.digest_of(report.nonce) if report.nonce else None,
        token_hash=token_hash,
        token_used=False,
    )


def _is_retry(session: Session, report: CheckIn) -> bool:
    return (
        report.nonce is not None
        and tokens.matches(report.nonce, session.nonce_hash)
        and report.host_key == session.host_key
        and not session.token_used
    )


def refuse(session: Session, address: str | None) -> Session:
    """Count a check-in that was refused."""
    return dataclasses.replace(
        session, refused_checkins=session.refused_checkins + 1, refused_from=address
    )


def end(session: Session, outcome: str, now: float) -> Session:
    """End the session; ending an ended one changes nothing."""
    if outcome not in OUTCOMES:
        raise ValueError(outcome)
    if not session.open:
        return session
    return dataclasses.replace(session, state="ended", outcome=outcome, ended_at=now)


def overdue(session: Session, waited: float, silent_seconds: int) -> str | None:
    """The outcome that time forces on the session, if any.

    ``waited`` is how long ago it was created (requested) or last heard of (checked in), by a
    clock that only moves forward.
    """
    if session.state == "requested" and waited >= session.ttl_seconds:
        return "expired"
    if session.state == "checked_in" and waited >= silent_seconds:
        return "abandoned"
    return None


def ended(session: Session) -> ServiceError:
    """The refusal for everything that comes after the end."""
    return ServiceError(
        "session_ended", f"The session of {session.machine} has ended ({session.outcome})."
    )
