# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says about itself."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes that each module declares; the module itself fills in `support`."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what it would do without doing it.
  diff_mode:
    description: Returns what changed, or would change in check mode, when in diff mode.
  idempotent:
    description: Running it again with the same options changes nothing more.
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say what it would do without doing it.
    support: full
    details: It changes nothing.
  diff_mode:
    description: Returns what changed, or would change in check mode, when in diff mode.
    support: none
    details: There is nothing to change.
  idempotent:
    description: Running it again with the same options changes nothing more.
    support: full
"""
