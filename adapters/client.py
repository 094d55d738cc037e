"""The agent's side of the HTTP contract with the hub: key-bound tokens, retries, and what each door answers.

Every call may be repeated without harm: registrations carry (dataset, ref, generation), lists carry their number,
so a lost answer is asked for again instead of guessed.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import orjson

from adapters.answers import (
    MAX_ANSWER,
    Ending,
    ListHead,
    Registered,
    Registration,
    Reserved,
    WorkOrder,
    list_head,
    odd_answer,
    problem,
    registered,
    successors,
    too_old,
    unreachable,
)
from adapters.model import Coverage
from hub.clock import Clock, now, seconds
from hub.errors import HubError, Malformed, Unauthenticated
from hub.formats import authorization, dpop, jws
from keys.signer import Signer

ATTEMPTS = 7
LONGEST_PAUSE = 120.0
PATIENCE = 900.0
"""So many seconds in all we step back when the hub says that it has too much to do (429): that is no failure."""
EARLY = 30
"""A token is renewed this many seconds before its end."""
_RETRY_STATUS = frozenset({429, 502, 503, 504})


class HubClient:
    """A synchronous client of one department. Several threads may call at once; they share one token.

    `signer` gives the client key when a call is made, so a rotated key is used at once. `transport` lets tests and
    the demo talk to a hub in the same process.
    """

    def __init__(
        self,
        hub: str,
        department: str,
        signer: Callable[[], Signer],
        *,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = now,
        sleep: Callable[[float], None] = time.sleep,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.hub = hub
        self.department = department
        self._signer = signer
        self._clock = clock
        self._sleep = sleep
        self._attempts = attempts
        self._http = httpx.Client(
            transport=transport, timeout=httpx.Timeout(60, connect=10), headers={"user-agent": "yimen-agent"}
        )
        self._tokens: dict[str, tuple[str, int, str]] = {}
        self._nonce: str | None = None
        self._asking = threading.RLock()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    # --- what the doors offer ---

    def enrol(self, code: str, keys: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """`POST /v1/departments/{slug}/enrol`: bring the first keys, each with its proof."""
        return self._json(
            "POST", f"/v1/departments/{self.department}/enrol", {"code": code, "keys": list(keys)}, None
        )

    def type_document(self, code: str) -> Mapping[str, Any]:
        """`GET /v1/types/{code}`: public."""
        return self._json("GET", f"/v1/types/{code}", None, None)

    def reserve(self, count: int) -> Reserved:
        """`POST /v1/status-lists/reserve`: 1 to 1,000 indices. An answer that is lost burns its indices."""
        found = self._json("POST", "/v1/status-lists/reserve", {"count": count})
        try:
            pairs = tuple((str(pair["uri"]), int(pair["idx"])) for pair in found["reserved"])
            return Reserved(pairs, tuple(map(list_head, found["lists"])))
        except (KeyError, TypeError, ValueError) as fault:
            raise odd_answer() from fault

    def my_lists(self) -> list[ListHead]:
        """`GET /v1/status-lists/mine`: all our lists with their current tokens."""
        found = self._json("GET", "/v1/status-lists/mine", None)
        try:
            return [list_head(entry) for entry in found["lists"]]
        except (KeyError, TypeError, ValueError) as fault:
            raise odd_answer() from fault

    def push_list(self, token: str) -> None:
        """`PUT /v1/status-lists`. Raises Conflict when the hub holds another version than this one builds on."""
        self._json("PUT", "/v1/status-lists", {"token": token})

    def register(self, item: Registration) -> Registered:
        """`POST /v1/certificates`."""
        return registered(self._json("POST", "/v1/certificates", item.body()))

    def register_batch(self, items: Sequence[Registration]) -> Iterator[Registered | HubError]:
        """`POST /v1/certificates/batch`: one answer for each item, in order; a refusal is given, not raised."""
        lines = [{"line": place, **item.body()} for place, item in enumerate(items, 1)]
        body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
        answer = self._send("POST", "/v1/certificates/batch", body, "application/x-ndjson", "issue")
        found = [
            jws.loads(line, max_bytes=MAX_ANSWER) for line in answer.content.splitlines() if line.strip()
        ]
        if len(found) != len(items):
            raise odd_answer()
        for place, result in enumerate(found, 1):
            if not isinstance(result, dict) or result.get("line") != place:
                raise odd_answer()
            status = result.get("status")
            if isinstance(status, int) and 200 <= status < 300:
                yield registered(result)
            else:
                yield problem(status if isinstance(status, int) else 500, result.get("problem"))

    def change_status(
        self,
        certificate_id: str,
        event: Literal["revoke", "suspend", "reinstate"],
        reason: str,
        list_token: str,
    ) -> None:
        """`POST /v1/certificates/{id}/status`."""
        body = {"event": event, "reason": reason, "status_list": list_token}
        self._json("POST", f"/v1/certificates/{certificate_id}/status", body)

    def change_many(self, lists: Sequence[str], endings: Sequence[Ending]) -> list[Registered | None]:
        """`POST /v1/certificates/changes`: all of it or nothing; for each the certificate that took its place, if any.

        The same call again is answered alike. Raises Unprocessable `changes.refused` (`answers.refusals` reads it).
        """
        said = {"status_lists": list(lists), "changes": [one.body() for one in endings]}
        try:
            answer = self._send("POST", "/v1/certificates/changes", orjson.dumps(said), "application/json", "issue")
        except Malformed as fault:
            raise too_old() if fault.code == "http.method" else fault from fault
        return successors(jws.loads(answer.content, max_bytes=MAX_ANSWER), endings)

    def certificate(self, certificate_id: str) -> Mapping[str, Any]:
        """`GET /v1/certificates/{id}`: the state of a certificate of ours."""
        return self._json("GET", f"/v1/certificates/{certificate_id}", None)

    def declare_source(self, code: str, coverage: Coverage) -> None:
        """`PUT /v1/sources/{type}`: what our source of this type covers."""
        start = coverage.covers_from
        said = {"gaps_zh": coverage.gaps_zh, "gaps_en": coverage.gaps_en}
        self._json("PUT", f"/v1/sources/{code}", said | {"covers_from": start.isoformat() if start else None})

    def hold_decided(self, code: str, said: Mapping[str, Any], *, key: str) -> str:
        """`POST /v1/sources/{type}/decisions`: what our official decided about a held pass. Gives the receipt."""
        found = self._json("POST", f"/v1/sources/{code}/decisions", said, key=key).get("receipt")
        if not isinstance(found, str):
            raise odd_answer()
        return found

    def put_face(self, certificate_id: str, pdf: bytes) -> None:
        """`PUT /v1/certificates/{id}/face`."""
        self._send("PUT", f"/v1/certificates/{certificate_id}/face", pdf, "application/pdf", "issue")

    def work_orders(self) -> list[WorkOrder]:
        """`GET /v1/work-orders`: confirmed files that wait for us, oldest first."""
        found = self._json("GET", "/v1/work-orders", None)
        try:
            return [
                WorkOrder(
                    str(one["id"]),
                    str(one["type"]),
                    int(one["rows"]),
                    str(one["made_by"]),
                    str(one["confirmed_by"]),
                )
                for one in found["orders"]
            ]
        except (KeyError, TypeError, ValueError) as fault:
            raise odd_answer() from fault

    def work_order_file(self, order_id: str) -> bytes:
        """`GET /v1/work-orders/{id}/file`: the CSV as it was handed in."""
        return self._send("GET", f"/v1/work-orders/{order_id}/file", None, "", "issue").content

    def end_work_order(self, order_id: str, *, signed: int, quarantined: int) -> None:
        """`POST /v1/work-orders/{id}/done`: counts only, which add up to the rows of the file."""
        self._json("POST", f"/v1/work-orders/{order_id}/done", {"signed": signed, "quarantined": quarantined})

    def pull_orders(
        self, types: Sequence[str], *, wait: int, room: int, leaving: bool = False
    ) -> tuple[list[str], list[str]]:
        """`POST /v1/pulls/next`: wait for orders. (Orders, none when the time was over; types that count.)"""
        body = {"types": list(types), "wait": wait, "room": room, "leaving": leaving}
        found = self._json("POST", "/v1/pulls/next", body)
        orders, counted = found.get("orders"), found.get("types")
        if not isinstance(orders, list) or not isinstance(counted, list):
            raise odd_answer()
        return [str(one) for one in orders], [str(one) for one in counted]

    def answer_pull(
        self,
        pull: str,
        outcome: str,
        *,
        reason: str = "",
        certificate: Registration | None = None,
        certificate_id: str | None = None,
    ) -> Registered | None:
        """`POST /v1/pulls/{id}/answer`: what a look-up came to; with a new certificate how it was registered."""
        body = {
            "outcome": outcome,
            "reason": reason,
            "certificate": None if certificate is None else certificate.body(),
            "certificate_id": certificate_id,
        }
        found = self._json("POST", f"/v1/pulls/{pull}/answer", body)
        return None if certificate is None else registered(found)

    def public(self, path: str) -> bytes:
        """What a public door answers, as it is."""
        return self._persist("GET", path, lambda: ({}, None)).content

    def rotate_key(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """`POST /v1/keys`: the next key of one purpose, vouched for by the one before."""
        return self._json("POST", "/v1/keys", body)

    # --- how a call is made ---

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        scope: str | None = "issue",
        key: str | None = None,
    ) -> Mapping[str, Any]:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        answer = self._send(method, path, content, "application/json", scope, key)
        found = jws.loads(answer.content, max_bytes=MAX_ANSWER) if answer.content else {}
        if not isinstance(found, dict):
            raise odd_answer()
        return found

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        media_type: str,
        scope: str | None,
        key: str | None = None,
    ) -> httpx.Response:
        """One call, with a token of `scope` unless that is None; an old token is renewed once.

        `key` goes along as Idempotency-Key: the same call again is answered as the first time.
        """

        def make() -> tuple[dict[str, str], bytes | None]:
            headers = {"content-type": media_type} if content is not None else {}
            if key is not None:
                headers["idempotency-key"] = key
            if scope is not None:
                token = self._token(scope)
                headers["authorization"] = f"DPoP {token}"
                headers["dpop"] = self._proof(method, path, token)
            return headers, content

        try:
            return self._persist(method, path, make)
        except Unauthenticated:
            if scope is None or self._tokens.pop(scope, None) is None:
                raise
            return self._persist(method, path, make)

    def _persist(
        self, method: str, path: str, make: Callable[[], tuple[dict[str, str], bytes | None]]
    ) -> httpx.Response:
        """Send until the hub answers with something that time will not change. Raises a HubError kind.

        `make` gives headers and body anew for each attempt: a proof or an assertion is good once.
        """
        asked_for_nonce, attempt, waited = False, 0, 0.0
        while True:
            headers, content = make()
            try:
                answer = self._http.request(method, self.hub + path, content=content, headers=headers)
            except httpx.TransportError as fault:
                attempt += 1
                if attempt >= self._attempts:
                    raise unreachable(type(fault).__name__) from fault
                self._pause(attempt, None)
                continue
            nonce = answer.headers.get("dpop-nonce")
            if answer.is_success:
                self._nonce = nonce or self._nonce
                return answer
            if answer.status_code in (400, 401) and nonce and nonce != self._nonce and not asked_for_nonce:
                self._nonce, asked_for_nonce = nonce, True  # RFC 9449 section 8
                continue
            wanted = answer.headers.get("retry-after")
            if answer.status_code == 429 and waited < PATIENCE:
                waited += max(1.0, self._pause(min(attempt + 1, ATTEMPTS), wanted))
                continue
            attempt += 1
            again = answer.status_code in _RETRY_STATUS or (answer.status_code == 500 and attempt <= 2)
            if not again or attempt >= self._attempts:
                raise problem(answer.status_code, _body(answer))
            self._pause(attempt, wanted)

    def _proof(self, method: str, path: str, token: str | None) -> str:
        return dpop.prove(
            self._signer(), htm=method, htu=self.hub + path, now=seconds(self._clock()), access_token=token,
            nonce=self._nonce,
        )  # fmt: skip

    def _token(self, scope: str) -> str:
        with self._asking:
            return self._token_in_force(scope)

    def _token_in_force(self, scope: str) -> str:
        signer, present = self._signer(), seconds(self._clock())
        known = self._tokens.get(scope)
        if known is not None and known[1] - EARLY > present and known[2] == signer.kid:
            return known[0]

        def make() -> tuple[dict[str, str], bytes]:
            form = {
                "grant_type": "client_credentials",
                "client_id": self.department,
                "client_assertion_type": authorization.ASSERTION_TYPE,
                "client_assertion": authorization.make_client_assertion(
                    signer, client_id=self.department, audience=self.hub, now=seconds(self._clock())
                ),
                "scope": scope,
            }
            headers = {
                "content-type": "application/x-www-form-urlencoded", "dpop": self._proof("POST", "/oauth/token", None)
            }  # fmt: skip
            return headers, urlencode(form).encode()

        found = jws.loads(self._persist("POST", "/oauth/token", make).content, max_bytes=64 * 1024)
        if not isinstance(found, dict) or not isinstance(found.get("access_token"), str):
            raise odd_answer()
        lasts = found.get("expires_in")
        self._tokens[scope] = (
            found["access_token"], present + (lasts if isinstance(lasts, int) else 60), signer.kid
        )  # fmt: skip
        return str(found["access_token"])

    def _pause(self, attempt: int, retry_after: str | None) -> float:
        """Exponential with full jitter; a Retry-After of the hub decides, up to two minutes. Gives the seconds."""
        wanted = _retry_after(retry_after, self._clock())
        backoff = random.uniform(0.1, 0.5 * 2 ** (attempt - 1))  # noqa: S311  # spreads load, guards nothing
        pause = min(LONGEST_PAUSE, wanted if wanted is not None else backoff)
        self._sleep(pause)
        return pause


def _body(answer: httpx.Response) -> object:
    try:
        return jws.loads(answer.content, max_bytes=1 << 20)
    except HubError:
        return None


def _retry_after(value: str | None, moment: datetime) -> float | None:
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - moment).total_seconds())
    except (TypeError, ValueError):
        return None
