# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m slipway_runner --config /etc/slipway/runner/runner.json``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import AdminApi

from .output import SUFFIX, Output, tidy
from .play import Ending, play
from .runner import Runner
from .settings import Settings, SettingsError, load
from .telling import Teller


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal: TERM stops the jobs, HUP lets them end first."""
    parser = argparse.ArgumentParser(prog="slipway_runner", description="Slipway job runner")
    parser.add_argument("--config", type=Path, required=True, help="the JSON settings")
    parser.add_argument(
        "--check-config", action="store_true", help="say whether the settings are usable"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = load(options.config)
    except SettingsError as error:
        print(f"slipway_runner: {error}", file=sys.stderr)
        return 2
    if options.check_config:
        return 0
    runner = make(settings)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    signal.signal(signal.SIGINT, lambda *_: runner.stop())
    signal.signal(signal.SIGHUP, lambda *_: runner.drain())
    runner.run()
    return 0


def make(settings: Settings) -> Runner:
    """A runner with its folders."""
    outputs, service = settings.state / "output", AdminApi(str(settings.socket))
    for folder in (outputs, settings.state / "work", settings.state / "known_hosts"):
        folder.mkdir(mode=0o750, exist_ok=True)
    return Runner(
        service,
        partial(_recorded, settings, service, outputs),
        settings.limit,
        partial(tidy, outputs, settings.output_days, settings.output_files),
    )


def _recorded(
    settings: Settings,
    service: AdminApi,
    outputs: Path,
    job: Mapping[str, Any],
    stopped: Callable[[], bool],
) -> Ending:
    path = outputs / f"{job['id']}{SUFFIX}"
    with (
        Teller(service, job["id"]) as teller,
        Output(path, settings.output_bytes, teller.add) as output,
    ):
        ending = play(job, settings, output, stopped)
        output.write(f"\n{ending.outcome}: {ending.message}".rstrip(": "))
        return ending


if __name__ == "__main__":
    sys.exit(main())
