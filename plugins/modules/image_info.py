#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module: list images, look at one, read one through."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: List images, look at one, or read one through
description:
  - Without options, lists all images with their versions, why each is kept, and until when.
  - With a name, only that image; with C(NAME@VERSION), the manifest of that version too.
version_added: 0.1.0
author: The Slipway team (@slipway)
extends_documentation_fragment:
  - slipway.imaging.attributes.info
  - slipway.imaging.admin
options:
  image:
    description: C(NAME) or C(NAME@VERSION).
    type: str
  check:
    description:
      - Read every chunk of the version through and compare it with its name. Without a version, the
        newest one is read. This takes as long as the server needs to read that much.
      - Needs O(image).
    type: bool
    default: false
  expect:
    description:
      - Images, C(NAME) or C(NAME@VERSION), that something relies on. Each that is not there is
        named in a warning and in RV(missing).
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: List all images
  slipway.imaging.image_info:
  delegate_to: img
  become: true
  register: store

- name: Read the newest version of pc1 through
  slipway.imaging.image_info:
    image: pc1
    check: true
  delegate_to: img
  become: true

- name: Be warned when an image is not there
  slipway.imaging.image_info:
    expect: [lab-base, "pc1@20260131T235959Z"]
  delegate_to: img
  become: true
"""

RETURN = r"""
images:
  description:
    - Images with their versions, as the service describes them. Of each version among others
      C(bytes) of the disks, C(stored) bytes of its chunks, C(own) bytes of chunks that no other
      version has (by the last collection), C(checked) since when each chunk was read and found
      sound, C(kept_because) and C(goes_when), the first day on which no reason is left if each day
      brings a good version, and C(media), the discs and sticks that were made of it, each with
      C(name), C(medium), C(bytes), C(discs), C(made) and the version of C(shim) that starts them.
  type: list
  elements: dict
  returned: success
  sample:
    - name: pc1
      versions:
        - version: 20260131T235959Z
          bytes: 420000000
          degraded: false
          unreadable: 0
          own: 1200000
          kept_because: [daily 7]
          goes_when: "2026-02-07"
aliases:
  description: Names that stand for a version, or for the newest of an image.
  type: list
  elements: dict
  returned: when O(image) was not given
  sample:
    - {alias: lab-base, image: course-office@20260131T235959Z, fixed: true}
manifest:
  description: The manifest of the version.
  type: dict
  returned: when O(image) names a version
image_check:
  description: What reading the version through found.
  type: dict
  returned: when O(check) is true
  sample:
    state: sound
    bytes_done: 420000000
    bytes_total: 420000000
    problems: []
version:
  description: The version that was read through.
  type: str
  returned: when O(check) is true
missing:
  description: Those of O(expect) that are not there.
  type: list
  elements: str
  returned: when O(image) was not given
"""

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.imaging.plugins.module_utils._admin_api import (
    ADMIN_ARGUMENTS,
    AdminApi,
)
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, fail
from ansible_collections.slipway.imaging.plugins.module_utils._names import split_reference


def look(params: dict[str, Any]) -> dict[str, Any]:
    """Return what the service says about images."""
    api = AdminApi(params["admin_socket"])
    if params["image"] is None:
        listed = api.image_list()
        images, aliases = listed.get("images", []), listed.get("aliases", [])
        names = [alias["alias"] for alias in aliases]
        absent = missing(images, params["expect"] or [])
        return {
            "changed": False,
            "images": images,
            "aliases": aliases,
            "missing": [reference for reference in absent if reference not in names],
        }
    name, version = split_reference(params["image"])
    image = api.image(name)
    # An alias shows the image that it stands for.
    name = image["name"]
    result: dict[str, Any] = {"changed": False, "images": [image]}
    if version:
        result["manifest"] = api.manifest(name, version)
    if params["check"]:
        version = version or meant(api, params["image"], image)
        result["image_check"] = api.check(name, version)
        result["version"] = version
    return result


def missing(images: list[dict[str, Any]], expected: list[str]) -> list[str]:
    """Return the references that no image and no version answers to."""
    there = {image["name"] for image in images if image["versions"]} | {
        f"{image['name']}@{entry['version']}" for image in images for entry in image["versions"]
    }
    return [reference for reference in expected if reference not in there]


def meant(api: AdminApi, reference: str, image: dict[str, Any]) -> str:
    """Return the version that a name without one stands for."""
    if reference == image["name"]:
        return str(image["versions"][-1]["version"])
    [target] = [alias["image"] for alias in api.aliases() if alias["alias"] == reference]
    return split_reference(target)[1] or str(image["versions"][-1]["version"])


def main() -> NoReturn:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str"},
            "check": {"type": "bool", "default": False},
            "expect": {"type": "list", "elements": "str"},
            **ADMIN_ARGUMENTS,
        },
        required_if=[("check", True, ("image",))],
        mutually_exclusive=[("image", "expect")],
        supports_check_mode=True,
    )
    try:
        result = look(module.params)
        for reference in result.get("missing", []):
            module.warn(
                f"There is no image {reference}. Remedy: correct the name, as "
                "playbooks/images.yml lists them, or back up a machine under it."
            )
        module.exit_json(**result)
    except SlipwayError as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
