"""Whose passkey it is, checked without a hub: a public leaf that names nobody, opened by whoever knows the person.

When a passkey is bound, the authenticator is given the hash of a canonical text with the owner's commitment: SHA-256(32
random bytes || JCS of type and number of the identity document). The leaf holds that commitment, the hash of the key
and the hash of the registration evidence, so nothing of it can be exchanged later; salt and evidence rest sealed. Each
approval that a passkey signs names the commitments of its person, so the key itself has signed whose it is.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from webauthn import verify_registration_response
from webauthn.helpers.exceptions import WebAuthnException

from hub.errors import HubError, Malformed
from hub.formats import jws, tlogproof
from hub.formats.identifiers import normal_id
from hub.formats.jcs import canonical
from hub.formats.merkle import leaf_hash
from hub.formats.note import Vkey
from hub.formats.webauthn import MAX_BYTES, Approval, challenge_of, check_approval

TYP = "yimen-passkey-owner"
EVENT = "passkey.bound"
SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class OwnerProof:
    """What opens the leaf of a passkey. `salt` is None for a reader who may not learn the number: it could be tried."""

    leaf: str
    signed: str
    client_data: str
    attestation: str
    id_type: str
    salt: str | None

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """The proof in a JSON object with exactly these members; Malformed `owner.form` otherwise."""
        if not isinstance(raw, dict) or raw.get("typ") != TYP or raw.keys() != {"typ", *cls.__slots__}:
            raise _refuse("form")
        said = {name: value for name, value in raw.items() if name != "typ"}
        if not all(isinstance(value, str) or (name == "salt" and value is None) for name, value in said.items()):
            raise _refuse("form")
        return cls(**said)

    def to_json(self) -> dict[str, Any]:
        """The JSON object; `from_json` gives this proof again."""
        return {"typ": TYP, **{name: getattr(self, name) for name in self.__slots__}}

    @property
    def leaf_hash(self) -> bytes:
        """The hash under which the leaf stands in the ledger."""
        return leaf_hash(self.leaf.encode())


def owner_of(salt: bytes, *, id_type: str, id_no: str) -> str:
    """The commitment to a person: SHA-256 of salt and identifier, base64url. Without the salt it says nothing."""
    said = canonical({"id_no": normal_id(id_type, id_no), "id_type": id_type})
    return jws.b64u_encode(hashlib.sha256(salt + said).digest())


def binding_text(*, audience: str, owner: str, nonce: str) -> str:
    """The canonical text over whose hash a passkey is made."""
    return canonical({"v": 1, "aud": audience, "event": EVENT, "nonce": nonce, "owner": owner}).decode()


def leaf_of(
    *, public_key: bytes, owner: str, signed: str, client_data: str, attestation: str, at: int
) -> dict[str, Any]:
    """The public leaf: hashes and a salted commitment, nothing about a person."""
    return {
        "v": 1,
        "event": EVENT,
        "key": _digest(public_key),
        "owner": owner,
        "registration": _registration(signed, client_data, attestation),
        "at": at,
    }


def check_owner(
    proof: OwnerProof, approval: Approval, *, id_type: str, id_no: str, inclusion: tlogproof.TlogProof, log_key: Vkey
) -> Mapping[str, Any]:
    """Check that the passkey behind `approval` is this person's; returns the leaf.

    1. The approval holds by itself, and what was signed names the leaf's owner. 2. The leaf is in the ledger of this
    key. 3. It is about the key that signed. 4. Salt and identifier open its owner. 5. Its registration is the one given
    here: made by an authenticator for exactly this owner, at this origin, giving exactly this key. Raises Malformed
    `approval.*`, `owner.*`, and those of `tlogproof.check`. That it was not removed before is not shown by this.
    """
    said = check_approval(approval)  # 1
    leaf = _leaf(proof.leaf)
    if leaf["owner"] not in said.get("owners", ()):
        raise _refuse("not_named")
    tlogproof.check(inclusion, proof.leaf_hash, log_key)  # 2
    if leaf["key"] != _digest(jws.b64u_decode(approval.public_key)):  # 3
        raise _refuse("other_key")
    if proof.salt is None or proof.id_type != id_type:
        raise _refuse("no_salt")
    if owner_of(jws.b64u_decode(proof.salt), id_type=id_type, id_no=id_no) != leaf["owner"]:  # 4
        raise _refuse("other_person")
    if leaf["registration"] != _registration(proof.signed, proof.client_data, proof.attestation):  # 5
        raise _refuse("registration")
    bound = jws.loads(proof.signed, max_bytes=MAX_BYTES)
    if not isinstance(bound, dict) or (bound.get("owner"), bound.get("aud")) != (leaf["owner"], approval.origin):
        raise _refuse("registration")
    if registered_key(proof, origin=approval.origin, credential_id=approval.credential_id) != jws.b64u_decode(
        approval.public_key
    ):
        raise _refuse("registration")
    return leaf


def registered_key(proof: OwnerProof, *, origin: str, credential_id: str) -> bytes:
    """The key that the registration gave, after WebAuthn's own checks of it. Malformed `owner.registration`."""
    try:
        found = verify_registration_response(
            credential=json.dumps(
                {
                    "id": credential_id,
                    "rawId": credential_id,
                    "type": "public-key",
                    "response": {"clientDataJSON": proof.client_data, "attestationObject": proof.attestation},
                }
            ),
            expected_challenge=challenge_of(proof.signed),
            expected_rp_id=urlsplit(origin).hostname or "",
            expected_origin=origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as fault:
        raise _refuse("registration") from fault
    return found.credential_public_key


def _leaf(text: str) -> dict[str, Any]:
    try:
        leaf = jws.loads(text, max_bytes=MAX_BYTES)
    except HubError as fault:
        raise _refuse("form") from fault
    wanted = {"v", "event", "key", "owner", "registration", "at"}
    if not isinstance(leaf, dict) or not wanted <= leaf.keys() or leaf["event"] != EVENT:
        raise _refuse("form")
    return leaf


def _registration(signed: str, client_data: str, attestation: str) -> str:
    return _digest(canonical({"attestation": attestation, "client_data": client_data, "signed": signed}))


def _digest(data: bytes) -> str:
    return jws.b64u_encode(hashlib.sha256(data).digest())


def _refuse(code: str) -> HubError:
    return Malformed(
        f"owner.{code}",
        "不能证明这个通行密钥是此人的。",
        "This does not prove that the passkey is this person's.",
    )
