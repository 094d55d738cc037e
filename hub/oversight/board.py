"""The board: how the offices do, computed from the ledger's own records, so that no department can polish it.

Every figure of a month comes from rows whose leaves stand in the ledger: looks (materials that nobody had to bring),
decided steps with their pauses (the department's share of the time, the applicant's kept apart), signed status lists
(when a source was at work), objections as they stand on the day of publication, and waivers. A cell that counts fewer
than ten people is hidden, and a median is not told of fewer than ten. Published once a month, as it then stood, with
a public leaf.
"""

import hashlib
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.cases.clock import read_clock
from hub.cases.copies import ARCHIVE
from hub.cases.model import case_steps, cases, step_pauses
from hub.catalogue.waivers import counts, standing
from hub.certificates.model import status_list_tokens, status_lists
from hub.clock import civil_day, day_start, seconds
from hub.errors import Malformed, NotFound
from hub.formats.jcs import canonical
from hub.ledger.append import append
from hub.ledger.model import leaves
from hub.oversight.model import board_publications
from hub.oversight.objections import standing_of
from hub.oversight.ratings import SATISFIED, scores
from hub.registry.departments import all_departments
from hub.registry.locks import one_at_a_time
from hub.store.tx import Tx, View

HIDDEN_BELOW = 10
"""A cell about fewer than this is not told: it could be about somebody."""


@dataclass(frozen=True, slots=True)
class Month:
    """A civil month in Shanghai, `2026-11`."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Read `2026-11`; Malformed `board.month` otherwise."""
        try:
            first = date.fromisoformat(f"{text}-01")
        except ValueError:
            raise Malformed("board.month", "月份应写作 2026-11。", "A month reads like 2026-11.") from None
        return cls(first.year, first.month)

    @classmethod
    def of(cls, moment: datetime) -> "Month":
        """The month of a moment."""
        day = civil_day(moment)
        return cls(day.year, day.month)

    @property
    def before(self) -> "Month":
        """The month before."""
        return Month(self.year - (self.month == 1), 12 if self.month == 1 else self.month - 1)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From its first moment to the first of the next."""
        year, month = (self.year + 1, 1) if self.month == 12 else (self.year, self.month + 1)
        return day_start(date(self.year, self.month, 1)), day_start(date(year, month, 1))

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"


async def board(view: View, month: Month) -> dict[str, Any]:
    """The board of a month as a document, up to now when the month has not ended. `null`: too few to be told.

    Days are working days. Uptime is the share of the time in which a list signed by the department stood.
    """
    start, end = month.span
    end = min(end, view.now + timedelta(microseconds=1))
    saved = await _saved(view, start, end)
    times = await times_by(view, start, end)
    uptimes = await _uptimes(view, start, end)
    rated = await scores(view, start, end)
    unanswered = await standing_of(view)
    rows = []
    for office in await all_departments(view):
        used, took = saved.get(office.slug, 0), times.get(office.slug, [])
        rows.append(
            {
                "department": office.slug,
                "name": {"zh-CN": office.name_zh, "en": office.name_en},
                "materials_saved": shown(used),
                "steps_decided": shown(len(took)),
                "days_median": middle([ours for ours, _ in took]),
                "days_p90": p90([ours for ours, _ in took]),
                "in_time_percent": share([within for _, within in took]),
                "uptime_permille": uptimes.get(office.slug),
                "ratings": shown(len(rated.get(office.slug, []))),
                "satisfied_percent": share([one >= SATISFIED for one in rated.get(office.slug, [])]),
                "objections_open": shown(unanswered.get(office.slug, (0, 0))[0]),
                "objections_overdue": shown(unanswered.get(office.slug, (0, 0))[1]),
            }
        )
    every = [ours for took in times.values() for ours, _ in took]
    return {
        "v": 1,
        "month": str(month),
        "as_of": seconds(view.now),
        "hidden_below": HIDDEN_BELOW,
        "total": {
            "materials_saved": shown(sum(saved.values())),
            "steps_decided": shown(len(every)),
            "days_median": middle(every),
            "days_p90": p90(every),
        },
        "departments": rows,
        "waivers": counts((await standing(view)).every),
    }


async def publish(tx: Tx, month: Month) -> bool:
    """Publish the board of a finished month once, with a public leaf over its bytes; False when it is there already.

    Raises Malformed `board.not_over`.
    """
    if month.span[1] > tx.now:
        raise Malformed("board.not_over", "这个月还没有结束。", "This month is not over yet.")
    await one_at_a_time(tx, b"board")
    if await tx.value(
        sa.select(board_publications.c.period).where(board_publications.c.period == str(month))
    ):
        return False
    document = await board(tx, month)
    digest = hashlib.sha256(canonical(document)).digest()
    leaf = await append(
        tx,
        kind="board",
        event={
            "v": 1, "event": "board.published", "month": str(month), "sha256": digest.hex(), "at": seconds(tx.now),
        },
    )  # fmt: skip
    row = {
        "period": str(month), "document": document, "sha256": digest, "published_at": tx.now,
        "leaf_hash": leaf.leaf_hash,
    }  # fmt: skip
    return await tx.insert_new(board_publications, row)


async def publish_due(tx: Tx) -> bool:
    """Publish last month's board unless it is out already, or this ledger began only after that month."""
    month = Month.of(tx.now).before
    if await tx.value(
        sa.select(board_publications.c.period).where(board_publications.c.period == str(month))
    ):
        return False
    first = await tx.value(sa.select(sa.func.min(leaves.c.created_at)))
    return first is not None and first < month.span[1] and await publish(tx, month)


async def published(view: View, month: Month | None = None) -> tuple[dict[str, Any], bytes] | None:
    """The board of a month as published, or the newest, with its leaf hash. NotFound for a month that is not."""
    table = board_publications.c
    query = sa.select(board_publications).order_by(table.period.desc()).limit(1)
    row = await view.first(query if month is None else query.where(table.period == str(month)))
    if row is None and month is not None:
        raise NotFound("board.unknown", "这个月的看板没有公布。", "No board was published for this month.")
    return (dict(row.document), row.leaf_hash) if row is not None else None


async def months(view: View) -> list[str]:
    """The months that were published, newest first."""
    table = board_publications.c
    return [row.period for row in await view.all(sa.select(table.period).order_by(table.period.desc()))]


def shown(number: int) -> int | None:
    """A count, or None when it is above nothing and so small that it could be about somebody."""
    return None if 0 < number < HIDDEN_BELOW else number


def middle(values: Sequence[int]) -> str | None:
    """The median in decimal, of at least ten; text, because no fraction may stand in what the ledger names."""
    return f"{statistics.median(values):g}" if len(values) >= HIDDEN_BELOW else None


def p90(values: Sequence[int]) -> int | None:
    """The value that nine in ten do not exceed (nearest rank), of at least ten."""
    if len(values) < HIDDEN_BELOW:
        return None
    return sorted(values)[math.ceil(0.9 * len(values)) - 1]


def share(flags: Sequence[bool]) -> int | None:
    """The part that is true, of at least ten, in whole per cent (rounded down)."""
    return 100 * sum(flags) // len(flags) if len(flags) >= HIDDEN_BELOW else None


def covered(spans: Iterable[tuple[datetime, datetime]], start: datetime, end: datetime) -> int | None:
    """The part of [start, end) that the spans cover together, per thousand (rounded down); None for no time at all."""
    if end <= start:
        return None
    inside = sorted((max(a, start), min(b, end)) for a, b in spans if a < end and b > start)
    reached, together = start, timedelta()
    for a, b in inside:
        if b > reached:
            together += b - max(a, reached)
            reached = b
    return together * 1000 // (end - start)


async def _saved(view: View, start: datetime, end: datetime) -> dict[str, int]:
    """Materials that a department read instead of asking for them: each once for each case and type."""
    table = accesses.c
    once = (
        sa.select(table.department, table.case_id, table.type_code)
        .where(
            table.at >= start,
            table.at < end,
            table.outcome == Outcome.ACCEPTED,
            table.type_code.is_not(None),
            table.basis != ARCHIVE,  # a copy of what was counted when it was read
        )
        .distinct()
        .subquery()
    )
    rows = await view.all(
        sa.select(once.c.department, sa.func.count().label("n")).group_by(once.c.department)
    )
    return {row.department: row.n for row in rows}


async def times_by(
    view: View,
    start: datetime,
    end: datetime,
    *,
    key: Callable[[Any], Any] = lambda row: row.department,
    department: str | None = None,
) -> dict[Any, list[tuple[int, bool]]]:
    """For each department (or `key`), of every step decided in the time: its own working days, and whether within the
    limit.

    Steps whose year has no published calendar are left out, not guessed.
    """
    step, pause = case_steps.c, step_pauses.c
    query = (
        sa.select(
            step.id, step.code, step.department, step.days, step.started_at, step.decided_at, cases.c.item_code
        )
        .join(cases, cases.c.id == step.case_id)
        .where(step.decided_at >= start, step.decided_at < end)
    )
    rows = await view.all(query if department is None else query.where(step.department == department))
    asked = await view.all(
        sa.select(pause.step_id, pause.asked_at, pause.answered_at)
        .join(case_steps, step.id == pause.step_id)
        .where(step.decided_at >= start, step.decided_at < end)
        .order_by(pause.asked_at)
    )
    pauses: dict[Any, list[tuple[date, date | None]]] = {}
    for one in asked:
        answered = civil_day(one.answered_at) if one.answered_at else None
        pauses.setdefault(one.step_id, []).append((civil_day(one.asked_at), answered))
    found: dict[Any, list[tuple[int, bool]]] = {}
    for row in rows:
        ended = civil_day(row.decided_at)
        clock = read_clock(
            limit=row.days,
            started=civil_day(row.started_at),
            pauses=pauses.get(row.id, []),
            today=ended,
            ended=ended,
        )
        if clock.ours is not None:
            found.setdefault(key(row), []).append((clock.ours, clock.ours <= row.days))
    return found


async def _uptimes(view: View, start: datetime, end: datetime) -> Mapping[str, int | None]:
    """For each department with a status list: the share of the time in which a list signed by it stood."""
    token, list_ = status_list_tokens.c, status_lists.c
    rows = await view.all(
        sa.select(list_.department, token.uri, token.stored_at, token.exp)
        .join(status_lists, list_.uri == token.uri)
        .where(token.stored_at < end, token.exp > start)
    )
    first = await view.all(
        sa.select(list_.department, sa.func.min(token.stored_at).label("since"))
        .join(status_lists, list_.uri == token.uri)
        .group_by(list_.department)
    )
    since = {row.department: row.since.replace(tzinfo=row.since.tzinfo or UTC) for row in first}
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for row in rows:
        spans.setdefault(row.department, []).append((row.stored_at, row.exp))
    return {slug: covered(spans.get(slug, []), max(start, since[slug]), end) for slug in since}
