# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection: SSH to the machine of a session, and to nobody else."""

from __future__ import annotations

DOCUMENTATION = r"""
name: session
short_description: SSH to the machine of a session, and to nobody else
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Runs C(ssh) with one host key, that of the session's check-in. Whatever C(ansible.cfg), the
    environment, the inventory or an SSH configuration say about host keys, forwarding, agents,
    passwords or control sockets does not count.
  - Before the first command it asks C(ssh -G) what SSH would do, and refuses to connect if that is
    anything else.
  - An answer has an end and a size. A command that takes too long or says too much is killed, and
    the connection has failed.
  - The role P(slipway.imaging.imaging_session#role) sets what it needs.
options:
  host:
    description: Address of the machine.
    vars:
      - name: ansible_host
  machine:
    description: Name of the machine.
    vars:
      - name: inventory_hostname
  port:
    description: Port of its SSH server.
    type: int
    default: 22
    vars:
      - name: ansible_port
  remote_user:
    description: User there.
    default: root
    vars:
      - name: ansible_user
  host_key_type:
    description: Type of the machine's host key.
    default: ssh-ed25519
    vars:
      - name: _imaging_session_host_key_type
  known_hosts:
    description: File with the machine's host key, and nothing else.
    type: path
    vars:
      - name: _imaging_session_known_hosts_file
  mark:
    description: Names the session's control socket.
    vars:
      - name: _imaging_session_mark
  private_key_file:
    description:
      - Private key to log in with. Without it, the public key that lies beside O(known_hosts) says
        which of the user's own or of an agent's keys is offered; else all of the user's own are.
    type: path
    cli:
      - name: private_key_file
        option: --private-key
    env:
      - name: ANSIBLE_PRIVATE_KEY_FILE
    ini:
      - {section: defaults, key: private_key_file}
    vars:
      - name: ansible_private_key_file
      - name: ansible_ssh_private_key_file
  ssh_common_args:
    description: What else SSH needs to get there, such as a jump host. The rest counts for nothing.
    default: ""
    cli:
      - name: ssh_common_args
    env:
      - name: ANSIBLE_SSH_COMMON_ARGS
    ini:
      - {section: ssh_connection, key: ssh_common_args}
    vars:
      - name: ansible_ssh_common_args
  ssh_executable:
    description: The program C(ssh).
    default: ssh
    env:
      - name: ANSIBLE_SSH_EXECUTABLE
    ini:
      - {section: ssh_connection, key: ssh_executable}
    vars:
      - name: ansible_ssh_executable
  control_path_dir:
    description: Folder of control sockets. It must be the user's alone.
    type: path
    default: ~/.ansible/cp
    env:
      - name: ANSIBLE_SSH_CONTROL_PATH_DIR
    ini:
      - {section: ssh_connection, key: control_path_dir}
    vars:
      - name: ansible_control_path_dir
"""

import os
import shlex
import stat
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._bounded_run import bounded_run
from ansible_collections.slipway.imaging.plugins.plugin_utils._host_key_file import public_key_file
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_ssh import (
    Target,
    arguments,
    control_socket,
    fit,
    problems,
    unsent,
)

# One answer of a machine: an agent's result has up to 512 KiB.
ANSWER_BYTES = 1 << 20
# A module on a slow machine that looks at many disks. Who expects less says so.
ANSWER_SECONDS = 600.0
_OWN_SECONDS = 30.0
# Where SSH looks by itself.
_OWN_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


class Connection(ConnectionBase):
    """What Ansible loads."""

    transport = "slipway.imaging.session"
    has_pipelining = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with the most patience."""
        super().__init__(*args, **kwargs)
        self.seconds = ANSWER_SECONDS
        self.limit = ANSWER_BYTES
        self._ssh: list[str] = []
        self._environment: dict[str, str] | None = None

    def is_pipelining_enabled(self, wrap_async: bool = False) -> bool:
        """Say yes, whatever the configuration says: no module lies on the machine as a file."""
        return not wrap_async

    def _connect(self) -> Connection:
        if self.connected:
            return self
        target = self._target()
        try:
            common = self._split_ssh_args(self.get_option("ssh_common_args") or "")
        except ValueError as failure:
            raise AnsibleError(
                f"ansible_ssh_common_args can't be read: {failure}. Nothing was sent."
            ) from failure
        program = str(self.get_option("ssh_executable"))
        self._ssh = [program, *arguments(target, common)]
        # After the program's name: what it does is said, and nothing is done.
        code, told, complaint = self._run([program, "-G", *self._ssh[1:]], seconds=_OWN_SECONDS)
        if code != 0:
            raise AnsibleConnectionFailure(
                f"SSH does not take its arguments: {clean(complaint.decode(errors='replace'), 300)}"
                " Look at ansible_ssh_common_args. Nothing was sent."
            )
        meant = told.decode(errors="replace")
        if found := problems(target, meant):
            raise AnsibleConnectionFailure(
                f"{program} would not do what a session insists on: {'; '.join(found)}."
                " Look at ansible_ssh_executable and at what it adds. Nothing was sent."
            )
        self._environment = unsent(meant, os.environ)
        self._connected = True
        return self

    def exec_command(
        self, cmd: str, in_data: bytes | None = None, sudoable: bool = True
    ) -> tuple[int, bytes, bytes]:
        """Run a command on the machine, within `seconds` and `limit`."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        code, output, errors = self._run([*self._ssh, cmd], in_data or b"", self.seconds)
        if code == 255:
            # SSH's own code; a program on the machine that ends with it is taken for that. The
            # reason comes last.
            why = clean(errors[-400:].decode(errors="replace"))
            raise AnsibleConnectionFailure(f"Failed to connect to the host via ssh: {why}")
        return code, output, errors

    def put_file(self, in_path: str, out_path: str) -> None:
        """Write a file on the machine."""
        content = Path(in_path).read_bytes()
        code, _output, errors = self.exec_command(f"cat > {shlex.quote(out_path)}", content)
        self._refuse(code, errors, out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Read a file of the machine; one that is longer than an answer may be is refused."""
        code, output, errors = self.exec_command(f"cat {shlex.quote(in_path)}")
        self._refuse(code, errors, in_path)
        Path(out_path).write_bytes(output)

    def close(self) -> None:
        """Leave the master connection to the next task; it ends by itself."""
        self._connected = False

    def reset(self) -> None:
        """End the master connection: one that hangs would answer nothing any more."""
        self._connect()
        self._run([self._ssh[0], "-O", "exit", *self._ssh[1:]], seconds=_OWN_SECONDS)
        self.close()

    def _run(
        self, command: list[str], given: bytes = b"", seconds: float = ANSWER_SECONDS
    ) -> tuple[int, bytes, bytes]:
        Display().vvv(f"SSH: EXEC {shlex.join(command)}", host=self.get_option("host"))
        try:
            return bounded_run(
                command, given, seconds=seconds, limit=self.limit, environment=self._environment
            )
        except SlipwayError as failure:
            raise AnsibleConnectionFailure(
                f"{self.get_option('machine')} was not waited for: {failure.message}"
            ) from failure
        except OSError as failure:
            raise AnsibleError(f"{command[0]} can't be started: {failure}") from failure

    def _target(self) -> Target:
        known_hosts = self.get_option("known_hosts")
        if not known_hosts or not self.get_option("mark"):
            raise AnsibleConnectionFailure(
                f"{self.get_option('machine')} has no session whose host key it must show. Enter"
                " the imaging environment with the role slipway.imaging.imaging_session first."
            )
        if not fit(Path(known_hosts)):
            raise AnsibleConnectionFailure(
                f"SSH can't read a path like {clean(known_hosts, 200)}: let"
                " imaging_session_known_hosts_dir name a folder without %, $, \\ and quotes."
            )
        return Target(
            machine=str(self.get_option("machine")),
            address=str(self.get_option("host")),
            port=self.get_option("port"),
            user=str(self.get_option("remote_user")),
            known_hosts=Path(known_hosts),
            key_type=str(self.get_option("host_key_type")),
            control=control_socket(self._control_folder(), str(self.get_option("mark"))),
            identities=tuple(self._identities(Path(known_hosts))),
        )

    def _identities(self, known_hosts: Path) -> list[Path]:
        """Return the keys to offer; none means SSH's own."""
        if named := self.get_option("private_key_file"):
            return [Path(named).expanduser()]
        beside = public_key_file(known_hosts)
        if not (wanted := _public_key(beside)):
            return []
        # SSH finds its private half in an agent; a file of the user's may be it, too.
        own = [Path("~/.ssh").expanduser() / name for name in _OWN_KEYS]
        return [beside, *(path for path in own if _public_key(public_key_file(path)) == wanted)]

    def _control_folder(self) -> Path:
        """Return the folder of control sockets, after a look at whose it is."""
        folder = Path(self.get_option("control_path_dir")).expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o022:
            raise AnsibleConnectionFailure(
                f"Others may write into {folder}, where SSH keeps its open connections. Take that"
                " away (chmod 700), or name another folder with ansible_control_path_dir."
            )
        return folder

    def _refuse(self, code: int, errors: bytes, path: str) -> None:
        if code != 0:
            why = clean(errors.decode(errors="replace"), 300)
            raise AnsibleError(f"{clean(path, 200)} can't be copied: {why}")


def _public_key(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()[:2]
    except OSError:
        return []
