"""How people want to be told: language, quiet hours, and what may stay in the wallet alone."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import SHANGHAI
from hub.errors import Malformed
from hub.ids import bucket_of
from hub.notices.model import OPTIONAL, NoticeKind, notice_wishes
from hub.store.lookup import Lookup
from hub.store.tx import Tx, View

LANGUAGES = ("zh-CN", "en")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody chose. `quiet` is (from, to) in minutes of the day in Shanghai; it may pass midnight."""

    language: str = "zh-CN"
    quiet: tuple[int, int] | None = None
    silenced: frozenset[NoticeKind] = frozenset()

    def wants(self, kind: NoticeKind) -> bool:
        """Whether such a notice may be sent out to them."""
        return kind not in self.silenced or kind not in OPTIONAL

    def earliest(self, moment: datetime) -> datetime:
        """`moment`, or the end of the quiet hours in which it lies."""
        if self.quiet is None:
            return moment
        begin, end = self.quiet
        local = moment.astimezone(SHANGHAI)
        minute = local.hour * 60 + local.minute
        over_midnight = begin > end
        inside = minute >= begin or minute < end if over_midnight else begin <= minute < end
        if not inside:
            return moment
        day = local.date() + timedelta(days=1 if over_midnight and minute >= begin else 0)
        return datetime.combine(day, time(end // 60, end % 60), SHANGHAI).astimezone(moment.tzinfo)


NONE = Wishes()
WISHES = Lookup(lambda _: sa.select(notice_wishes), notice_wishes.c.bucket, notice_wishes.c.subject_id)


async def wishes_of(view: View, people: Collection[UUID]) -> dict[UUID, Wishes]:
    """The wishes of these people; whoever never chose has the plain ones."""
    keys = [(bucket_of(one), one) for one in people]
    found = {row.subject_id: _wishes(row) for row in await WISHES.rows(view, keys)}
    return {one: found.get(one, NONE) for one in people}


async def choose(
    tx: Tx, *, subject_id: UUID, language: str, quiet: tuple[int, int] | None, silenced: Iterable[str]
) -> Wishes:
    """Keep what somebody chose. Raises Malformed `notice.wish_invalid` for what cannot be chosen."""
    kinds = {NoticeKind(one) for one in silenced if one in set(OPTIONAL)}
    if language not in LANGUAGES or (quiet is not None and not _hours(quiet)):
        raise Malformed(
            "notice.wish_invalid",
            "通知设置不正确：免打扰的起止时间须不同。",
            "These wishes cannot be kept: quiet hours need two different times.",
        )
    values = {
        "language": language,
        "quiet_from": quiet[0] if quiet else None,
        "quiet_to": quiet[1] if quiet else None,
        "silenced": sorted(kinds),
        "changed_at": tx.now,
    }
    key = {"bucket": bucket_of(subject_id), "subject_id": subject_id}
    if not await tx.insert_new(notice_wishes, key | values):
        await tx.run(
            notice_wishes.update()
            .where(notice_wishes.c.bucket == key["bucket"], notice_wishes.c.subject_id == subject_id)
            .values(**values)
        )
    return Wishes(language, quiet, frozenset(kinds))


def _hours(quiet: tuple[int, int]) -> bool:
    return all(0 <= one < DAY_MINUTES for one in quiet) and quiet[0] != quiet[1]


def _wishes(row: Any) -> Wishes:
    quiet = None if row.quiet_from is None or row.quiet_to is None else (row.quiet_from, row.quiet_to)
    return Wishes(row.language, quiet, frozenset(NoticeKind(one) for one in row.silenced))
