# SPDX-License-Identifier: GPL-3.0-or-later
"""Command line of the lab: `python3 -m slipway_lab status`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from slipway_lab import build, config, down, network, owner, server, switch
from slipway_lab.api import Lab
from slipway_lab.errors import LabError


def main(argv: list[str] | None = None) -> int:
    """Run one command; every failure is one message and exit code 1."""
    options = _parser().parse_args(argv)
    try:
        options.handler(options)
    except LabError as error:
        print(error.message, file=sys.stderr)
        if error.remedy:
            print(error.remedy, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway_lab", description=__doc__)
    parser.add_argument(
        "--state",
        type=lambda text: Path(text).absolute(),
        default=config.default_state_dir(),
        help="state folder of the lab (default: .lab of this checkout)",
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    def verb(name: str, handler: object, text: str, *arguments: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=text, description=text)
        for argument in arguments:
            command.add_argument(argument)
        command.set_defaults(handler=handler)
        return command

    verb("check", _check, "check a description of the lab", "file")
    verb("build", _build, "make the server's root and the disks that are missing (root)")
    verb("up", _up, "start network, power switch and image server (root)")
    gone = verb("down", _down, "stop everything and leave nothing behind (root)")
    gone.add_argument("--namespace", required=True)
    gone.add_argument("--cache", type=Path, required=True)
    verb("switch", _switch, "be the power switch (root, inside the namespace)")
    verb("status", _status, "say what runs")
    verb("on", _on, "turn a PC on", "pc")
    verb("off", _off, "pull the plug of a PC", "pc")
    halt = verb("shutdown", _shutdown, "press the power button of a PC and wait", "pc")
    halt.add_argument("--timeout", type=float, default=60)
    verb("offset", _offset, "print how much a serial port has said, for wait-serial", "pc")
    wait = verb("wait-serial", _wait_serial, "wait for words on a serial port", "pc", "regex")
    wait.add_argument("--since-offset", type=int, default=0)
    wait.add_argument("--timeout", type=float, default=120)
    verb("overwrite", _overwrite, "fill a PC's whole disk with random bytes", "pc")
    verb("marker", _marker, "print the marker of a PC", "pc")
    verb("disk", _disk, "print the path of a PC's disk", "pc")
    verb("screenshot", _screenshot, "save a PC's screen as PNG", "pc", "file")
    return parser


def _changed(changed: bool, **more: object) -> None:
    """Tell the role what happened; people read it as well."""
    print(json.dumps({"changed": changed, **more}))


def _check(options: argparse.Namespace) -> None:
    config.load(options.state, Path(options.file))


def _build(options: argparse.Namespace) -> None:
    lab = config.load(options.state)
    with owner.busy(options.state):
        steps = build.build(lab)
    _changed(bool(steps), steps=[f"{step.seconds:.1f} s: {step.name}" for step in steps])


def _up(options: argparse.Namespace) -> None:
    lab = config.load(options.state)
    with owner.busy(options.state):
        owner.claim(lab.namespace, options.state)
        started = {
            "network": network.ensure(lab),
            "ssh files": server.write_ssh_files(lab),
            "image server": server.start(lab),
            "power switch": switch.ensure_running(lab),
        }
        server.wait_until_ready(lab)
    accel = switch.request(lab, "ping")["accel"]
    names = [name for name, changed in started.items() if changed]
    _changed(bool(names), started=names, accelerator=accel)


def _down(options: argparse.Namespace) -> None:
    removed = down.down(options.namespace, options.state, options.cache)
    _changed(bool(removed), removed=removed)


def _switch(options: argparse.Namespace) -> None:
    switch.serve(config.load(options.state))


def _status(options: argparse.Namespace) -> None:
    lab = Lab.load(options.state)
    print(f"lab            {'up' if lab.is_up else 'down'} ({options.state})")
    state = "on" if server.pid(lab.config) else "off"
    print(f"{lab.server.name:14} {state}, {lab.server.address}")
    for pc in lab.pcs:
        state = "on" if pc.is_on else "off"
        marker = pc.marker if pc.disk_path.exists() else "no disk yet"
        print(f"{pc.name:14} {state}, {pc.machine.firmware}, {' '.join(pc.macs)}, marker {marker}")


def _on(options: argparse.Namespace) -> None:
    _changed(Lab.load(options.state).pc(options.pc).power_on())


def _off(options: argparse.Namespace) -> None:
    _changed(Lab.load(options.state).pc(options.pc).cut_power())


def _shutdown(options: argparse.Namespace) -> None:
    Lab.load(options.state).pc(options.pc).shutdown(options.timeout)


def _offset(options: argparse.Namespace) -> None:
    print(Lab.load(options.state).pc(options.pc).console_offset())


def _wait_serial(options: argparse.Namespace) -> None:
    pc = Lab.load(options.state).pc(options.pc)
    print(pc.wait_for_serial(options.regex, options.since_offset, options.timeout).group())


def _overwrite(options: argparse.Namespace) -> None:
    print(f"{Lab.load(options.state).pc(options.pc).overwrite_disk()} bytes overwritten")


def _marker(options: argparse.Namespace) -> None:
    print(Lab.load(options.state).pc(options.pc).marker)


def _disk(options: argparse.Namespace) -> None:
    print(Lab.load(options.state).pc(options.pc).disk_path)


def _screenshot(options: argparse.Namespace) -> None:
    print(Lab.load(options.state).pc(options.pc).screenshot(Path(options.file)))


if __name__ == "__main__":
    # `... | head` may close our output early; that is no error worth a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
