# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image or a version as somebody wants it: what differs, and making it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import AdminApi
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.module_utils._names import (
    check_name,
    split_reference,
)


class ImageState:
    """What a task wants of one image."""

    def __init__(self, api: AdminApi, wanted: Mapping[str, Any]) -> None:
        """Keep what is wanted; nothing is asked yet."""
        self.api = api
        self.wanted = wanted
        self.name, self.version = split_reference(wanted["image"])
        for key in ("rename", "copy"):
            if wanted[key] is not None:
                check_name(wanted[key])
        others = [key for key in ("note", "hold", "rename", "copy") if wanted[key] is not None]
        if wanted["state"] == "absent" and others:
            raise SlipwayError(
                f"An image that is to be deleted gets no {' and no '.join(others)}.",
                "Say one of both. Nothing was changed.",
                "bad_request",
            )

    def make(self, check_mode: bool) -> dict[str, Any]:
        """Make it so, or say what would be done."""
        if self.wanted["state"] == "absent":
            return self._absent(check_mode)
        result: dict[str, Any] = {"changed": False, "diff": []}
        for part in (self._label, self._copy, self._rename):
            done = part(check_mode)
            result["changed"] |= done["changed"]
            result["diff"] += done.get("diff", [])
            result |= {key: done[key] for key in ("versions",) if key in done}
        return result

    def _there(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of an image, newest first; none if it is not there."""
        try:
            image = self.api.image(name)
        except SlipwayError as failure:
            if failure.error != "unknown_image":
                raise
            return []
        if image["name"] != name:
            raise SlipwayError(
                f"{name} is an alias of {image['name']}.",
                "Name the image itself: playbooks/images.yml lists both.",
                "is_alias",
            )
        return list(image["versions"])

    def _meant(self) -> list[dict[str, Any]]:
        """Return the versions that are meant, all of the image or the one that was named."""
        there = self._there(self.name)
        if self.version is not None:
            there = [each for each in there if each["version"] == self.version]
        if not there:
            raise SlipwayError(
                f"There is no image {self.wanted['image']}.",
                "List the images with playbooks/images.yml. Nothing was changed.",
                "unknown_image" if self.version is None else "unknown_version",
            )
        return there

    def _absent(self, check_mode: bool) -> dict[str, Any]:
        there = self._there(self.name)
        gone = [each["version"] for each in there if self.version in (None, each["version"])]
        if not gone:
            return {"changed": False}
        if not check_mode:
            self.api.delete_image(self.name, self.version, self.wanted["reason"])
        diff = [_diff(f"{self.name}@{each}", "there", "in the trash") for each in gone]
        return {"changed": True, "versions": gone, "diff": diff}

    def _label(self, check_mode: bool) -> dict[str, Any]:
        wanted = {key: self.wanted[key] for key in ("note", "hold") if self.wanted[key] is not None}
        if not wanted:
            return {"changed": False}
        version = self._meant()[0]
        diff = []
        if "note" in wanted:
            before = version["note"] if self.version else self.api.image(self.name)["note"]
            if before != wanted["note"]:
                diff.append(
                    _diff(self.wanted["image"], f"note: {before}", f"note: {wanted['note']}")
                )
            else:
                del wanted["note"]
        if "hold" in wanted:
            why = f"held: {self.wanted['reason']}" if self.wanted["reason"] else "held"
            held = version["held"]
            own = [each for each in held if each != "held by the inventory"]
            if (own != [why]) if wanted["hold"] else held:
                after = [*held, why] if wanted["hold"] else []
                image = f"{self.name}@{version['version']}"
                diff.append(_diff(image, "; ".join(held), "; ".join(dict.fromkeys(after))))
            else:
                del wanted["hold"]
        if diff and not check_mode:
            if self.version:
                wanted["version"] = self.version
            self.api.label_image(self.name, wanted | {"reason": self.wanted["reason"]})
        return {"changed": bool(diff), "diff": diff}

    def _copy(self, check_mode: bool) -> dict[str, Any]:
        to = self.wanted["copy"]
        if to is None:
            return {"changed": False}
        version = self._meant()[0]["version"]
        if version in [each["version"] for each in self._there(to)]:
            # The service looks whether it is the same one.
            self.api.copy_image("copy", self.name, version, to)
            return {"changed": False}
        if not check_mode:
            self.api.copy_image("copy", self.name, version, to)
        diff = [_diff(f"{to}@{version}", "", f"a copy of {self.name}@{version}")]
        return {"changed": True, "versions": [version], "diff": diff}

    def _rename(self, check_mode: bool) -> dict[str, Any]:
        to = self.wanted["rename"]
        if to is None:
            return {"changed": False}
        before = [each["version"] for each in self._there(self.name)]
        after = [each["version"] for each in self._there(to)]
        moved = [each for each in before if self.version in (None, each)]
        done = self.version in after if self.version else bool(after)
        if not moved and done:
            return {"changed": False}
        if not moved:
            self._meant()
        if not check_mode:
            self.api.copy_image("rename", self.name, self.version, to)
        diff = [_diff(f"{self.name}@{each}", "", f"{to}@{each}") for each in moved]
        return {"changed": True, "versions": moved, "diff": diff}


def _diff(image: str, before: str, after: str) -> dict[str, str]:
    return {
        "before_header": image,
        "after_header": image,
        "before": f"{before}\n" if before else "",
        "after": f"{after}\n" if after else "",
    }
