# SPDX-License-Identifier: GPL-3.0-or-later
"""The two Debian roots, built once with mmdebstrap and kept in the cache.

A cache entry is named by a hash of everything it was made from, this file
included, so a changed recipe never meets an old result.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from slipway_lab.config import Config
from slipway_lab.errors import LabError
from slipway_lab.tools import remove_tree, run

# What the PCs carry: enough to boot by itself, mount everything, be seen in the network and hear
# its power button.
PC_PACKAGES = (
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "linux-image-cloud-amd64",
    "systemd",
    "systemd-sysv",
    "udev",
    "zstd",
)

# All PCs start from one file system, as PCs do that were once cloned from a master.
MASTER_UUID = "51696c70-7761-4079-8000-000000000001"

# Nobody reads manuals here: what is left out need not be copied, saved and restored. They go at
# the end: told to leave them out, mmdebstrap reads each package with a Python of its own.
MANUALS_HOOK = 'cd "$1/usr/share" && rm -rf doc/* info/* locale/* man/*'
# A PC in software emulation takes a second for a few megabytes, at each backup and each restore:
# it has none of what only its installation needed, and few of the modules that it never loads.
PC_EXCESS = (
    "usr/bin/perl*",
    "usr/bin/pzstd",
    "usr/lib/apt",
    "usr/lib/udev/hwdb.*",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/libapt-*",
    "usr/lib/x86_64-linux-gnu/libperl.*",
    "usr/lib/x86_64-linux-gnu/perl*",
    "usr/share/perl*",
    "usr/share/zoneinfo",
    "var/cache/*/*",
    "var/lib/dpkg/info",
    *(
        f"usr/lib/modules/*/kernel/{name}"
        for name in (
            *(f"drivers/{kind}" for kind in ("comedi", "hid", "hv", "infiniband", "md", "media")),
            *(f"drivers/{kind}" for kind in ("nvdimm", "target", "vfio", "vhost", "xen")),
            *("fs/btrfs", "fs/ceph", "fs/nfs", "fs/nfsd", "fs/smb", "fs/xfs"),
            *("net/[a-bd-z]*", "net/ceph"),
        )
    ),
)

INITRAMFS_HOOK = r"""
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\n' > "$1/etc/initramfs-tools/conf.d/slipway-lab"
printf '%s\n' virtio_pci virtio_scsi sd_mod ext4 >> "$1/etc/initramfs-tools/modules"
"""

# The server has no way out: with an empty list `apt-get update` succeeds at once. Identity
# is given to each new server, never to the cached root.
SERVER_HOOK = r"""
rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/var/lib/dbus/machine-id"
rm -f "$1/etc/resolv.conf" "$1/etc/hostname"
: > "$1/etc/apt/sources.list"
rm -f "$1"/etc/apt/sources.list.d/*
ln -sf /usr/share/zoneinfo/Etc/UTC "$1/etc/localtime"
"""

HELLO_UNIT = """\
[Unit]
Description=Tell the lab that this PC runs from its own disk
After=local-fs.target swap.target systemd-logind.service systemd-user-sessions.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/slipway-lab-hello

[Install]
WantedBy=multi-user.target
"""

# As people's PCs do, it takes the address it is given and answers there.
NETWORK = """\
[Match]
Type=ether

[Network]
DHCP=ipv4

[DHCPv4]
ClientIdentifier=mac
"""

# The root's UUID is asked from the running system, so a wrong disk cannot say the right word.
HELLO_SCRIPT = """\
#!/bin/sh
set -eu
root=$(findmnt -n -o UUID /)
marker=$(cat /etc/slipway-lab/marker)
printf '\\nSLIPWAY-LAB host=%s marker=%s root=%s\\n' "$(hostname)" "$marker" "$root" > /dev/ttyS0
"""


def fingerprint(*parts: object) -> str:
    """Name a cache entry by its inputs and by this recipe."""
    recipe = Path(__file__).read_bytes()
    text = json.dumps(parts, sort_keys=True, default=str).encode()
    return hashlib.sha256(recipe + text).hexdigest()[:20]


def server_key(config: Config) -> str:
    """Return the name of what the server's root is made from."""
    return fingerprint("server", config.suite, config.mirrors, config.server.packages)


def pc_key(config: Config, size_mib: int) -> str:
    """Return the name of what a PC's root file system is made from."""
    return fingerprint("pc", config.suite, config.mirrors, PC_PACKAGES, size_mib)


def server_tar(config: Config) -> Path:
    """Return the cached root of the image server as a tar file; build it if need be."""
    cached = config.paths.cache / f"server-{server_key(config)}.tar"
    if cached.exists():
        return cached
    if not config.server.packages:
        raise LabError("The image server has no packages.", "See the role's vars/main.yml.")
    half = _half(cached)
    _mmdebstrap(
        config,
        half,
        "server",
        "--format=tar",
        f"--include={','.join(config.server.packages)}",
        f"--customize-hook={SERVER_HOOK}",
    )
    half.replace(cached)
    return cached


def pc_file_systems(config: Config, sizes: set[int]) -> dict[int, Path]:
    """Return cached ext4 file systems that hold a PC's Debian, one for each size in MiB."""
    cached = {size: config.paths.cache / f"pc-{pc_key(config, size)}.ext4" for size in sizes}
    missing = {size: path for size, path in cached.items() if not path.exists()}
    if not missing:
        return cached
    root = config.paths.build / "pc-root"
    remove_tree(root)
    _mmdebstrap(
        config,
        root,
        "pc",
        f"--include={','.join(PC_PACKAGES)}",
        f"--essential-hook={INITRAMFS_HOOK}",
        "--format=directory",
    )
    _finish_pc(config, root)
    for size, path in missing.items():
        half = _half(path)
        # The checksum seed lives in the superblock: a PC gets its own UUID in a blink and
        # the blocks of twins stay equal, which an image store should notice.
        run(
            config,
            *("mke2fs", "-q", "-t", "ext4", "-O", "metadata_csum_seed", "-U", MASTER_UUID),
            *("-E", f"nodiscard,root_owner=0:0,hash_seed={MASTER_UUID}"),
            *("-d", root, half, f"{size}M"),
        )
        half.replace(path)
    remove_tree(root)
    return cached


def _mmdebstrap(config: Config, target: Path, name: str, *options: str) -> None:
    # Its mounts live in a namespace of their own and so die with it, however it dies.
    run(
        config,
        *("unshare", "--mount", "mmdebstrap"),
        "--variant=minbase",
        '--aptopt=Acquire::Languages "none"',
        *options,
        f"--customize-hook={MANUALS_HOOK}",
        config.suite,
        target,
        *config.mirrors,
        log=config.paths.logs / f"build-{name}.log",
    )


def _finish_pc(config: Config, root: Path) -> None:
    """Add what makes it a PC of the lab, and take the excess away.

    What differs between PCs is written later.
    """
    files = {
        "etc/systemd/system/slipway-lab-hello.service": (HELLO_UNIT, 0o644),
        "usr/local/sbin/slipway-lab-hello": (HELLO_SCRIPT, 0o755),
        "etc/systemd/network/lan.network": (NETWORK, 0o644),
        "etc/machine-id": ("", 0o644),
    }
    for name, (text, mode) in files.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)
    units = root / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "slipway-lab-hello.service").symlink_to("../slipway-lab-hello.service")
    (wants / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    # Nobody can type on the serial port, and its log shall hold what counts.
    (units / "serial-getty@ttyS0.service").symlink_to("/dev/null")
    for folder in ("boot/efi", "boot/grub", "etc/slipway-lab"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for leftover in ("etc/hostname", "etc/hosts", "etc/fstab", "etc/resolv.conf"):
        (root / leftover).unlink(missing_ok=True)
    excess = [path for pattern in PC_EXCESS for path in root.glob(pattern)]
    run(config, "rm", "-r", "--", *excess)


def _half(cached: Path) -> Path:
    """Return the name under which a cache entry is made; only whole ones get the real name."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    half = cached.with_suffix(".part")
    half.unlink(missing_ok=True)
    return half
