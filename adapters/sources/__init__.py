"""Where rows come from: one module for each kind of source, all of them behind `adapters.source.Source`."""

from pathlib import Path
from typing import Any

from adapters.mapping import columns_of, raw_columns_of
from adapters.model import Dataset, SqlSource
from adapters.source import Source, SourceFault
from adapters.sources.files import CsvRows, DbfRows
from adapters.sources.sql import SqlRows


def open_source(dataset: Dataset, scratch: Path, *, since: Any = None) -> Source:
    """The source of a dataset. `scratch` is a folder for files that live as long as the pass.

    `since` leaves out rows whose cursor does not lie after it; only databases are asked so.

    Raises `SourceFault`; `source.missing_column` when a column that the mapping reads is not there.
    """
    source: Source
    if isinstance(dataset.source, SqlSource):
        after = None if since is None or dataset.cursor is None else (dataset.cursor.column, since)
        source = SqlRows(
            dataset.source, dataset.query or "", dataset.key, raw_columns_of(dataset), since=after
        )
    elif dataset.source.format == "csv":
        source = CsvRows(dataset.source, dataset.key, scratch)
    else:
        source = DbfRows(dataset.source, dataset.key, scratch)
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
