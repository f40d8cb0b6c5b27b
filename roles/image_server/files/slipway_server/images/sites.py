# SPDX-License-Identifier: GPL-3.0-or-later
"""Other sites, which read versions of this one: who they are, and what each may read."""

from __future__ import annotations

from dataclasses import dataclass

from ..base import tokens
from ..base.errors import ServiceError
from ..base.policy_files import PolicyFile
from .images import Images
from .policy import Policy, matches


@dataclass(frozen=True)
class Site:
    """Who asks, as ``policy_sites`` names it."""

    name: str
    patterns: tuple[str, ...]

    def may_read(self, image: str) -> bool:
        """Whether an image is one of those that it may read."""
        return matches(image, self.patterns)


class Sites:
    """All methods block."""

    def __init__(self, policy: PolicyFile[Policy], images: Images) -> None:
        """As the policy is when somebody asks."""
        self._policy = policy
        self._images = images

    def of(self, token: str) -> Site:
        """Whose token it is."""
        known = self._policy.usable().sites
        found = [name for name, site in known.items() if tokens.matches(token, site.token_hash)]
        if not found:
            raise ServiceError(
                "bad_token",
                "The token is of no site that may read here.",
                "Look at policy_sites there, and at policy_replicate here.",
            )
        return Site(found[0], tuple(known[found[0]].images))

    def images(self, site: Site) -> list[str]:
        """The images that it may read."""
        return [name for name in self._images.names() if site.may_read(name)]
