# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules and lists that stand in several programs are the same in all of them."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import yaml
from ansible_collections.slipway.imaging.plugins.module_utils import _names as plugin_names
from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.imaging.plugins.modules import job as job_module
from hypothesis import example, given
from hypothesis import strategies as st
from slipway.format import names as agent_names
from slipway.format.errors import FormatError
from slipway_runner.play import PLAYBOOKS
from slipway_server.jobs.job import Ordered
from slipway_server.sessions.verbs import VERBS
from slipway_web.pages import orders

ROOT = Path(__file__).resolve().parents[2]

REFUSED = "refused"
near_names = st.one_of(
    st.text(max_size=70),
    st.from_regex(r"[a-z0-9-]{0,65}", fullmatch=True),
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,4}@[0-9]{8}T[0-9]{6}Z(-[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(sorted(agent_names.RESERVED_NAMES)),
)
near_macs = st.one_of(
    st.text(max_size=20), st.from_regex(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){4,6}", fullmatch=True)
)


def outcome(function: Callable[[str], object], text: str) -> object:
    """Return what a function makes of a text, or that it refused it."""
    try:
        return function(text)
    except (SlipwayError, FormatError):
        return REFUSED


@given(near_names)
@example("../x")
@example("-oProxyCommand=x")
@example("{{ 1 }}")
@example("all")
@example("pc1\n")
@example("pc1@20260131T235959Z-0")
def test_image_references(text: str) -> None:
    def agent(value: str) -> tuple[str, str | None]:
        reference = agent_names.parse_image_ref(value)
        return reference.name, reference.version

    assert outcome(plugin_names.split_reference, text) == outcome(agent, text)


@given(near_macs)
@example("52-54-00-77-00-0A")
@example("52:54:00:77:00:01\n")
def test_mac_addresses(text: str) -> None:
    assert outcome(plugin_names.check_mac, text) == outcome(agent_names.check_mac, text)


def test_reserved_names() -> None:
    assert plugin_names.RESERVED_NAMES == agent_names.RESERVED_NAMES


def test_verbs_that_may_be_ordered() -> None:
    job = yaml.safe_load(job_module.DOCUMENTATION)["options"]["verb"]["choices"]
    session = yaml.safe_load((ROOT / "roles/imaging_session/vars/main.yml").read_text())
    known = {
        "the runner": PLAYBOOKS,
        "the page": orders.VERBS,
        "the module job": job,
        "imaging_session": session["_imaging_session_ordered_verbs"],
    }
    wanted = sorted(get_args(Ordered))
    assert {who: verbs for who, verbs in known.items() if sorted(verbs) != wanted} == {}


def test_verbs_of_sessions() -> None:
    session = yaml.safe_load((ROOT / "roles/imaging_session/vars/main.yml").read_text())
    assert session["_imaging_session_verbs"] == VERBS
