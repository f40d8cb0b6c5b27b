# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and return values of the modules that let the agent work on disks."""

from __future__ import annotations


class ModuleDocFragment:
    """One job of the agent on a machine that runs the imaging environment."""

    DOCUMENTATION = r"""
options:
  disks:
    description:
      - Disks of the machine, as paths like V(/dev/disk/by-id/ata-X).
      - Empty means all fixed disks; never removable ones, and never the one it booted from.
    type: list
    elements: path
    default: []
  threads:
    description: How many threads the agent uses; it chooses by itself when this is left out.
    type: int
  session_file:
    description: Where the machine's check-in left server, CA and token of the session.
    type: path
    default: /run/slipway/session.json
  jobs_dir:
    description: Where the agent's JSON lines go on the machine.
    type: path
    default: /run/slipway/jobs
  job:
    description: Name of the job on the machine; made up when left out.
    type: str
  patience:
    description:
      - Minutes that may pass without any progress of the job; then it is not waited for any longer.
        By default 90, or 30 more than failing reads may take.
    type: int
  service:
    description:
      - Where the image server says how the job goes. C(session) is the identifier of the machine's
        session, C(admin_socket) the path of the service's administration socket there.
    type: dict
requirements:
  - Works on a machine in the imaging environment, within a session, and is delegated to its image
    server, with C(become). The role P(slipway.imaging.imaging_session#role) sees to both.
notes:
  - SSH to the machine starts the agent and no more. It runs as a systemd unit of its own and tells
    the image server how far it is and how it ends; there the task asks, and shows a line about it
    every few seconds.
  - When the machine is lost, the task fails; it does not become unreachable, so that C(rescue) and
    C(always) still run.
"""
