"""The education bureau's own system: what it asks for an item, and one whole round for one family."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from adapters import config as configuration
from adapters.demo import people_at_pages as pages
from adapters.demo.browser import Box, Browser
from adapters.demo.families import Family
from adapters.demo.telling import expect
from adapters.demo.world import World
from adapters.verifier import Consent, VerifierClient
from hub.clock import now
from keys.files import Keyring

SCHOOL = "441900-edu-points-enrolment"
PURPOSE = "points-enrolment"
DAYS = 30


class Bureau:
    """A department's verifying system beside its own client key. Use `with`."""

    def __init__(self, world: World, slug: str = "dg-edu") -> None:
        found = configuration.load(world.office(slug) / "agent.yaml", environment={"YIMEN_HUB": world.url})
        self.keyring = Keyring(Path(found.agent.keys), world.passphrase(slug))
        self.client = VerifierClient(
            world.url, slug, lambda: self.keyring.active("client", now()), sleep=world.children.pause
        )
        self.slug = slug

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()


@dataclass(slots=True)
class Round:
    """One family's round: the case, what was granted, what came back, the score, and measured seconds."""

    case_id: str
    code: str
    consent: Consent
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    score: Mapping[str, Any] = field(default_factory=dict)
    verify_seconds: float = 0.0
    score_seconds: float = 0.0

    @property
    def disclosures(self) -> list[str]:
        """The issuer-signed answers."""
        return [str(one["sd_jwt"]) for one in self.verdicts if one.get("sd_jwt")]


def details(
    item: Mapping[str, Any], case_id: str, *, uses: int, types: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """`authorization_details` for a case: what the item lets one ask of the parent, and of the child as guardian."""
    found = []
    for basis, about_child in (("holder", False), ("guardian", True)):
        fields: dict[str, list[Any]] = {}
        predicates = []
        for material in item["materials"]:
            if (material["holder"] == "child") is not about_child:
                continue
            for evidence in material["satisfied_by"]:
                code = evidence["type"]
                if types is not None and code not in types:
                    continue
                wanted = fields.setdefault(code, [])
                wanted += [path for path in evidence["fields"] if path not in wanted]
                predicates += [
                    {"type": code, **{name: asked[name] for name in ("path", "op", "value")}}
                    for asked in evidence["predicates"]
                ]
        if fields:
            detail = {
                "type": "certificate_verification",
                "item_code": item["code"],
                "case_id": case_id,
                "purpose": PURPOSE,
                "basis": basis,
                "datatypes": sorted(fields),
                "fields": fields,
                "valid_until": int(datetime.now(UTC).timestamp()) + DAYS * 86_400,
                "max_uses": uses,
            }
            found.append(detail | ({"predicates": predicates} if predicates else {}))
    return found


def asks(consent: Consent) -> list[dict[str, Any]]:
    """Everything that was granted, each type on the basis it was granted on."""
    return [
        {"type": code, "basis": detail["basis"]} for detail in consent.details for code in detail["datatypes"]
    ]


def consent_of(
    bureau: Bureau,
    browser: Browser,
    family: Family,
    wanted: Sequence[Mapping[str, Any]],
    tick: Callable[[Box], bool],
) -> tuple[Consent, str]:
    """Ask by CIBA, let the parent agree on the page, poll; gives the consent and the code that both sides saw."""
    code = secrets.token_hex(3).upper()
    asked = bureau.client.ask(wanted, login_hint=f"111:{family.parent.person.id_no}", binding_message=code)
    pages.agree(browser, code, tick)
    consent = bureau.client.poll(asked)
    expect(consent is not None, "同意后没有拿到授权凭证", "no consent token after agreeing")
    assert consent is not None  # noqa: S101  (said above in both languages)
    return consent, code


def verify(bureau: Bureau, round_: Round) -> None:
    """Use the consent once for everything granted, and measure it."""
    began = time.monotonic()
    round_.verdicts = list(bureau.client.verify(round_.consent.token, asks(round_.consent)))
    round_.verify_seconds = time.monotonic() - began


def score(bureau: Bureau, round_: Round) -> None:
    """Score the case from the disclosures, and measure it."""
    began = time.monotonic()
    round_.score = bureau.client.score(round_.case_id, round_.disclosures)
    round_.score_seconds = time.monotonic() - began


def whole_round(world: World, bureau: Bureau, item: Mapping[str, Any], family: Family) -> Round:
    """Sign in, apply for the first child, ask, agree, verify, score: everything for one family."""
    with ExitStack() as stack:
        browser = stack.enter_context(Browser(world.url))
        pages.sign_in(browser, pages.person_key(family), "/apply")
        case_id = pages.apply_for_child(browser, item["code"])
        wanted = details(item, case_id, uses=1)
        consent, code = consent_of(bureau, browser, family, wanted, lambda box: True)
        round_ = Round(case_id, code, consent)
        verify(bureau, round_)
        score(bureau, round_)
        return round_
