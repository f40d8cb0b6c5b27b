# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of menu items, as scrypt hashes.

The text is ``scrypt$N$r$p$SALT$HASH``, salt and hash in base64. The control service checks a typed
password against it; the bounds keep one check below 64 MiB of memory and a second of time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets

from ansible_collections.slipway.imaging.plugins.module_utils._errors import SlipwayError

N = 1 << 14
R = 8
P = 1
SALT_BYTES = 16
HASH_BYTES = 32

MAX_N = 1 << 16
MAX_R = 8
MAX_P = 4
# A password is typed by hand; more is a mistake, and costs time at every check.
MAX_PASSWORD_BYTES = 1024

_REMEDY = "ansible-playbook playbooks/menu_password.yml makes one."


def make(password: str, salt: bytes | None = None) -> str:
    """Return the hash of a password, with a fresh salt unless one is given."""
    secret = password.encode("utf-8", "surrogatepass")
    if not 0 < len(secret) <= MAX_PASSWORD_BYTES or not password.isprintable():
        raise SlipwayError(
            "That password can't be typed at a PC.",
            f"Use 1 to {MAX_PASSWORD_BYTES} bytes of printable characters.",
            "bad_password",
        )
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    digest = hashlib.scrypt(secret, salt=salt, n=N, r=R, p=P, dklen=HASH_BYTES)
    fields = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", str(N), str(R), str(P), *fields))


def check_hash(text: object) -> str:
    """Return a password's hash as it is, else raise SlipwayError. Never shows the text."""
    if not isinstance(text, str) or not _is_hash(text):
        raise SlipwayError("That is no hash of a password.", _REMEDY, "bad_password_hash")
    return text


def _is_hash(text: str) -> bool:
    fields = text.split("$")
    if len(text) > 400 or len(fields) != 6 or fields[0] != "scrypt":
        return False
    if not all(field.isascii() and field.isdigit() for field in fields[1:4]):
        return False
    n, r, p = (int(field) for field in fields[1:4])
    if not (2 <= n <= MAX_N and n & (n - 1) == 0 and 1 <= r <= MAX_R and 1 <= p <= MAX_P):
        return False
    try:
        salt, digest = (base64.b64decode(field, validate=True) for field in fields[4:])
    except (binascii.Error, ValueError):
        return False
    return 8 <= len(salt) <= 64 and 16 <= len(digest) <= 64
