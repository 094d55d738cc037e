"""Scoring: claims in, explained points out. Pure: no clock, no database, no rounding that is not written down.

Every rule of the scheme becomes a line, also the ones that give nothing, so that a score can be looked up and
reviewed point by point (who is responsible scores, and who scores explains). How points are computed from claims
stands in `measures.py`; this module decides which certificates count and adds up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from hub.cases.measures import KINDS, NOTHING, Outcome
from hub.cases.scheme import ClaimPath, Rule, Scheme, applicable
from hub.errors import Unprocessable

VALUE_MISSING = "value_missing"
RULE_UNCONFIRMED = "rule_unconfirmed"


@dataclass(frozen=True, slots=True)
class Shown:
    """One verified certificate as the verifier saw it: only the claims that were disclosed.

    `holders` are opaque keys of the persons it is about (subjects, tokens: the scorer only compares them).
    `as_of` is set for living types.
    """

    certificate_id: str
    type: str
    holders: frozenset[str]
    claims: Mapping[str, Any]
    as_of: date | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is kept with a score."""
        return {
            "certificate_id": self.certificate_id,
            "type": self.type,
            "holders": sorted(self.holders),
            "claims": dict(self.claims),
            "as_of": self.as_of.isoformat() if self.as_of else None,
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one application: the parent (or applicant) whose points count, the child, the entry."""

    parent: str
    child: str | None
    shown: tuple[Shown, ...]
    grade_1: bool = True

    def as_json(self) -> dict[str, Any]:
        """As it is kept with a score, so that the score can be computed again."""
        shown = [one.as_json() for one in self.shown]
        return {"parent": self.parent, "child": self.child, "grade_1": self.grade_1, "shown": shown}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Evidence":
        """The evidence as it was kept."""
        shown = tuple(
            Shown(
                one["certificate_id"],
                one["type"],
                frozenset(one["holders"]),
                one["claims"],
                date.fromisoformat(one["as_of"]) if one["as_of"] else None,
            )
            for one in raw["shown"]
        )
        return cls(raw["parent"], raw["child"], shown, raw["grade_1"])


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a line's value comes from."""

    certificate_id: str
    type: str
    claims: tuple[ClaimPath, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One rule's points with the arithmetic in words. Lines add up to the total.

    `unconfirmed` means that the line must not be read as a finding: no value was shown (`value_missing`) or
    the scheme's own value has no source (`rule_unconfirmed`).
    """

    rule: str
    display: Mapping[str, str]
    department: str
    points: Decimal
    explanation_zh: str
    explanation_en: str
    scheme: str
    version: int
    citations: tuple[Citation, ...]
    unconfirmed: bool
    reason: str | None

    @property
    def certificate_id(self) -> str | None:
        """The certificate that the points rest on, if there is one."""
        return self.citations[0].certificate_id if self.citations else None

    @property
    def type(self) -> str | None:
        """The type of that certificate."""
        return self.citations[0].type if self.citations else None

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        """The claims of it that were read."""
        return self.citations[0].claims if self.citations else ()

    def as_json(self) -> dict[str, Any]:
        """The line as doors show it and cases keep it; points as a decimal string."""
        return {
            "rule": self.rule,
            "display": dict(self.display),
            "department": self.department,
            "points": f"{self.points:f}",
            "explanation": {"zh-CN": self.explanation_zh, "en": self.explanation_en},
            "scheme": self.scheme,
            "version": self.version,
            "citations": [
                {"certificate_id": c.certificate_id, "type": c.type, "claims": [list(p) for p in c.claims]}
                for c in self.citations
            ],
            "unconfirmed": self.unconfirmed,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Score:
    """The sum and its lines. `measures` feed the order of equal scores; `not_counted` names other people's papers."""

    scheme: str
    version: int
    as_of: date
    total: Decimal
    lines: tuple[Line, ...]
    measures: Mapping[str, Decimal] = field(default_factory=dict)
    tie_order: tuple[str, ...] = ()
    not_counted: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The score as doors show it; numbers as decimal strings."""
        return {
            "scheme": self.scheme,
            "version": self.version,
            "as_of": self.as_of.isoformat(),
            "total": f"{self.total:f}",
            "lines": [line.as_json() for line in self.lines],
            "measures": {k: f"{v:f}" for k, v in self.measures.items()},
            "not_counted": list(self.not_counted),
        }


def score(scheme: Scheme, evidence: Evidence, *, as_of: date) -> Score:
    """Score one application on a civil day; the same input always gives the same score.

    1. Only the chosen parent's (or applicant's) certificates count, and the child's own for the child's rules.
    2. Each rule reads its claims and gives points with a reason; a missing or unsourced value gives none.
    3. Rules of a group share its limit; what is above it is taken off in a line of its own.

    Raises `Unprocessable("scoring.value_invalid")` when a claim is not what its type says.
    """
    lines: list[Line] = []
    measures: dict[str, Decimal] = {}
    rules = applicable(scheme, grade_1=evidence.grade_1)
    for rule in rules:
        line, measured = _line(scheme, rule, evidence, as_of)
        lines.append(line)
        measures |= measured
    for group in scheme.groups:
        members = [i for i, rule in enumerate(rules) if rule.group == group.code]
        total = sum((lines[i].points for i in members), Decimal(0))
        measures[group.code] = min(total, group.cap)
        if total > group.cap:
            lines.append(
                Line(
                    rule=f"{group.code}.cap",
                    display=group.display,
                    department=rules[members[0]].department,
                    points=group.cap - total,
                    explanation_zh=f"{group.display['zh-CN']}合计{total:f}分，最高{group.cap:f}分，"
                    f"超出部分不计：{group.cap:f} - {total:f} = {group.cap - total:f}分。",
                    explanation_en=f"{group.display['en']}: {total:f} in all, at most {group.cap:f}; "
                    f"taken off: {group.cap:f} - {total:f} = {group.cap - total:f}.",
                    scheme=scheme.code,
                    version=scheme.version,
                    citations=(),
                    unconfirmed=False,
                    reason=None,
                )
            )
    mine = {evidence.parent, evidence.child}
    return Score(
        scheme=scheme.code,
        version=scheme.version,
        as_of=as_of,
        total=sum((line.points for line in lines), Decimal(0)),
        lines=tuple(lines),
        measures=MappingProxyType(measures),
        tie_order=scheme.tie_order,
        not_counted=tuple(s.certificate_id for s in evidence.shown if not s.holders & mine),
    )


def ties_of(score: Score) -> tuple[Decimal, ...]:
    """What decides between equal totals, in the published order; what was not shown is zero."""
    return tuple(score.measures.get(name, Decimal(0)) for name in score.tie_order)


def order_key(score: Score) -> tuple[Decimal, ...]:
    """Sort key, best first: total points, then the published order of ties. Still equal: by lot, not by us."""
    return (-score.total, *(-tie for tie in ties_of(score)))


def _line(scheme: Scheme, rule: Rule, evidence: Evidence, as_of: date) -> tuple[Line, dict[str, Decimal]]:
    """One rule's line, and what it measured for ties."""
    choices = [_candidates(rule, n, evidence) for n in range(len(rule.sources))]
    reason: str | None = None
    cited: tuple[Shown, ...] = ()
    if all(choices):
        outcome, cited = _best(rule, choices, as_of)
        reason = RULE_UNCONFIRMED if rule.unconfirmed or outcome.unconfirmed else None
    else:
        reason, outcome = VALUE_MISSING, NOTHING
    if rule.unconfirmed:
        outcome = Outcome(Decimal(0), rule.note["zh-CN"], rule.note["en"], measures=outcome.measures)
        reason = RULE_UNCONFIRMED
    line = Line(
        rule=rule.id,
        display=rule.display,
        department=rule.department,
        points=outcome.points,
        explanation_zh=outcome.zh,
        explanation_en=outcome.en,
        scheme=scheme.code,
        version=scheme.version,
        citations=tuple(
            Citation(shown.certificate_id, source.type, source.claims)
            for shown, source in zip(cited, rule.sources, strict=False)
        ),
        unconfirmed=reason is not None,
        reason=reason,
    )
    return line, dict(outcome.measures)


def _candidates(rule: Rule, number: int, evidence: Evidence) -> list[Shown]:
    """The certificates that may feed one source of a rule, in a fixed order.

    Of a living type only the newest counts: an older statement of the same office is out of date.
    """
    source = rule.sources[number]
    person = evidence.child if rule.holder == "child" else evidence.parent
    fitting = [
        s
        for s in evidence.shown
        if s.type == source.type
        and person in s.holders
        and all(c[0] in s.claims for c in source.claims)
        and (number > 0 or all(_value(s, w.claim) in w.values for w in rule.where))
    ]
    fitting.sort(key=lambda s: (s.as_of or date.min, s.certificate_id), reverse=True)
    return fitting[:1] if fitting and fitting[0].as_of is not None else fitting


def _best(rule: Rule, choices: list[list[Shown]], as_of: date) -> tuple[Outcome, tuple[Shown, ...]]:
    """The best of several standing certificates (two degrees, two homes): the higher one counts, once."""
    rest = tuple(c[0] for c in choices[1:])
    outcomes = []
    for first in choices[0]:
        shown = (first, *rest)
        values = {
            path: _value(s, path)
            for s, source in zip(shown, rule.sources, strict=True)
            for path in source.claims
        }
        try:
            outcomes.append((KINDS[rule.kind](rule, values, as_of), shown))
        except (TypeError, ValueError, KeyError, ArithmeticError) as error:
            raise Unprocessable(
                "scoring.value_invalid",
                f"计分所需的数据项格式不符：{rule.display['zh-CN']}",
                f"a claim needed for scoring is not what its type says: {rule.id}",
                rule=rule.id,
            ) from error
    return max(outcomes, key=lambda o: o[0].points)


def _value(shown: Shown, path: ClaimPath) -> Any:
    """The disclosed top-level claim, or None."""
    return shown.claims.get(str(path[0]))
