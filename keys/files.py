"""Private keys in files, and a keyring: which key serves which purpose, and when.

A key is an encrypted PKCS#8 PEM with mode 0600. `keyring.json` beside the keys holds no secret. All times are aware
datetimes; a key signs in the half-open window [not_before, not_after).
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keys import protected
from keys.algorithms import ALLOWED
from keys.errors import KeyFault
from keys.public import PublicKey
from keys.sealed import passphrase_bytes, seal, unseal
from keys.signer import LocalSigner, PrivateKey, Signer, new_private_key

_PEM_HEAD = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


class FileSigner(LocalSigner):
    """A signer whose key came from the file at `path`."""

    __slots__ = ("path",)

    path: Path

    def __init__(self, private_key: PrivateKey, path: Path) -> None:
        super().__init__(private_key)
        self.path = path


def create(folder: Path | str, *, name: str, alg: str = "ES256", passphrase: str | bytes) -> FileSigner:
    """Make a key and keep it at `folder/name.pem`, encrypted, 0600; never overwrites. Raises `KeyFault`."""
    secret = passphrase_bytes(passphrase)
    path = protected.prepare_folder(Path(folder)) / f"{protected.require_name(name)}.pem"
    key = new_private_key(alg)
    _write_pem(path, key, secret)
    return FileSigner(key, path)


def _write_pem(path: Path, key: PrivateKey, passphrase: bytes) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
    protected.write(path, pem, replace=False)


def load(path: Path | str, *, passphrase: str | bytes) -> FileSigner:
    """The signer kept at `path`.

    Raises `KeyFault`: "key.missing", "key.mode" (others may read it), "key.damaged" (cut short, not encrypted, not a
    key), "key.passphrase", "key.algorithm" (a kind of key that we do not use).
    """
    path = Path(path)
    secret = passphrase_bytes(passphrase)
    pem = protected.read(path)
    if not pem.startswith(_PEM_HEAD) or b"-----END ENCRYPTED PRIVATE KEY-----" not in pem:
        raise KeyFault("key.damaged", "密钥文件已损坏或未加密", "the key file is damaged, or not encrypted")
    try:
        key = load_pem_private_key(pem, secret)
    except ValueError as fault:
        raise KeyFault(
            "key.passphrase", "口令错误或密钥文件已损坏", "wrong passphrase, or the key file is damaged"
        ) from fault
    except (TypeError, UnsupportedAlgorithm) as fault:
        raise KeyFault("key.damaged", "密钥文件已损坏", "the key file is damaged") from fault
    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise KeyFault("key.algorithm", "不支持的密钥类型", "the key type is not supported")
    return FileSigner(key, path)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key of a keyring. `not_after` None means no planned end; `retired_at` ends it whatever was planned."""

    purpose: str
    kid: str
    alg: str
    not_before: datetime
    not_after: datetime | None
    retired_at: datetime | None
    path: Path

    def signs_at(self, moment: datetime) -> bool:
        """Whether this key may sign at `moment`."""
        if self.retired_at is not None and moment >= self.retired_at:
            return False
        return self.not_before <= moment and (self.not_after is None or moment < self.not_after)


def _aware(moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise KeyFault("keyring.time", "时间缺少时区", "a time without a zone")
    return moment.astimezone(UTC)


@dataclass(slots=True)
class _Cache:
    stamp: tuple[int, int, int] | None = None
    records: tuple[KeyRecord, ...] = ()
    signers: dict[str, FileSigner] = field(default_factory=dict)
    secrets: dict[str, bytes] = field(default_factory=dict)


class Keyring:
    """The keys of one installation, in one folder, under one passphrase.

    Any number of processes may use the same folder: changes are made under a lock and replace `keyring.json` as a
    whole; a reader sees the change at its next call. Keys and secrets stay decrypted in this object's memory.
    """

    def __init__(self, folder: Path | str, passphrase: str | bytes) -> None:
        self.folder = protected.prepare_folder(Path(folder))
        self._passphrase = passphrase_bytes(passphrase)
        self._index = self.folder / "keyring.json"
        self._cache = _Cache()
        self._thread_lock = threading.RLock()

    # -- reading

    def inventory(self) -> list[KeyRecord]:
        """All keys that ever were, in the order of their making."""
        with self._thread_lock:
            return list(self._records())

    def active(self, purpose: str, now: datetime) -> Signer:
        """The key that signs for `purpose` at `now`: of several, the one whose window began last.

        Raises `KeyFault` "keyring.no_active".
        """
        moment = _aware(now)
        with self._thread_lock:
            return self._signer(_active(self._records(), purpose, moment))

    def signer(self, kid: str) -> Signer:
        """One key by its id, also outside its window: a predecessor signs for its successor. Not a retired one."""
        with self._thread_lock:
            return self._standing(self._find(self._records(), kid))

    def public(self, kid: str, *, purpose: str) -> PublicKey:
        """The public half of a key that serves `purpose`; `KeyFault` "keyring.unknown", "keyring.retired"."""
        with self._thread_lock:
            record = self._find(self._records(), kid)
            if record.purpose != purpose:
                raise KeyFault("keyring.unknown", "没有这把密钥", "there is no such key")
            return self._standing(record).public

    # -- changing

    def create(
        self,
        purpose: str,
        *,
        alg: str = "ES256",
        not_before: datetime,
        not_after: datetime | None = None,
    ) -> Signer:
        """Make a key for `purpose` that may sign from `not_before` until before `not_after`."""
        with self._changing():
            return self._add(purpose, alg, not_before, not_after)

    def rotate(self, purpose: str, now: datetime, *, starts: datetime | None = None) -> Signer:
        """Make the successor of the active key of `purpose`; it takes over at `starts` (default: `now`).

        The old key's window ends there and the new one is as long as the old one was planned. Of processes that
        rotate at once each makes a key, in turn; nothing is lost and one key is active. `KeyFault`
        "keyring.pending" while an earlier successor still waits to start.
        """
        moment = _aware(now)
        start = moment if starts is None else _aware(starts)
        if start < moment:
            raise KeyFault("keyring.window", "新密钥的起始时间在过去", "a successor cannot start in the past")
        with self._changing():
            records = self._records()
            old = _active(records, purpose, moment)
            mine = [r for r in records if r.purpose == purpose and r.retired_at is None]
            if any(r.not_before > moment for r in mine):
                raise KeyFault(
                    "keyring.pending", "已有尚未启用的新密钥", "a successor is waiting to start already"
                )
            end = None if old.not_after is None else start + (old.not_after - old.not_before)
            return self._add(purpose, old.alg, start, end, ending=frozenset(r.kid for r in mine))

    def retire(self, kid: str, now: datetime) -> KeyRecord:
        """End a key at `now` for good. Repeating it changes nothing. The file stays, for the ceremony to destroy."""
        moment = _aware(now)
        with self._changing():
            records = self._records()
            record = self._find(records, kid)
            if record.retired_at is None:
                record = replace(record, retired_at=moment)
                self._store([record if r.kid == kid else r for r in records])
            self._cache.signers.pop(kid, None)
            return record

    def secret(self, name: str, nbytes: int = 32) -> bytes:
        """`nbytes` random bytes known by `name`: made at the first call, the same for ever after (KEK, pepper).

        Kept at `name.secret`, sealed under the passphrase. `KeyFault` "key.length" when it exists with another length.
        """
        path = self.folder / f"{protected.require_name(name)}.secret"
        if nbytes < 16:
            raise KeyFault("key.length", "密钥长度不足", "a secret has at least 16 bytes")
        with self._thread_lock:
            if name not in self._cache.secrets:
                self._cache.secrets[name] = self._read_or_make_secret(path, name, nbytes)
            value = self._cache.secrets[name]
        if len(value) != nbytes:
            raise KeyFault("key.length", "密钥长度与要求不符", "the secret has another length")
        return value

    # -- inside

    def _read_or_make_secret(self, path: Path, name: str, nbytes: int) -> bytes:
        with protected.locked(self.folder):
            if not path.exists() and not path.is_symlink():
                blob = seal(secrets.token_bytes(nbytes), passphrase=self._passphrase, name=name)
                protected.write(path, blob, replace=False)
        return unseal(protected.read(path), passphrase=self._passphrase, name=name)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._thread_lock, protected.locked(self.folder):
            yield

    def _add(
        self,
        purpose: str,
        alg: str,
        not_before: datetime,
        not_after: datetime | None,
        ending: frozenset[str] = frozenset(),
    ) -> FileSigner:
        protected.require_name(purpose)
        start, end = _aware(not_before), None if not_after is None else _aware(not_after)
        if end is not None and end <= start:
            raise KeyFault("keyring.window", "密钥有效期为空", "the window of the key is empty")
        records = list(self._records())
        key = new_private_key(alg)
        # The kid is in the name so that a crash between the two writes leaves a stray file, never a wrong one.
        path = self.folder / f"{purpose}-{LocalSigner(key).kid}.pem"
        _write_pem(path, key, self._passphrase)
        signer = FileSigner(key, path)
        ended = [
            replace(r, not_after=min(r.not_after or start, start)) if r.kid in ending else r for r in records
        ]
        self._store([*ended, KeyRecord(purpose, signer.kid, signer.alg, start, end, None, path)])
        self._cache.signers[signer.kid] = signer
        return signer

    def _standing(self, record: KeyRecord) -> FileSigner:
        if record.retired_at is not None:
            raise KeyFault("keyring.retired", "密钥已停用", "the key is retired")
        return self._signer(record)

    def _signer(self, record: KeyRecord) -> FileSigner:
        signer = self._cache.signers.get(record.kid)
        if signer is None:
            signer = load(record.path, passphrase=self._passphrase)
            if signer.kid != record.kid or signer.alg != record.alg:
                raise KeyFault(
                    "key.mismatch", "密钥文件与目录记录不符", "the key file is not the key of the record"
                )
            self._cache.signers[record.kid] = signer
        return signer

    def _find(self, records: tuple[KeyRecord, ...], kid: str) -> KeyRecord:
        for record in records:
            if record.kid == kid:
                return record
        raise KeyFault("keyring.unknown", "没有这把密钥", "there is no such key")

    def _records(self) -> tuple[KeyRecord, ...]:
        try:
            facts = self._index.stat()
        except FileNotFoundError:
            self._cache.stamp, self._cache.records = None, ()
            return ()
        stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if stamp != self._cache.stamp:
            self._cache.records = _parse_index(protected.read(self._index), self.folder)
            self._cache.stamp = stamp
        return self._cache.records

    def _store(self, records: list[KeyRecord]) -> None:
        text = json.dumps({"version": 1, "keys": [_to_json(r) for r in records]}, indent=1, sort_keys=True)
        protected.write(self._index, text.encode("utf-8") + b"\n", replace=True)
        self._cache.stamp = None


def _active(records: tuple[KeyRecord, ...], purpose: str, moment: datetime) -> KeyRecord:
    standing = [r for r in reversed(records) if r.purpose == purpose and r.signs_at(moment)]
    if not standing:
        raise KeyFault("keyring.no_active", "该用途没有有效密钥", "no key of this purpose may sign now")
    return max(standing, key=lambda r: r.not_before)  # the first of equals, which was made last


def _to_json(record: KeyRecord) -> dict[str, Any]:
    return {
        "purpose": record.purpose,
        "kid": record.kid,
        "alg": record.alg,
        "not_before": record.not_before.isoformat(),
        "not_after": record.not_after and record.not_after.isoformat(),
        "retired_at": record.retired_at and record.retired_at.isoformat(),
        "file": record.path.name,
    }


def _from_json(entry: dict[str, Any], folder: Path) -> KeyRecord:
    """One record; `ValueError`, `KeyError` or `TypeError` when it is not one. `file` never leaves the folder."""

    def moment(name: str) -> datetime:
        value = datetime.fromisoformat(entry[name])
        if value.tzinfo is None:
            raise ValueError(name)
        return value

    file = str(entry["file"])
    if (
        entry["alg"] not in ALLOWED
        or Path(file).name != file
        or file.startswith(".")
        or not file.endswith(".pem")
    ):
        raise ValueError("file or alg")
    return KeyRecord(
        str(entry["purpose"]),
        str(entry["kid"]),
        str(entry["alg"]),
        moment("not_before"),
        None if entry["not_after"] is None else moment("not_after"),
        None if entry["retired_at"] is None else moment("retired_at"),
        folder / file,
    )


def _parse_index(data: bytes, folder: Path) -> tuple[KeyRecord, ...]:
    try:
        whole = json.loads(data)
        if whole["version"] != 1:
            raise ValueError("version")
        records = tuple(_from_json(entry, folder) for entry in whole["keys"])
        if len({record.kid for record in records}) != len(records):
            raise ValueError("kid twice")
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise KeyFault(
            "keyring.damaged", "密钥目录文件 keyring.json 已损坏", "keyring.json is damaged"
        ) from fault
    return records
