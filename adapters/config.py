"""The agent's configuration: one YAML file to frozen values; refusals name line, column and a remedy."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.lookupconfig import log_key_of, lookup_of
from adapters.model import (
    DATE_FORMATS,
    KINDS,
    LAG,
    TODAY,
    AgentConfig,
    AnySource,
    Config,
    Coverage,
    Cursor,
    Dataset,
    Field,
    FileSource,
    HolderRule,
    Reconcile,
    Scalar,
    SqlSource,
)
from adapters.sourceconfig import encoding_of, source_of
from adapters.yamltree import ConfigFault, Value, read
from hub.formats.sdjwt import is_issuer_url

__all__ = ["Config", "ConfigFault", "load"]

_HANDED_IN = FileSource(Path(), "csv")
"""Stands where the source of a work order's file will be."""
_SLUG = re.compile(r"[a-z][a-z0-9-]{1,62}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DIRECTIVE = re.compile(r"%(.)")
_DURATION = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)


def load(path: str | Path, *, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration; relative paths in it count from its own folder. Raises `ConfigFault`."""
    file = Path(path)
    root = read(file, environment)
    top = root.members(
        "agent", "source", "datasets", "orders", "max_order_rows", required=("agent", "datasets")
    )
    folder = file.resolve().parent
    shared = source_of(top["source"], folder) if "source" in top else None
    datasets: dict[str, Dataset] = {}
    for value in top["datasets"].items():
        dataset = _dataset(value, shared, folder)
        if dataset.id in datasets:
            raise value.fault(
                "duplicate_dataset", f"数据集 “{dataset.id}” 写了两次。", "Two datasets share an id."
            )
        datasets[dataset.id] = dataset
    orders: dict[str, Dataset] = {}
    for value in top["orders"].items() if "orders" in top else ():
        order = _dataset(value, _HANDED_IN, folder)
        if order.id in datasets or order.type in orders:
            raise value.fault(
                "duplicate_dataset",
                "代号与数据集重复，或同一类型写了两次。",
                "Its id is a dataset's, or its type stands twice.",
            )
        orders[order.type] = order
    limit = top["max_order_rows"].integer(1, 10_000) if "max_order_rows" in top else 1000
    return Config(_agent(top["agent"], folder), tuple(datasets.values()), tuple(orders.values()), limit)


def _agent(value: Value, folder: Path) -> AgentConfig:
    found = value.members(
        "department", "hub", "state", "keys", "faces", "log_key", required=("department", "hub")
    )
    department = found["department"].text()
    if not _SLUG.fullmatch(department):
        raise found["department"].fault(
            "bad_department",
            "部门代号只能用小写字母、数字和连字符。",
            "A department slug is lower-case words.",
            "例如 dg-edu。",
            "For example dg-edu.",
        )
    hub = found["hub"].text().rstrip("/")
    if not is_issuer_url(hub) or urlsplit(hub).path:
        raise found["hub"].fault(
            "bad_hub",
            "枢纽地址应为 https:// 开头的网址。",
            "The hub is an https address.",
            "例如 https://yimen.example.cn；http 只许用于本机。",
            "http is allowed for this machine only.",
        )
    return AgentConfig(
        department,
        hub,
        folder / (found["state"].text(empty=False) if "state" in found else "state.db"),
        folder / (found["keys"].text(empty=False) if "keys" in found else "keys"),
        faces=found["faces"].flag() if "faces" in found else True,
        log_key=log_key_of(found["log_key"]) if "log_key" in found else None,
    )


def _dataset(value: Value, shared: AnySource | None, folder: Path) -> Dataset:
    found = value.members(
        "id",
        "type",
        "source",
        "query",
        "key",
        "holders",
        "claims",
        "valid",
        "as_of",
        "number",
        "reconcile",
        "cursor",
        "coverage",
        "lookup",
        required=("id", "type", "key", "holders", "claims"),
    )
    source = source_of(found["source"], folder) if "source" in found else shared
    if source is None:
        raise value.fault(
            "no_source", "没有数据源。", "There is no source.", "请在顶层或此处写 source:。", "Add source:."
        )
    if isinstance(source, SqlSource) != ("query" in found):
        raise value.fault(
            "query",
            "数据库要有 query，文件不能有 query。",
            "A database needs a query; a file must not have one.",
        )
    claims = {name: _field(item) for name, item in found["claims"].entries().items()}
    for name, item in found["claims"].entries().items():
        if not _WORD.fullmatch(name):
            raise item.fault(
                "bad_claim", f"“{name}” 不能作为字段名。", "A claim name is lower-case words joined by _."
            )
    if "number" in found:
        if "number" in claims:
            raise found["number"].fault(
                "duplicate_claim", "number 在 claims 里已有。", "number stands in claims already."
            )
        claims["number"] = _field(found["number"])
    valid = found["valid"].members("from", "until") if "valid" in found else {}
    holders = tuple(_holder(item) for item in found["holders"].items())
    return Dataset(
        id=_word(found["id"]),
        type=_word(found["type"]),
        source=source,
        key=found["key"].texts(),
        holders=holders,
        claims=claims,
        query=found["query"].text(empty=False).strip().rstrip(";") if "query" in found else None,
        valid_from=_date(valid["from"]) if "from" in valid else None,
        valid_until=_date(valid["until"]) if "until" in valid else None,
        as_of=_date(found["as_of"]) if "as_of" in found else None,
        reconcile=_reconcile(found["reconcile"]) if "reconcile" in found else Reconcile(),
        cursor=_cursor(found["cursor"], source) if "cursor" in found else None,
        coverage=_coverage(found["coverage"]) if "coverage" in found else None,
        lookup=lookup_of(found["lookup"], source, holders) if "lookup" in found else None,
    )


def _word(value: Value) -> str:
    found = value.text()
    if not _WORD.fullmatch(found):
        raise value.fault(
            "bad_word", "只能用小写字母、数字和下划线。", "Lower-case letters, digits and _ only."
        )
    return found


def _holder(value: Value) -> HolderRule:
    found = value.members(
        "role", "name", "id_type", "id_no", "when", required=("role", "name", "id_type", "id_no")
    )
    return HolderRule(
        _word(found["role"]),
        _field(found["name"], kind="name", required=True),
        _field(found["id_type"], required=True),
        _field(found["id_no"], required=True),
        found["when"].text(empty=False) if "when" in found else None,
    )


def _date(value: Value) -> Field:
    found = _field(value, kind="date")
    if found.kind != "date" or (found.column is None and found.const != TODAY):
        raise value.fault(
            "not_date", "这里应为日期列，或 const: today。", "A date column or const: today is needed."
        )
    return found


_FIELD_KEYS = (
    "from",
    "const",
    "type",
    "required",
    "trim",
    "codes",
    "on_unknown",
    "formats",
    "null_values",
    "no_end",
    "scale",
    "bytes_as",
    "separator",
    "field_separator",
    "fields",
    "item",
)


def _field(value: Value, *, kind: str = "text", required: bool = False, inside: bool = False) -> Field:
    """One field. `inside`: part of a list, so it takes its place there instead of a column."""
    found = value.members(*_FIELD_KEYS)
    if inside and "from" in found:
        raise found["from"].fault(
            "bad_from", "列表内的字段按位置取值。", "Fields inside a list are taken by position."
        )
    if not inside and ("from" in found) == ("const" in found):
        raise value.fault(
            "from_or_const", "from 与 const 必须且只能有一个。", "Exactly one of from and const is needed."
        )
    kind = found["type"].choice(*KINDS) if "type" in found else kind
    if inside and kind == "list":
        raise value.fault("nested_list", "列表内不能再有列表。", "A list cannot stand inside a list.")
    if "fields" in found and "item" in found:
        raise value.fault("fields_or_item", "fields 与 item 不能并存。", "Only one of fields and item.")
    return Field(
        column=found["from"].text(empty=False) if "from" in found else None,
        const=found["const"].scalar() if "const" in found else None,
        kind=kind,  # type: ignore[arg-type]  # choice() returned one of KINDS
        required=found["required"].flag() if "required" in found else required,
        trim=found["trim"].flag() if "trim" in found else True,
        codes=_codes(found["codes"]) if "codes" in found else None,
        on_unknown="null"
        if "on_unknown" in found and found["on_unknown"].choice("quarantine", "null") == "null"
        else "quarantine",
        formats=_formats(found["formats"]) if "formats" in found else DATE_FORMATS,
        null_values=found["null_values"].texts() if "null_values" in found else (),
        no_end=found["no_end"].texts() if "no_end" in found else (),
        scale=found["scale"].integer(0, 12) if "scale" in found else 2,
        bytes_as=encoding_of(found["bytes_as"]) if "bytes_as" in found else None,
        separator=found["separator"].text(empty=True) if "separator" in found else "|",
        field_separator=found["field_separator"].text(empty=True) if "field_separator" in found else ":",
        fields={name: _field(item, inside=True) for name, item in found["fields"].entries().items()}
        if "fields" in found
        else None,
        item=_field(found["item"], inside=True) if "item" in found else None,
    )


def _codes(value: Value) -> Mapping[str, Scalar]:
    """A code table: the source's spelling to ours. Keys keep their zeros: 02 and 2 are two codes."""
    found = {key: item.scalar() for key, item in value.entries().items()}
    if not found:
        raise value.fault("no_codes", "代码表是空的。", "The code table is empty.")
    return found


def _formats(value: Value) -> tuple[str, ...]:
    for text in value.texts():
        if set(_DIRECTIVE.findall(text)) - set("YmdHMS%") or not {"Y", "m", "d"} <= set(
            _DIRECTIVE.findall(text)
        ):
            raise value.fault(
                "bad_format",
                f"日期格式 “{text}” 不能用。",
                "A date format has %Y, %m and %d, and at most %H %M %S.",
                '例如 "%Y-%m-%d"。',
                'For example "%Y%m%d".',
            )
    return value.texts()


def _reconcile(value: Value) -> Reconcile:
    usual = Reconcile()
    found = value.members(
        "max_revoke", "every", "min_rows_percent", "max_quarantine_percent", "max_supersede_percent",
        "max_changed_percent",
    )  # fmt: skip
    limits = found["max_revoke"].members("count", "percent") if "max_revoke" in found else {}

    def percent(name: str, otherwise: Decimal, among: Mapping[str, Value] = found) -> Decimal:
        return among[name].decimal(0, 100) if name in among else otherwise

    return Reconcile(
        limits["count"].integer(0, 10**9) if "count" in limits else usual.max_revoke_count,
        percent("percent", usual.max_revoke_percent, limits),
        percent("min_rows_percent", usual.min_rows_percent),
        percent("max_quarantine_percent", usual.max_quarantine_percent),
        percent("max_supersede_percent", usual.max_supersede_percent),
        percent("max_changed_percent", usual.max_changed_percent),
        _duration(found["every"]) if "every" in found else usual.every,
    )


def _cursor(value: Value, source: object) -> Cursor:
    if not isinstance(source, SqlSource):
        raise value.fault(
            "cursor",
            "只有数据库能按游标读，文件每次整读。",
            "Only a database can be read by a cursor: a file is read whole each time.",
        )
    found = value.members("column", "lag", "timezone", "format", required=("column",))
    zone = found["timezone"].text() if "timezone" in found else "Asia/Shanghai"
    try:
        ZoneInfo(zone)
    except (ValueError, ZoneInfoNotFoundError) as fault:
        raise found["timezone"].fault(
            "timezone", f"没有时区 “{zone}”。", f'No time zone is called "{zone}".', "例如 Asia/Shanghai。"
        ) from fault
    return Cursor(
        found["column"].text(empty=False),
        _duration(found["lag"]) if "lag" in found else LAG,
        zone,
        _formats(found["format"])[0] if "format" in found else None,
    )


def _coverage(value: Value) -> Coverage:
    found = value.members("from", "gaps")
    gaps = found["gaps"].members("zh", "en", required=("zh", "en")) if "gaps" in found else {}
    start = None
    if "from" in found:
        try:
            start = date.fromisoformat(found["from"].text())
        except ValueError as fault:
            raise found["from"].fault(
                "day", "这里应为一天。", "A day is needed.", "例如 1998-01-01。", "For example 1998-01-01."
            ) from fault
    said = {name: gaps[name].text(empty=False) if gaps else "" for name in ("zh", "en")}
    if max(map(len, said.values())) > 200:
        raise value.fault("gaps", "缺口说明最长 200 字。", "A gap is told in 200 characters at most.")
    return Coverage(start, said["zh"], said["en"])


def _duration(value: Value) -> int:
    """30s, 15m, 24h, 7d, or a bare number: seconds (for a numeric cursor: a distance)."""
    found = _DURATION.fullmatch(value.text().strip())
    if found is None:
        raise value.fault(
            "duration",
            "这里应为时长。",
            "A length of time is needed.",
            "例如 15m、24h。",
            "For example 15m, 24h.",
        )
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]]
