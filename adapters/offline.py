"""What a verifying department checks for itself, with public keys it fetched before and no word of the hub.

1. a disclosed certificate is signed by its issuer, over these very bytes, and in force; 2. the issuer's newest status
list says valid; 3. a receipt is the hub's promise of a leaf; 4. the leaf is in the ledger, under a signed checkpoint.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.answers import MAX_ANSWER
from adapters.client import HubClient
from hub.clock import Clock, now, seconds
from hub.errors import Malformed
from hub.formats import jws, sdjwt, statuslist, tlogproof
from hub.formats.note import Vkey
from hub.formats.receipt import Receipt
from hub.formats.receipt import read as read_receipt
from keys.public import PublicKey


@dataclass(slots=True)
class Checker:
    """Checks answers of the hub by keys. Fetched once each: issuers' keys, status lists, the hub's receipt keys."""

    client: HubClient
    log_key: Vkey | None
    clock: Clock = now
    _issuers: dict[str, Mapping[str, PublicKey]] = field(default_factory=dict)
    _lists: dict[str, str] = field(default_factory=dict)
    _hub: Mapping[str, PublicKey] = field(default_factory=dict)

    def certificate(self, token: str, issuer: str) -> Mapping[str, Any]:
        """The claims of a disclosed certificate of that department. Raises what `sdjwt.verify` raises, and
        Malformed `offline.not_valid` when its status list says so."""
        keys, present = self.keys_of(issuer), seconds(self.clock())
        found = sdjwt.verify(token, key=keys.__getitem__, now=present)  # 1
        reference = sdjwt.status_reference(found.payload)
        if reference is not None:  # 2
            uri, index = reference
            signed = self.status_list(uri)
            status = statuslist.verify_token(signed, key=keys.__getitem__, expected_sub=uri, now=present)
            if status.lst.get(index) != statuslist.VALID:
                raise Malformed(
                    "offline.not_valid", "证照已被撤销或暂停。", "Revoked or suspended by its issuer."
                )
        return found.payload

    def prepare(self, token: str, issuer: str) -> None:
        """Fetch what checking this certificate needs, so that the check itself touches no network."""
        self.keys_of(issuer)
        reference = sdjwt.status_reference(sdjwt.claims(token))
        if reference is not None:
            self.status_list(reference[0])

    def receipt(self, token: str) -> Receipt:
        """The promise in a receipt of this hub."""  # 3
        if not self._hub:
            self._hub = _keys(self.client.public("/.well-known/jwks.json"))
        found = read_receipt(token, key=self._hub.__getitem__)
        if found.issuer != self.client.hub:
            raise Malformed("offline.receipt", "回执不是本平台签发的。", "The receipt is another hub's.")
        return found

    def in_ledger(self, leaf_hash: bytes) -> tuple[int, int]:
        """(index, size of the ledger) of a leaf, by a proof under a checkpoint signed by the pinned ledger key.

        Waits for the few seconds that a new leaf may take. Raises `Unprocessable` when the proof does not hold.
        """
        if self.log_key is None:
            raise Malformed("offline.no_log_key", "没有固定日志公钥。", "No ledger key is pinned.")
        proof = tlogproof.read(self.client.public(f"/v1/proofs/{leaf_hash.hex()}"))
        cosigned = tlogproof.check(proof, leaf_hash, self.log_key)  # 4
        return proof.index, cosigned.checkpoint.size

    def keys_of(self, issuer: str) -> Mapping[str, PublicKey]:
        """The certificate and status keys of a department by id."""
        if issuer not in self._issuers:
            answer = json.loads(self.client.public(f"/.well-known/jwt-vc-issuer/dept/{issuer}"))
            self._issuers[issuer] = _keys(json.dumps(answer["jwks"]).encode())
        return self._issuers[issuer]

    def status_list(self, uri: str) -> str:
        """The newest list at that address, as its department signed it."""
        if uri not in self._lists:
            self._lists[uri] = self.client.public(uri.removeprefix(self.client.hub)).decode("ascii")
        return self._lists[uri]


def _keys(answer: bytes) -> Mapping[str, PublicKey]:
    found = jws.loads(answer, max_bytes=MAX_ANSWER)
    members = ("kty", "crv", "x", "y")
    keys = [PublicKey.from_jwk({name: one[name] for name in members if name in one}) for one in found["keys"]]
    return {key.kid: key for key in keys}
