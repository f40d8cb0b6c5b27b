# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-lint, with the words it is given.

It has ansible-playbook look at the syntax of each playbook and role: fifty times the same imports.
Here those are forks of a Python that has made them. What runs is the real ansible-playbook.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from .fixtures import warm_python

_PLAYBOOK = '''#!{python} -SI
"""Be ansible-playbook, in a Python that is warm for this environment."""
import os
import sys
import _socket

asks = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
asks.connect({door!r})
asks.send(os.fsencode("\\0".join(name + "=" + value for name, value in os.environ.items())))
words = asks.recv(1 << 16).decode().split("\\0")
os.execv(words[0], words + sys.argv[1:])
'''


def _answer(door: socket.socket) -> None:
    """Tell each that asks with which words it begins."""
    while True:
        asks, _ = door.accept()
        with asks:
            said = os.fsdecode(asks.recv(1 << 20)).split("\0")
            environment = dict(variable.split("=", 1) for variable in said)
            environment.setdefault("ANSIBLE_CONFIG", str(Path("ansible.cfg").absolute()))
            asks.send("\0".join(warm_python.ansible(environment)).encode())


def main() -> int:
    """Return ansible-lint's own exit code."""
    with tempfile.TemporaryDirectory(prefix="slw-lint-") as folder:
        path = str(Path(folder, "door"))
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(path)
        door.listen(64)
        threading.Thread(target=_answer, args=[door], daemon=True).start()
        playbook = Path(folder, "ansible-playbook")
        playbook.write_text(_PLAYBOOK.format(python=sys.executable, door=path))
        playbook.chmod(0o755)
        environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
        return subprocess.run(["ansible-lint", *sys.argv[1:]], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
