"""Rows that could not be signed, with the reasons, and passes that were held: what an officer looks at."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.findings import Finding
from adapters.state import State

ADVICE: dict[str, tuple[str, str]] = {
    "few_rows": (
        "先查数据源：表被清空、只导出一部分、或权限变了？",
        "Look at the source: emptied, half exported, or a permission lost?",
    ),
    "mass_revocation": (
        "核对消失的主键确应撤销，再放行。",
        "Make sure that the keys that are gone should be revoked, then release.",
    ),
    "quarantine_share": (
        "坏行太多，多半是编码或格式变了：yimen-agent quarantine。",
        "Too many bad rows: see yimen-agent quarantine.",
    ),
    "mapping_changed": (
        "配置改了，会换发这么多张；确认后放行。",
        "The mapping changed and would supersede so many: confirm, then release.",
    ),
    "mass_change": (
        "一次变了这么多行：是真的更正，还是换了一张表？确认后放行。",
        "So many rows changed at once: corrections, or another table? Confirm, then release.",
    ),
    "strangers": (
        "主键几乎都不认识：多半换了表或主键列；没有签发任何行。",
        "Nearly all keys are unknown: another table or key column? Nothing was signed.",
    ),
    "column_retyped": (
        "列类型变了：核对映射后放行。",
        "A column has another type: check the mapping, then release.",
    ),
}
"""Reason of a hold -> what to do, in Chinese and English."""
UNKEYED = ""
"""The ref under which rows without a usable key are counted together."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One reason for one row. `key` is the source key (it stays at the department); never a value of the row."""

    dataset: str
    ref: str
    key: str
    finding: Finding
    rules: str
    rows: int
    first_seen: str
    last_seen: str
    state: str
    officer: str

    @property
    def shown_key(self) -> str:
        """The source key as `--waive` takes it: its columns with | between."""
        return "|".join(json.loads(self.key)) if self.key else ""


@dataclass(frozen=True, slots=True)
class Held:
    """A revocation or mass change that the circuit breaker stopped, until a named officer decides."""

    id: int
    dataset: str
    pass_id: int
    reason: str
    rows: int
    total: int
    made: str
    state: str
    officer: str


def put(
    state: State,
    dataset: str,
    ref: str,
    key: str,
    findings: Iterable[Finding],
    *,
    pass_id: int,
    rules: str,
    now: str,
    claims_hash: str = "",
) -> None:
    """Record why a row is not signed; what was wrong before and is not any more is cleared."""
    with state.transaction() as db:
        for finding in findings:
            db.execute(
                """insert into quarantine (dataset, ref, code, place, key, source_column, detail, rules, claims_hash,
                   first_seen, last_seen, pass) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                   on conflict do update set last_seen = excluded.last_seen, rules = excluded.rules,
                   detail = excluded.detail, claims_hash = excluded.claims_hash,
                   rows = case when pass = excluded.pass and ref = '' then rows + 1 else 1 end,
                   state = case when state = 'waived' then state else 'open' end, pass = excluded.pass""",
                (dataset, ref, finding.code, finding.where, key, finding.column, finding.detail, rules, claims_hash,
                 now, now, pass_id),
            )  # fmt: skip
        if ref != UNKEYED:
            db.execute(
                "delete from quarantine where dataset = ? and ref = ? and pass < ?", (dataset, ref, pass_id)
            )


def clear(state: State, dataset: str, ref: str) -> None:
    """The row is fine now."""
    state.execute("delete from quarantine where dataset = ? and ref = ?", (dataset, ref))


def clear_all(state: State, dataset: str, refs: Iterable[str]) -> None:
    """These rows are fine now; costs nothing where nothing of the dataset is in quarantine."""
    with state.transaction() as db:
        if db.execute("select 1 from quarantine where dataset = ? limit 1", (dataset,)).fetchone():
            db.executemany(
                "delete from quarantine where dataset = ? and ref = ?", [(dataset, ref) for ref in refs]
            )


def clear_absent(state: State, dataset: str, pass_id: int) -> None:
    """After a complete pass: rows that are not in the source any more are in nobody's way."""
    state.execute("delete from quarantine where dataset = ? and pass < ?", (dataset, pass_id))


def refs(state: State, dataset: str) -> frozenset[str]:
    """The refs of a dataset's rows that are in quarantine for any reason."""
    return frozenset(
        str(row[0]) for row in state.execute("select ref from quarantine where dataset = ?", (dataset,))
    )


def touch(state: State, dataset: str, ref: str, pass_id: int) -> None:
    """The row is still there, and still as it was."""
    state.execute("update quarantine set pass = ? where dataset = ? and ref = ?", (pass_id, dataset, ref))


def refused(state: State, dataset: str, ref: str, claims_hash: str) -> bool:
    """Whether the hub refused exactly this content before: it is not asked again until somebody says retry."""
    found = state.execute(
        """select 1 from quarantine where dataset = ? and ref = ? and code = 'refused_by_hub' and claims_hash = ?
           and state != 'retried'""",
        (dataset, ref, claims_hash),
    )
    return bool(found)


def retry(state: State, dataset: str | None = None, *, code: str | None = None, officer: str = "") -> int:
    """Let the next pass try again: all, one dataset, or one reason. Gives how many."""
    with state.transaction() as db:
        found = db.execute(
            """update quarantine set state = 'retried', officer = ? where state = 'open'
               and (? is null or dataset = ?) and (? is null or code = ?)""",
            (officer, dataset, dataset, code, code),
        )
        for (one,) in db.execute(
            "select distinct dataset from quarantine where state = 'retried'"
        ).fetchall():
            state.want_whole(one)
        return found.rowcount


def waive(state: State, dataset: str, ref: str, officer: str) -> int:
    """An officer says that this row will not be repaired: it stays unsigned and out of the counts."""
    with state.transaction() as db:
        found = db.execute(
            "update quarantine set state = 'waived', officer = ? where dataset = ? and ref = ?",
            (officer, dataset, ref),
        )
        return found.rowcount


def listed(state: State, dataset: str | None = None, limit: int = 200) -> list[Quarantined]:
    """What is in quarantine, newest first."""
    rows = state.execute(
        """select dataset, ref, key, code, place, source_column, detail, rules, rows, first_seen, last_seen, state,
           officer from quarantine where (? is null or dataset = ?) order by last_seen desc, dataset, key limit ?""",
        (dataset, dataset, limit),
    )
    return [
        Quarantined(row[0], row[1], row[2], Finding(row[3], row[4], row[5], row[6]), *row[7:]) for row in rows
    ]


def counts(state: State) -> list[tuple[str, str, int]]:
    """(dataset, reason code, rows) of everything that is not waived."""
    rows = state.execute(
        """select dataset, code, sum(rows) from quarantine where state != 'waived'
           group by dataset, code order by dataset, code"""
    )
    return [(str(row[0]), str(row[1]), int(row[2])) for row in rows]


def hold(state: State, dataset: str, *, pass_id: int, reason: str, rows: int, total: int, now: str) -> None:
    """Put a pass on hold; an older open hold for the same reason is replaced by this one."""
    with state.transaction() as db:
        db.execute("delete from held where dataset = ? and reason = ? and state = 'open'", (dataset, reason))
        db.execute(
            "insert into held (dataset, pass, reason, rows, total, made) values (?, ?, ?, ?, ?, ?)",
            (dataset, pass_id, reason, rows, total, now),
        )


def lift(state: State, dataset: str, reasons: Iterable[str]) -> None:
    """The reason has gone by itself: open holds for it are dropped."""
    with state.transaction() as db:
        db.executemany(
            "delete from held where dataset = ? and reason = ? and state = 'open'",
            [(dataset, reason) for reason in reasons],
        )


def held(state: State, dataset: str | None = None) -> list[Held]:
    """Open holds."""
    rows = state.execute(
        """select id, dataset, pass, reason, rows, total, made, state, officer from held
           where state = 'open' and (? is null or dataset = ?) order by id""",
        (dataset, dataset),
    )
    return [Held(*row) for row in rows]


def release(state: State, held_id: int, officer: str, *, discard: bool = False) -> bool:
    """A named officer lets one hold through (the next pass acts on it, once) or throws it away."""
    with state.transaction() as db:
        found = db.execute(
            "update held set state = ?, officer = ? where id = ? and state = 'open'",
            ("discarded" if discard else "released", officer, held_id),
        )
        return found.rowcount == 1


def released(state: State, dataset: str, reason: str) -> int | None:
    """How many rows an officer has let through for this reason and that were not acted upon yet."""
    rows = state.execute(
        "select rows from held where dataset = ? and reason = ? and state = 'released' order by id desc limit 1",
        (dataset, reason),
    )
    return int(rows[0][0]) if rows else None


def spend(state: State, dataset: str, reason: str) -> None:
    """A release is good for one pass."""
    state.execute(
        "delete from held where dataset = ? and reason = ? and state = 'released'", (dataset, reason)
    )
