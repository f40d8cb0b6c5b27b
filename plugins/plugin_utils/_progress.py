# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's progress records as one line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.imaging.plugins.module_utils._errors import clean

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """Return a number of bytes as the agent shows it: ``182 MB``, ``21.3 MB``, ``1.46 GB``."""
    for unit in _UNITS[:-1]:
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"


def span(seconds: float) -> str:
    """Return a time span as ``0:11`` or ``1:02:03``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(record: Mapping[str, Any], key: str) -> float:
    """Return an amount of a record, 0 when there is none: the agent is not trusted."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    # No disk reaches 2^63 bytes; NaN and the infinities fail this comparison too.
    return float(value) if 0 <= value < 2**63 else 0.0


def line(host: str, record: Mapping[str, Any]) -> str:
    """Return what a machine is doing.

    For example ``pc1  backup disk0:1  43 %  182 MB of 420 MB  21.3 MB/s  0:11 left  sent 80 MB``.
    """
    parts = [host, f"{clean(record.get('phase', 'work'), 20)} {place(record)}".rstrip()]
    done, total = number(record, "done"), number(record, "total")
    if total:
        parts += [f"{int(100 * min(done, total) / total):2d} %", f"{size(done)} of {size(total)}"]
    elif done:
        parts.append(size(done))
    if rate := number(record, "rate"):
        parts.append(f"{size(rate)}/s")
    if record.get("eta") is not None and done < total:
        parts.append(f"{span(number(record, 'eta'))} left")
    parts += [
        f"{key} {size(number(record, key))}" for key in ("sent", "written") if number(record, key)
    ]
    if waiting := clean(record.get("waiting") or "", 300):
        parts.append(waiting)
    return "  ".join(parts)


def place(record: Mapping[str, Any], disk: object = None) -> str:
    """Return a partition as the agent's command line names it: ``disk0:1``, ``disk0``."""
    names = [disk or record.get("disk"), record.get("partition")]
    return ":".join(clean(name, 40) for name in names if name)


def summary(host: str, record: Mapping[str, Any], check_mode: bool = False) -> str:
    """Return what a job did, or would do in check mode, when it is over."""
    image = f"{clean(record.get('image', ''), 63)}@{clean(record.get('version', ''), 30)}"
    amounts = [f"{key} {size(number(record, key))}" for key in ("read", "sent", "written")]
    end = "tried" if check_mode else "done"
    parts = [host, f"{clean(record.get('verb', 'work'), 20)} {end}", image, *amounts]
    return "  ".join([*parts, span(number(record, "seconds"))])
