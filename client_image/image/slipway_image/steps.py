# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps from nothing to kernel and initramfs; each works on the root of one build."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipway_image import cpio, drivers, lists, modules, sources
from slipway_image.plan import HOME, Options
from slipway_image.shell import run

_ALIGNMENT = 512


@dataclass(frozen=True)
class Build:
    """One build: what is wanted, where it is made, and whom to tell."""

    options: Options
    tmp: Path
    say: Callable[[str], None]

    @property
    def root(self) -> Path:
        """The root file system of the environment."""
        return self.tmp / "root"

    @property
    def out(self) -> Path:
        """The folder that becomes the result."""
        return self.tmp / "out"

    @property
    def log(self) -> Path:
        """What other programs said."""
        return self.out / "build.log"

    def chroot(self, *argv: str, stdin: str | None = None) -> None:
        """Run a program of the root inside it."""
        run(["chroot", self.root, *argv], self.log, stdin=stdin)


def _apt_sources(options: Options) -> str:
    if options.mirror:
        found = sources.from_mirror(options.mirror, options.release, options.components)
    else:
        found = sources.of_host(Path("/etc/apt"), options.release, options.components)
    return "\n".join(found) + "\n"


def bootstrap(build: Build) -> None:
    """Install the packages into a new root; fetch the kernel package beside it."""
    options = build.options
    packages = [*lists.names(HOME / "packages.list"), *options.packages]
    build.say(f"installing {len(packages)} packages and their dependencies ({options.release})")
    kernel = build.tmp / "kernel"
    kernel.mkdir()
    # The package that carries the kernel is a dependency of the named one. It is not installed:
    # its scripts would make an initramfs of their own.
    fetch = (
        f'cd "{kernel}" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && '
        f"name=$(apt-cache depends {options.kernel} | "
        "sed -n 's/^ *Depends: \\(linux-image-[0-9][^ ]*\\)$/\\1/p' | head -n 1) && "
        f'apt-get download "${{name:-{options.kernel}}}"'
    )
    _mmdebstrap(build, build.root, packages, f"--customize-hook={fetch}")
    packages_txt = build.out / "packages.txt"
    run(
        ["dpkg-query", f"--admindir={build.root}/var/lib/dpkg", "--show"],
        packages_txt,
    )
    # The first lines are the command itself.
    lines = packages_txt.read_text(encoding="utf-8").splitlines()[2:]
    kernel_package = next(kernel.glob("*.deb")).name.removesuffix(".deb").replace("_", "\t", 1)
    packages_txt.write_text("\n".join([*lines, kernel_package]) + "\n", encoding="utf-8")


def _mmdebstrap(build: Build, root: Path, packages: list[str], *more: str) -> None:
    """Make a root of Debian packages and their dependencies.

    Nothing is left out here: told to, mmdebstrap reads each package with a Python of its own.
    """
    argv: list[str | Path] = ["mmdebstrap", "--mode=root", "--variant=essential"]
    argv += ["--format=directory", f"--include={','.join(packages)}"]
    argv += [f"--aptopt={line}" for line in ('APT::Install-Recommends "false"', *_apt_options())]
    argv += ["--dpkgopt=force-unsafe-io"]
    argv += [*more, build.options.release, root, "-"]
    run(argv, build.log, stdin=_apt_sources(build.options))


def _apt_options() -> list[str]:
    """Return apt options that make a slow network bearable, and the host's proxy."""
    wanted = ['Acquire::Retries "3"', 'Acquire::Languages "none"']
    shown = os.popen("apt-config dump --format '%f \"%v\"%n' Acquire").read()
    proxies = [line for line in shown.splitlines() if "::Proxy" in line and '""' not in line]
    return wanted + proxies


def install_kernel(build: Build) -> tuple[str, int]:
    """Take vmlinuz and the picked modules from the kernel package; say version and epoch."""
    package = next((build.tmp / "kernel").glob("*.deb"))
    unpacked = build.root / ".kernel"
    run(["dpkg-deb", "-x", package, unpacked], build.log)
    folder = next((unpacked / "lib/modules").iterdir())
    version = folder.name
    vmlinuz = unpacked / "boot" / f"vmlinuz-{version}"
    epoch = int(vmlinuz.stat().st_mtime)
    shutil.copy2(vmlinuz, build.out / "vmlinuz")
    rule_list = modules.rules(lists.read(HOME / "modules.list", words=2))
    if build.options.drivers:
        _compile_drivers(build, version, folder)
        rule_list.append(modules.keep("updates/**"))
    build.chroot("depmod", "-b", "/.kernel", version)

    for pattern in build.options.modules:
        rule_list.append(modules.keep(pattern))
    needs = modules.parse_dependencies((folder / "modules.dep").read_text(encoding="utf-8"))
    for pattern in modules.unused(needs, rule_list):
        build.say(f"warning: no module of {version} matches `keep {pattern}`")
    kept = modules.select(needs, rule_list)
    target = build.root / "usr/lib/modules" / version
    for module in kept:
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        (folder / module).rename(target / module)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (folder / name).rename(target / name)
    shutil.rmtree(unpacked)
    build.chroot("depmod", version)
    build.say(f"kernel {version}: {len(kept)} of {len(needs)} modules kept")
    return version, epoch


def _compile_drivers(build: Build, version: str, folder: Path) -> None:
    """Compile the drivers for a kernel into its unpacked folder."""
    forge, wanted = build.tmp / "forge", build.options.drivers
    build.say(f"compiling {', '.join(wanted)}")
    packages = [f"linux-headers-{version}", "dkms", *wanted]
    _mmdebstrap(build, forge, packages, f"--essential-hook={drivers.NOT_YET}")
    made = drivers.compile_all(forge, version, folder, build.log)
    drivers.copy_configuration(forge, build.root, wanted)
    build.say(f"compiled for {version}: {', '.join(made)}")


def trim(build: Build) -> None:
    """Remove what remove.list names."""
    for pattern in lists.names(HOME / "remove.list"):
        for path in build.root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def configure(build: Build, hooks: Path = HOME / "hooks") -> None:
    """Lay the overlay over the root, mask units, run the hooks inside it."""
    shutil.copytree(HOME / "overlay", build.root, symlinks=True, dirs_exist_ok=True)
    for path in (HOME / "overlay").rglob("*"):
        # Whoever checked the project out must not own the files of the image.
        os.chown(build.root / path.relative_to(HOME / "overlay"), 0, 0, follow_symlinks=False)
    for unit in lists.names(HOME / "masked-units.list"):
        mask = build.root / "etc/systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    init = build.root / "init"
    init.unlink(missing_ok=True)
    init.symlink_to("/usr/lib/systemd/systemd")
    for hook in sorted(hooks.glob("*.sh")):
        build.say(f"hook {hook.name}")
        build.chroot("/bin/sh", "-s", stdin=hook.read_text(encoding="utf-8"))


def pack(build: Build, epoch: int) -> int:
    """Pack the root as initrd.img and return its unpacked size."""
    archive = build.tmp / "initrd.cpio"
    with archive.open("wb") as out:
        size = cpio.write(cpio.tree(build.root, epoch), out)
    build.say(f"compressing {size / 1e6:.0f} MB")
    target = build.out / "initrd.img"
    level = f"-{build.options.level}"
    run(["zstd", "--quiet", "-T0", level, "--rm", archive, "-o", target], build.log)
    # The kernel's EFI stub puts the site overlay right behind this file, and an archive is only
    # found at a multiple of four. Zeros between archives are skipped.
    with target.open("ab") as out:
        out.write(b"\0" * (-out.tell() % _ALIGNMENT))
    return size
