"""Where rows come from: one module for each kind of source, all of them behind `adapters.source.Source`."""

from pathlib import Path
from typing import Any

from adapters.mapping import columns_of, raw_columns_of
from adapters.model import Dataset, HttpSource, SqlSource
from adapters.source import Source, SourceFault
from adapters.sources.excel import ExcelRows
from adapters.sources.files import CsvRows, DbfRows
from adapters.sources.fixed import FixedRows
from adapters.sources.pages import PagedRows
from adapters.sources.rest import Json
from adapters.sources.soap import Soap
from adapters.sources.sql import Match, SqlRows


def open_source(
    dataset: Dataset,
    scratch: Path,
    *,
    since: Any = None,
    between: tuple[Any, Any] | None = None,
    match: Match = (),
) -> Source:
    """The source of a dataset. `scratch` is a folder for files that live as long as the pass.

    `match` keeps only rows of which one alternative holds: every (column, spellings) of it. A file gives all its rows
    whatever it says: who asks looks for themselves. `since` leaves out rows whose cursor does not lie after it;
    `between` those whose first key column lies below the
    one or not below the other (None: open). Only databases are asked so.

    Raises `SourceFault`; `source.missing_column` when a column that the mapping reads is not there.
    """
    source = _opened(dataset, scratch, since, between, match)
    missing = [column for column in columns_of(dataset) if column not in source.columns]
    if missing:
        source.close()
        names = "、".join(missing)
        raise SourceFault(
            "source.missing_column",
            f"数据集 {dataset.id} 缺少列：{names}。",
            f"Dataset {dataset.id} has no column {', '.join(missing)}.",
            next_zh="请对照数据源修改配置里的 from。",
            next_en="Compare the configuration's from: with the source.",
        )
    return source


def _opened(
    dataset: Dataset, scratch: Path, since: Any, between: tuple[Any, Any] | None, match: Match
) -> Source:
    declared, key = dataset.source, dataset.key
    if isinstance(declared, SqlSource):
        after = None if since is None or dataset.cursor is None else (dataset.cursor.column, since)
        return SqlRows(
            declared, dataset.query or "", key, raw_columns_of(dataset), since=after, between=between, match=match
        )
    if isinstance(declared, HttpSource):
        return PagedRows(declared, key, scratch, Json() if declared.kind == "json" else Soap())
    match declared.format:
        case "csv":
            return CsvRows(declared, key, scratch)
        case "dbf":
            return DbfRows(declared, key, scratch)
        case "excel":
            return ExcelRows(declared, key, scratch)
        case "fixed":
            return FixedRows(declared, key, scratch)
