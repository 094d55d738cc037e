"""What the doors of verification share: what may be asked, and how a verdict is told."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import orjson
from pydantic import Field, StringConstraints

from hub.clock import seconds
from hub.errors import Forbidden
from hub.ledger.receipt import Issuance, receipts
from hub.verification.model import Ask, Check, Verdict
from hub.web.body import Body
from hub.web.metrics import told_verdict

Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
TypeCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,48}$")]
PathPart = Annotated[str, StringConstraints(min_length=1, max_length=64)] | int | None

LINE_BYTES = 96 * 1024


class AskBody(Body):
    """What is asked of one certificate type; without `fields`, everything that was granted."""

    type: TypeCode
    fields: Annotated[list[list[PathPart]], Field(max_length=128)] | None = None
    predicates: bool = True
    basis: Word | None = None
    certificate: Word | None = None


class NewVerification(Body):
    """What is asked under the consent token of the request."""

    asks: Annotated[list[AskBody], Field(min_length=1, max_length=32)]


def asks_of(bodies: Sequence[AskBody]) -> tuple[Ask, ...]:
    """The asks of a body."""
    return tuple(
        Ask(
            type_code=ask.type,
            fields=None if ask.fields is None else tuple(tuple(path) for path in ask.fields),
            predicates=ask.predicates,
            basis=ask.basis,
            certificate=ask.certificate,
        )
        for ask in bodies
    )


def verdicts_json(issuance: Issuance, answers: Sequence[Sequence[Verdict]]) -> list[dict[str, Any]]:
    """The answers of redemptions that were recorded in one commit, each verdict with its receipt."""
    leaves = [
        (one.leaf_hash, one.at)
        for verdicts in answers
        for one in verdicts
        if one.leaf_hash is not None and one.at is not None
    ]
    signed = receipts(issuance, kind="access", leaves=leaves)
    return [{"verdicts": [_verdict(one, signed) for one in verdicts]} for verdicts in answers]


def _verdict(one: Verdict, signed: Mapping[bytes, str]) -> dict[str, Any]:
    told_verdict(one.outcome, one.reason)
    return {
        "outcome": one.outcome,
        "reason": one.reason,
        "type": one.type_code,
        "checks": [_check(check) for check in one.checks],
        "certificate": one.certificate,
        "issuer": one.issuer,
        "registered_at": seconds(one.registered_at) if one.registered_at else None,
        "sd_jwt": one.sd_jwt,
        "claims": one.claims,
        "predicates": [
            {
                "path": list(answer.path),
                "op": answer.op,
                "value": answer.value,
                "answer": answer.answer,
                "attested_by": answer.attested_by,
            }
            for answer in one.predicates
        ],
        "access": one.access,
        "receipt": signed.get(one.leaf_hash) if one.leaf_hash is not None else None,
    }


@lru_cache(maxsize=1024)
def _check(check: Check) -> orjson.Fragment:
    """The same few checks are told again and again: their JSON is written once."""
    told = {
        "number": check.number,
        "name": check.step,
        "result": check.result,
        "code": check.code,
        "zh": check.zh,
        "en": check.en,
    }
    return orjson.Fragment(orjson.dumps(told))


def no_consent() -> Forbidden:
    """A department came with its own token where a consent token is needed."""
    return Forbidden(
        "token.no_consent",
        "核验须出示授权凭证，而不是部门自己的令牌。",
        "A verification needs a consent token, not the department's own.",
        next_zh="请先在 /oauth/bc-authorize 请求授权，再用 auth_req_id 换取凭证。",
        next_en="Ask for consent at /oauth/bc-authorize and exchange auth_req_id for the token.",
    )
