# SPDX-License-Identifier: GPL-3.0-or-later
"""What each verb says, and the words that it takes."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slipway.engine.errors import SlipwayError, UsageError
from slipway.format import FormatError

from slipway_export import files, mounting
from slipway_export.answering import Place, answer
from slipway_export.export import FORMATS, Wish, export, plan
from slipway_export.sandbox import CONFINED, LEAVE, begin_again, furnish, is_inside


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


def _answer_service(arguments: argparse.Namespace) -> int:
    """The socket that systemd hands over is standard input."""
    place = Place(arguments.store, arguments.spool, arguments.leave)
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as line:
        answer(line, place)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway_export")
    verbs = parser.add_subparsers(dest="verb", required=True)
    each = verbs.add_parser("export", help="make a file of a disk")
    each.add_argument("--disk", default="disk0")
    each.add_argument("--format", default="qcow2", help=" or ".join(FORMATS))
    each.add_argument("--to", type=Path, required=True)
    each.add_argument("--check", action="store_true", help="only say what would be made")
    each.add_argument("--allow-degraded", action="store_true")
    each.set_defaults(run=_export)
    each = verbs.add_parser("files", help="list a folder, or fetch a file")
    each.add_argument("--path", required=True)
    each.add_argument("--partition", default="", help="disk0:1, or GROUP/VOLUME")
    each.add_argument("--save", type=Path, metavar="FILE", help="fetch it to here")
    each.add_argument("--most", type=int, default=1 << 62, metavar="BYTES")
    each.set_defaults(run=_files)
    each = verbs.add_parser("mount", help="mount a partition read-only, by this kernel")
    each.add_argument("--partition", required=True, help="disk0:1, or GROUP/VOLUME")
    each.add_argument("--to", type=Path, metavar="FOLDER")
    each.set_defaults(run=_mount)
    for each in verbs.choices.values():
        each.add_argument("--image", required=True, metavar="NAME[@VERSION]")
    each = verbs.add_parser("answer", help="do what the control service asks for on a socket")
    each.add_argument("--spool", type=Path, required=True, help="where what it asks for is put")
    each.set_defaults(serve=_answer_service)
    for each in verbs.choices.values():
        each.add_argument("--store", type=Path, required=True)
        each.add_argument("--json-errors", action="store_true")
    for name in ("export", "files", "answer"):
        each = verbs.choices[name]
        each.add_argument("--leave", type=int, default=LEAVE, metavar="BYTES", help="stay free")
    each = verbs.add_parser("unmount", help="take it back")
    each.add_argument("--to", type=Path, required=True, metavar="FOLDER")
    each.set_defaults(run=_unmount)
    return parser


def main() -> int:
    """Run one verb; return the exit code."""
    arguments = _parser().parse_args()
    if "serve" in arguments:
        return int(arguments.serve(arguments))
    try:
        if arguments.verb in CONFINED:
            if not is_inside():
                begin_again()
            furnish()
        print(json.dumps(arguments.run(arguments)))
    except (SlipwayError, FormatError) as error:
        remedy = getattr(error, "remedy", "")
        if getattr(arguments, "json_errors", False):
            print(json.dumps({"error": str(error), "remedy": remedy}))
        else:
            print(". ".join([str(error), *filter(None, [remedy])]) + ".", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    return 0
