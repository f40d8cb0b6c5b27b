"""Action: note a machine's one host key, and wait until the machine answers with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.module_utils._names import check_host_key
from ansible_collections.slipway.imaging.plugins.plugin_utils._host_key_file import (
    forget_host_key,
    note_host_key,
)
from ansible_collections.slipway.imaging.plugins.plugin_utils._machine_action import MachineAction
from ansible_collections.slipway.imaging.plugins.plugin_utils._session_ssh import ANOTHER_KEY

OURS = "slipway.imaging.session"
_TRY_SECONDS = 20.0
_PAUSE_SECONDS = 2.0


class ActionModule(MachineAction):
    """Writes the file that the connection reads, then tries the connection."""

    def act(self, host: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return when the machine answers; leave no file behind when it does not."""
        _validated, args = self.validate_argument_spec(
            argument_spec={
                "host_key": {"type": "str", "required": True, "no_log": False},
                "server": {"type": "str"},
                "timeout": {"type": "int", "default": 60},
            }
        )
        if (used := getattr(self._connection, "ansible_name", "")) != OURS:
            raise SlipwayError(
                f"{host} would be reached by {clean(used, 60)}, which does not insist on its host"
                " key. Nothing was sent to it.",
                f"Set ansible_connection neither on the command line nor for {host}: the role"
                " imaging_session does.",
                "other_connection",
            )
        known_hosts = Path(self._connection.get_option("known_hosts"))
        let_in = _public_key(task_vars, args["server"])
        note_host_key(known_hosts, host, check_host_key(args["host_key"]), let_in)
        began = time.monotonic()
        try:
            self._wait(host, began + args["timeout"])
        except BaseException:
            forget_host_key(known_hosts, host)
            raise
        return {"changed": False, "seconds": round(time.monotonic() - began, 1)}

    def _wait(self, host: str, deadline: float) -> None:
        while True:
            try:
                self.shell("true", _TRY_SECONDS)
                return
            except AnsibleConnectionFailure as failure:
                why = clean(failure, 600)
            except AnsibleError as failure:
                raise SlipwayError(clean(failure), error="no_ssh") from failure
            if any(words in why for words in ANOTHER_KEY):
                raise _impostor(host, str(self._connection.get_option("host")))
            if time.monotonic() >= deadline:
                raise SlipwayError(
                    f"{host} checked in but can't be reached over SSH: {why}",
                    "The site overlay may hold another controller's key: run playbooks/site.yml."
                    " `ssh -v` with the options that ansible-playbook -vvv prints says more.",
                    "no_ssh",
                )
            time.sleep(_PAUSE_SECONDS)


def _public_key(task_vars: dict[str, Any], server: str | None) -> str:
    """Return the public key that the server's environment lets in, if this inventory knows it."""
    try:
        return str(task_vars["hostvars"][server]["client_image_ssh_public_key"])
    except (AnsibleError, LookupError):
        # It may come from a file that only the controller of site.yml has.
        return ""


def _impostor(host: str, address: str) -> SlipwayError:
    return SlipwayError(
        f"Somebody else answers at {clean(address, 60)}: the host key is not the one that {host}"
        " reported at its check-in. Nothing was sent there.",
        f"Look for a second machine with that address, or one that pretends to be {host}; then run"
        " the playbook again.",
        "another_host_key",
    )
