"""Look one person up in one dataset: their row mapped, or named why there is none. Signs nothing, sends nothing.

Several rows are several rows, never the first; what could not be read to its end is "unavailable", never "no record".
"""

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from adapters import drift
from adapters.certtypes import CertificateType
from adapters.findings import Finding
from adapters.judge import Judged, judged
from adapters.mapping import Row
from adapters.mending import corrected, corrections
from adapters.model import Dataset, SqlSource
from adapters.source import SourceFault, Unreadable
from adapters.sources import open_source
from adapters.sources.sql import Match
from adapters.state import State
from hub.clock import Clock, civil_day
from hub.errors import HubError
from hub.formats.identifiers import RESIDENT_TYPE, normal_id
from hub.formats.pullorder import Subject

ENOUGH = 50
"""More rows than this for one person are not looked at: several is several."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up came to. `outcome`: found, not_found, not_covered, ambiguous, unusable, name_differs, unavailable.

    `one` is the row (found, and unusable where there is one); `findings` say why it cannot be signed.
    """

    outcome: str
    reason: str = ""
    one: Judged | None = None
    findings: tuple[Finding, ...] = ()


def find(
    state: State, dataset: Dataset, kind: CertificateType, subject: Subject, *, scratch: Path, clock: Clock
) -> Found:
    """Look up by the identity columns that the configuration names, with every value bound.

    A row counts only when its mapped holder has this very number: a database may compare more loosely than we do.
    Raises SourceFault when the source cannot be read.
    """
    lookup = dataset.lookup
    if lookup is None:
        return Found("unavailable", "agent.no_lookup")
    match = _match(dataset, subject)
    declared = dataset.source
    if isinstance(declared, SqlSource):
        declared = replace(declared, statement_timeout=lookup.timeout, page_size=ENOUGH, max_rows_per_second=0)
    asked = replace(dataset, source=declared)
    with closing(open_source(asked, scratch, match=match)) as source:
        if drift.look(state, dataset, source).retyped:
            raise SourceFault("source.retyped_column", "列换了类型，须经办人放行。", "A column has another type.")
        rows = corrected(_matching(source.rows(), match), dataset, corrections(state, dataset))
        judgements = judged(rows, dataset, kind.vct, today=civil_day(clock()))
        found = [one for one in judgements if _is_of(one, subject)]
        complete = source.complete
    if len(found) > 1 or any(one.rows > 1 for one in found):
        return Found("ambiguous")
    if not found:
        if not complete:
            return Found("unavailable", "source.incomplete")
        gaps = dataset.coverage is not None and (dataset.coverage.covers_from or dataset.coverage.gaps_zh)
        return Found("not_covered" if gaps else "not_found")
    one = found[0]
    findings = one.findings if one.mapped is None else kind.check(one.mapped)
    if one.mapped is None or findings:
        return Found("unusable", findings[0].code, one, findings)
    if not _is_called(one, subject):
        return Found("name_differs")
    return Found("found", "", one)


def spellings(id_type: str, id_no: str) -> tuple[str, ...]:
    """How a number may stand in an old database: as it is, with a small x, in its 15-digit form."""
    normal = normal_id(id_type, id_no)
    found = [normal, normal.lower()]
    if id_type == RESIDENT_TYPE and normal[6:8] == "19":
        found.append(normal[:6] + normal[8:17])
    return tuple(dict.fromkeys(found))


def _match(dataset: Dataset, subject: Subject) -> Match:
    numbers = spellings(subject.id_type, subject.id_no)
    ways = []
    for way in dataset.lookup.by if dataset.lookup else ():
        said = {"id_no": numbers, "name": (subject.name,) if subject.name else ()}
        ways.append(tuple((column, said[what]) for column, what in way if said[what]))
    return tuple(ways)


def _matching(rows: Iterable[Row | Unreadable], match: Match) -> Iterator[Row | Unreadable]:
    """The rows of which one alternative holds; a file gives all of them. What cannot be read may be anybody's."""
    for row in rows:
        if isinstance(row, Unreadable) or any(
            all(_said(row.get(column)) in wanted for column, wanted in way) for way in match
        ):
            yield row


def _said(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("ascii", "replace").strip()
    return str(cell).strip() if cell is not None else ""


def _is_of(one: Judged, subject: Subject) -> bool:
    """Whether the row is this person's: by its mapped holder, or, when it cannot be mapped, by having matched."""
    if one.mapped is None:
        return True
    return any(_number(holder) == (subject.id_type, subject.id_no) for holder in one.mapped.holders)


def _number(holder: object) -> tuple[str, str]:
    said = dict(holder)  # type: ignore[call-overload]  # a mapping of text
    try:
        return said["id_type"], normal_id(said["id_type"], said["id_no"])
    except (HubError, KeyError):
        return "", ""


def _is_called(one: Judged, subject: Subject) -> bool:
    """Whether the row's holder with this number is called what the hub knows; nothing known is nothing to compare."""
    if subject.name is None or one.mapped is None:
        return True
    names = [
        holder.get("name", "")
        for holder in one.mapped.holders
        if _number(holder) == (subject.id_type, subject.id_no)
    ]
    return any(_plain(name) == _plain(subject.name) for name in names)


def _plain(name: str) -> str:
    """A name without what keyboards make of it: width, spaces, letter case, the many middle dots."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join("·" if char in "·•‧∙・．." else char for char in text if not char.isspace())
