"""The key inventory of a backup: which keys there are and where their sealed files lie. Never a key."""

import hashlib
from pathlib import Path

from hub.backup.folder import BackupFolder, sync_folder, write_durably
from hub.backup.model import KeyFile, Manifest, Stored, broken
from hub.errors import Conflict
from keys import protected
from keys.files import Keyring

INDEX = "keyring.json"
KEYS = "keys"


def inventory(keyring: Keyring, *, included: bool) -> tuple[KeyFile, ...]:
    """Every file of the key folder that matters, with its hash; nothing is decrypted."""
    found = []
    for record in keyring.inventory():
        retired = record.retired_at is not None
        found.append(
            KeyFile(record.path.name, record.purpose, record.kid, record.alg, _hash(record.path), retired, included)
        )
    for path in sorted(keyring.folder.glob("*.secret")):
        found.append(KeyFile(path.name, "secret", path.stem, "", _hash(path), False, included))
    index = keyring.folder / INDEX
    if index.is_file():
        found.append(KeyFile(INDEX, "index", "", "", _hash(index), False, included))
    return tuple(found)


def copy_sealed(keyring: Keyring, keys: tuple[KeyFile, ...], draft: Path) -> list[Stored]:
    """Copy the sealed files into the draft: encrypted as they lie, still under their passphrase."""
    (draft / KEYS).mkdir(mode=0o700)
    copied = []
    for key in keys:
        data = protected.read(keyring.folder / key.name)
        write_durably(draft / KEYS / key.name, data)
        copied.append(Stored(f"{KEYS}/{key.name}", len(data), hashlib.sha256(data).hexdigest()))
    sync_folder(draft / KEYS)
    return copied


def missing(manifest: Manifest, keys_dir: Path, *, with_keys: bool = True) -> list[str]:
    """The key files that neither the backup (where `with_keys`) nor the key folder holds, by name."""
    return [
        key.name
        for key in manifest.keys
        if key.purpose != "index" and not (key.included and with_keys) and not _is(keys_dir / key.name, key.sha256)
    ]


def put_back(manifest: Manifest, folder: BackupFolder, keys_dir: Path) -> int:
    """Put the included key files where none are; a file that is there must be the same. How many were written.

    Raises Conflict `restore.keys_differ`, Internal `backup.broken`.
    """
    files = {one.path: one for one in manifest.files}
    wanted = []
    for key in manifest.keys:
        if key.included:
            stored = files[f"{KEYS}/{key.name}"]
            data = folder.file(manifest, stored).read_bytes()
            if hashlib.sha256(data).hexdigest() != key.sha256:
                raise broken(stored.path)
            path = keys_dir / key.name
            if path.exists() and _hash(path) != key.sha256:
                raise Conflict(
                    "restore.keys_differ",
                    f"密钥目录里已有不同的 {key.name}，没有覆盖。",
                    f"The key folder has another {key.name}; it was not overwritten.",
                    next_zh="请用空的密钥目录，或加 --no-keys 保留现有密钥。",
                    next_en="Use an empty key folder, or --no-keys to leave the keys as they are.",
                )
            wanted.append((path, data))
    protected.prepare_folder(keys_dir)
    fresh = [(path, data) for path, data in wanted if not path.exists()]
    for path, data in sorted(fresh, key=lambda pair: pair[0].name == INDEX):  # the index last: it names the others
        protected.write(path, data, replace=False)
    return len(fresh)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and _hash(path) == sha256


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
