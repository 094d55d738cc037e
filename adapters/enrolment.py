"""The department's keys meet the hub: the first ones by a one-time code, later ones vouched for by the one before."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from adapters.client import HubClient
from adapters.model import AgentConfig
from adapters.state import State
from hub.clock import Clock, seconds
from hub.errors import Conflict, Malformed
from hub.formats import jws
from keys.errors import KeyFault
from keys.files import Keyring
from keys.public import PublicKey
from keys.signer import Signer

PURPOSES = ("certificate", "status", "client")
PROOF_TYP = "yimen-key-proof+jwt"
ROTATION_TYP = "yimen-key-rotation+jwt"
OVERLAP = timedelta(minutes=2)
"""A successor takes over this long after it was made, so that the hub knows it by then."""


class Enrolment:
    """The key side of an agent. One key for each purpose; private halves stay in the keyring."""

    def __init__(
        self,
        me: AgentConfig,
        keyring: Keyring,
        state: State,
        client: HubClient,
        clock: Clock,
        *,
        purposes: tuple[str, ...] = PURPOSES,
    ) -> None:
        self._purposes = purposes
        self._me = me
        self._keyring = keyring
        self._state = state
        self._client = client
        self._clock = clock

    def own_status_key(self, kid: str) -> PublicKey:
        """A status key of ours by its id, also a retired one: lists that it signed are still ours. LookupError else."""
        kept = self._state.get(f"status_key:{kid}")
        if kept is None:
            raise LookupError(kid)
        return PublicKey.from_jwk(json.loads(kept))

    def _remember(self, purpose: str, signer: Signer) -> str:
        if purpose == "status":
            self._state.put(f"status_key:{signer.kid}", json.dumps(signer.public.jwk))
        return signer.kid

    def make_missing(self) -> list[str]:
        """Make a key for each purpose that has none. Gives the ids of all keys in force."""
        kids = []
        for purpose in self._purposes:
            try:
                kids.append(self._remember(purpose, self._keyring.active(purpose, self._clock())))
            except KeyFault as fault:
                if fault.code != "keyring.no_active":
                    raise
                kids.append(self._remember(purpose, self._keyring.create(purpose, not_before=self._clock())))
        return kids

    def enrol(self, code: str) -> list[str]:
        """Bring the keys in force to the hub with a one-time code. Gives the key ids that the hub admitted.

        Each key proves itself for this hub, department, purpose and code.
        """
        self.make_missing()
        digest = hashlib.sha256(code.encode()).hexdigest()
        offers = []
        for purpose in self._purposes:
            signer = self._keyring.active(purpose, self._clock())
            proof = self._proof(signer, purpose, code_sha256=digest)
            offers.append({"purpose": purpose, "jwk": signer.public.jwk, "proof": proof})
        answer = self._client.enrol(code, offers)
        self._state.put("enrolled_at", self._clock().isoformat())
        return [str(key.get("kid")) for key in answer.get("keys", []) if isinstance(key, dict)]

    def rotate(self, purpose: str) -> str:
        """Make the next key of one purpose and have the hub admit it; it takes over two minutes later.

        1. The successor is remembered before the hub hears of it, so that an interrupted rotation is taken up again
        with the same key. 2. The key in force vouches for exactly that key. 3. A successor that the hub does not
        take is retired, and the key in force stays. Gives the new key's id. Raises HubError kinds.
        """
        if purpose not in PURPOSES:
            raise Malformed(
                "agent.purpose",
                f"用途应为 {'、'.join(PURPOSES)}。",
                f"The purpose is one of {', '.join(PURPOSES)}.",
            )
        moment, name = self._clock(), f"rotating:{purpose}"
        waiting = self._state.get(name)
        if waiting:
            successor = self._keyring.signer(waiting)
        else:
            successor = self._keyring.create(purpose, not_before=moment + OVERLAP)
            self._state.put(name, self._remember(purpose, successor))  # 1
        previous = self._before(purpose, successor.kid)
        word = {"aud": self._me.hub, "department": self._me.department, "purpose": purpose}
        body: dict[str, Any] = {
            "purpose": purpose,
            "jwk": successor.public.jwk,
            "proof": self._proof(successor, purpose),
            "previous_proof": jws.sign(  # 2
                {**word, "next_kid": successor.kid, "iat": seconds(moment)}, previous, typ=ROTATION_TYP
            ),
        }
        try:
            self._client.rotate_key(body)
        except Conflict as fault:
            if fault.code != "key.in_use" or not waiting:  # else: admitted before the interruption
                self._give_up(name, successor)
                raise
        except Malformed:
            self._give_up(name, successor)
            raise
        self._state.put(name, "")
        return successor.kid

    def _give_up(self, name: str, successor: Signer) -> None:
        self._keyring.retire(successor.kid, self._clock())  # 3
        self._state.put(name, "")

    def _before(self, purpose: str, kid: str) -> Signer:
        """The key that stands before the successor `kid`."""
        older = [
            record
            for record in self._keyring.inventory()
            if record.purpose == purpose and record.kid != kid and record.retired_at is None
        ]
        if not older:
            raise Conflict(
                "agent.no_key", "没有可以担保的旧密钥。", "There is no older key that could vouch."
            )
        return self._keyring.signer(max(older, key=lambda record: record.not_before).kid)

    def _proof(self, signer: Signer, purpose: str, **more: str) -> str:
        said = {
            "aud": self._me.hub,
            "department": self._me.department,
            "purpose": purpose,
            "iat": seconds(self._clock()),
            **more,
        }
        return jws.sign(said, signer, typ=PROOF_TYP)
