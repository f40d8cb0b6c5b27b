"""Action: save a machine's disks and show the progress."""

from __future__ import annotations

from ansible_collections.slipway.imaging.plugins.plugin_utils._follow import Ending
from ansible_collections.slipway.imaging.plugins.plugin_utils._job_action import JobAction


class ActionModule(JobAction):
    """Runs the module disk_backup and follows the agent's backup."""

    module = "disk_backup"
    playbook = "backup.yml"

    def error_state(self, host: str, ending: Ending) -> str:
        """Say that there is no version."""
        return "No version was published."

    def disk_state(self, host: str, ending: Ending) -> str:
        """Say what is in the store: the disk was only read."""
        if ending.last_phase == "publish":
            return (
                "The new version was just being published: playbooks/images.yml shows it if that"
                " succeeded. Older versions are untouched."
            )
        return (
            "No version was published; older versions and the disk are untouched, and the next"
            " backup sends only what is missing."
        )
