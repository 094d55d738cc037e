"""A witness: remembers the newest checkpoint of each log, and cosigns only what extends it (C2SP tlog-witness).

Run by the audit office and by departments, on their own machine, with their own key that signs nothing else.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.errors import Conflict, HubError
from hub.formats import addcheckpoint
from hub.formats.merkle import EMPTY_ROOT, verify_consistency
from hub.formats.note import Checkpoint, Note, NoteSigner, Vkey, cosign, parse, parse_checkpoint, verify

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, body, media type."""

    status: int
    body: str
    media_type: str = TEXT


class Witness:
    """One witness and its memory: a folder with one note a log. A second process on it is refused."""

    def __init__(self, folder: Path, *, signer: NoteSigner, key: Vkey, logs: Mapping[str, Vkey]) -> None:
        """`key`: type 0x04, with the witness's name. `logs`: origin -> log key. Raises Conflict `witness.busy`."""
        self._folder = folder
        self._signer = signer
        self._key = key
        self._logs = dict(logs)
        self._turn = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # flock, not lockf: closing any descriptor of the file would silently drop the latter.
        self._handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise Conflict(
                "witness.busy", "另一见证进程正在使用该目录。", "Another witness process uses this folder."
            ) from None

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._handle)

    def add_checkpoint(self, body: bytes, *, now: int) -> Answer:
        """Answer one request; what is answered with 200 is durable before. `now` in seconds, not 0.

        1. 400 malformed. 2. 404 unknown origin. 3. 403 without the log's signature, or with one that does not
        verify. 4. 400 old size over the checkpoint's. 5. 409 with the recorded size when old is another one.
        6. 422 empty tree with another root. 7. 422 proof that does not hold, or is there from size 0; the same
        size with another root is a fork, kept as evidence with the checkpoint that it contradicts.
        8. Stored, then 200 with our line.
        """
        try:
            asked = addcheckpoint.read(body)  # 1
            text = asked.checkpoint.text
            new = parse_checkpoint(text)
        except HubError as refused:
            return Answer(400, f"{refused.en}\n")
        log_key = self._logs.get(new.origin)
        if log_key is None:  # 2
            return Answer(404, "unknown log\n")
        try:
            verify(asked.checkpoint, [log_key])  # 3
        except HubError as refused:
            return Answer(403, f"{refused.en}\n")
        if asked.old > new.size:  # 4
            return Answer(400, "old size is larger than the checkpoint's\n")
        with self._turn:
            return self._judge(asked, new, now)

    def latest(self, origin_hash: str) -> bytes | None:
        """The newest cosigned checkpoint of the log whose origin has this SHA-256 (hex), for monitors."""
        for origin in self._logs:
            if hashlib.sha256(origin.encode()).hexdigest() == origin_hash and self._path(origin).exists():
                return self._path(origin).read_bytes()
        return None

    def _judge(self, asked: addcheckpoint.AddCheckpoint, new: Checkpoint, now: int) -> Answer:
        kept = self._kept(new.origin)
        recorded = parse_checkpoint(kept.text) if kept else Checkpoint(new.origin, 0, EMPTY_ROOT)
        if asked.old != recorded.size:  # 5
            return Answer(409, f"{recorded.size}\n", addcheckpoint.SIZE_TYPE)
        if new.size == 0 and new.root != EMPTY_ROOT:  # 6
            return Answer(422, "the empty tree has another root\n")
        if recorded.size == 0:  # 7
            holds = not asked.proof
        else:
            holds = verify_consistency(recorded.size, new.size, recorded.root, new.root, asked.proof)
        if not holds:
            if kept and new.size == recorded.size:
                self._keep_evidence(kept, asked.checkpoint)
            return Answer(422, "the checkpoint does not extend the one recorded\n")
        line = cosign(asked.checkpoint.text, self._signer, self._key, now)
        self._write(self._path(new.origin), str(asked.checkpoint.with_signatures([line])))  # 8
        return Answer(200, str(line))

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.note"

    def _kept(self, origin: str) -> Note | None:
        path = self._path(origin)
        return parse(path.read_bytes()) if path.exists() else None

    def _keep_evidence(self, kept: Note, other: Note) -> None:
        both = f"{kept}\n{other}"
        name = hashlib.sha256(both.encode()).hexdigest()[:16]
        self._write(self._folder / f"fork-{name}.evidence", both)

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
