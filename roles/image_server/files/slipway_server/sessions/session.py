# SPDX-License-Identifier: GPL-3.0-or-later
"""One stay of a machine in the imaging environment: a pure state machine.

``requested`` -> ``checked_in`` -> ``ended``. The functions take a session and return the next
one, or raise ServiceError; nothing here reads a clock, a file or a socket.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..base import tokens
from ..base.errors import ServiceError
from ..registrations.registration import ANOTHER
from .verbs import VERBS, Use

# An agent at work bears ten minutes without the server, and half a disk is of no use: its session
# is there when the line is.
AT_WORK_SECONDS = 900

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
    # The secret in the boot script that was sent last, and where to: who checks in must show it.
    ticket_hash: str | None = None
    ticket_address: str | None = None
    # How the firmware's words compare with what the machine was: KNOWN, NEW or NONE.
    identity: str | None = None
    refused_checkins: int = 0
    refused_from: str | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    image_check: dict[str, Any] | None = None
    nonce_hash: str | None = None
    token_hash: str | None = None
    token_used: bool = False
    # The job that it is for, if any.
    job: str | None = None
    # Whether that job's machine is to be woken and booted. Otherwise it waits in the environment
    # already: it gets no boot script, and only the nonce and host key of the choice may check in.
    wakes: bool = False
    # What its machine does at the end if nobody tells it: `reboot` or `poweroff`. None: it stays.
    leave: str | None = None
    # SHA-256 of the manifest that this session publishes: a retry finds its own version again.
    manifest_hash: str | None = None
    # Whether the check of its image believes no earlier read.
    full_check: bool = False
    # Publishes that began and of which the service did not see the end.
    publish_strikes: int = 0

    @property
    def uses(self) -> Use:
        """What it does with its image."""
        return VERBS[self.verb]

    @property
    def open(self) -> bool:
        """Whether the session has not ended."""
        return self.state != "ended"

    @property
    def awaits_boot(self) -> bool:
        """Whether the machine's next boot shall lead into the session.

        Not that of a job whose machine has booted: a power cut must not repeat the job.
        """
        return self.state == "requested" and not self.awaits_chooser

    @property
    def awaits_chooser(self) -> bool:
        """Whether it is for the machine that made a choice and waits in the environment."""
        return self.job is not None and not self.wakes


@dataclass(frozen=True)
class Proof:
    """What the server itself found out about who reports."""

    # Whether the address is that of one of the machine's cards; None: nobody knows.
    address: bool | None
    why: str
    # Whether an address of which nobody knows is good enough.
    accepts_unknown: bool
    # The card that was seen at the address.
    card: str | None
    # The environment that had the machine's last session: it has shown its secrets.
    stayed: bool
    identity: str


@dataclass(frozen=True)
class CheckIn:
    """What a machine reports when it arrives."""

    macs: tuple[str, ...]
    host_key: str
    agent_version: str
    address: str | None
    proof: Proof
    hardware: dict[str, Any] = field(default_factory=dict)
    nonce: str | None = None
    ticket: str | None = None


def check_in(session: Session, report: CheckIn, token_hash: str, now: float) -> Session:
    """Bind the session to the first that reports with one of its MACs and is the machine.

    A retry after a lost answer is told from an attack by the nonce, a secret that the machine
    made when it booted and has only ever sent over TLS. It gets a new token as long as nobody
    used the one before, and that one dies.
    """
    if not session.open:
        raise ended(session)
    if not set(report.macs) & set(session.macs):
        raise ServiceError("no_such_session", "There is no such session for these MAC addresses.")
    bound = session.state == "checked_in" or session.awaits_chooser
    if bound and not _is_retry(session, report):
        raise ServiceError(
            "already_checked_in",
            f"The session of {session.machine} already has its machine. This is recorded.",
        )
    if session.state == "requested":
        _refuse_stranger(session, report)
    return dataclasses.replace(
        session,
        state="checked_in",
        checked_in_at=session.checked_in_at or now,
        last_heard=now,
        address=report.address,
        host_key=report.host_key,
        hardware=report.hardware,
        agent_version=report.agent_version,
        identity=session.identity or report.proof.identity,
        ticket_hash=None,
        nonce_hash=tokens.digest_of(report.nonce) if report.nonce else None,
        token_hash=token_hash,
        token_used=False,
    )


def _refuse_stranger(session: Session, report: CheckIn) -> None:
    proof = report.proof
    # Who chose has shown the nonce of its choice, one that stayed that of its last session.
    if not session.awaits_chooser and not proof.stayed:
        _refuse_address(session, report)
        if session.ticket_hash is not None and not _has_ticket(session, report):
            raise ServiceError(
                "no_ticket",
                f"The session of {session.machine} is for who fetched its boot script last.",
            )
    if proof.identity == ANOTHER:
        raise ServiceError(
            "another_machine",
            f"This PC has a card of {session.machine}, but its firmware is another's.",
        )


def _refuse_address(session: Session, report: CheckIn) -> None:
    proof = report.proof
    if proof.address is None:
        # Then the boot script is the only witness: it must have gone to the same address.
        moved = session.ticket_hash is not None and session.ticket_address != report.address
        believed = proof.accepts_unknown and not moved
    else:
        # A PC may boot from one of its cards and then speak through another.
        other = proof.card in report.macs and _has_ticket(session, report)
        believed = proof.address or other
    if not believed:
        raise wrong_address(report.address, proof.why)


def _has_ticket(session: Session, report: CheckIn) -> bool:
    return report.ticket is not None and tokens.matches(report.ticket, session.ticket_hash)


def wrong_address(address: str | None, why: str) -> ServiceError:
    """The refusal of who asks from an address that can't be shown to be the machine's.

    It says nothing of the machine: who reads it may be anybody.
    """
    return ServiceError(
        "wrong_address", f"{address or 'This'} is not known as this machine's address: {why}."
    )


def proof_nonce(item: Session) -> str:
    """What the proofs of a session are made with: its own, for as long as its token lives."""
    return tokens.digest_of(f"proofs of {item.token_hash}")[:32]


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


def with_progress(session: Session, record: dict[str, Any]) -> Session:
    """Keep the newest progress. With that of another job, an earlier job's last word is over."""
    earlier = session.result is not None and session.result.get("job") != record.get("job")
    return dataclasses.replace(session, progress=record, result=None if earlier else session.result)


def with_result(session: Session, record: dict[str, Any]) -> Session:
    """Keep a job's last word. The first one stands: the agent's own, before that of its death."""
    job = record.get("job")
    if job is not None and session.result is not None and session.result.get("job") == job:
        return session
    return dataclasses.replace(session, result=record)


def finished(session: Session) -> bool:
    """Whether there is nothing to wait for: the newest job has said its last word, or the end."""
    return not session.open or session.result is not None


def overdue(session: Session, waited: float, silent_seconds: int) -> str | None:
    """The outcome that time forces on the session, if any.

    ``waited`` is how long ago it was created (requested) or last heard of (checked in), by a
    clock that only moves forward.
    """
    if session.state == "requested" and waited >= session.ttl_seconds:
        return "expired"
    at_work = session.progress is not None and session.result is None
    patience = max(silent_seconds, AT_WORK_SECONDS) if at_work else silent_seconds
    if session.state == "checked_in" and waited >= patience:
        return "abandoned"
    return None


def ended(session: Session) -> ServiceError:
    """The refusal for everything that comes after the end."""
    leave = {"leave": session.leave} if session.leave else {}
    return ServiceError(
        "session_ended", f"The session of {session.machine} has ended ({session.outcome}).", **leave
    )
