# SPDX-License-Identifier: GPL-3.0-or-later
"""What each verb that reads an image does; its answer becomes a line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from slipway.engine.errors import SlipwayError, UsageError
from slipway.format import FormatError

from slipway_export import files, mounting, sandbox
from slipway_export.export import Wish, export, plan


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say how it went; return the exit code."""
    try:
        if arguments.confined:
            sandbox.furnish()
        print(json.dumps(_VERBS[arguments.verb](arguments)))
    except (SlipwayError, FormatError) as error:
        remedy = getattr(error, "remedy", "")
        if getattr(arguments, "json_errors", False):
            print(json.dumps({"error": str(error), "remedy": remedy}))
        else:
            print(". ".join([str(error), *filter(None, [remedy])]) + ".", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0


def _export(arguments: argparse.Namespace) -> dict[str, Any]:
    wish = Wish(
        arguments.store,
        arguments.image,
        arguments.disk,
        arguments.format,
        arguments.to,
        arguments.allow_degraded,
        arguments.leave,
    )
    found, made = (plan(wish), False) if arguments.check else export(wish)
    return {
        "changed": made or (arguments.check and not found.there),
        "image": str(found.ref),
        "path": str(found.path),
        "size": found.size,
        "needs": found.needs,
    }


def _files(arguments: argparse.Namespace) -> dict[str, Any]:
    path = files.plain(arguments.path)
    with files.reading(arguments.store, arguments.image) as reader:
        answer: dict[str, Any] = {"changed": False, "image": str(reader.ref), "path": path}
        if path == "/" and not arguments.partition:
            systems = [{"partition": volume.name, "content": kind}
                       for volume, kind in reader.systems()]  # fmt: skip
            if len(systems) != 1:
                return answer | {"kind": "partitions", "partitions": systems}
        volume, entry = files.located(reader, path, arguments.partition)
        answer["partition"] = volume.name
        if entry.folder:
            entries = [asdict(each) for each in reader.entries(volume, path)]
            return answer | {"kind": "folder", "entries": entries}
        if entry.size is None:
            raise UsageError(f"{path} of {reader.ref} is neither a file nor a folder")
        if arguments.save is not None and entry.size > arguments.most:
            raise UsageError(
                f"{path} of {reader.ref} has {entry.size} bytes, more than the {arguments.most} "
                "that can be fetched like this",
                "playbooks/mount.yml or playbooks/export.yml get at larger ones",
            )
        if arguments.save is not None:
            files.save(reader, volume, path, entry.size, arguments.save, arguments.leave)
        return answer | {"kind": "file", "name": entry.name, "size": entry.size,
                         "modified": entry.modified}  # fmt: skip


def _mount(arguments: argparse.Namespace) -> dict[str, Any]:
    found, done = mounting.mount(
        arguments.store, arguments.image, arguments.partition, arguments.to
    )
    return {"changed": done} | vars(found)


def _unmount(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"changed": mounting.unmount(arguments.to), "point": str(arguments.to)}


_VERBS = {"export": _export, "files": _files, "mount": _mount, "unmount": _unmount}
