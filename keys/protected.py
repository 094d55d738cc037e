"""Files that only their owner may read: mode 0600, replaced as a whole, durable before anybody relies on them."""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keys.errors import KeyFault

MAX_FILE_BYTES = 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def require_name(name: str) -> str:
    """Return `name` if it can be part of a file name (a-z, 0-9, `_`, `-`), else raise `KeyFault`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise KeyFault(
            "key.name", "密钥名称只能含小写字母、数字、下划线和连字符", "the key name is not allowed"
        )
    return name


def prepare_folder(folder: Path) -> Path:
    """Make `folder` (0700) if it is missing; refuse one that others may write to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
    except OSError as fault:
        raise KeyFault("key.folder", "密钥目录无法使用", "the key folder cannot be used") from fault
    if mode & 0o022:
        raise KeyFault(
            "key.folder_mode",
            "密钥目录可被他人写入，请执行 chmod 700",
            "others may write to the key folder: chmod 700 it",
        )
    return folder


def read(path: Path) -> bytes:
    """The content of a private file.

    1. Not a symbolic link. 2. A regular file of at most 1 MiB. 3. No rights for group and others. The checks are made
    on the opened file, so it cannot be swapped in between. Raises `KeyFault`.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)  # 1
    except FileNotFoundError as fault:
        raise KeyFault("key.missing", "密钥文件不存在", "the key file does not exist") from fault
    except OSError as fault:
        raise KeyFault("key.unreadable", "密钥文件无法打开", "the key file cannot be opened") from fault
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE_BYTES:  # 2
            raise KeyFault(
                "key.unreadable", "密钥文件不是普通文件或过大", "the key file is not a plain small file"
            )
        if facts.st_mode & 0o077:  # 3
            raise KeyFault(
                "key.mode", "密钥文件权限过宽，请执行 chmod 600", "others may read the key file: chmod 600 it"
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(handle)


def write(path: Path, data: bytes, *, replace: bool) -> None:
    """Put `data` at `path` with mode 0600, whole or not at all, and durable on return.

    With `replace` false an existing file is never touched: `KeyFault` "key.exists".
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(draft, path)
            else:
                os.link(draft, path)  # unlike rename, fails when the name is taken
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError as fault:
        raise KeyFault(
            "key.exists", "同名密钥文件已存在", "a key file of that name exists already"
        ) from fault
    except OSError as fault:
        raise KeyFault("key.unwritable", "密钥文件无法写入", "the key file cannot be written") from fault


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock against every other process and thread; waits for it. Not re-entrant."""
    try:
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise KeyFault("key.folder", "密钥目录无法使用", "the key folder cannot be used") from fault
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # closing releases the lock
