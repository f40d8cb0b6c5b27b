# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks kernel modules: rules decide, then everything a picked module depends on joins."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slipway_image.errors import BuildError
from slipway_image.lists import Entry


@dataclass(frozen=True)
class Rule:
    """Keep or drop the modules whose path matches."""

    keep: bool
    pattern: str
    regex: re.Pattern[str]


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a path pattern into a regex: `*` stays within a folder, `**` does not."""
    parts = (
        ".*" if part == "**" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*|\*)", pattern)
    )
    return re.compile("".join(parts) + r"(?:\.xz|\.zst|\.gz)?")


def keep(pattern: str) -> Rule:
    """Return the rule that keeps what matches a pattern."""
    return Rule(True, pattern, compile_pattern(pattern))


def rules(entries: Iterable[Entry]) -> list[Rule]:
    """Turn list entries into rules."""
    result = []
    for entry in entries:
        verb, pattern = entry.words
        if verb not in ("keep", "drop"):
            raise BuildError(f"modules.list: {verb!r} is neither `keep` nor `drop`")
        result.append(Rule(verb == "keep", pattern, compile_pattern(pattern)))
    return result


def parse_dependencies(modules_dep: str) -> dict[str, list[str]]:
    """Read modules.dep: for each module the modules that it needs, all with their paths."""
    result = {}
    for line in modules_dep.splitlines():
        module, _, needs = line.partition(":")
        result[module.strip()] = needs.split()
    return result


def select(dependencies: Mapping[str, list[str]], rule_list: list[Rule]) -> set[str]:
    """Return the paths (as in modules.dep) of the modules to keep."""
    kept: set[str] = set()
    for module in dependencies:
        path = module.removeprefix("kernel/")
        for rule in reversed(rule_list):
            if rule.regex.fullmatch(path):
                if rule.keep:
                    kept.add(module)
                break
    # modules.dep names indirect needs as well, so one round is enough.
    return kept | {need for module in kept for need in dependencies[module]}


def unused(dependencies: Mapping[str, list[str]], rule_list: list[Rule]) -> list[str]:
    """Return the patterns of `keep` rules that match no module of this kernel."""
    paths = [module.removeprefix("kernel/") for module in dependencies]
    return [
        rule.pattern
        for rule in rule_list
        if rule.keep and not any(rule.regex.fullmatch(path) for path in paths)
    ]
