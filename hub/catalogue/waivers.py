"""Waivers over time: announced, source connected, in force, suspended. What a waiver is worth is decided here.

A waiver comes from the register of materials (announced, with a legal basis). Two officers of the owner department move
it on (`hub.catalogue.drafts`). In force needs a legal basis; one that the hub verifies also needs a live source, and a
promise needs the days within which it is checked. One may be for a single item: then it decides there.

When the source of one in force falls silent, it spares nobody anything from that moment (`effective`), and the hub
suspends it (`suspend_silent`); two officers bring it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.materials import Entry, bases, register
from hub.catalogue.model import WAIVER_STEPS, WaiverState, waivers
from hub.catalogue.sources import Source, sources
from hub.clock import seconds
from hub.errors import Conflict, NotFound, Unprocessable
from hub.ids import uuid7
from hub.ledger.append import append
from hub.store.tx import Tx, View

VERIFIED, COMMITMENT, ABOLISHED = "verified", "commitment", "abolished"


@dataclass(frozen=True, slots=True)
class Waiver:
    """A material's waiver now. `source`: the live source behind it, None where there is none or none is needed.

    `item`: the one item that it is for, "" for all.
    """

    material: str
    kind: str
    state: WaiverState
    basis: str
    check_days: int | None
    since: datetime | None
    source: Source | None
    item: str = ""

    @property
    def effective(self) -> bool:
        """Whether it spares somebody a paper at this moment."""
        return self.state is WaiverState.IN_FORCE and (self.kind != VERIFIED or self.source is not None)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the whole city knows at this moment: every waiver and every source. Two statements.

    `special` are the waivers of one item, by (item, material); `waivers` those of all items, by material.
    """

    waivers: Mapping[str, Waiver]
    sources: Mapping[str, Source]
    special: Mapping[tuple[str, str], Waiver] = field(default_factory=dict)

    def waiver(self, item: str, material: str) -> Waiver | None:
        """What stands for a material of an item: its own waiver decides, else the one for all items."""
        return self.special.get((item, material)) or self.waivers.get(material)

    @property
    def every(self) -> list[Waiver]:
        """All of them."""
        return [*self.waivers.values(), *self.special.values()]


async def standing(view: View) -> Standing:
    """Every waiver of the register as it stands now, with the sources of all types."""
    alive = await sources(view)
    rows = {(row.item, row.material): row for row in await view.all(sa.select(waivers).where(waivers.c.current))}
    found = {
        entry.code: _now(entry, rows.get(("", entry.code)), alive)
        for entry in register().values()
        if entry.waiver
    }
    special = {
        key: _now(register()[key[1]], row, alive) for key, row in rows.items() if key[0] and key[1] in found
    }
    return Standing(found, alive, special)


async def history(view: View, material: str, item: str = "") -> list[sa.Row[Any]]:
    """Every state that the waiver of a material was given, oldest first."""
    row = waivers.c
    return list(
        await view.all(
            sa.select(waivers)
            .where(row.material == material, row.item == item)
            .order_by(row.since, row.id)
        )
    )


def counts(found: Iterable[Waiver]) -> dict[str, dict[str, int]]:
    """How many waivers are in each state, by kind; `effective` counts those that spare somebody something now."""
    told: dict[str, dict[str, int]] = {}
    for one in found:
        row = told.setdefault(one.kind, dict.fromkeys([*map(str, WaiverState), "effective"], 0))
        row[str(one.state)] += 1
        row["effective"] += one.effective
    return told


async def move(
    tx: Tx,
    *,
    material: str,
    state: WaiverState,
    check_days: int | None,
    reason: str,
    made_by: UUID,
    confirmed_by: UUID,
    item: str = "",
) -> None:
    """Give a waiver its next state, with a public leaf. Both officers were checked by `hub.catalogue.drafts`.

    1. The material has a waiver, and the step is allowed. 2. In force: a legal basis, and what its kind needs.
    3. The row before is no longer current; nobody else was faster.
    """
    entry = register().get(material)
    if entry is None or entry.waiver is None:
        raise NotFound("waiver.unknown", "这项材料没有免提交安排。", "There is no waiver for this material.")
    row = await tx.first(
        sa.select(waivers)
        .where(waivers.c.material == material, waivers.c.item == item, waivers.c.current)
        .with_for_update()
    )
    before = _now(entry, row, await sources(tx), item)
    if (before.state, state) not in WAIVER_STEPS:  # 1
        raise Conflict(
            "waiver.step_not_allowed",
            f"免提交安排现在是 {before.state}，不能改为 {state}。",
            f"A waiver that is {before.state} cannot become {state}.",
            next_zh="顺序：已公布、数据源已接通、已生效、已暂停。",
            next_en="The order is announced, connected, in force, suspended.",
        )
    if state in (WaiverState.CONNECTED, WaiverState.IN_FORCE):
        _check(before, check_days)  # 2
    if row is not None and not await tx.run(
        waivers.update().where(waivers.c.id == row.id, waivers.c.current).values(current=False)
    ):  # 3
        raise Conflict("waiver.changed_meanwhile", "刚刚被别人改过。", "Somebody else has just changed it.")
    days = check_days or before.check_days
    await _put(tx, before, state, reason, days, {"made_by": made_by, "confirmed_by": confirmed_by})


def silent(city: Standing) -> list[Waiver]:
    """The waivers in force that spare nobody anything, because their source does not answer."""
    return [one for one in city.every if one.state is WaiverState.IN_FORCE and not one.effective]


async def suspend_silent(tx: Tx) -> list[str]:
    """Suspend each waiver in force whose source fell silent; returns the materials. Any number of hubs may do it."""
    row, done = waivers.c, []
    for one in silent(await standing(tx)):
        mine = (row.material == one.material, row.item == one.item, row.current, row.state == WaiverState.IN_FORCE)
        if await tx.run(waivers.update().where(*mine).values(current=False)):
            await _put(tx, one, WaiverState.SUSPENDED, "数据源无应答 the source is silent", one.check_days, {})
            done.append(one.material)
    return done


async def _put(
    tx: Tx, before: Waiver, state: WaiverState, reason: str, check_days: int | None, by: Mapping[str, UUID]
) -> None:
    """The new row and its public leaf. Without officers it was the hub that did it, and the leaf says so."""
    leaf = await append(
        tx,
        kind="catalogue",
        event={
            "v": 1, "event": "waiver.moved", "material": before.material, "kind": before.kind, "state": str(state),
            "basis": before.basis, "at": seconds(tx.now), **({"item": before.item} if before.item else {}),
            **({} if by else {"by": "hub"}),
        },
    )  # fmt: skip
    await tx.insert(
        waivers,
        {
            "id": uuid7(), "material": before.material, "item": before.item, "kind": before.kind, "state": state,
            "basis": before.basis, "check_days": check_days if before.kind == COMMITMENT else None,
            "reason": reason, "current": True, "since": tx.now, "leaf_hash": leaf.leaf_hash, **by,
        },
    )  # fmt: skip


def _check(waiver: Waiver, check_days: int | None) -> None:
    if waiver.basis not in bases():
        raise Unprocessable(
            "waiver.no_basis",
            "没有法律依据的免提交安排不能生效。",
            "A waiver without a legal basis cannot come into force.",
        )
    if waiver.kind == VERIFIED and waiver.source is None:
        raise Unprocessable(
            "waiver.no_source",
            "没有正在运行的数据源，不能改由部门联网核验。",
            "There is no live source, so nobody could check this over the network.",
            next_zh="请先接通发证部门的数据源。",
            next_en="Connect the issuing department's source first.",
        )
    if waiver.kind == COMMITMENT and not (check_days and 1 <= check_days <= 365):
        raise Unprocessable(
            "waiver.no_later_check",
            "告知承诺须写明事后核查的期限（1至365天）。",
            "A promise needs the days within which it is checked afterwards (1 to 365).",
        )


def _now(entry: Entry, row: Any, alive: Mapping[str, Source], item: str = "") -> Waiver:
    live = [alive[one["type"]] for one in entry.evidence if one["type"] in alive and alive[one["type"]].live]
    return Waiver(
        material=entry.code,
        kind=entry.waiver or "",
        state=WaiverState(row.state) if row is not None else WaiverState.ANNOUNCED,
        basis=entry.basis or "",
        check_days=row.check_days if row is not None else None,
        since=row.since if row is not None else None,
        source=live[0] if live else None,
        item=row.item if row is not None else item,
    )
