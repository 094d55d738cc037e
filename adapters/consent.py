"""What the agent makes sure of before it looks anything up: whose order it is, that it is new, and that the citizen
agreed. Keys of the hub and of the ledger are kept in the state file, so that another one is noticed."""

import threading
import time
from dataclasses import dataclass, field

from adapters.answers import MAX_ANSWER
from adapters.client import HubClient
from adapters.state import LOG_KEY, State
from hub.clock import Clock, seconds
from hub.errors import Forbidden, Unavailable
from hub.formats import jws
from hub.formats.note import Vkey, parse_vkey
from hub.formats.pullorder import Consent, Order, check_consent, read_order
from keys.public import PublicKey

KEYS_SECONDS = 600.0


@dataclass(slots=True)
class Judge:
    """Judges orders of one hub for one department. `pinned` is the ledger's key, where the configuration names it."""

    client: HubClient
    department: str
    pinned: str | None
    clock: Clock
    _keys: dict[str, PublicKey] = field(default_factory=dict)
    _until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, token: str) -> Order:
        """1. An order of this hub, for this department, by its token key, alive; see `pullorder.read_order`."""
        return read_order(
            token, issuer=self.client.hub, department=self.department, key=self._key, now=seconds(self.clock())
        )

    def consent(self, state: State, order: Order) -> Consent:
        """2. The citizen's consent by its own evidence, under the ledger's key; see `pullorder.check_consent`."""
        return check_consent(order, log_key=self.log_key(state), now=seconds(self.clock()))

    def log_key(self, state: State) -> Vkey:
        """The ledger's key: the pinned one, else the one that was met first. Another one later is refused.

        Raises Forbidden `pull.other_ledger`.
        """
        kept = state.get(LOG_KEY)
        told = self.pinned or kept
        if told is None:
            bundle = jws.split(self.client.public("/v1/trust-bundle").decode("ascii"), max_bytes=MAX_ANSWER)
            told = str(parse_vkey(str(bundle.payload.get("log_key", ""))))
        if kept is None:
            state.put(LOG_KEY, told)
        elif kept != told:
            raise Forbidden(
                "pull.other_ledger", "透明日志的公钥与以前的不同。", "The ledger's key is another than before."
            )
        return parse_vkey(told)

    def _key(self, kid: str) -> PublicKey:
        """A token key of the hub by its id; fetched again for one that was never seen, and after ten minutes: a key
        that the hub does not name any more is none of its own."""
        with self._lock:
            if kid not in self._keys or time.monotonic() > self._until:
                self._keys, self._until = self._fetched(), time.monotonic() + KEYS_SECONDS
            if kid not in self._keys:
                raise LookupError(kid)
            return self._keys[kid]

    def _fetched(self) -> dict[str, PublicKey]:
        try:
            found = jws.loads(self.client.public("/.well-known/jwks.json"), max_bytes=MAX_ANSWER)
            members = ("kty", "crv", "x", "y")
            keys = [PublicKey.from_jwk({n: one[n] for n in members if n in one}) for one in found["keys"]]
        except (KeyError, TypeError) as fault:
            raise Unavailable("hub.odd_answer", "枢纽的公钥读不出来。", "The hub's keys cannot be read.") from fault
        return {key.kid: key for key in keys}


class PullLog:
    """Orders that were taken, in the state file: an order is answered once, also after a restart."""

    def __init__(self, state: State) -> None:
        self._state = state

    def enter(self, order: Order, consent: Consent, now: str) -> None:
        """Remember an order before anything is looked up, for as long as its consent is good. One that was taken but
        never answered may be tried again while it lives: the agent was killed in the middle.

        Raises Forbidden `pull.replayed`, and `pull.spent` when the consent has been used as often as it says.
        """
        with self._state.transaction() as db:
            row = db.execute("select outcome from pull where jti = ?", (order.jti,)).fetchone()
            if row is not None:
                if row[0]:
                    raise Forbidden("pull.replayed", "这个请求已经答复过。", "This order was answered before.")
                return
            (used,) = db.execute(
                "select count(*) from pull where grant_id = ? and type = ?", (order.grant, order.type_code)
            ).fetchone()
            if used >= consent.detail.max_uses:
                raise Forbidden("pull.spent", "这项授权的次数已用完。", "The consent was used as often as it says.")
            db.execute("delete from pull where expires < ?", (order.iat,))
            db.execute(
                "insert into pull (jti, grant_id, type, taken, expires) values (?, ?, ?, ?, ?)",
                (order.jti, order.grant, order.type_code, now, max(order.exp + jws.SKEW, consent.detail.valid_until)),
            )

    def ended(self, jti: str, outcome: str, reason: str) -> None:
        """It was answered: never again."""
        self._state.execute(
            "update pull set outcome = ?, reason = ? where jti = ?", (outcome, reason[:64], jti)
        )

