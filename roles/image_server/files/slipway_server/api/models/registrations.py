# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PC may say when it asks to be registered, and what is answered.

The request is the only one without a token that changes anything, so every field is typed and
bounded: printable text of at most 128 characters, and 16 KiB of hardware altogether.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from .common import Mac, MachineName, Strict

MAX_HARDWARE = 16 << 10
_MAX_TEXT = 128

State = Literal["waiting", "approved", "refused"]


def _printable(text: str) -> str:
    # Neither control characters nor lone surrogates nor anything that turns a line around.
    if not text.isprintable():
        raise ValueError("holds characters that can't be printed")
    return text


def _card(mac: str) -> str:
    # Bit 0 of the first byte marks a group of receivers: no card has such an address.
    if int(mac[:2], 16) & 1 or not mac.strip("0:"):
        raise ValueError("is no address of a network card")
    return mac


CardMac = Annotated[Mac, AfterValidator(_card)]
Text = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class DiskReport(Strict):
    """A disk of the PC."""

    path: Text
    size: Count
    serial: Text = ""
    wwn: Text = ""
    model: Text = ""


class CardReport(Strict):
    """A network card of the PC."""

    mac: CardMac
    driver: Text = ""
    device: Text = Field(default="", description="PCI or USB vendor and device")


class HardwareReport(Strict):
    """What the PC is made of."""

    vendor: Text = ""
    model: Text = ""
    serial: Text = ""
    uuid: Text = ""
    cpu: Text = ""
    cpu_count: Count = 0
    memory: Count = 0
    firmware: Literal["bios", "uefi"] = "bios"
    disks: Annotated[list[DiskReport], Field(max_length=64)] = Field(default_factory=list)
    cards: Annotated[list[CardReport], Field(max_length=64)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len(self.model_dump_json().encode()) > MAX_HARDWARE:
            raise ValueError(f"has more than {MAX_HARDWARE} bytes")
        return self


class RegistrationRequest(Strict):
    """A PC asks to become a machine."""

    macs: Annotated[list[CardMac], Field(min_length=1, max_length=16)]
    name: MachineName | None = Field(default=None, description="typed at the PC; else suggested")
    hardware: HardwareReport
    agent_version: Annotated[str, Field(pattern="^[A-Za-z0-9.+~_-]{1,64}$")]
    nonce: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{22,128}$")] = Field(
        description="random, made once per boot: tells this PC from another that claims its MAC"
    )


class OwnRegistration(BaseModel):
    """What a PC is told about its registration."""

    id: str
    name: str
    state: State
    machine: str | None = Field(description="the name that it was approved as")
    reason: str | None = Field(description="why it was refused, in the administrator's words")
    waiting: int = Field(description="PCs that wait for a decision")


class RegistrationAnswer(BaseModel):
    """The token is good for asking how the registration stands, and for nothing else."""

    token: str
    registration: OwnRegistration


class Approval(Strict):
    """The administrator approves."""

    machine: MachineName


class Refusal(Strict):
    """The administrator refuses."""

    reason: Text = ""


class RegistrationView(BaseModel):
    """Everything the administrator sees of a registration."""

    id: str
    state: State
    name: str
    macs: list[str]
    uuid: str | None = Field(description="null: the firmware says none that identifies")
    serial: str | None = Field(description="null: the firmware says none that identifies")
    hardware: dict[str, Any]
    address: str | None
    agent_version: str
    created: str
    last_heard: str
    machine: str | None
    reason: str | None
    refused_reports: int = Field(description="reports of other PCs with one of its MACs")
    refused_from: str | None
    wish: str | None = Field(description="the machine that somebody wants it to be")
    wished_by: str


class RegistrationList(BaseModel):
    """The queue, oldest first."""

    registrations: list[RegistrationView]


class IdentityView(BaseModel):
    """What a machine said about itself when it last checked in."""

    machine: str
    macs: list[str]
    uuid: str | None
    serial: str | None
    confirmed: bool = Field(
        description="by a session of the administrator's, or by approving; else the machine itself "
        "said so with a choice in its menu"
    )


class IdentityList(BaseModel):
    """Machines by name."""

    identities: list[IdentityView]
