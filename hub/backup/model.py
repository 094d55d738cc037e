"""What a backup is: a manifest that names every file with its SHA-256, and how the ledger stood when it was made."""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hub.errors import Internal, Unavailable

FORMAT = 1
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of this backup alone: its path inside the backup, its bytes counted and hashed (hex)."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob of the hub; its bytes are the object of that hash, which many backups may share."""

    key: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A sealed file of the hub's key folder: which key it is, never the key. A KEK or pepper has purpose "secret"."""

    name: str
    purpose: str
    kid: str
    alg: str
    sha256: str
    retired: bool
    included: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """How the ledger stood: on SQLite exactly so in the copy; on PostgreSQL the copy holds at least this."""

    origin: str
    log_key: str
    size: int
    root: str
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about one backup. `source`: the URL of the database, without a password. `passphrase`: where that of
    the keys is kept. `wal`: the segments of PostgreSQL's log that are in it. `missing`: blobs that the database
    names and storage did not give, with the reason."""

    id: str
    made_at: int
    yimen: str
    database: str
    server: str
    source: str
    revision: str
    rows: dict[str, int]
    ledger: Ledger
    files: tuple[Stored, ...]
    blobs: tuple[Blob, ...]
    keys: tuple[KeyFile, ...]
    passphrase: str
    wal: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def total(self) -> int:
        """How much there is to restore."""
        return sum(one.size for one in self.files) + sum(one.size for one in self.blobs)

    def to_bytes(self) -> bytes:
        """The manifest file: JSON with the hash of all the rest as its last member."""
        body = {"format": FORMAT, **asdict(self)}
        return json.dumps({**body, "sha256": _digest(body)}, ensure_ascii=False, indent=0).encode() + b"\n"


def read_manifest(data: bytes) -> Manifest:
    """The manifest in these bytes. Raises Unavailable `backup.manifest_broken`."""
    try:
        whole = json.loads(data)
        told = whole.pop("sha256")
        if whole.get("format") != FORMAT or told != _digest(whole):
            raise ValueError("sha256")
        whole.pop("format")
        if any(Path(one["name"]).name != one["name"] for one in whole["keys"]):  # it stays in its folder
            raise ValueError("name")
        return Manifest(
            **{
                **whole,
                "ledger": Ledger(**whole["ledger"]),
                "files": tuple(Stored(**one) for one in whole["files"]),
                "blobs": tuple(Blob(**one) for one in whole["blobs"]),
                "keys": tuple(KeyFile(**one) for one in whole["keys"]),
                "missing": tuple(whole["missing"]),
                "wal": tuple(whole["wal"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Unavailable(
            "backup.manifest_broken",
            "备份清单已损坏，这份备份不可信。",
            "The backup's manifest is damaged; this backup is not trusted.",
            next_zh="请改用另一份备份：yimen backup list",
            next_en="Use another one: yimen backup list",
        ) from fault


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def new_id(moment: datetime) -> str:
    """A name that sorts by time; one maker at a time makes it unique: 20261125T210312.123456Z."""
    return f"{moment:%Y%m%dT%H%M%S.%f}Z"


def code_version() -> str:
    """The version of this code, installed or in a checkout."""
    try:
        return metadata.version("yimen")
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def no_room(path: Path) -> Unavailable:
    """The error for a disk that is full, or does not take what it is given."""
    return Unavailable(
        "backup.no_room",
        "磁盘写满或写入失败，没有留下半份备份。",
        "The disk is full or does not take what is written; no half backup was left.",
        next_zh=f"请腾出空间后重试：df -h {path}",
        next_en=f"Make room and try again: df -h {path}",
    )


def broken(what: str) -> Internal:
    """The error for a file of a backup that is not what the manifest says."""
    return Internal(
        "backup.broken",
        f"备份中的文件与清单不符：{what}。",
        f"A file of the backup is not what its manifest says: {what}.",
        next_zh="请运行 yimen backup verify，并改用另一份备份。",
        next_en="Run yimen backup verify, and use another backup.",
    )
