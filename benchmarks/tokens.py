"""What our tokens cost against the bare signature and against PyPI sd-jwt: ratios 1, 3 and 4.

Everything runs in one process and is counted per CPU-second. Before anything is timed each operation must accept
the good input and refuse a spoilt one: a verifier that skips work is fast.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]  # the peer's packages ship no types
from jwcrypto.jws import InvalidJWSSignature  # type: ignore[import-untyped]
from sd_jwt.common import SDObj  # type: ignore[import-untyped]
from sd_jwt.issuer import SDJWTIssuer  # type: ignore[import-untyped]
from sd_jwt.verifier import SDJWTVerifier  # type: ignore[import-untyped]

from benchmarks.measure import Aim, Report, arguments, finish, rates
from hub.errors import HubError
from hub.formats import authorization, jws, sdjwt
from keys.public import PublicKey
from keys.signer import LocalSigner

ISSUER = "https://hub.example/dept/dg-degree"
HUB = "https://hub.example"
HIDDEN = {
    "number": "1181942007001234",
    "name": "王小明",
    "id_type": "111",
    "id_no": "11010519491231002X",
    "education_level": "bachelor",
    "degree_level": "bachelor",
    "school": "东莞理工学院",
    "major": "机械工程",
    "conferred_on": "2007-06-30",
    "study_form": "full_time",
    "length_years": 4,
    "honours": False,
}
"""Twelve claims, each of which may be left out."""

VERIFY = Aim(1, "SD-JWT verify, 12 claims / raw ES256 verify", 0.45, gate=True)
PEER_VERIFY = Aim(1, "the same / PyPI sd-jwt verify", 2.0)
ISSUE = Aim(3, "SD-JWT issue, 12 claims / PyPI sd-jwt issue", 3.3)
CONSENT = Aim(4, "consent token check / raw ES256 verify", 0.42)

Operation = Callable[[], object]


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("tokens", rounds=7)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each operation in each round")
    given = parser.parse_args()
    operations, spoilt = made(int(time.time()))
    check(operations, spoilt)
    found = rates(operations, rounds=given.rounds, seconds=given.seconds)
    report = Report(
        "tokens",
        {"claims": len(HIDDEN), "alg": "ES256", "rounds": given.rounds, "seconds": given.seconds,
         "basis": "process CPU-seconds"},
    )  # fmt: skip
    for name, values in found.items():
        report.result(name, per_cpu_second=sorted(values)[len(values) // 2])
    report.ratio(VERIFY, found["sdjwt_verify"], found["raw_verify"])
    report.ratio(PEER_VERIFY, found["sdjwt_verify"], found["pypi_verify"])
    report.ratio(ISSUE, found["sdjwt_issue"], found["pypi_issue"])
    report.ratio(CONSENT, found["consent_check"], found["raw_verify"])
    return finish(report, given.json)


def made(now: int) -> tuple[dict[str, Operation], dict[str, Operation]]:
    """The operations, all on one key and the same claims; and for each that verifies, one that must refuse."""
    private = ec.generate_private_key(ec.SECP256R1())
    signer, public = LocalSigner(private), PublicKey(private.public_key())
    clear = _clear(now)
    whole, paths = {**clear, **HIDDEN}, [(name,) for name in HIDDEN]
    message = b"a" * 1400
    signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
    ours = sdjwt.issue(whole, signer=signer, disclose=paths)
    key = JWK.from_pyca(private)
    marked = sdjwt.mark(whole, paths)  # as the peer gets its claims: marked beforehand
    peers = {**clear, **{SDObj(name): value for name, value in HIDDEN.items()}}
    theirs = SDJWTIssuer(peers, key, sign_alg="ES256").sd_jwt_issuance
    consent = _consent_token(signer, now)

    def raw(signed: bytes) -> None:
        private_public.verify(signed, message, ec.ECDSA(hashes.SHA256()))

    def by_peer(token: str) -> dict[str, Any]:
        verified: dict[str, Any] = SDJWTVerifier(token, lambda *_: key).get_verified_payload()
        return verified

    def consented(token: str) -> object:
        return authorization.check_access_token(
            token, issuer=HUB, audience=HUB, key=public, now=now, jkt=signer.kid
        )

    private_public = private.public_key()
    operations: dict[str, Operation] = {
        "raw_sign": lambda: private.sign(message, ec.ECDSA(hashes.SHA256())),
        "raw_verify": lambda: raw(signature),
        "sdjwt_issue": lambda: sdjwt.issue(marked, signer=signer),
        "sdjwt_verify": lambda: sdjwt.verify(ours, key=public, now=now),
        "pypi_issue": lambda: SDJWTIssuer(peers, key, sign_alg="ES256").sd_jwt_issuance,
        "pypi_verify": lambda: by_peer(theirs),
        "consent_check": lambda: consented(consent),
    }
    spoilt: dict[str, Operation] = {
        "raw_verify": lambda: raw(bytes([*signature[:-1], signature[-1] ^ 1])),
        "sdjwt_verify": lambda: sdjwt.verify(spoil(ours), key=public, now=now),
        "sdjwt_verify, a claim": lambda: sdjwt.verify(_other_claim(ours), key=public, now=now),
        "pypi_verify": lambda: by_peer(spoil(theirs)),
        "consent_check": lambda: consented(spoil(consent)),
    }
    return operations, spoilt


def _clear(now: int) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "vct": "urn:yimen:certificate:degree:1",
        "jti": "b" * 22,
        "iat": now,
        "nbf": now - 60,
        "exp": now + 86_400,
    }


def subject(now: int) -> dict[str, Any]:
    """The same claims for a peer in another process: its private key as a JWK, and a token of ours to verify."""
    private = ec.generate_private_key(ec.SECP256R1())
    claims = {**_clear(now), **HIDDEN}
    token = sdjwt.issue(claims, signer=LocalSigner(private), disclose=[(name,) for name in HIDDEN])
    jwk = JWK.from_pyca(private).export(private_key=True, as_dict=True)
    return {"jwk": jwk, "clear": _clear(now), "claims": claims, "token": token}


def check(operations: dict[str, Operation], spoilt: dict[str, Operation]) -> None:
    """Each operation takes the good input and returns all twelve claims; each spoilt one is refused."""
    for name, operation in operations.items():
        found = operation()
        claims = found.payload if isinstance(found, sdjwt.Processed) else found
        if name in ("sdjwt_verify", "pypi_verify"):
            assert isinstance(claims, dict), name
            assert {key: claims.get(key) for key in HIDDEN} == HIDDEN, name
    assert len(str(operations["sdjwt_issue"]()).split("~")) == len(str(operations["pypi_issue"]()).split("~"))
    for name, operation in spoilt.items():
        assert _refuses(operation), f"{name} accepted a spoilt input, or broke"


def _refuses(operation: Operation) -> bool:
    try:
        operation()
    except (HubError, InvalidSignature, InvalidJWSSignature):
        return True
    return False


def _consent_token(signer: LocalSigner, now: int) -> str:
    fields = {"degree": [["number"], ["education_level"], ["degree_level"], ["school"], ["conferred_on"]]}
    return authorization.make_access_token(
        signer,
        issuer=HUB,
        audience=HUB,
        subject="s" * 43,
        client_id="dg-edu",
        jkt=signer.kid,
        jti="t" * 22,
        now=now,
        expires=now + 300,
        scope="verify",
        authorization_details=[
            {
                "type": "certificate_verification",
                "item_code": "441900-edu-points-enrolment",
                "case_id": "c" * 22,
                "purpose": "points-enrolment",
                "basis": "holder",
                "datatypes": ["degree"],
                "fields": fields,
                "valid_until": now + 86_400,
                "max_uses": 3,
            }
        ],
        grants=["g" * 22],
    )


def spoil(token: str) -> str:
    """The token with one bit of its signature turned."""
    first, tilde, rest = token.partition("~")
    signing_input, _, signature = first.rpartition(".")
    spoilt = bytearray(jws.b64u_decode(signature))
    spoilt[40] ^= 1
    return f"{signing_input}.{jws.b64u_encode(bytes(spoilt))}{tilde}{rest}"


def _other_claim(token: str) -> str:
    """The token with another value in its first disclosure."""
    issuer_jwt, first, *rest = token.split("~")
    salt, name, _ = jws.loads(jws.b64u_decode(first), max_bytes=10_000)
    changed = f'["{salt}","{name}","somebody else"]'.encode()
    return "~".join((issuer_jwt, jws.b64u_encode(changed), *rest))


if __name__ == "__main__":
    sys.exit(main())
