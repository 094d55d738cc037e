"""Passkeys (WebAuthn level 2): what a citizen signs when they agree, and the check of it that needs nobody's word.

The challenge is SHA-256 of the canonical request (JCS): verifier, narrowed details and a nonce. The evidence holds that
text, what the authenticator signed, and the public key, so that anybody can check it later, without the hub.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from webauthn import verify_authentication_response
from webauthn.helpers.exceptions import WebAuthnException

from hub.errors import HubError, Malformed
from hub.formats import jws
from hub.formats.jcs import canonical

TYP = "yimen-approval"
MAX_BYTES = 512 * 1024
_MEMBERS = frozenset(
    {
        "typ",
        "signed",
        "credential_id",
        "client_data",
        "authenticator_data",
        "signature",
        "public_key",
        "origin",
    }
)


@dataclass(frozen=True, slots=True)
class Approval:
    """One approval signed by a passkey. `signed` is the canonical request, byte for byte."""

    signed: str
    credential_id: str
    client_data: str
    authenticator_data: str
    signature: str
    public_key: str
    origin: str

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """The approval in a JSON object with exactly these members; Malformed `approval.form` otherwise."""
        if not isinstance(raw, dict) or raw.keys() != _MEMBERS or raw["typ"] != TYP:
            raise _refuse("form")
        if not all(isinstance(value, str) for value in raw.values()):
            raise _refuse("form")
        return cls(**{name: value for name, value in raw.items() if name != "typ"})

    def to_json(self) -> dict[str, str]:
        """The JSON object; `from_json` gives this approval again."""
        return {"typ": TYP, **{name: getattr(self, name) for name in self.__slots__}}


def challenge_of(signed: str) -> bytes:
    """What the authenticator signs over: SHA-256 of the canonical request."""
    return hashlib.sha256(signed.encode()).digest()


def request_text(
    *, request: str, department: str, details: list[dict[str, Any]], nonce: str, audience: str,
    owners: Sequence[str] = (),
) -> str:  # fmt: skip
    """The canonical request: which hub, which request, for whom, exactly what, and a nonce.

    `owners`: the commitments under which the person's passkeys stand in the ledger (`passkeyowner.py`).
    """
    said: dict[str, Any] = {
        "v": 1,
        "aud": audience,
        "request": request,
        "department": department,
        "authorization_details": details,
        "nonce": nonce,
    }
    if owners:
        said["owners"] = sorted(owners)
    return canonical(said).decode()


def check_approval(approval: Approval, *, sign_count: int = 0) -> Mapping[str, Any]:
    """Check an approval with nothing but itself; returns the request that was approved.

    1. `signed` is canonical JSON: one spelling. 2. `clientDataJSON` is a get() at the origin named in the request, over
    the hash of `signed`. 3. The authenticator data are for that origin's host, with presence and verification of the
    user, the counter not behind `sign_count`. 4. The signature over both, by the public key. Raises Malformed
    `approval.form`, `approval.canonical`, `approval.origin`, `approval.signature`.

    Whose key it is stands in the ledger, not here.
    """
    try:
        said = jws.loads(approval.signed, max_bytes=MAX_BYTES)
        spelled = canonical(said).decode()
    except HubError as fault:
        raise _refuse("form") from fault
    if not isinstance(said, dict) or spelled != approval.signed:  # 1
        raise _refuse("canonical")
    host = urlsplit(approval.origin).hostname
    if said.get("aud") != approval.origin or not host:  # 2
        raise _refuse("origin")
    try:
        found = verify_authentication_response(  # 2, 3, 4
            credential={
                "id": approval.credential_id,
                "rawId": approval.credential_id,
                "type": "public-key",
                "response": {
                    "clientDataJSON": approval.client_data,
                    "authenticatorData": approval.authenticator_data,
                    "signature": approval.signature,
                },
            },
            expected_challenge=challenge_of(approval.signed),
            expected_rp_id=host,
            expected_origin=approval.origin,
            credential_public_key=jws.b64u_decode(approval.public_key),
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, HubError, ValueError, KeyError, TypeError) as fault:
        raise _refuse("signature") from fault
    return {**said, "sign_count": found.new_sign_count}


def _refuse(code: str) -> HubError:
    return Malformed(
        f"approval.{code}",
        "通行密钥的签名与同意的内容不符。",
        "The passkey did not sign exactly this approval.",
        next_zh="请重新打开请求，再确认一次。",
        next_en="Open the request again and confirm once more.",
    )
