"""The circuit breaker: when absence, or a changed mapping, may change many certificates at once.

An empty or half-read source never means "revoke everything". Revocation from absence needs all of: 1. a complete read;
2. about as many rows as last time; 3. few enough gone; 4. few enough bad rows; 5. absence in two complete passes
running. Otherwise the pass is held for a named officer. In the same way a table whose keys are strangers, or of which
many rows changed at once, is taken for another table until a named officer says that it is right.
"""

from collections.abc import Callable
from dataclasses import dataclass

from adapters import quarantine
from adapters.desk import Desk
from adapters.model import Dataset
from adapters.state import Entry

PASSES = 2
FEW_ROWS = "few_rows"
MASS_REVOCATION = "mass_revocation"
QUARANTINE_SHARE = "quarantine_share"
MAPPING_CHANGED = "mapping_changed"
MASS_CHANGE = "mass_change"
STRANGERS = "strangers"
SMALL = 20
"""Below this many rows a share of bad or changed ones says nothing."""
FIRST = 200
"""So many keys are looked at before a pass signs anything."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """What a pass may do about absence: whom to revoke, how many stay for now, whether the pass counts as complete."""

    revoke: tuple[Entry, ...]
    held: int
    complete: bool


def too_many_bad(dataset: Dataset, rows: int, bad: int, after: int = SMALL) -> bool:
    """Whether the share of quarantined rows says that something is wrong with the source, not with rows."""
    return rows >= after and bad * 100 > dataset.reconcile.max_quarantine_percent * rows


def hold_for_share(desk: Desk, dataset: Dataset, *, pass_id: int, rows: int, bad: int) -> None:
    """Say that so many rows are bad that the source itself is in doubt; a pass with fewer lifts it."""
    quarantine.hold(
        desk.state,
        dataset.id,
        pass_id=pass_id,
        reason=QUARANTINE_SHARE,
        rows=bad,
        total=rows,
        now=desk.stamp(),
    )


def most_gone(dataset: Dataset, standing: int) -> int:
    """How many may be revoked at once. One at a time is no mass revocation, however small the dataset."""
    limits = dataset.reconcile
    return min(limits.max_revoke_count, max(1, int(standing * limits.max_revoke_percent / 100)))


def most_changed(dataset: Dataset, standing: int) -> int:
    """How many may be superseded at once without anybody looking."""
    return max(SMALL, int(standing * dataset.reconcile.max_changed_percent / 100))


def vanished(desk: Desk, dataset: Dataset, *, pass_id: int, complete: bool, rows: int, bad: int) -> Vanished:
    """Judge the absences of one pass that has just been read."""
    state, limits = desk.state, dataset.reconcile
    missing = len(state.unseen(dataset.id, pass_id))
    if not complete:  # 1
        return Vanished((), missing, complete=False)
    if too_many_bad(dataset, rows, bad):  # 4
        hold_for_share(desk, dataset, pass_id=pass_id, rows=rows, bad=bad)
        return Vanished((), missing, complete=False)
    quarantine.lift(state, dataset.id, [QUARANTINE_SHARE])
    last = state.last_complete(dataset.id)
    if last is not None and rows * 100 < limits.min_rows_percent * last[0]:  # 2
        if quarantine.released(state, dataset.id, FEW_ROWS) is None:
            quarantine.hold(
                state,
                dataset.id,
                pass_id=pass_id,
                reason=FEW_ROWS,
                rows=rows,
                total=last[0],
                now=desk.stamp(),
            )
            return Vanished((), missing, complete=False)
        quarantine.spend(state, dataset.id, FEW_ROWS)
    quarantine.lift(state, dataset.id, [FEW_ROWS])
    standing = state.count_current(dataset.id)
    state.miss(dataset.id, pass_id)
    quarantine.clear_absent(state, dataset.id, pass_id)
    gone = state.vanished(dataset.id, PASSES)  # 5
    if len(gone) > most_gone(dataset, standing):  # 3
        released = quarantine.released(state, dataset.id, MASS_REVOCATION)
        if released is None or released < len(gone):
            quarantine.hold(
                state, dataset.id, pass_id=pass_id, reason=MASS_REVOCATION, rows=len(gone), total=standing,
                now=desk.stamp(),
            )  # fmt: skip
            return Vanished((), missing, complete=True)
        quarantine.spend(state, dataset.id, MASS_REVOCATION)
    quarantine.lift(state, dataset.id, [MASS_REVOCATION])
    return Vanished(tuple(gone), missing - len(gone), complete=True)


def strangers(desk: Desk, dataset: Dataset, *, pass_id: int, known: int, looked_at: int) -> bool:
    """Whether the first keys of a whole pass are nearly all unknown to a state that knows many: another table."""
    state = desk.state
    entries = state.count_entries(dataset.id)
    if entries < SMALL or looked_at < SMALL or known * 10 >= min(looked_at, entries):
        quarantine.lift(state, dataset.id, [STRANGERS])
        return False
    if quarantine.released(state, dataset.id, STRANGERS) is not None:
        quarantine.spend(state, dataset.id, STRANGERS)
        return False
    quarantine.hold(
        state, dataset.id, pass_id=pass_id, reason=STRANGERS, rows=looked_at - known, total=looked_at,
        now=desk.stamp(),
    )  # fmt: skip
    return True


def mass_change(desk: Desk, dataset: Dataset, *, pass_id: int, changed: int) -> bool:
    """Whether so many rows changed at once that none of them is superseded before a named officer has looked."""
    state = desk.state
    standing = state.count_current(dataset.id)
    if changed <= most_changed(dataset, standing):
        quarantine.lift(state, dataset.id, [MASS_CHANGE])
        return False
    released = quarantine.released(state, dataset.id, MASS_CHANGE)
    if released is not None and released >= changed:
        quarantine.spend(state, dataset.id, MASS_CHANGE)
        return False
    quarantine.hold(
        state, dataset.id, pass_id=pass_id, reason=MASS_CHANGE, rows=changed, total=standing, now=desk.stamp()
    )
    return True


def mapping_changed(desk: Desk, dataset: Dataset, rules: str, would_change: Callable[[], int]) -> bool:
    """Whether this dataset must wait: its mapping is another one now and would supersede too many certificates.

    `would_change` reads the source once without writing and gives how many would be superseded.
    """
    state = desk.state
    before = state.get(f"rules:{dataset.id}")
    standing = state.count_current(dataset.id)
    if before == rules:
        return False
    if before is None or standing == 0:
        state.put(f"rules:{dataset.id}", rules)
        return False
    changed = would_change()
    released = quarantine.released(state, dataset.id, MAPPING_CHANGED)
    if changed * 100 <= dataset.reconcile.max_supersede_percent * standing or (released or 0) >= changed > 0:
        quarantine.spend(state, dataset.id, MAPPING_CHANGED)
        quarantine.lift(state, dataset.id, [MAPPING_CHANGED])
        state.put(f"rules:{dataset.id}", rules)
        return False
    quarantine.hold(
        state, dataset.id, pass_id=0, reason=MAPPING_CHANGED, rows=changed, total=standing, now=desk.stamp()
    )
    return True
