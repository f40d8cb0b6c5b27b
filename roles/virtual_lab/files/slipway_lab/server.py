# SPDX-License-Identifier: GPL-3.0-or-later
"""The image server: a Debian with systemd, booted by systemd-nspawn on the lab's bridge."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from slipway_lab import debian
from slipway_lab.config import Config
from slipway_lab.errors import LabError
from slipway_lab.tools import alive, give, in_namespace, remove_tree, run, spawn

CGROUP_ROOTS = (
    Path("/sys/fs/cgroup/systemd"),
    Path("/sys/fs/cgroup/unified"),
    Path("/sys/fs/cgroup"),
)
ORPHAN_SECONDS = 10.0


def recipe_file(config: Config) -> Path:
    """Return the file beside the root that says what it was made from."""
    return config.paths.state / "server.recipe"


def is_made(config: Config) -> bool:
    """Tell whether the root exists; refuse one that was made from other packages."""
    root, recipe = config.paths.server_root, recipe_file(config)
    if not root.exists() or not recipe.exists():
        return False
    if recipe.read_text().strip() != debian.server_key(config):
        raise LabError(
            "The image server was made from another list of packages than today's.",
            "Nothing was changed. For a new server: `make lab-down`, then `make lab`.",
        )
    return True


def make(config: Config, tar: Path) -> None:
    """Unpack a fresh root and give it an identity of its own."""
    half = config.paths.build / "server"
    remove_tree(half)
    half.mkdir(parents=True)
    run(config, "tar", "--extract", "--numeric-owner", "--xattrs", "--file", tar, "-C", half)
    (half / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
    (half / "etc/hostname").write_text(f"{config.server.name}\n")
    hosts = f"127.0.0.1 localhost\n{config.server_address} {config.server.name}\n"
    (half / "etc/hosts").write_text(hosts)
    (half / "etc/resolv.conf").write_text("# The lab has no name server.\n")
    host_key = half / "etc/ssh/ssh_host_ed25519_key"
    run(
        config,
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        config.server.name,
        "-f",
        host_key,
    )
    keys = half / "root/.ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "authorized_keys").write_text((config.paths.ssh / "id_ed25519.pub").read_text())
    (keys / "authorized_keys").chmod(0o600)
    # The log begins with the server, like the consoles of the PCs with their disks.
    for log in (config.paths.power_log, config.paths.console("server")):
        log.unlink(missing_ok=True)
    recipe_file(config).write_text(debian.server_key(config) + "\n")
    half.rename(config.paths.server_root)


def write_ssh_files(config: Config) -> bool:
    """Write known_hosts from the server's own key, and an ssh_config for people."""
    public = config.paths.server_root / "etc/ssh/ssh_host_ed25519_key.pub"
    kind, key, *_ = public.read_text().split()
    address = config.server_address
    sudo = "" if config.paths.state.stat().st_uid == 0 else "sudo -n "
    enter = " ".join(in_namespace(config, "nc", "%h", "%p"))
    files = {
        "known_hosts": f"{address} {kind} {key}\n",
        "config": f"""\
Host {config.server.name}
    HostName {address}
    HostKeyAlias {address}
    User root
    IdentityFile "{config.paths.ssh / "id_ed25519"}"
    IdentitiesOnly yes
    UserKnownHostsFile "{config.paths.ssh / "known_hosts"}"
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 5
    ProxyCommand {sudo}{enter}
""",
    }
    changed = False
    for name, text in files.items():
        path = config.paths.ssh / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            give(path, config)
            changed = True
    return changed


def pid(config: Config) -> int | None:
    """Return the PID of the server's systemd-nspawn, or None."""
    pidfile = config.paths.pidfile("server")
    return alive(pidfile, f"--directory={config.paths.server_root}")


def start(config: Config) -> bool:
    """Boot the server unless it runs."""
    if pid(config) is not None:
        return False
    _end_orphans(config.paths.server_root)
    nspawn = [
        "systemd-nspawn",
        "--quiet",
        f"--directory={config.paths.server_root}",
        f"--machine={config.namespace}",
        f"--hostname={config.server.name}",
        # dnsmasq and the wake module speak raw Ethernet on the lab's bridge.
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--console=pipe",
        # Files are read out of images through it.
        *(["--bind=/dev/fuse"] if Path("/dev/fuse").exists() else []),
        "--boot",
    ]
    # nspawn starts inside the namespace instead of being told its path: only then does the
    # sysfs that it mounts show the namespace's interfaces, from which Ansible reads its facts.
    words = [*_into_cgroup(config), *in_namespace(config, *nspawn)]
    process = spawn(config, words, config.paths.console("server"))
    config.paths.pidfile("server").write_text(f"{process.pid}\n")
    return True


def _end_orphans(root: Path) -> None:
    """End a system whose nspawn was killed: it lives on, and must not share its root."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while orphans := _processes_rooted_in(root):
        if time.monotonic() > deadline:
            raise LabError(f"Processes in {root} cannot be killed: {orphans}.", "`make lab-down`")
        for orphan in orphans:
            with suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
        time.sleep(0.05)


def _processes_rooted_in(root: Path) -> list[int]:
    wanted = root.stat()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            actual = (entry / "root").stat()
            if (actual.st_dev, actual.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(int(entry.name))
    return found


def _into_cgroup(config: Config) -> list[str]:
    """Return a prefix that gives nspawn a cgroup subtree which is ours to remove.

    With systemd on the host that is a delegated scope. Without it (containers)
    --keep-unit would settle in the root of the hierarchies; two `mkdir` keep it apart.
    """
    if Path("/run/systemd/system").is_dir():
        scope = f"--unit={config.namespace}-server"
        return ["systemd-run", "--quiet", "--scope", "--collect", "--property=Delegate=yes", scope]
    procs = []
    for folder in cgroups(config):
        folder.mkdir(exist_ok=True)
        procs.append(str(folder / "cgroup.procs"))
    script = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'
    return ["sh", "-c", script, "sh", *procs, "--"]


def cgroups(config: Config) -> list[Path]:
    """Return the cgroups of the lab in every hierarchy that systemd would use here."""
    roots = [r for r in CGROUP_ROOTS if (r / "cgroup.procs").exists()]
    return [root / config.namespace for root in roots]


def ssh(
    config: Config, command: str, stdin: str | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a shell command on the server as root."""
    words = ["ssh", "-F", str(config.paths.ssh / "config"), config.server.name, command]
    try:
        return subprocess.run(
            words,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`{command}` took more than {timeout:g} s on the server.") from None


def wait_until_ready(config: Config, timeout: float = 90) -> None:
    """Wait until systemd on the server calls itself running; name what failed if it does not."""
    deadline = time.monotonic() + timeout
    state = "no answer over SSH"
    while time.monotonic() < deadline:
        if pid(config) is None:
            break
        answer = ssh(config, "systemctl is-system-running --wait", timeout=timeout)
        state = answer.stdout.strip() or answer.stderr.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = ssh(config, "systemctl --failed --no-legend --plain").stdout
            raise LabError(f"The image server booted, but these units failed:\n{failed}")
        time.sleep(0.3)
    raise LabError(
        f"The image server is not up: {state}.",
        f"See {config.paths.console('server')} and "
        f"`journalctl -D {config.paths.server_root / 'var/log/journal'}`.",
    )
