"""What must still be brought? Pure: facts about one applicant in, one answer for each material of an item out.

For each material, in this order: (1) the proof was abolished; (2) a certificate that fits is held; (3) a paper that was
brought once is on file; (4) the source's agent would answer a pull now; (5) an office checks it itself; (6) a written
promise is enough; (7) it must be brought, with the reason. Of alternatives the easiest decides. The planner reads no
claim of any certificate: whether a content fits is judged when it is verified, with consent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from hub.catalogue.catalogue import listed
from hub.catalogue.items import Evidence, Material, ServiceItem
from hub.catalogue.sources import Source
from hub.catalogue.waivers import ABOLISHED, COMMITMENT, Standing
from hub.certificates.find import EXPIRING_DAYS, StatusWord
from hub.certificates.model import CertificateState
from hub.clock import civil_day
from hub.registry.types import CertificateType

Who = tuple[str, str]
"""(`applicant` or `child`, certificate type)."""


class Way(StrEnum):
    """How a material gets to the office, the easiest first."""

    WAIVED = "waived"
    HELD = "held"
    FILED = "filed"
    PULL = "pull"
    PROMISE = "promise"
    BRING = "bring"


class Reason(StrEnum):
    """Why; a closed list, so that each has words in both languages (`hub.web.pages.words`)."""

    ABOLISHED = "abolished"
    VALID = "valid"
    EXPIRING = "expiring"
    BROUGHT_ONCE = "brought_once"
    SOURCE_ANSWERS = "source_answers"
    OFFICE_CHECKS = "office_checks"
    PROMISE = "promise"
    NO_RECORD = "no_record"
    NOT_COVERED = "not_covered"
    EXPIRED = "expired"
    OUTDATED = "outdated"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    SOURCE_SILENT = "source_silent"
    NOT_CONNECTED = "not_connected"


_FITS = {StatusWord.VALID: Reason.VALID, StatusWord.EXPIRING: Reason.EXPIRING}
_UNFIT = {
    StatusWord.EXPIRED: Reason.EXPIRED,
    StatusWord.OUTDATED: Reason.OUTDATED,
    StatusWord.SUSPENDED: Reason.SUSPENDED,
    StatusWord.REVOKED: Reason.REVOKED,
    StatusWord.SUPERSEDED: Reason.REVOKED,
    StatusWord.UNKNOWN: Reason.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Holding:
    """The best certificate of one type that somebody holds, without its contents."""

    type_code: str
    public_id: str
    department: str
    state: CertificateState
    valid_until: datetime | None
    as_of: date | None
    registered_at: datetime
    list_stands: bool

    def word(self, now: datetime, max_age_days: int | None) -> StatusWord:
        """Its status word now, for an item that accepts an age of at most `max_age_days`."""
        if self.state is not CertificateState.CURRENT:
            return StatusWord(self.state)
        if not self.list_stands:
            return StatusWord.UNKNOWN
        if self.valid_until is not None and self.valid_until <= now:
            return StatusWord.EXPIRED
        age = civil_day(now) - self.as_of if self.as_of is not None else timedelta()
        if max_age_days is not None and age > timedelta(days=max_age_days):
            return StatusWord.OUTDATED
        soon = self.valid_until is not None and self.valid_until <= now + timedelta(days=EXPIRING_DAYS)
        return StatusWord.EXPIRING if soon else StatusWord.VALID


@dataclass(frozen=True, slots=True)
class Filed:
    """A paper that was brought once, compared by a clerk and kept: good for every later case until it ends."""

    since: date
    valid_until: datetime | None


@dataclass(frozen=True)
class Facts:
    """Everything that one plan rests on. `filed` is by material code (kept by the room of cases). `promises`: whether a
    written promise of this person is taken (not for a while after one was found broken)."""

    now: datetime
    holdings: Mapping[Who, Holding]
    standing: Standing
    types: Mapping[str, CertificateType]
    filed: Mapping[str, Filed] = field(default_factory=dict)
    promises: bool = True


@dataclass(frozen=True, slots=True)
class Planned:
    """One material with the way it gets to the office, and why."""

    material: Material
    way: Way
    reason: Reason
    type_code: str | None = None
    holding: Holding | None = None
    source: Source | None = None
    check_days: int | None = None

    @property
    def department(self) -> str | None:
        """The office that answers for it: who registered it, else whose paper it is."""
        return self.holding.department if self.holding else self.material.department


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that an item needs: alternatives, the easiest first."""

    options: tuple[Planned, ...]

    @property
    def best(self) -> Planned:
        """The easiest of the alternatives."""
        return self.options[0]

    @property
    def required(self) -> bool:
        """Whether every applicant needs it."""
        return self.best.material.required


@dataclass(frozen=True, slots=True)
class ItemPlan:
    """The plan for one item; `requirements` is empty exactly when the item is not catalogued."""

    item: ServiceItem
    requirements: tuple[Requirement, ...]

    def by(self, *ways: Way) -> tuple[Requirement, ...]:
        """The requirements that are met in one of these ways."""
        return tuple(one for one in self.requirements if one.best.way in ways)

    @property
    def to_bring(self) -> tuple[Requirement, ...]:
        """What must still be brought."""
        return tuple(one for one in self.by(Way.BRING) if one.required)


def plan_item(item: ServiceItem, facts: Facts) -> ItemPlan:
    """The plan for one item."""
    groups: dict[str, list[Planned]] = {}
    for material in item.materials:
        groups.setdefault(material.either or material.code, []).append(planned(material, facts, item.code))
    order = list(Way)
    found = (sorted(group, key=lambda one: order.index(one.way)) for group in groups.values())
    return ItemPlan(item, tuple(Requirement(tuple(group)) for group in found))


def plan_all(
    items: Mapping[str, ServiceItem], facts: Facts, codes: Iterable[str] | None = None
) -> dict[str, ItemPlan]:
    """The plan for every catalogued item (or those of `codes`), by code. Skeletons have no plan: ask the counter."""
    wanted = [one.code for one in listed(items) if one.complete] if codes is None else codes
    return {code: plan_item(items[code], facts) for code in wanted}


def planned(material: Material, facts: Facts, item: str = "") -> Planned:
    """One material of an item. The steps are numbered in the module's docstring."""
    waiver = facts.standing.waiver(item, material.code)
    effective = waiver if waiver is not None and waiver.effective else None
    if effective is not None and effective.kind == COMMITMENT and not facts.promises:
        effective = None
    if effective is not None and effective.kind == ABOLISHED:  # 1
        return Planned(material, Way.WAIVED, Reason.ABOLISHED)
    held = _held(material, facts)
    if held is not None and held.way is Way.HELD:  # 2
        return held
    filed = facts.filed.get(material.code)
    if filed is not None and (filed.valid_until is None or filed.valid_until > facts.now):  # 3
        return Planned(material, Way.FILED, Reason.BROUGHT_ONCE)
    sources = [
        facts.standing.sources[e.type] for e in material.satisfied_by if e.type in facts.standing.sources
    ]
    for source in sources:  # 4
        if source.pulls and (held is None or held.reason is not Reason.REVOKED):
            return Planned(material, Way.PULL, Reason.SOURCE_ANSWERS, source.type_code, None, source)
    if effective is not None and effective.kind == COMMITMENT:  # 6
        return Planned(material, Way.PROMISE, Reason.PROMISE, check_days=effective.check_days)
    if effective is not None and (held is None or held.reason is not Reason.REVOKED):  # 5
        return Planned(material, Way.WAIVED, Reason.OFFICE_CHECKS, None, None, effective.source)
    return held or _missing(material, sources)  # 7


def _held(material: Material, facts: Facts) -> Planned | None:
    """The best certificate held for it: one that fits, else the first that does not with the reason why."""
    unfit: Planned | None = None
    for evidence in material.satisfied_by:
        who = "child" if material.holder == "child" else "applicant"
        holding = facts.holdings.get((who, evidence.type))
        if holding is None:
            continue
        word = holding.word(facts.now, _age(evidence, facts.types))
        source = facts.standing.sources.get(evidence.type)
        if word in _FITS:
            return Planned(material, Way.HELD, _FITS[word], evidence.type, holding, source)
        unfit = unfit or Planned(material, Way.BRING, _UNFIT[word], evidence.type, holding, source)
    return unfit


def _missing(material: Material, sources: list[Source]) -> Planned:
    """Nothing is held: is there a source at all, does it cover everything, is it at work?"""
    if not sources:
        return Planned(material, Way.BRING, Reason.NOT_CONNECTED)
    source = sources[0]
    if not source.live:
        return Planned(material, Way.BRING, Reason.SOURCE_SILENT, source.type_code, None, source)
    partly = source.covers_from is not None or bool(source.gaps["zh-CN"])
    reason = Reason.NOT_COVERED if partly else Reason.NO_RECORD
    return Planned(material, Way.BRING, reason, source.type_code, None, source)


def _age(evidence: Evidence, types: Mapping[str, CertificateType]) -> int | None:
    """The strictest age in days that the item and the type accept."""
    own = types[evidence.type].max_age_days if evidence.type in types else None
    return min((days for days in (own, evidence.max_age_days) if days is not None), default=None)
