# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share."""

LONG = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument and number where its value is too long to be a name.

    pytest-xdist runs nothing when two workers know a test by different names, so none may come
    from random bytes.
    """
    return argname if isinstance(val, str | bytes) and len(val) > LONG else None
