# SPDX-License-Identifier: GPL-3.0-or-later
"""The conversation with the person who chose an item: password, list, queue, progress, result.

It ends in one of two ways: the PC restarts and comes back to its menu, or there is a root shell,
if the server said so for that item.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from slipway.engine.errors import SlipwayError, StoreUnreachable
from slipway.net.choice import JobStatus, Refusal

End = Literal["restart", "shell"]

_PAUSE = 2.0
# Whoever chose and then went away: the PC shall not stand there for ever.
_PATIENCE = 300.0
_READ_DONE, _READ_FAILED = 20.0, 60.0
_LONGEST_SILENCE = 180.0


class Desk(Protocol):
    """Where choices are made: `slipway.net.choice.Desk`."""

    def choose(self, password: str | None, image: str | None) -> JobStatus | Refusal:
        """Ask for the item."""

    def look(self) -> JobStatus | Refusal:
        """How the job is."""


class Terminal(Protocol):
    """What the person sees and types on: `slipway.cli.terminals.Terminals`."""

    def draw(self, lines: Sequence[str]) -> None:
        """Show lines."""

    def ask(self, prompt: str, seconds: float, secret: bool = False) -> str | None:
        """Return a line that was typed, or None."""

    def wait(self, seconds: float) -> None:
        """Wait, or until Enter."""


class Conversation:
    """One choice, from the first question to the end."""

    def __init__(
        self,
        desk: Desk,
        terminal: Terminal,
        join: Callable[[str], None],
        view: Callable[[], tuple[str, str]],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`join` checks in for a session; `view` says who this PC is and how its work goes."""
        self._desk = desk
        self._terminal = terminal
        self._join = join
        self._view = view
        self._sleep = sleep
        self._clock = clock

    def run(self) -> End:
        """Talk until it is decided what this PC does next."""
        answer = self._ask()
        if isinstance(answer, JobStatus) and answer.action == "rescue_shell":
            if answer.outcome == "done":
                return "shell"
        elif isinstance(answer, JobStatus):
            answer = self._accompany(answer)
        self._farewell(answer)
        return "restart"

    def _show(self, *lines: str) -> None:
        self._terminal.draw([self._view()[0], "", *lines])

    def _ask(self) -> JobStatus | Refusal:
        password: str | None = None
        image: str | None = None
        self._show("Asking the server ...")
        while True:
            try:
                answer = self._desk.choose(password, image)
            except StoreUnreachable as error:
                self._show(f"No answer yet: {error.message}")
                self._sleep(_PAUSE)
                continue
            if isinstance(answer, JobStatus):
                return answer
            if answer.error in ("password_required", "wrong_password", "too_many_tries"):
                if answer.wait_seconds:
                    self._show(answer.message, f"Next try in {answer.wait_seconds:.0f} s.")
                    self._sleep(answer.wait_seconds)
                self._show(answer.message, "Enter alone leads back to the menu.")
                password = self._terminal.ask("Password: ", _PATIENCE, secret=True)
                if not password:
                    return _nothing_typed(password)
            elif answer.error == "image_required" and answer.images:
                picked = self._pick(answer.images)
                if isinstance(picked, Refusal):
                    return picked
                image = picked
            else:
                return answer

    def _pick(self, images: Sequence[str]) -> str | Refusal:
        note = ""
        while True:
            listed = [f"{number:>4}  {image}" for number, image in enumerate(images, 1)]
            self._show("Which image?", *listed, note, "Enter alone leads back to the menu.")
            typed = self._terminal.ask("Number: ", _PATIENCE)
            if not typed:
                return _nothing_typed(typed)
            if typed.isascii() and typed.isdigit() and 1 <= int(typed[:9]) <= len(images):
                return images[int(typed[:9]) - 1]
            note = f"Type a number from 1 to {len(images)}."

    def _accompany(self, job: JobStatus) -> JobStatus | Refusal:
        """Show the queue, join the session when it is there, show its progress, until the end."""
        joined = ""
        heard = self._clock()
        while job.state != "ended":
            if job.session and job.session != joined:
                try:
                    self._join(job.session)
                except SlipwayError as error:
                    return Refusal(error.type, error.message, error.remedy)
                joined = job.session
            self._show(*self._progress(job, bool(joined)))
            self._sleep(_PAUSE)
            try:
                answer = self._desk.look()
            except StoreUnreachable as error:
                if not joined and self._clock() - heard > _LONGEST_SILENCE:
                    return Refusal("service_unreachable", error.message, error.remedy)
                continue
            heard = self._clock()
            if isinstance(answer, Refusal):
                return answer
            job = answer
        return job

    def _progress(self, job: JobStatus, joined: bool) -> list[str]:
        what = f"{job.title}{f' ({job.image})' if job.image else ''}"
        if joined:
            return [what, self._view()[1]]
        if job.place:
            note = "" if job.runner else "The job runner on the image server does not run."
            before = job.place - 1
            return [what, f"Waiting for its turn: {before or 'nothing'} before this PC.", note]
        return [what, "It is this PC's turn: the server prepares the work."]

    def _farewell(self, last: JobStatus | Refusal) -> None:
        if isinstance(last, JobStatus) and last.outcome == "done":
            self._show(
                f"{last.title}: done.",
                self._view()[1],
                "",
                f"This PC restarts in {_READ_DONE:.0f} s, or when you press Enter. It boots over"
                " the network to its menu, and from there its own disk.",
            )
            self._terminal.wait(_READ_DONE)
            return
        words = [last.message, f"What helps: {last.remedy}" if last.remedy else ""]
        if isinstance(last, JobStatus):
            words.insert(0, f"{last.title}: {last.outcome or 'not done'}.")
        self._show(
            *words,
            "",
            f"This PC returns to its menu in {_READ_FAILED:.0f} s, or when you press Enter.",
        )
        self._terminal.wait(_READ_FAILED)


def _nothing_typed(typed: str | None) -> Refusal:
    if typed is None:
        return Refusal("nobody", f"Nobody answered for {_PATIENCE / 60:.0f} minutes.", "")
    return Refusal("cancelled", "Nothing was started.", "")


def heart(beat: Callable[[], object]) -> None:
    """Keep a session alive beside the conversation; what goes wrong there, the server notices."""

    def forever() -> None:
        try:
            beat()
        except SlipwayError:
            return

    threading.Thread(target=forever, name="heart", daemon=True).start()
