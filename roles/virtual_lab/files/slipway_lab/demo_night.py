# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo-night`: a window of a schedule over three PCs, and what follows it.

pc1 is off and is saved; pc2 is on and is left alone; of pc3 the plug is pulled while it is saved.
Then comes the digest, as a mail that an SMTP server received; the rules and a collection.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from slipway_lab.api import Lab
from slipway_lab.demo import BOOT_SECONDS, LOG, Playing, shut_down
from slipway_lab.demo_view import View
from slipway_lab.errors import LabError
from slipway_lab.playbook_runs import LAB, ROOT

_WINDOW = timedelta(minutes=6)
_NIGHT_SECONDS = 1800
_MAILS = "/var/lib/lab-mails"
_WANTED = {"pc1": "done", "pc2": "was_on", "pc3": "failed"}
_DIGEST = "1 done, 1 failed, 1 was_on"
_ASK = """
import http.client, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/slipway/admin.sock")
link = Unix("localhost")
link.request("GET", sys.argv[1])
print(link.getresponse().read().decode())
"""
_SUBJECTS = """
import json, mailbox, sys
mails = mailbox.Maildir(sys.argv[1])
print(json.dumps([" ".join(str(each["subject"]).split()) for each in mails]))
"""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Morning:
    """What the night left behind."""

    machines: Mapping[str, Mapping[str, Any]]
    subject: str
    pruned: list[str]
    collected: Mapping[str, Any]


class Night(Playing):
    """One night, from its evening to the morning after."""

    def run(self) -> Morning:
        """Play it; LabError when anything is otherwise than it should be."""
        with self.step("Bring the lab up: network, image server, three virtual PCs"):
            self.play("lab_up")
        with self.step("Configure the image server: site.yml"):
            self.play("site")
        lab = self.lab = Lab.load()
        shut_down(lab)
        with self.step("Start a mail server"):
            self._start_mail_server()
        with self.step("Evening: an older backup of pc1; pc2 is left on"):
            self.play("backup", limit="pc1", variables={"imaging_session_after": "poweroff"})
            old = [f"pc1@{each}" for each in self._versions("pc1")]
            since = lab.pc("pc2").console_offset()
            lab.pc("pc2").power_on()
            lab.pc("pc2").wait_for_own_disk(since, BOOT_SECONDS)
        with self.step("Hand over the schedule: its window opens in a minute"):
            self._hand_over()
        with self.step("Night: pc1 and pc3 are woken and saved, the plug of pc3 is pulled"):
            self._pull_the_plug()
        with self.step("The window ends"):
            machines = wait_for(self._outcomes, "the window does not end", _NIGHT_SECONDS)
            _same(
                "the outcomes", {name: each["outcome"] for name, each in machines.items()}, _WANTED
            )
        with self.step("The digest arrives, the rules are applied, what is old is freed"):
            subject = wait_for(self._digest, "no mail came")
            _same("the digest", subject.partition(": ")[2], _DIGEST)
            pruned = wait_for(lambda: self._ask("/v1/upkeep")["prune"], "nothing was pruned")
            # A lab that stayed up has more images, and the rule is for all of them.
            of_pc1 = [each for each in pruned["removed"] if each.startswith("pc1@")]
            _same("what was pruned of pc1", of_pc1, old)
            self.play("collect")
        with self.step("Morning: no session is pending, and each PC boots its own disk"):
            self._morning()
        collected = self._ask("/v1/upkeep")["collection"]
        return Morning(machines, subject, pruned["removed"], collected)

    def _start_mail_server(self) -> None:
        smtp = f"python3 -m aiosmtpd -n -l 127.0.0.1:2525 -c aiosmtpd.handlers.Mailbox {_MAILS}"
        self.lab.server.succeed(
            "systemctl stop lab-mail 2>/dev/null; systemctl reset-failed lab-mail 2>/dev/null; "
            f"rm -rf {_MAILS}; systemd-run --unit lab-mail {smtp}"
        )

    def _hand_over(self) -> None:
        now = datetime.now(UTC)
        begins = now + timedelta(minutes=1 if now.second < 30 else 2)
        hours = {"night_from": f"{begins:%H:%M}", "night_to": f"{begins + _WINDOW:%H:%M}"}
        self.play("policy", variables=hours)

    def _pull_the_plug(self) -> None:
        pc3 = self.lab.pc("pc3")
        since = pc3.console_offset()
        pc3.wait_for_serial(r"backup .* [1-9]\d*\.\d%", since, timeout=BOOT_SECONDS + 120)
        pc3.cut_power()
        # Somebody switches it on again: then the server knows that nothing more comes of it.
        since = pc3.console_offset()
        pc3.power_on()
        pc3.wait_for_own_disk(since, BOOT_SECONDS)

    def _morning(self) -> None:
        pending = [each for each in self._ask("/v1/sessions")["sessions"]
                   if each["state"] != "ended"]  # fmt: skip
        _same("the sessions", pending, [])
        shut_down(self.lab)
        starts = {pc.name: pc.console_offset() for pc in self.lab.pcs}
        for pc in self.lab.pcs:
            pc.power_on()
        for pc in self.lab.pcs:
            pc.wait_for_own_disk(starts[pc.name], BOOT_SECONDS)
            _same(f"the environment on {pc.name}", "/env/" in pc.console(starts[pc.name]), False)
        shut_down(self.lab)

    def _outcomes(self) -> Mapping[str, Mapping[str, Any]]:
        shown = self._ask("/v1/schedules/nightly")
        if not shown["windows"] or shown["windows"][-1]["closed"] is None:
            return {}
        return {each["machine"]: each for each in shown["nights"][-1]["machines"]}

    def _digest(self) -> str:
        words = shlex.join(["python3", "-", _MAILS])
        subjects: list[str] = json.loads(self.lab.server.succeed(words, stdin=_SUBJECTS))
        return next((each for each in subjects if "nightly" in each), "")

    def _versions(self, image: str) -> list[str]:
        return [each["version"] for each in self._ask(f"/v1/images/{image}")["versions"]]

    def _ask(self, path: str) -> Any:
        return json.loads(self.lab.server.succeed(shlex.join(["python3", "-", path]), stdin=_ASK))


def wait_for(look: Callable[[], _T], lacking: str, seconds: float = 300) -> _T:
    """What it finds, as soon as that is something; LabError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise LabError(f"{lacking}: waited for {seconds:.0f} s")
        time.sleep(2)
    return found


def _same(what: str, there: object, wanted: object) -> None:
    if there != wanted:
        raise LabError(f"{what}: {there!r} instead of {wanted!r}")


def table(morning: Morning) -> str:
    """The night as a person wants to see it."""
    lines = [f"{'machine':9}{'outcome':11}message"]
    lines += [
        f"{name:9}{each['outcome']:11}{each['message']}".rstrip()
        for name, each in sorted(morning.machines.items())
    ]
    freed = morning.collected
    return "\n".join([
        *lines,
        "",
        f"mail       {morning.subject}",
        f"pruned     {', '.join(morning.pruned)}",
        f"collected  {freed['removed']} chunks; {freed['pending']} wait until they are a day old",
    ])  # fmt: skip


def main() -> int:
    """Play the night and print what came of it."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("w", encoding="utf-8") as log:
        try:
            night = Night(View(sys.stdout, log), (LAB, ROOT / "inventory/night"))
            morning = night.run()
        except LabError as problem:
            print(f"\nThe night failed: {problem}", file=sys.stderr)
            return 1
    print(f"\n{table(morning)}\n\nThe lab is still up, its PCs are off. At the end: make lab-down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
