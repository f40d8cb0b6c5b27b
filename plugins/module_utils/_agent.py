# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting the agent on a machine that runs the imaging environment.

The agent is used through its command line and its JSON lines alone. Work on disks runs as a
transient systemd unit, so that it does not hang on the SSH connection that started it.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._key_files import (
    key_files,
    passphrases,
)
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    split_reference,
)

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

JOBS = "/run/slipway/jobs"
SESSION_FILE = "/run/slipway/session.json"

JOB_ARGUMENTS: dict[str, Any] = {
    "disks": {"type": "list", "elements": "path", "default": []},
    "threads": {"type": "int"},
    "session_file": {"type": "path", "default": SESSION_FILE},
    "jobs_dir": {"type": "path", "default": JOBS},
    "job": {"type": "str"},
    # The action plugin's alone.
    "patience": {"type": "int"},
    "service": {"type": "dict"},
}

_JOB = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DEVICE = re.compile(r"/dev/[A-Za-z0-9][A-Za-z0-9_./:+-]*")
_SWITCH = {"true": True, "yes": True, "false": False, "no": False}
# What systemd tells the commands behind a unit's end.
_ENDING = ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]*")


def backup_command(params: Mapping[str, Any]) -> list[str]:
    """Return the agent's arguments for a backup."""
    command = ["backup", *devices(params["disks"]), "--name", check_name(params["image"])]
    command += ["--level", str(params["level"])]
    command += how(params)
    for option in ("max_unreadable", "rescue_minutes"):
        if params[option] is not None:
            command += [f"--{option.replace('_', '-')}", str(params[option])]
    return command


def how(params: Mapping[str, Any]) -> list[str]:
    """Return the options of a backup that decide what is saved how; a probe has them, too."""
    unclean = [] if params["unclean"] == "refuse" else ["--unclean", str(params["unclean"])]
    gaps = ["--keep-gaps"] if params["keep_gaps"] else []
    return [*_each("--whole", params["whole"]), *unclean, *gaps]


def restore_command(params: Mapping[str, Any], dry_run: bool) -> list[str]:
    """Return the agent's arguments for a restore."""
    command = ["restore", *_image_and_disks(params)]
    command += _growing(params["grow"])
    flags = {
        "--dry-run": dry_run,
        "--allow-degraded": params["allow_degraded"],
        "--read-back": params["read_back"],
    }
    return [*command, *(flag for flag, on in flags.items() if on)]


def _growing(items: Sequence[object]) -> list[str]:
    """Return the options for what grows: names, or ``{partition: NAME, move: true}``."""
    command = []
    for item in items:
        name, move = item, False
        if isinstance(item, Mapping):
            name, move = item.get("partition"), item.get("move", False)
            if not set(item) <= {"partition", "move"} or str(move).lower() not in _SWITCH:
                raise SlipwayError(
                    f"{clean(dict(item), 80)} can't be read as what shall grow.",
                    "Write {partition: disk0:3, move: true}, or just the partition's name.",
                    "bad_disk",
                )
        command += _each("--grow", [name])
        if _SWITCH.get(str(move).lower()):
            command += _each("--move", [name])
    return command


def compare_command(params: Mapping[str, Any]) -> list[str]:
    """Return the agent's arguments for a comparison."""
    return ["compare", *_image_and_disks(params)]


def _each(option: str, names: Sequence[object]) -> list[str]:
    return [word for name in names for word in (option, identity(name))]


def _image_and_disks(params: Mapping[str, Any]) -> list[str]:
    command = [reference(params["image"]), *devices(params["disks"])]
    for disk, device in sorted(params["targets"].items()):
        command += ["--target", f"{identity(disk)}={devices([device])[0]}"]
    return [*command, *_each("--disk", params["only"]), *_each("--partition", params["partitions"])]


def reference(image: object) -> str:
    """Return ``NAME`` or ``NAME@VERSION`` after a check."""
    name, version = split_reference(image)
    return name if version is None else f"{name}@{version}"


def devices(paths: Sequence[str]) -> list[str]:
    """Return paths of devices after a check: none of them may read as an option."""
    for path in paths:
        if not isinstance(path, str) or not _DEVICE.fullmatch(path) or ".." in path.split("/"):
            raise SlipwayError(
                f"{clean(path, 80)!r} is no path of a disk.",
                "Name disks like /dev/disk/by-id/...; the module disk_info shows what is there.",
                "bad_disk",
            )
    return list(paths)


def identity(text: object) -> str:
    """Return the name of a disk or partition after a check."""
    if not isinstance(text, str) or not (_IDENTITY.fullmatch(text) or _DEVICE.fullmatch(text)):
        raise SlipwayError(
            f"{clean(text, 80)!r} is no name of a disk or partition.",
            "Name it as the module disk_info shows it.",
            "bad_disk",
        )
    return text


def new_job(verb: str) -> str:
    """Return a name for a job that no other has."""
    return f"{verb}-{secrets.token_hex(4)}"


def unit_and_log(job: str, jobs_dir: str) -> tuple[str, str]:
    """Return the job's systemd unit, and the file of its JSON lines."""
    return f"slipway-job-{job}", str(Path(jobs_dir) / f"{job}.jsonl")


def luks_keys(params: Mapping[str, Any]) -> dict[str, bytes]:
    """Return passphrases by the names of their partitions, after a check."""
    return passphrases({identity(name): key for name, key in params["luks_keys"].items()})


def start_job(
    module: AnsibleModule, command: Sequence[str], keys: Mapping[str, bytes] | None = None
) -> dict[str, Any]:
    """Start the agent as a transient unit and return where to follow it.

    `keys` are passphrases by partition; they reach the agent by files that go with the unit.
    """
    params = module.params
    job = params["job"] or new_job(command[0])
    if not _JOB.fullmatch(job):
        raise SlipwayError(
            f"{clean(job, 80)!r} is no name of a job.",
            "Use lower-case letters, digits and '-'.",
            "bad_name",
        )
    jobs = Path(params["jobs_dir"])
    jobs.mkdir(parents=True, exist_ok=True)
    unit, log = unit_and_log(job, params["jobs_dir"])
    # What is new is written behind it, by more than one program.
    Path(log).unlink(missing_ok=True)
    agent = [agent_path(module), *command, "--session", params["session_file"], "--job", job]
    agent += ["--json"]
    if params["threads"]:
        agent += ["--threads", str(params["threads"])]
    starter = [
        _tool(module, "systemd-run"),
        "--quiet",
        f"--unit={unit}",
        f"--description=Slipway {command[0]}",
        f"--property=StandardOutput=append:{log}",
        # Else it went the same way.
        "--property=StandardError=journal",
        f"--property=ExecStopPost=-{_last_word(module, unit, log, job)}",
    ]
    with key_files(keys or {}, job) as files:
        agent += files.options
        code, _output, problem = module.run_command([*starter, *files.properties, "--", *agent])
        if code != 0:
            raise SlipwayError(
                f"The agent could not be started: {clean(problem)}",
                f"Look at `systemctl status {unit}` on the machine.",
                "agent_not_started",
            )
    return {"job": job, "unit": unit, "log": log, "command": agent}


def _last_word(module: AnsibleModule, unit: str, log: str, job: str) -> str:
    """Return the command that tells the server how the agent ended, however it was killed.

    It is a unit of its own: it may wait for the server, and turning the machine off must not.
    """
    session = module.params["session_file"]
    teller = [_tool(module, "systemd-run"), "--quiet", "--collect", "--no-block"]
    teller += [f"--property=StandardOutput=append:{log}"]
    teller += [f"--setenv={name}=${{{name}}}" for name in _ENDING]
    said = ["ended", unit, "--session", session, "--log", log, "--job", job, "--json"]
    return shlex.join([*teller, "--", agent_path(module), *said])


def probe(module: AnsibleModule, options: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Ask the agent what disks there are, and how it would read them with these options."""
    disks = devices(module.params.get("disks", []))
    command = [agent_path(module), "probe", *disks, *options, "--json"]
    code, output, problem = module.run_command(command)
    record = last_record(output)
    if code != 0 or record is None or record.get("type") == "error":
        record = record or {}
        raise SlipwayError(
            clean(record.get("message", f"The agent's probe ended with {code}: {clean(problem)}")),
            clean(record.get("remedy", "Run `slipway probe` on the machine to see more.")),
            clean(record.get("error", "probe_failed")),
        )
    return list(record.get("disks", []))


def refuse_refused(disks: Sequence[Mapping[str, Any]]) -> None:
    """Raise when a backup would refuse a disk or partition; all of them are named."""
    refused = [each for disk in disks for each in _refusals(disk)]
    if refused:
        messages, remedies, errors = zip(*refused, strict=True)
        raise SlipwayError("; ".join(messages), "; ".join(filter(None, remedies)), errors[0])


def _refusals(disk: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield message, remedy and type of each."""
    if refusal := disk.get("error"):
        message = refusal.get("message", f"{disk.get('device')} is refused")
        error = refusal.get("error", "source_refused")
        yield clean(message), clean(refusal.get("remedy", "")), clean(error)
    for part in disk.get("partitions", []):
        if part.get("method") == "refused":
            name = clean(f"{disk.get('disk')}:{part.get('partition')} of {disk.get('device')}")
            reason, remedy = clean(part.get("reason", "")), clean(part.get("remedy", ""))
            yield f"A backup of {name} would be refused: {reason}", remedy, "source_refused"


def last_record(output: str) -> dict[str, Any] | None:
    """Return the last JSON object among lines of text."""
    for line in reversed(output.splitlines()):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            return record
    return None


def agent_path(module: AnsibleModule) -> str:
    """Return the path of the agent."""
    return _tool(module, "slipway")


def _tool(module: AnsibleModule, name: str) -> str:
    # The site overlay puts the agent where a PATH without a login shell may not look.
    path = module.get_bin_path(name) or module.get_bin_path(name, opt_dirs=["/usr/local/bin"])
    if path is None:
        raise SlipwayError(
            f"There is no program {name} on this machine.",
            "This module runs in the imaging environment: enter it with the role"
            " slipway.imaging.imaging_session first.",
            "no_agent",
        )
    return str(path)
