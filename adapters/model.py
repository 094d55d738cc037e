"""What a configuration says, as frozen values: agent, sources, datasets, fields. `config.load` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

Kind = Literal["text", "name", "date", "integer", "decimal", "boolean", "list", "resident_id", "credit_code"]
KINDS: tuple[str, ...] = (
    "text",
    "name",
    "date",
    "integer",
    "decimal",
    "boolean",
    "list",
    "resident_id",
    "credit_code",
)
Scalar = str | int | bool | None
TODAY = "today"
LAG = 900
"""Seconds that a poll goes back: longer than commits are usually held open."""
DATE_FORMATS = ("%Y-%m-%d", "%Y%m%d")


@dataclass(frozen=True, slots=True)
class Field:
    """How one value comes out of a row: from a column or a constant, through codes and a type.

    `column` None means `const`. `null_values` are spellings of "unknown"; `no_end` (dates only) are
    spellings of "for ever": both give no value, but only `no_end` satisfies `required`.
    """

    column: str | None = None
    const: Scalar = None
    kind: Kind = "text"
    required: bool = False
    trim: bool = True
    codes: Mapping[str, Scalar] | None = None
    on_unknown: Literal["quarantine", "null"] = "quarantine"
    formats: tuple[str, ...] = DATE_FORMATS
    null_values: tuple[str, ...] = ()
    no_end: tuple[str, ...] = ()
    scale: int = 2
    bytes_as: str | None = None
    separator: str = "|"
    field_separator: str = ":"
    fields: Mapping[str, "Field"] | None = None
    item: "Field | None" = None


@dataclass(frozen=True, slots=True)
class HolderRule:
    """One holder of the certificate, left out when the column `when` is named and holds nothing."""

    role: str
    name: Field
    id_type: Field
    id_no: Field
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """The circuit breaker's limits (percentages of 100), and how often a dataset with a cursor is read whole.

    `max_supersede_percent` is for a changed mapping, `max_changed_percent` for rows that changed. `every` is seconds.
    """

    max_revoke_count: int = 200
    max_revoke_percent: Decimal = Decimal("0.5")
    min_rows_percent: Decimal = Decimal(95)
    max_quarantine_percent: Decimal = Decimal(20)
    max_supersede_percent: Decimal = Decimal(20)
    max_changed_percent: Decimal = Decimal(20)
    every: int = 86_400


@dataclass(frozen=True, slots=True)
class Cursor:
    """The column that says when a row changed last, so that most passes read only what is new.

    Each poll goes back by `lag` before the newest value seen: seconds for times, plain distance for numbers. `format`
    reads times that are written as text; times without a zone are in `timezone`.
    """

    column: str
    lag: int = LAG
    timezone: str = "Asia/Shanghai"
    format: str | None = None


@dataclass(frozen=True, slots=True)
class SqlSource:
    """A database reached through SQLAlchemy. `url` may hold a password: it is never shown or logged."""

    url: str = field(repr=False)
    page_size: int = 1000
    statement_timeout: int = 60
    max_rows_per_second: int = 0
    allow_writable: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True)
class FileSource:
    """A snapshot file. `end` is the first cell of a closing line; without it a CSV counts as whole when its
    last line has a line end. `columns` names the columns of a table without a header line. `fields` are the (name,
    width in bytes) of fixed-width lines: no name is passed over, no width is the rest of the line."""

    path: Path
    format: Literal["csv", "dbf", "excel", "fixed"]
    encoding: str = "gb18030"
    delimiter: str = ","
    columns: tuple[str, ...] | None = None
    end: str | None = None
    sheet: str | None = None
    header_row: int = 1
    fields: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A service that gives rows in pages. `headers` and `body` may hold credentials: they are never shown.

    JSON: `rows`, `total` and `following` are paths (a.b.c). SOAP: they are names of elements. `page` and `size` are the
    names of query parameters; a `body` has the places {page} and {size} instead.
    """

    url: str = field(repr=False)
    kind: Literal["json", "soap"]
    rows: str = ""
    total: str | None = None
    following: str | None = None
    page: str = "page"
    size: str | None = None
    page_size: int = 500
    first: int = 1
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: str | None = field(default=None, repr=False)
    action: str = ""
    inside: str | None = None
    timeout: int = 60


AnySource = SqlSource | FileSource | HttpSource


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a source holds: everything from a day on, with gaps told in both languages. Earlier facts are on paper."""

    covers_from: date | None = None
    gaps_zh: str = ""
    gaps_en: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """How one person's row is looked up when the hub asks (a pull), with the citizen's consent.

    `by` are alternatives, each of (column, "id_no" or "name") that must all match.
    `only`: the dataset is never synced, and what is signed ends tonight. `timeout` is seconds, `rate` look-ups a
    second. `passkey`: a consent by sign-in alone is not enough.
    """

    by: tuple[tuple[tuple[str, str], ...], ...] = ()
    only: bool = False
    timeout: int = 3
    rate: int = 20
    at_once: int = 4
    passkey: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """One query or file of rows, mapped to one certificate type."""

    id: str
    type: str
    source: AnySource
    key: tuple[str, ...]
    holders: tuple[HolderRule, ...]
    claims: Mapping[str, Field]
    query: str | None = None
    valid_from: Field | None = None
    valid_until: Field | None = None
    as_of: Field | None = None
    reconcile: Reconcile = Reconcile()
    cursor: Cursor | None = None
    coverage: Coverage | None = None
    lookup: Lookup | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `ok` False stops a sync; `zh` and `en` say what was found."""

    name: str
    ok: bool
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Who this agent is and where it keeps its state and keys."""

    department: str
    hub: str
    state: Path
    keys: Path
    faces: bool = True
    """Whether printed faces are made: signed tokens wait in the state file until then."""
    log_key: str | None = None
    """The ledger's verifier key, pinned. Without it the one that is met first is kept."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    agent: AgentConfig
    datasets: tuple[Dataset, ...]
    orders: tuple[Dataset, ...] = ()
    """How files that officers hand in are read, one for each type; their `source` is filled in for each file."""
    max_order_rows: int = 1000

    def dataset(self, dataset_id: str) -> Dataset | None:
        """The dataset of that id."""
        return next((dataset for dataset in self.datasets if dataset.id == dataset_id), None)
