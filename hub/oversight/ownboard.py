"""A department's own board: the same figures as the public one, taken apart by matter, step and certificate type.

Computed from the same rows as `hub.oversight.board`, by the same rules: what counts fewer than ten is hidden here too.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.cases.copies import ARCHIVE
from hub.oversight.board import Month, board, middle, p90, share, shown, times_by
from hub.oversight.model import board_publications
from hub.store.tx import View

TREND = 12


async def own_board(view: View, *, department: str, month: Month) -> dict[str, Any]:
    """The department's line of the month, its steps by matter, what it read by type, and its published months."""
    start, end = month.span
    end = min(end, view.now + timedelta(microseconds=1))
    whole = await board(view, month)
    took = await times_by(
        view, start, end, key=lambda row: (row.item_code, row.code), department=department
    )
    return {
        "month": str(month),
        "row": next((row for row in whole["departments"] if row["department"] == department), None),
        "steps": [
            {
                "item": item,
                "step": step,
                "decided": shown(len(days)),
                "days_median": middle([ours for ours, _ in days]),
                "days_p90": p90([ours for ours, _ in days]),
                "in_time_percent": share([within for _, within in days]),
            }
            for (item, step), days in sorted(took.items())
        ],
        "types": await _read(view, department, month),
        "trend": await _trend(view, department),
    }


async def _read(view: View, department: str, month: Month) -> dict[str, int | None]:
    """Certificates that the department read instead of asking for the paper, by type, each once for a case."""
    start, end = month.span
    row = accesses.c
    once = (
        sa.select(row.type_code, row.case_id)
        .where(
            row.department == department, row.at >= start, row.at < end, row.outcome == Outcome.ACCEPTED,
            row.type_code.is_not(None), row.basis != ARCHIVE,
        )
        .distinct()
        .subquery()
    )  # fmt: skip
    rows = await view.all(sa.select(once.c.type_code, sa.func.count().label("n")).group_by(once.c.type_code))
    return {one.type_code: shown(one.n) for one in sorted(rows, key=lambda one: one.type_code)}


async def _trend(view: View, department: str) -> list[Mapping[str, Any]]:
    """The department's line in each of the last published boards, newest first, exactly as published."""
    table = board_publications.c
    rows = await view.all(sa.select(board_publications).order_by(table.period.desc()).limit(TREND))
    found: list[Mapping[str, Any]] = []
    for one in rows:
        for line in one.document["departments"]:
            if line["department"] == department:
                found.append({**line, "month": one.period})
    return found
