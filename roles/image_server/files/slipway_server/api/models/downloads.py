# SPDX-License-Identifier: GPL-3.0-or-later
"""What requests and answers about files and disks of versions look like. Numbers are bytes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from .common import Strict

PARTITION = "^[!-~]{0,200}$"
PATH = r"^/[^\x00-\x1f\x7f]*$"
MAX_PATH = 2048


class Entry(BaseModel):
    """A name in a folder."""

    name: str
    folder: bool
    size: int | None = Field(description="null for a folder, and for what is no file")
    modified: str = Field(description="as the file system has it: the PC's own time, or UTC")


class FileSystem(BaseModel):
    """Something of a version that can be looked into."""

    partition: str
    content: str


class Listing(BaseModel):
    """A folder, what a file is, or which partitions there are."""

    state: Literal["read", "being read"]
    kind: Literal["partitions", "folder", "file"] | None = None
    partition: str
    path: str
    partitions: list[FileSystem] = []
    entries: list[Entry] = []
    name: str = ""
    size: int | None = None
    modified: str = ""


class WantedDownload(Strict):
    """A file with its partition and path, or a disk with its format."""

    kind: Literal["file", "disk"]
    partition: Annotated[str, Field(pattern=PARTITION)] = ""
    path: Annotated[str, Field(pattern=PATH, max_length=MAX_PATH)] | None = None
    disk: Annotated[str, Field(pattern="^disk[0-9]{1,3}$")] = "disk0"
    format: Literal["qcow2", "vmdk", "raw"] = "qcow2"
    allow_degraded: bool = Field(
        default=False, description="whether what the source disk could not read may be zeros"
    )

    @model_validator(mode="after")
    def _named(self) -> WantedDownload:
        if self.kind == "file" and self.path is None:
            raise ValueError("path: a file has one")
        return self

    def asked(self) -> dict[str, Any]:
        """What makes it this one."""
        if self.kind == "file":
            return {"partition": self.partition, "path": self.path}
        return {"disk": self.disk, "format": self.format, "allow_degraded": self.allow_degraded}


class DownloadView(BaseModel):
    """One that was ordered."""

    id: str
    kind: Literal["file", "disk"]
    image: str
    version: str
    asked: dict[str, Any]
    by: str
    created: str
    state: Literal["waiting", "running", "ready", "failed", "cut off"]
    done: int
    total: int = Field(description="at most; 0: not known")
    called: str = Field(description="its name, for whoever saves it")
    size: int
    message: str
    remedy: str
    ended: str | None
    goes: str | None = Field(description="when it is removed")


class DownloadList(BaseModel):
    """What was ordered, the newest first."""

    downloads: list[DownloadView]


class Place(BaseModel):
    """Where the web server finds it, below its folder of downloads."""

    place: str
    called: str
    size: int
