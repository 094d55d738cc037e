"""The demo's data folder: whose it is, what is done in it, one demo at a time in it, and how it is emptied."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.demo.telling import surprise

RECORD = "demo.json"
LOCK = ".demo.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder for this demo; a demo that was killed lets go at once. `Surprise` when another one runs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            url = record(folder).get("url", "")
            surprise(
                f"这个数据目录里已有一个演示在运行：{url}", f"a demo is already running in this folder: {url}"
            )
        yield


def record(folder: Path) -> dict[str, Any]:
    """What an earlier start wrote down; empty when there was none."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def write_record(folder: Path, value: Mapping[str, Any]) -> None:
    """Write it down, in one step."""
    draft = folder / f"{RECORD}.new"
    draft.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(draft, folder / RECORD)


def empty(folder: Path) -> None:
    """Delete what an earlier demo left. `Surprise`, and nothing deleted, when the folder is not a demo's."""
    found = [path for path in folder.iterdir() if path.name != LOCK]
    if found and not (folder / RECORD).is_file():
        surprise(
            f"{folder} 里有不属于演示的内容，没有删除；请用 --data 换一个目录",
            f"{folder} holds what is not the demo's; nothing was deleted: choose another folder with --data",
        )
    for path in sorted(found, key=lambda one: one.name == RECORD):  # the record goes last
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
