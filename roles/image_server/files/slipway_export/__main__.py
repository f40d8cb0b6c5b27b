# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m slipway_export export|files|mount|unmount|answer: one line of JSON, or why not."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from slipway_export import FORMATS, sandbox
from slipway_export.answering import Place, answer
from slipway_export.sandbox import LEAVE


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
    each.set_defaults(confined=True)
    each = verbs.add_parser("files", help="list a folder, or fetch a file")
    each.add_argument("--path", required=True)
    each.add_argument("--partition", default="", help="disk0:1, or GROUP/VOLUME")
    each.add_argument("--save", type=Path, metavar="FILE", help="fetch it to here")
    each.add_argument("--most", type=int, default=1 << 62, metavar="BYTES")
    each.set_defaults(confined=True)
    each = verbs.add_parser("mount", help="mount a partition read-only, by this kernel")
    each.add_argument("--partition", required=True, help="disk0:1, or GROUP/VOLUME")
    each.add_argument("--to", type=Path, metavar="FOLDER")
    each.set_defaults(confined=False)
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
    each.set_defaults(confined=False)
    return parser


def main() -> int:
    """Run one verb; return the exit code."""
    arguments = _parser().parse_args()
    if "serve" in arguments:
        return int(arguments.serve(arguments))
    if arguments.confined and not sandbox.is_inside():
        os.environ["PYTHONPATH"] = ":".join(each for each in sys.path if each)
        sandbox.enter([sys.executable, "-P", "-m", "slipway_export", *sys.argv[1:]])
    # It takes most of a start: who only has it run in a sandbox, or answers, needs none of it.
    from slipway_export import verbs

    return verbs.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
