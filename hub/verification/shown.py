"""What of a certificate is shown: the holder's own place, the claims of the grant, answers to its questions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hub.catalogue.items import ClaimPath
from hub.certificates.find import Held
from hub.certificates.model import Certificate
from hub.consent.model import Grant
from hub.registry.types import CertificateType
from hub.verification.model import Ask, PredicateAnswer
from hub.verification.predicates import answer


def own_paths(paths: Iterable[ClaimPath], held: Held, kind: CertificateType) -> list[ClaimPath]:
    """By default a holder discloses only their own place in `holders[]`, not their spouse's or co-owner's."""
    if kind.consent == "any":
        return list(paths)
    return [
        ("holders", held.position, *path[2:]) if path[:1] == ("holders",) and len(path) > 1 else path
        for path in paths
    ]


def questions_in(grant: Grant, ask: Ask) -> list[Mapping[str, Any]]:
    """The yes/no questions that the grant asks of this type, if they are to be answered at all."""
    if not ask.predicates:
        return []
    return [asked for asked in grant.detail.get("predicates") or () if asked["type"] == ask.type_code]


def answers_to(questions: Iterable[Mapping[str, Any]], claims: Mapping[str, Any]) -> tuple[PredicateAnswer, ...]:
    """What all claims of a certificate, shown or not, answer to them."""
    return tuple(answer(claims, tuple(asked["path"]), asked["op"], asked["value"]) for asked in questions)


def predicate_name(one: PredicateAnswer) -> dict[str, Any]:
    """A question by its path, operator and value, as an Access names it."""
    return {"path": list(one.path), "op": one.op, "value": one.value}


def granted(grant: Grant, type_code: str) -> tuple[ClaimPath, ...]:
    """The claims of this type that the grant itself covers."""
    return tuple(tuple(path) for path in grant.detail["fields"].get(type_code, ()))


def lapsed(certificate: Certificate, now: datetime) -> bool:
    """Whether it was made for a short while, without a place in a status list, and that is over."""
    over = certificate.valid_until is not None and certificate.valid_until <= now
    return over and certificate.status_uri is None
