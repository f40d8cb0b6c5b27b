# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of the build: says what it does and how long it takes."""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path

from slipway_image import plan, steps, workplace
from slipway_image.errors import BuildError

_PROJECT = plan.HOME.parent.parent
_RESULT = ("vmlinuz", "initrd.img", "packages.txt", "build.log", "image.json")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the build's command line."""
    defaults = {field.name: field.default for field in fields(plan.Options)}
    result = argparse.ArgumentParser(
        prog="build", description="Build kernel and initramfs of the imaging environment (root)."
    )
    add = result.add_argument
    add("--output", type=Path, metavar="DIR", help="also copy the result there")
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        default=_PROJECT / ".cache/client_image",
        help="builds are kept there, each in a folder named by its inputs",
    )
    add("--release", default=defaults["release"], help="Debian release (%(default)s)")
    add("--mirror", default="", metavar="URL", help="Debian mirror (this host's own sources)")
    add("--components", default=defaults["components"], help="archive components (%(default)s)")
    add("--kernel", default=defaults["kernel"], help="kernel package (%(default)s)")
    add("--package", action="append", default=[], metavar="NAME", help="a further package")
    add("--module", action="append", default=[], metavar="PATTERN", help="further modules")
    add("--driver", action="append", default=[], metavar="NAME", help="a DKMS package to compile")
    add("--level", type=int, default=defaults["level"], help="zstd level (%(default)s)")
    add("--revision", default="", metavar="TEXT", help="another text builds with today's packages")
    add("--plan", action="store_true", help="only print, as JSON, what a build would be")
    return result


def main(argv: list[str] | None = None) -> int:
    """Build, or say what would be built."""
    args = parser().parse_args(argv)
    options = plan.Options(
        release=args.release,
        mirror=args.mirror,
        components=args.components,
        kernel=args.kernel,
        packages=tuple(args.package),
        modules=tuple(args.module),
        drivers=tuple(args.driver),
        level=args.level,
        revision=args.revision,
    )
    target = args.cache.absolute() / plan.key(options)
    if args.plan:
        built = (target / "image.json").is_file()
        print(json.dumps({"key": target.name, "path": str(target), "built": built}))
        return 0
    try:
        with workplace.locked(target.parent):
            if not (target / "image.json").is_file():
                _build(options, target)
            if args.output:
                _copy(target, args.output)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        if error.remedy:
            print(f"remedy: {error.remedy}", file=sys.stderr)
        return 1
    print(target)
    return 0


def _build(options: plan.Options, target: Path) -> None:
    if os.geteuid() != 0:
        raise BuildError("building needs root: device nodes, chroot", "run it with sudo")
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    with workplace.scratch(target.parent) as tmp:
        build = steps.Build(options, tmp, say)
        build.out.mkdir()
        say(f"building {target.name}")
        try:
            version, unpacked = _make(build)
        except BuildError:
            # The workplace is about to be cleared; the log is what a person needs.
            if build.log.exists():
                shutil.copy2(build.log, target.parent / "failed.log")
            raise
        seconds = round(time.monotonic() - started, 1)
        facts = _facts(build.out, options, version, unpacked, seconds)
        (build.out / "image.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        workplace.give_to_caller(build.out)
        build.out.rename(target)
    workplace.prune(target.parent, target)
    size = sum((target / name).stat().st_size for name in ("vmlinuz", "initrd.img"))
    say(f"done: {size / 1e6:.1f} MB to download, {unpacked / 1e6:.0f} MB unpacked")


def _make(build: steps.Build) -> tuple[str, int]:
    steps.bootstrap(build)
    version, epoch = steps.install_kernel(build)
    steps.trim(build)
    steps.configure(build)
    return version, steps.pack(build, epoch)


def _facts(
    out: Path, options: plan.Options, version: str, unpacked: int, seconds: float
) -> dict[str, object]:
    files = {}
    for name in ("vmlinuz", "initrd.img"):
        with (out / name).open("rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
        files[name] = {"bytes": (out / name).stat().st_size, "sha256": digest}
    return {
        "kernel": version,
        "options": asdict(options),
        "files": files,
        "unpacked_bytes": unpacked,
        "build_seconds": seconds,
    }


def _copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _RESULT:
        new = target / f".{name}.new"
        shutil.copy2(source / name, new)
        new.rename(target / name)
