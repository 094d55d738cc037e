"""Pull orders (`yimen-pull+jwt`): the hub asks a department's agent for one certificate, with the citizen's consent.

An order lives 60 seconds and carries what the agent needs to check the consent by itself: the opened Grant leaf with
the proof that it is in the ledger, and the passkey's signature where there is one. The hub's word alone is not enough.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import Forbidden, HubError, Malformed
from hub.formats import jws, merkle, tlogproof, webauthn
from hub.formats.details import ClaimPath, Detail
from hub.formats.identifiers import normal_id
from hub.formats.jcs import canonical
from hub.formats.note import Vkey
from keys.signer import Signer

TYP = "yimen-pull+jwt"
LIVES_SECONDS = 60
BASES = frozenset({"holder", "guardian", "delegate", "legal_representative"})
"""Bases under which somebody agreed; a look by office power is nobody's consent and is never pulled for."""

MAX_BYTES = 512 * 1024
"""A grant over many types, signed by a passkey, says much."""

_WORD = re.compile(r"[A-Za-z0-9._~:-]{1,128}")
_SALT = 32


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose certificate is wanted. `name` is what the hub knows them by, None when it knows none."""

    id_type: str
    id_no: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The consent itself: the Grant's event (`body`, canonical JSON) that with `salt` makes the commitment in a leaf,
    the tlog-proof of that leaf, and the passkey's approval where there is one."""

    salt: bytes
    body: str
    proof: str
    approval: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `fields` are the claims that the verifier may see; `jti` names the pull for ever."""

    issuer: str
    department: str
    jti: str
    iat: int
    exp: int
    type_code: str
    verifier: str
    grant: str
    subject: Subject
    fields: tuple[ClaimPath, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Consent:
    """What the evidence of an order shows: the granted detail, and how sure it is that the citizen agreed."""

    detail: Detail
    assurance: str
    ledger_size: int


def audience(issuer: str, department: str) -> str:
    """What `aud` of an order names: the `iss` of that department's certificates at this hub."""
    return f"{issuer}/dept/{department}"


def holder_digest(grant: str, id_type: str, id_no: str) -> str:
    """What ties a grant to its holder's number: SHA-256 (hex) of JCS [grant id, type, normal number].

    The random grant id salts it; it stands in the sealed body of the Grant's leaf, never in the leaf.
    """
    return hashlib.sha256(canonical([grant, id_type, normal_id(id_type, id_no)])).hexdigest()


def make_order(
    signer: Signer,
    *,
    issuer: str,
    department: str,
    jti: str,
    now: int,
    type_code: str,
    verifier: str,
    grant: str,
    subject: Subject,
    fields: Sequence[ClaimPath],
    evidence: Evidence,
) -> str:
    """Sign one order by the hub's token key, good for 60 seconds from `now`."""
    said: dict[str, Any] = {
        "iss": issuer,
        "aud": audience(issuer, department),
        "jti": jti,
        "iat": now,
        "exp": now + LIVES_SECONDS,
        "type": type_code,
        "verifier": verifier,
        "grant": grant,
        "subject": {"id_type": subject.id_type, "id_no": subject.id_no, "name": subject.name},
        "fields": [list(path) for path in fields],
        "evidence": {
            "salt": jws.b64u_encode(evidence.salt),
            "body": evidence.body,
            "proof": evidence.proof,
            "approval": evidence.approval,
        },
    }
    return jws.sign(said, signer, typ=TYP)


def read_order(token: str, *, issuer: str, department: str, key: jws.KeySource, now: int) -> Order:
    """The order in a token, once the token is what it says.

    1. Type, algorithm, signature by a token key of the hub. 2. By this hub and for this department alone. 3. In force
    at `now`, and made for at most 60 seconds. 4. Every member there and well formed. That `jti` is new is for the
    caller to see to. Raises Malformed `pull.*`, `jws.*`; Unprocessable `jwt.*`, `key.unknown`.
    """
    said = jws.verify(token, typ=TYP, key=key, max_bytes=MAX_BYTES).payload  # 1
    if said.get("iss") != issuer or said.get("aud") != audience(issuer, department):  # 2
        raise _refuse("audience", "取证请求不是发给本部门的。", "The order is for another department.")
    iat, exp = jws.numeric_date(said, "iat"), jws.numeric_date(said, "exp")  # 3
    if iat is None or exp is None or not iat < exp <= iat + LIVES_SECONDS:
        raise _refuse("life", "取证请求的有效期不对。", "The order lives longer than a minute.")
    jws.check_times(said, now=now)
    return Order(  # 4
        issuer=issuer,
        department=department,
        jti=_word(said, "jti"),
        iat=iat,
        exp=exp,
        type_code=_word(said, "type"),
        verifier=_word(said, "verifier"),
        grant=_word(said, "grant"),
        subject=_subject(said.get("subject")),
        fields=_fields(said.get("fields")),
        evidence=_evidence(said.get("evidence")),
    )


def check_consent(order: Order, *, log_key: Vkey, witnesses: Collection[Vkey] = (), now: int) -> Consent:
    """Check the citizen's consent by its own evidence, with nobody's word but the ledger's key.

    1. The body makes the commitment of a leaf, and that leaf is in the ledger under a checkpoint of `log_key`. 2. It
    is the Grant that the order names, given to the verifier that the order names, on a basis somebody agreed on. 3.
    The type and every claim asked lie within it, and it has not ended. 4. It is about the person whose number the
    order names. 5. Where a passkey approved, its signature covers exactly this verifier and these contents. Raises
    Forbidden `pull.*`: the agent then looks nothing up.
    """
    size = _leaf(order, log_key, witnesses)  # 1
    try:
        body = jws.loads(order.evidence.body, max_bytes=MAX_BYTES)
        detail = Detail.from_json(body.get("detail"))
    except (HubError, AttributeError) as fault:
        raise _no("evidence", "授权的内容读不出来。", "The consent cannot be read.") from fault
    named = (body.get("event"), body.get("grant"), body.get("department"))
    if named != ("grant.given", order.grant, order.verifier):  # 2
        raise _no("other_grant", "证据不是这项授权的。", "The evidence is of another grant.")
    if body.get("basis") not in BASES or body.get("basis") != detail.basis:
        raise _no("basis", "没有人同意过这次取证。", "Nobody consented to this.")
    if order.type_code not in detail.datatypes:  # 3
        raise _no("widened", "证照类型不在授权范围内。", "The type is not covered by the consent.")
    if not set(order.fields) <= set(detail.fields.get(order.type_code, ())):
        raise _no("widened", "请求的内容多于授权的内容。", "More is asked than was consented to.")
    if detail.valid_until <= now:
        raise _no("expired", "授权已到期。", "The consent has ended.")
    if body.get("holder") != holder_digest(order.grant, order.subject.id_type, order.subject.id_no):  # 4
        raise _no("other_person", "授权说的是另一个人。", "The consent is about another person.")
    if body.get("assurance") == "passkey":  # 5
        _approved(order, detail)
    return Consent(detail, str(body.get("assurance")), size)


def _leaf(order: Order, log_key: Vkey, witnesses: Collection[Vkey]) -> int:
    raw = order.evidence.body.encode()
    commit = hashlib.sha256(order.evidence.salt + raw).hexdigest()
    leaf = merkle.leaf_hash(canonical({"v": 1, "commit": commit}))
    try:
        proof = tlogproof.read(order.evidence.proof)
        return tlogproof.check(proof, leaf, log_key, tuple(witnesses)).checkpoint.size
    except HubError as fault:
        raise _no("not_in_ledger", "这项授权不在透明日志里。", "This consent is not in the ledger.") from fault


def _approved(order: Order, detail: Detail) -> None:
    try:
        approval = webauthn.Approval.from_json(order.evidence.approval)
        said = webauthn.check_approval(approval)
    except HubError as fault:
        raise _no("approval", "通行密钥的签名不成立。", "The passkey's signature does not hold.") from fault
    raw = said.get("authorization_details")
    given = detail.to_json()
    covered = isinstance(raw, list) and any(_covers(one, given) for one in raw)
    if (said.get("aud"), said.get("department")) != (order.issuer, order.verifier) or not covered:
        raise _no("approval", "通行密钥签的不是这项授权。", "The passkey approved something else.")


def _covers(signed: Any, given: Mapping[str, Any]) -> bool:
    """Whether what was signed is what was given. The end may come earlier: what proves a guardian may end first."""
    if not isinstance(signed, dict) or type(signed.get("valid_until")) is not int:
        return False
    same = {**signed, "valid_until": given["valid_until"]} == given
    return same and bool(given["valid_until"] <= signed["valid_until"])


def _subject(raw: Any) -> Subject:
    if not isinstance(raw, dict) or raw.keys() != {"id_type", "id_no", "name"}:
        raise _form("subject")
    name = raw["name"]
    if not (name is None or (isinstance(name, str) and 0 < len(name) <= 128)):
        raise _form("subject")
    if not all(isinstance(raw[part], str) and 0 < len(raw[part]) <= 64 for part in ("id_type", "id_no")):
        raise _form("subject")
    return Subject(raw["id_type"], raw["id_no"], name)


def _fields(raw: Any) -> tuple[ClaimPath, ...]:
    if not isinstance(raw, list) or not all(isinstance(path, list) and 0 < len(path) <= 16 for path in raw):
        raise _form("fields")
    if not all(part is None or type(part) in (str, int) for path in raw for part in path):
        raise _form("fields")
    return tuple(tuple(path) for path in raw)


def _evidence(raw: Any) -> Evidence:
    if not isinstance(raw, dict) or raw.keys() != {"salt", "body", "proof", "approval"}:
        raise _form("evidence")
    if not all(isinstance(raw[part], str) for part in ("salt", "body", "proof")):
        raise _form("evidence")
    salt = jws.b64u_decode(raw["salt"])
    if len(salt) != _SALT or not (raw["approval"] is None or isinstance(raw["approval"], dict)):
        raise _form("evidence")
    return Evidence(salt, raw["body"], raw["proof"], raw["approval"])


def _word(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _form(name)
    return value


def _form(member: str) -> Malformed:
    return Malformed(
        "pull.form", "取证请求的格式不对。", "The pull order is not well formed.", member=member
    )


def _refuse(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"pull.{code}", zh, en)


def _no(code: str, zh: str, en: str) -> Forbidden:
    return Forbidden(f"pull.{code}", zh, en)
