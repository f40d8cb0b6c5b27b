# SPDX-License-Identifier: GPL-3.0-or-later
"""In the guest a fork of this very process is the agent: a new Python takes seconds to start."""

import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import pytest
from slipway.cli.main import main

from ..conftest import Agent, Outcome
from ..warm import load_all

load_all()


class ForkedAgent(Agent):
    """Hashes no source: the guest's tests do that themselves."""

    def __call__(self, verb: str, *arguments: object) -> Outcome:
        words = self.command(verb, *arguments)[3:]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            child = os.fork()
            if not child:
                _be_the_agent(words, output, errors)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            errors.seek(0)
            return Outcome(code, [json.loads(line) for line in output], errors.read())


def _be_the_agent(words: Sequence[str], output: TextIO, errors: TextIO) -> None:
    # pytest's handlers would keep the agent from setting up its own.
    logging.getLogger().handlers.clear()
    sys.stdout, sys.stderr = output, errors
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    code = 1
    try:
        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        # Never back into pytest, which is another process's.
        output.flush()
        errors.flush()
        os._exit(code)


@pytest.fixture
def agent(room: Path) -> Agent:
    return ForkedAgent(room / "store")
