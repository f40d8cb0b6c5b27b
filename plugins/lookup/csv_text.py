"""Lookup: the text of a table, from where the user stands."""

from __future__ import annotations

DOCUMENTATION = r"""
name: csv_text
short_description: The text of a table, from where the user stands
version_added: 0.1.0
author: The Slipway team (@slipway)
description:
  - Reads a file of the controller. A relative path begins where C(ansible-playbook) was started, as
    whoever typed it expects; then it is looked for as P(ansible.builtin.file#lookup) does.
  - The file may be UTF-8, UTF-16 (Excel's "Unicode text") or code page 1252.
options:
  _terms:
    description: Paths of files.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the text
  ansible.builtin.debug:
    msg: "{{ lookup('slipway.imaging.csv_text', 'pcs.csv') }}"
"""

RETURN = r"""
_raw:
  description: Texts.
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError, clean
from ansible_collections.slipway.imaging.plugins.plugin_utils._csv_table import decode


class LookupModule(LookupBase):
    """What Ansible loads."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the texts."""
        return [self._text(str(term), variables) for term in terms]

    def _text(self, term: str, variables: dict[str, Any] | None) -> str:
        path = Path(term).expanduser()
        if not path.exists():
            other = self.find_file_in_search_path(variables, "files", term, ignore_missing=True)
            path = Path(other) if other else path
        try:
            return decode(path.read_bytes())
        except OSError as failure:
            problem = SlipwayError(
                f"{clean(term, 200)} can't be read: {failure.strerror}. Nothing was changed.",
                f"Give its path as seen from {Path.cwd()}, or the whole path.",
                "no_file",
            )
            raise AnsibleLookupError(str(problem)) from failure
