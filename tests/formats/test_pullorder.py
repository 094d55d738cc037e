"""Pull orders: what the agent checks with nobody's word but the ledger's key; each check refuses by its own code."""

import hashlib
import json

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hub.errors import Forbidden, HubError
from hub.formats import jws, merkle, pullorder
from hub.formats.identifiers import resident_check_character
from hub.formats.jcs import canonical
from hub.formats.note import Checkpoint, make_vkey, sign_checkpoint
from hub.formats.pullorder import Evidence, Subject
from hub.formats.tlogproof import TlogProof
from hub.formats.webauthn import Approval, challenge_of, request_text
from keys.signer import generate

HUB, NOW = "https://hub.example", 1_800_000_000
ORIGIN = "hub.example/ledger"
HUB_KEY, LOG = generate(), generate("EdDSA")
LOG_KEY = make_vkey(ORIGIN, jws.b64u_decode(LOG.public.jwk["x"]))
DETAIL = {
    "type": "certificate_verification", "item_code": "i", "case_id": "c", "purpose": "p", "basis": "holder",
    "datatypes": ["degree"], "fields": {"degree": [["school"], ["major"]]}, "valid_until": NOW + 3600, "max_uses": 2,
}  # fmt: skip


def number(serial: int = 1) -> tuple[str, str]:
    body = f"441900199403150{serial:02}"
    return "111", body + resident_check_character(body)


class Phone:
    """A passkey in software: signs what a browser would."""

    def __init__(self, origin: str = HUB) -> None:
        self.key, self.origin = ec.generate_private_key(ec.SECP256R1()), origin

    def approve(self, department: str = "dg-edu", details: list | None = None) -> dict[str, str]:
        text = request_text(
            request="r", department=department, details=details or [DETAIL], nonce="n", audience=self.origin
        )
        said = {"type": "webauthn.get", "challenge": jws.b64u_encode(challenge_of(text)), "origin": self.origin}
        client = json.dumps(said).encode()
        host = self.origin.partition("://")[2]
        data = hashlib.sha256(host.encode()).digest() + b"\x05" + (7).to_bytes(4, "big")
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        parts = [client, data, signature, cbor2.dumps(cose)]
        client_data, authenticator_data, signed, public = map(jws.b64u_encode, parts)
        credential = jws.b64u_encode(b"credential")
        return Approval(text, credential, client_data, authenticator_data, signed, public, self.origin).to_json()


def evidence(*, approval: dict | None = None, salt: bytes = b"s" * 32, log=LOG, **changes) -> Evidence:
    """A grant's event that stands in a ledger of one leaf."""
    event = {
        "event": "grant.given", "grant": "g1", "grant_seq": 1, "basis": "holder", "assurance": "login",
        "detail": DETAIL, "department": "dg-edu", "at": NOW - 60,
        "holder": pullorder.holder_digest("g1", *number()), **changes,
    }  # fmt: skip
    raw = canonical(event)
    leaf = merkle.leaf_hash(canonical({"v": 1, "commit": hashlib.sha256(salt + raw).hexdigest()}))
    key = make_vkey(ORIGIN, jws.b64u_decode(log.public.jwk["x"]))
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf), log, key)
    return Evidence(salt, raw.decode(), str(TlogProof(0, (), note)), approval)


def order(given: Evidence | None = None, **changes) -> pullorder.Order:
    said = {
        "issuer": HUB, "department": "dg-degree", "jti": "pull-1", "now": NOW, "type_code": "degree",
        "verifier": "dg-edu", "grant": "g1", "subject": Subject(*number(), "张三"), "fields": [("school",)],
        "evidence": given or evidence(), **changes,
    }  # fmt: skip
    token = pullorder.make_order(HUB_KEY, **said)
    return pullorder.read_order(token, issuer=HUB, department="dg-degree", key=HUB_KEY.public, now=NOW + 5)


def why(given: Evidence | None = None, now: int = NOW, **changes) -> str:
    try:
        pullorder.check_consent(order(given, **changes), log_key=LOG_KEY, now=now)
    except Forbidden as refused:
        return refused.code
    return ""


def test_a_consent_that_holds_is_shown_whole():
    found = pullorder.check_consent(order(), log_key=LOG_KEY, now=NOW)
    assert (found.detail.to_json(), found.assurance, found.ledger_size) == (DETAIL, "login", 1)


def test_each_thing_that_was_not_consented_to_is_refused_by_its_name():
    assert why() == ""
    assert why(evidence(log=generate("EdDSA"))) == "pull.not_in_ledger"  # another ledger's checkpoint
    given = evidence()
    assert why(Evidence(b"t" * 32, given.body, given.proof)) == "pull.not_in_ledger"
    wider = given.body.replace('["school"]', '["school"],["certificate_identifier"]')
    assert why(Evidence(given.salt, wider, given.proof)) == "pull.not_in_ledger"
    assert why(evidence(event="grant.withdrawn")) == "pull.other_grant"
    assert why(verifier="dg-si") == "pull.other_grant"
    assert why(grant="g2") == "pull.other_grant"
    office = {**DETAIL, "basis": "office_power"}
    assert why(evidence(basis="office_power", detail=office)) == "pull.basis"
    assert why(type_code="property") == "pull.widened"
    assert why(fields=[("school",), ("certificate_identifier",)]) == "pull.widened"
    assert why(now=NOW + 3600) == "pull.expired"
    assert why(subject=Subject(*number(2))) == "pull.other_person"
    assert why(evidence(holder=pullorder.holder_digest("g2", *number()))) == "pull.other_person"
    assert why(evidence(detail={**DETAIL, "extra": 1})) == "pull.evidence"


def test_a_passkey_that_the_grant_names_must_have_signed_exactly_this():
    phone = Phone()
    assert why(evidence(assurance="passkey", approval=phone.approve())) == ""
    earlier = {**DETAIL, "valid_until": NOW + 600}  # a guardian's power ends before what was signed
    assert why(evidence(assurance="passkey", detail=earlier, approval=phone.approve())) == ""
    assert why(evidence(assurance="passkey")) == "pull.approval"
    assert why(evidence(assurance="passkey", approval=phone.approve("dg-si"))) == "pull.approval"
    less = {**DETAIL, "fields": {"degree": [["school"]]}}
    assert why(evidence(assurance="passkey", approval=phone.approve(details=[less]))) == "pull.approval"
    sooner = {**DETAIL, "valid_until": NOW + 60}
    assert why(evidence(assurance="passkey", approval=phone.approve(details=[sooner]))) == "pull.approval"
    elsewhere = Phone("https://evil.example").approve()
    assert why(evidence(assurance="passkey", approval=elsewhere)) == "pull.approval"
    forged = {**phone.approve(), "public_key": Phone().approve()["public_key"]}
    assert why(evidence(assurance="passkey", approval=forged)) == "pull.approval"


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": {"id_type": "111", "id_no": 5, "name": None}}, {"subject": {"id_type": "111"}}, {"fields": "all"},
        {"fields": [[{}]]}, {"evidence": None}, {"evidence": {"salt": "", "body": "", "proof": "", "approval": None}},
        {"jti": ""}, {"type": "de gree"}, {"verifier": None}, {"exp": NOW + 3600}, {"exp": None}, {"aud": ["x"]},
    ],
)  # fmt: skip
def test_what_is_not_well_formed_is_no_order(changed):
    token = pullorder.make_order(
        HUB_KEY, issuer=HUB, department="dg-degree", jti="pull-1", now=NOW, type_code="degree", verifier="dg-edu",
        grant="g1", subject=Subject(*number()), fields=[], evidence=evidence(),
    )  # fmt: skip
    bad = jws.sign({**jws.split(token).payload, **changed}, HUB_KEY, typ=pullorder.TYP)
    with pytest.raises(HubError):
        pullorder.read_order(bad, issuer=HUB, department="dg-degree", key=HUB_KEY.public, now=NOW)
