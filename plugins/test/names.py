# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of names that come from an inventory or a command line."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_mac,
    is_name,
    split_reference,
)


def _accepts(check: Callable[[object], object]) -> Callable[[object], bool]:
    def accepted(value: object) -> bool:
        try:
            check(value)
        except SlipwayError:
            return False
        return True

    return accepted


class TestModule:
    """What Ansible loads."""

    def tests(self) -> dict[str, Callable[[object], bool]]:
        """Return the tests by name."""
        return {
            "machine_name": is_name,
            "image_name": is_name,
            "image_reference": _accepts(split_reference),
            "mac_address": _accepts(check_mac),
        }
