# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about choices, jobs and next boots look like."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from slipway.format.names import parse_image_ref

from ...base.names import ITEM_PATTERN, MAX_PASSWORD, MAX_TEXT
from ...jobs.job import Ordered
from ...jobs.options import JOB_OPTIONS
from .common import Hardware, HostKey, MachineName, Macs, Nonce, Strict
from .strangers import Stranger, StrangerView

JobState = Literal["queued", "running", "ended"]
JobOutcome = Literal["done", "failed", "abandoned", "cancelled", "was_on", "postponed"]
JobOrigin = Literal["choice", "next_boot", "order", "web", "schedule"]
JobAfter = Literal["as_found", "poweroff", "reboot"]


def _reference(text: str) -> str:
    return str(parse_image_ref(text))


ItemId = Annotated[str, Field(pattern=f"^{ITEM_PATTERN}$", max_length=32)]
ImageReference = Annotated[str, Field(max_length=100), AfterValidator(_reference)]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class ChoiceRequest(Strict):
    """What a machine in the imaging environment asks for: an item of its own menu."""

    macs: Macs
    item: ItemId
    nonce: Nonce
    host_key: HostKey
    hardware: Hardware = Field(default_factory=dict)
    agent_version: Annotated[str, Field(pattern="^[A-Za-z0-9.+~_-]{1,64}$")]
    password: Annotated[str, Field(max_length=MAX_PASSWORD)] | None = None
    image: ImageReference | None = Field(default=None, description="picked from the item's list")
    once: JobId | None = Field(default=None, description="slipway.once of the kernel command line")


class ChoiceStatus(BaseModel):
    """A machine's own view of its job."""

    id: str
    machine: str
    item: str | None
    action: str
    title: str
    image: str | None
    state: JobState
    outcome: JobOutcome | None
    message: str
    remedy: str
    place: int = Field(description="1 is next; 0 is no longer waiting")
    runner: bool = Field(description="whether the job runner has asked for work lately")
    session: str | None = Field(description="the session to check in for, once there is one")


class ChoiceAnswer(BaseModel):
    """The token: it opens the job's status, and nothing else."""

    token: str
    job: ChoiceStatus


class NewJob(Strict):
    """A wish for a machine that is off: it is woken, booted, worked on, and let go."""

    machine: MachineName
    verb: Ordered
    image: ImageReference | None = Field(
        default=None, description="NAME or NAME@VERSION; the machine's name if left out"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, max_length=32, description="by the verb's own list"
    )
    after: JobAfter = "as_found"

    @model_validator(mode="after")
    def _check_options(self) -> NewJob:
        try:
            given = JOB_OPTIONS[self.verb].model_validate(self.options)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(["options", *map(str, first["loc"])])[:80]
            raise ValueError(f"{where} of {self.verb}: {first['msg']}") from None
        self.options = given.model_dump(exclude_none=True)
        return self


class PlannedJob(Strict):
    """What a wish for a machine that is off would be, asked for in a query."""

    machine: MachineName
    verb: Ordered
    image: ImageReference | None = None
    after: JobAfter = "as_found"


class JobView(BaseModel):
    """Everything the administrator sees of a job."""

    id: str
    machine: str
    macs: list[str]
    verb: str
    image: str | None
    origin: JobOrigin
    by: str = Field(description="the account that wished it; empty: whoever is at the machine")
    arrival: Literal["waits", "wakes"] = Field(
        description="whether the machine waits in the environment, or is to be woken and booted"
    )
    options: dict[str, Any]
    after: JobAfter
    item: str | None = Field(description="of the machine's menu, if it was chosen there")
    title: str
    state: JobState
    outcome: JobOutcome | None
    message: str
    remedy: str
    created: str
    not_after: str | None = Field(description="it is not begun from then on")
    started_at: str | None
    ended_at: str | None
    address: str | None
    agent_version: str | None
    session: str | None
    place: int


class JobList(BaseModel):
    """Jobs, oldest first."""

    jobs: list[JobView]
    runner: bool = Field(description="whether the job runner has asked for work lately")
    strangers: list[Stranger] = Field(
        description="who asked for choices, next boots and sessions of machines without being them"
    )


class PollRequest(Strict):
    """The runner's question: what shall I begin, and what stop?"""

    runner: Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="random, once per start")]
    holds: Annotated[list[JobId], Field(max_length=64, description="the jobs that it has")]
    free: Annotated[int, Field(ge=0, le=64, description="how many more it can run")]
    wait: Annotated[float, Field(ge=0, le=25)] = 0


class PollAnswer(BaseModel):
    """What to begin and what to stop."""

    begin: list[JobView]
    stop: list[str]


class JobEnd(Strict):
    """How a job ended, in the runner's words."""

    outcome: Literal["done", "failed", "abandoned", "was_on"]
    message: Annotated[str, Field(max_length=4 * MAX_TEXT)] = ""
    remedy: Annotated[str, Field(max_length=4 * MAX_TEXT)] = ""


class JobSays(Strict):
    """What Ansible said in a job since the last time."""

    text: Annotated[str, Field(max_length=64 << 10)]


class JobOutput(BaseModel):
    """The last of what Ansible said in a job."""

    text: str
    cut: bool = Field(description="whether the beginning is not here any more")


class MenuView(BaseModel):
    """The ids of the items in a machine's menu."""

    machine: str
    items: list[str]


class NewNextBoot(Strict):
    """What a machine shall do at its next boot, once."""

    machine: MachineName
    macs: Macs
    item: ItemId
    image: ImageReference | None = Field(default=None, description="for an item with a list")
    without_password: bool = Field(default=False, description="the item's is not asked for")


class MenuItemWanted(Strict):
    """An item of a machine's menu for its next boot."""

    item: ItemId


class NextBootView(BaseModel):
    """An order for the next boot."""

    id: str
    machine: str
    macs: list[str]
    item: str
    image: str | None
    without_password: bool
    created: str
    state: Literal["armed", "ended"]
    outcome: Literal["served", "used", "cancelled"] | None
    ended_at: str | None
    served_to: str | None = Field(description="the address that got the script")
    by: str = Field(description="the account that gave it; empty: nobody knows")
    strangers: list[StrangerView] = Field(description="since the service was started")


class NextBootList(BaseModel):
    """Orders, oldest first."""

    next_boots: list[NextBootView]
