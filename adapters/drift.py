"""The source's columns against those of the last time: told before a single row is read.

A column that is new is ignored and told once. A column that the mapping reads and that is gone, or has another type,
stops the dataset: a silently empty or differently read value would be signed. A named officer may accept a new type.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from adapters import quarantine
from adapters.mapping import columns_of
from adapters.model import Dataset
from adapters.source import Source, SourceFault
from adapters.state import State

COLUMN_RETYPED = "column_retyped"


@dataclass(frozen=True, slots=True)
class Drift:
    """What is different: columns that are new, columns that are gone and were never read, and (column, was, is)."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[tuple[str, str, str], ...] = ()

    def told(self) -> tuple[str, str]:
        """In Chinese and in English; empty when nothing is different."""
        zh, en = [], []
        if self.new:
            zh.append(f"新增列（不读）：{'、'.join(self.new)}。")
            en.append(f"New columns, not read: {', '.join(self.new)}.")
        if self.gone:
            zh.append(f"消失的列：{'、'.join(self.gone)}。")
            en.append(f"Columns gone: {', '.join(self.gone)}.")
        if self.retyped:
            zh.append(f"换了类型：{'、'.join(f'{name} {was}→{now}' for name, was, now in self.retyped)}。")
            en.append(f"Retyped: {', '.join(f'{name} {was} -> {now}' for name, was, now in self.retyped)}.")
        return "".join(zh), " ".join(en)


def look(state: State, dataset: Dataset, source: Source) -> Drift:
    """Compare with the last time. Writes nothing; nothing is different where there was no last time."""
    kept = state.get(f"shape:{dataset.id}")
    if kept is None:
        return Drift()
    before: Mapping[str, str] = json.loads(kept)
    kinds, read = source.kinds, columns_of(dataset)
    return Drift(
        tuple(name for name in source.columns if name not in before),
        tuple(name for name in before if name not in source.columns),
        tuple(
            (name, before[name], kinds[name])
            for name in read
            if before.get(name) and kinds.get(name) and before[name] != kinds[name]
        ),
    )


def enter(state: State, dataset: Dataset, source: Source, now: str) -> Drift:
    """Compare, and remember how the source looks now. Raises SourceFault `source.retyped_column` until released."""
    found = look(state, dataset, source)
    if found.retyped:
        if quarantine.released(state, dataset.id, COLUMN_RETYPED) is None:
            quarantine.hold(
                state, dataset.id, pass_id=0, reason=COLUMN_RETYPED, rows=len(found.retyped),
                total=len(columns_of(dataset)), now=now,
            )  # fmt: skip
            raise _retyped(dataset, found)
        quarantine.spend(state, dataset.id, COLUMN_RETYPED)
    quarantine.lift(state, dataset.id, [COLUMN_RETYPED])
    kinds = source.kinds
    state.put(f"shape:{dataset.id}", json.dumps({name: kinds.get(name, "") for name in source.columns}))
    return found


def _retyped(dataset: Dataset, found: Drift) -> SourceFault:
    told = "，".join(f"{name}（原 {was}，现 {now}）" for name, was, now in found.retyped)
    said = ", ".join(f"{name} (was {was}, is {now})" for name, was, now in found.retyped)
    return SourceFault(
        "source.retyped_column",
        f"数据集 {dataset.id} 的列换了类型：{told}。没有读取任何行。",
        f"Columns of dataset {dataset.id} have another type now: {said}. No row was read.",
        next_zh="请核对数据源与配置；确认无误后由经办人放行：yimen-agent held --release 编号 --officer 姓名。",
        next_en="Check source and mapping; if it is right, release it: yimen-agent held --release ID --officer NAME.",
    )
