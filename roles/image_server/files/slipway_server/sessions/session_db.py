"""Sessions on disk."""

from __future__ import annotations

from pathlib import Path

from ..base.records import RecordDb
from .session import Session


class SessionDb(RecordDb[Session]):
    """Every session that is kept."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; ``path``'s folder must exist."""
        super().__init__(path, Session, "sessions", "one_open_session")
