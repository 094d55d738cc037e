"""What the agent remembers: one SQLite file, one row for each source key, and the outbox of what the hub has not acked.

The file holds source keys and signed tokens, so it is made with mode 0600. Every method is one transaction, or takes
part in the caller's `transaction()`; after a kill at any point the outbox and the entries together still say what has
been promised to the hub and what has not.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.tables import BY_ABSENCE, SCHEMA, Entry, KnownList, Waiting
from hub.errors import Conflict

LOG_KEY = "log_key"
"""The word under which the ledger's key is remembered."""
__all__ = ["Entry", "KnownList", "State", "Waiting"]

MOST_BOUND = 500
"""Values in one statement: every SQLite takes so many."""
_WAITING = (
    "id, kind, dataset, ref, key, generation, claims_hash, sd_jwt, uri, idx, as_of, signed_on, pass, notes,"
    " old_id, old_uri, old_idx, reason, list_token"
)


class State:
    """The state file. One process at a time may change it: see `alone`."""

    def __init__(self, path: Path, *, faces: bool = True) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self.path = path
        self._faces = faces
        self.db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self.db.executescript(f"pragma journal_mode=wal; pragma synchronous=full; {SCHEMA}")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; joins a transaction that is already open."""
        if self.db.in_transaction:
            yield self.db
            return
        self.db.execute("begin immediate")
        try:
            yield self.db
        except BaseException:
            self.db.execute("rollback")
            raise
        self.db.execute("commit")

    @contextmanager
    def alone(self, *, patience: float = 0) -> Iterator[None]:
        """Hold the only right to sync this state; a killed holder lets go at once.

        `patience` is for how many seconds another holder is waited for. Raises Conflict `agent.busy`.
        """
        lock = sqlite3.connect(f"{self.path}.lock", isolation_level=None, timeout=patience)
        try:
            try:
                lock.execute("begin exclusive")
            except sqlite3.OperationalError as fault:
                raise Conflict(
                    "agent.busy", "另一个同步正在进行。", "Another sync is running.",
                    next_zh="请等它结束。", next_en="Wait until it ends.",
                ) from fault  # fmt: skip
            yield
        finally:
            lock.close()

    # --- entries ---

    def entry(self, dataset: str, ref: str) -> Entry | None:
        """The entry of one source key."""
        row = self.db.execute("select * from entry where dataset = ? and ref = ?", (dataset, ref)).fetchone()
        return Entry(*row) if row else None

    def entries_of(self, dataset: str, refs: Sequence[str]) -> dict[str, Entry]:
        """The entries of these source keys, by ref; keys that were never certified are left out."""
        found: dict[str, Entry] = {}
        for place in range(0, len(refs), MOST_BOUND):
            some = refs[place : place + MOST_BOUND]
            sql = f"select * from entry where dataset = ? and ref in ({', '.join('?' * len(some))})"  # noqa: S608
            for row in self.db.execute(sql, (dataset, *some)):
                found[row[1]] = Entry(*row)
        return found

    def entries(self, dataset: str) -> Iterator[Entry]:
        """All entries of a dataset, by ref."""
        for row in self.db.execute("select * from entry where dataset = ? order by ref", (dataset,)):
            yield Entry(*row)

    def by_certificate(self, certificate_id: str) -> Entry | None:
        """The entry that a certificate id stands for."""
        row = self.db.execute("select * from entry where certificate_id = ?", (certificate_id,)).fetchone()
        return Entry(*row) if row else None

    def seen(self, dataset: str, refs: Iterable[str], pass_id: int) -> None:
        """These keys are in the source in this pass, whatever became of their rows."""
        with self.transaction() as db:
            db.executemany(
                "update entry set seen_pass = ?, missed = 0 where dataset = ? and ref = ?",
                [(pass_id, dataset, ref) for ref in refs],
            )

    def count_current(self, dataset: str) -> int:
        """How many certificates of a dataset stand."""
        sql = "select count(*) from entry where dataset = ? and state = 'current'"
        return int(self.db.execute(sql, (dataset,)).fetchone()[0])

    def count_entries(self, dataset: str) -> int:
        """How many source keys of a dataset were ever certified."""
        return int(self.db.execute("select count(*) from entry where dataset = ?", (dataset,)).fetchone()[0])

    def miss(self, dataset: str, pass_id: int) -> None:
        """A complete pass ended: every standing certificate whose key it did not see has missed once more."""
        with self.transaction() as db:
            db.execute(
                "update entry set missed = missed + 1 where dataset = ? and state = 'current' and seen_pass < ?",
                (dataset, pass_id),
            )

    def unseen(self, dataset: str, pass_id: int) -> list[str]:
        """The refs of standing certificates whose keys this pass did not see."""
        sql = "select ref from entry where dataset = ? and state = 'current' and seen_pass < ? order by ref"
        return [str(row[0]) for row in self.db.execute(sql, (dataset, pass_id))]

    def vanished(self, dataset: str, misses: int) -> list[Entry]:
        """Standing certificates whose keys were absent in at least `misses` consecutive complete passes."""
        sql = "select * from entry where dataset = ? and state = 'current' and missed >= ? order by ref"
        return [Entry(*row) for row in self.db.execute(sql, (dataset, misses))]

    # --- outbox ---

    def promise(self, *promised: Waiting) -> None:
        """Write promises (their `id` is ignored) and take their indices out of the free ones, in one transaction."""
        names = _WAITING.removeprefix("id, ")
        rows = [
            (
                one.kind, one.dataset, one.ref, one.key, one.generation, one.claims_hash, one.sd_jwt, one.uri, one.idx,
                one.as_of, one.signed_on, one.pass_id, one.notes, one.old_id, one.old_uri, one.old_idx, one.reason,
                one.list_token,
            )
            for one in promised
        ]  # fmt: skip
        with self.transaction() as db:
            db.executemany(
                "delete from free_index where uri = ? and idx = ?", [(one.uri, one.idx) for one in promised]
            )
            db.executemany(
                f"insert into outbox ({names}) values ({', '.join('?' * len(names.split(',')))})",  # noqa: S608
                rows,
            )

    def waiting(self, limit: int = 1000, *, after: int = 0, kind: str = "") -> list[Waiting]:
        """The oldest promises whose id lies after `after`, in the order they were made; of one kind if named."""
        sql = f"select {_WAITING} from outbox where id > ? and ? in ('', kind) order by id limit ?"  # noqa: S608
        return [Waiting(*row) for row in self.db.execute(sql, (after, kind, limit))]

    def promised(self, dataset: str, ref: str) -> Waiting | None:
        """What waits for the hub about one source key; there is at most one."""
        sql = f"select {_WAITING} from outbox where dataset = ? and ref = ?"  # noqa: S608
        row = self.db.execute(sql, (dataset, ref)).fetchone()
        return Waiting(*row) if row else None

    def waiting_to_end(self, limit: int) -> list[Waiting]:
        """Promises that end a certificate, those of one status list together: then few lists are signed for many."""
        sql = f"select {_WAITING} from outbox where kind <> 'register' order by old_uri, id limit ?"  # noqa: S608
        return [Waiting(*row) for row in self.db.execute(sql, (limit,))]

    def keep_step(self, lists: Sequence[str], ids: Sequence[int]) -> None:
        """Remember what is sent together, status lists and promises, before it is sent: a resend sends the same."""
        with self.transaction() as db:
            self.drop_step()
            db.executemany("insert into step_list (token) values (?)", [(token,) for token in lists])
            db.executemany("insert into step_part (outbox_id) values (?)", [(one,) for one in ids])

    def step(self) -> tuple[list[str], list[Waiting]] | None:
        """The step under way; None when there is none, or one of its promises was taken back meanwhile."""
        lists = [str(row[0]) for row in self.db.execute("select token from step_list order by place")]
        named = _WAITING.replace("id,", "outbox.id,", 1)
        sql = f"select {named} from step_part join outbox on outbox.id = outbox_id order by place"  # noqa: S608
        parts = [Waiting(*row) for row in self.db.execute(sql)]
        whole = len(parts) == self.db.execute("select count(*) from step_part").fetchone()[0]
        return (lists, parts) if parts and whole else None

    def drop_step(self) -> None:
        """The step is over, or its lists build on a version that will never be."""
        with self.transaction() as db:
            db.execute("delete from step_list")
            db.execute("delete from step_part")

    def failed(self, waiting_ids: Sequence[int], code: str) -> None:
        """Count one failed attempt of each; the promises stay."""
        with self.transaction() as db:
            db.executemany(
                "update outbox set attempts = attempts + 1, last_error = ? where id = ?",
                [(code, one) for one in waiting_ids],
            )

    def acked(self, done: Waiting, certificate_id: str, *, stands: bool = True) -> None:
        """The hub has it: the entry now says so, and the promise is gone, in one transaction.

        `stands` False: it was registered before and ended since, so the next pass signs the row anew.
        """
        with self.transaction() as db:
            if done.kind == "revoke":
                after = "vanished" if done.reason in BY_ABSENCE else "revoked"
                db.execute(
                    "update entry set state = ? where dataset = ? and ref = ? and certificate_id = ?",
                    (after, done.dataset, done.ref, certificate_id),
                )
                db.execute("delete from unprinted where certificate_id = ?", (certificate_id,))
            else:
                after = "current" if stands else "vanished"
                if not stands:
                    self.want_whole(done.dataset)
                entry = (
                    done.dataset, done.ref, done.key, done.claims_hash, done.generation, certificate_id, done.uri,
                    done.idx, done.as_of, done.signed_on, after, done.pass_id, 0, done.notes,
                )  # fmt: skip
                db.execute(f"insert or replace into entry values ({', '.join('?' * len(entry))})", entry)  # noqa: S608
                if done.old_id is not None:
                    db.execute("delete from unprinted where certificate_id = ?", (done.old_id,))
                if self._faces and stands:
                    face = (certificate_id, done.dataset, done.sd_jwt)
                    db.execute("insert or replace into unprinted values (?, ?, ?)", face)
            db.execute("delete from outbox where id = ?", (done.id,))

    def acked_first(self, done: Sequence[tuple[Waiting, str]]) -> None:
        """As `acked`, for first registrations that stand: (promise, certificate id) of many in one transaction."""
        with self.transaction() as db:
            db.executemany(
                "insert or replace into entry values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'current', ?, 0, ?)",
                [
                    (
                        one.dataset, one.ref, one.key, one.claims_hash, one.generation, certificate_id, one.uri,
                        one.idx, one.as_of, one.signed_on, one.pass_id, one.notes,
                    )
                    for one, certificate_id in done
                ],
            )  # fmt: skip
            if self._faces:
                db.executemany(
                    "insert or replace into unprinted values (?, ?, ?)",
                    [(certificate_id, one.dataset, one.sd_jwt) for one, certificate_id in done],
                )
            db.executemany("delete from outbox where id = ?", [(one.id,) for one, _ in done])

    def stand_alone(self, waiting: Waiting) -> None:
        """What it should have superseded does not stand any more: register it without."""
        with self.transaction() as db:
            db.execute(
                "update outbox set kind = 'register', old_id = null, old_uri = null, old_idx = null,"
                " list_token = null where id = ?",
                (waiting.id,),
            )

    def withdraw(self, waiting: Waiting) -> None:
        """The hub refused it for good: the promise is dropped and its index burned."""
        with self.transaction() as db:
            db.execute("delete from outbox where id = ?", (waiting.id,))

    # --- status lists ---

    def lists(self) -> list[KnownList]:
        """Every status list of ours."""
        rows = self.db.execute(
            "select uri, size, bits, seq, sha256, token, expires from status_list order by uri"
        )
        return [KnownList(*row) for row in rows]

    def known_list(self, uri: str) -> KnownList | None:
        """One status list of ours."""
        sql = "select uri, size, bits, seq, sha256, token, expires from status_list where uri = ?"
        row = self.db.execute(sql, (uri,)).fetchone()
        return KnownList(*row) if row else None

    def keep_list(self, known: KnownList) -> None:
        """Remember a list as the hub has acked it."""
        with self.transaction() as db:
            db.execute(
                "insert or replace into status_list values (?, ?, ?, ?, ?, ?, ?)",
                (known.uri, known.size, known.bits, known.seq, known.sha256, known.token, known.expires),
            )

    def keep_free(self, indices: Iterable[tuple[str, int]]) -> None:
        """Remember indices that the hub reserved for us."""
        with self.transaction() as db:
            db.executemany("insert or ignore into free_index values (?, ?)", list(indices))

    def count_free(self) -> int:
        """How many reserved indices are unused."""
        return int(self.db.execute("select count(*) from free_index").fetchone()[0])

    def take_indices(self, count: int) -> list[tuple[str, int]]:
        """Up to `count` unused indices at random, gone from now on: an index that was signed is never used again."""
        with self.transaction() as db:
            rows = db.execute(
                "select uri, idx from free_index order by random() limit ?", (count,)
            ).fetchall()
            db.executemany("delete from free_index where uri = ? and idx = ?", rows)
            return [(str(uri), int(idx)) for uri, idx in rows]

    # --- passes and the rest ---

    def start_pass(self, dataset: str, rules: str, now: str) -> int:
        """A new pass over a dataset."""
        with self.transaction() as db:
            found = db.execute(
                "insert into pass (dataset, started, rules) values (?, ?, ?)", (dataset, now, rules)
            )
            return int(found.lastrowid or 0)

    def end_pass(self, pass_id: int, *, complete: bool, rows: int, now: str) -> None:
        """Close a pass. `complete` is what later passes are measured by."""
        with self.transaction() as db:
            db.execute(
                "update pass set ended = ?, complete = ?, rows = ? where id = ?",
                (now, complete, rows, pass_id),
            )

    def last_complete(self, dataset: str) -> tuple[int, str] | None:
        """(rows, rules) of the last complete pass."""
        sql = "select rows, rules from pass where dataset = ? and complete = 1 order by id desc limit 1"
        row = self.db.execute(sql, (dataset,)).fetchone()
        return (int(row[0]), str(row[1])) if row else None

    def last_whole(self, dataset: str) -> tuple[str, str] | None:
        """(when it ended, rules) of the last complete pass."""
        sql = "select ended, rules from pass where dataset = ? and complete = 1 order by id desc limit 1"
        row = self.db.execute(sql, (dataset,)).fetchone()
        return (str(row[0]), str(row[1])) if row else None

    def want_whole(self, dataset: str, wanted: bool = True) -> None:
        """The next pass must read everything, because a row is owed another try that no cursor would show."""
        if wanted != self.wants_whole(dataset):
            self.put(f"whole:{dataset}", "1" if wanted else "")

    def wants_whole(self, dataset: str) -> bool:
        """Whether `want_whole` was said and no complete pass has ended since."""
        return bool(self.get(f"whole:{dataset}"))

    def get(self, name: str) -> str | None:
        """A remembered word."""
        row = self.db.execute("select value from meta where name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def put(self, name: str, value: str) -> None:
        """Remember a word."""
        with self.transaction() as db:
            db.execute("insert or replace into meta values (?, ?)", (name, value))

    def keep_type(self, code: str, document: str, now: str) -> None:
        """Remember a certificate type's document."""
        with self.transaction() as db:
            db.execute("insert or replace into type_document values (?, ?, ?)", (code, document, now))

    def type_document(self, code: str) -> tuple[str, str] | None:
        """(document, fetched) of a certificate type."""
        row = self.db.execute(
            "select document, fetched from type_document where code = ?", (code,)
        ).fetchone()
        return (str(row[0]), str(row[1])) if row else None

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """One statement for `quarantine` and the status page; every value bound."""
        with self.transaction() as db:
            return db.execute(sql, values).fetchall()
