"""The gateway of a reviewing department: it asks, waits for the citizen, verifies, checks again, and keeps the answer.

An old system that cannot speak PAR, DPoP or signed assertions gives it a service name and an identity number, and
gets a ticket. The department's client key and everything that is signed stay in here. What a ticket promises survives
a kill at any point: each step is written down before the next one is taken, and repeated steps carry the same
idempotency key.
"""

import json
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from adapters.gatewayconfig import GatewayConfig, Service
from adapters.gatewaytickets import Ticket, Tickets
from adapters.offline import Checker
from adapters.verifier import Asked, Consent, VerifierClient
from hub.clock import Clock, now
from hub.errors import Conflict, HubError, Malformed, NotFound, TooMany, Unavailable
from hub.formats.identifiers import resident_id_lenient
from hub.formats.note import Vkey

SKEW = 30
"""Seconds by which our clock may differ from the hub's before its refusals are blamed on the clock."""
FORGETS_EVERY = 3600.0
"""Seconds between looks at what is old enough to be forgotten."""
RESIDENT = "111"
_TROUBLE = (Unavailable, TooMany, httpx.HTTPError)
_BY_CLOCK = ("dpop.", "client.", "token.", "invalid_client", "invalid_dpop_proof", "http.401")
_DENIED = {"access_denied": "refused", "expired_token": "expired", "invalid_grant": "expired"}


class Gateway:
    """One department's gateway. `accept` and `answer` are what the local doors call; `work` moves tickets on."""

    def __init__(
        self,
        config: GatewayConfig,
        client: VerifierClient,
        tickets: Tickets,
        *,
        log_key: Vkey | None = None,
        clock: Clock = now,
    ) -> None:
        self.config = config
        self.tickets = tickets
        self._client = client
        self._log_key = log_key
        self._clock = clock
        self._items: dict[str, Mapping[str, Any]] = {}
        self._forgets_next = 0.0
        self._away = False

    # --- for the local doors ---

    def accept(self, asked: Mapping[str, Any]) -> Ticket:
        """Take in one request: `service`, `id_no`, and optionally `reference`, `beneficiary_id_no`.

        The same reference with the same content is the same ticket. Raises NotFound `gateway.no_service`, Malformed
        `gateway.id_no`, Conflict `gateway.reference_used`.
        """
        service = self.config.services.get(str(asked.get("service", "")))
        if service is None:
            names = "、".join(sorted(self.config.services))
            raise NotFound(
                "gateway.no_service", "网关配置里没有这个服务。", "The gateway's configuration has no such service.",
                next_zh=f"有：{names}。", next_en=f"There are: {names}.",
            )  # fmt: skip
        people = [self._number(asked, "id_no")]
        if service.basis == "guardian":
            people.append(self._number(asked, "beneficiary_id_no"))
        reference = str(asked.get("reference") or secrets.token_urlsafe(12)).strip()
        if not 1 <= len(reference) <= 64:
            raise Malformed(
                "gateway.reference", "流水号最长 64 个字符。", "A reference has at most 64 characters."
            )
        known = self.tickets.by_reference(reference)
        if known is not None:
            if (known.service, known.people) != (service.name, tuple(people)) and known.people:
                raise Conflict(
                    "gateway.reference_used", "这个流水号已用于另一个请求。",
                    "This reference stands for another request.",
                )  # fmt: skip
            return known
        return self.tickets.add(reference, service.name, people, self._clock())

    def answer(self, ticket: Ticket) -> dict[str, Any]:
        """What the old system is told: state, why, and after a verification the certificates and flat columns."""
        said: dict[str, Any] = {
            "ticket": ticket.id, "reference": ticket.reference, "state": ticket.state, "code": ticket.code,
            "zh": ticket.zh, "en": ticket.en, "sandbox": False, "certificates": [], "columns": {},
        }  # fmt: skip
        if ticket.answer:
            certificates = json.loads(ticket.answer)
            said |= {"certificates": certificates, "columns": self._flat(ticket.service, certificates)}
        return said

    # --- the work ---

    def work(self) -> int:
        """Move on every ticket that is due. Gives how many changed. Never raises for one ticket's sake.

        When the hub is away the others wait for the next round: each would find out anew, and slowly.
        """
        present, changed, self._away = self._clock(), 0, False
        for ticket in self.tickets.due(present):
            changed += self._step(ticket, present)
            if self._away:
                break
        if self._may_forget():
            self.tickets.forget(present - timedelta(days=self.config.keep_days))
        return changed

    def _may_forget(self) -> bool:
        """Asked once an hour, and only by a clock that agrees with the hub's: a wrong one would erase what is new."""
        if time.monotonic() < self._forgets_next:
            return False
        skew = self._skew()
        self._forgets_next = time.monotonic() + (FORGETS_EVERY if skew is not None else FORGETS_EVERY / 60)
        return skew is not None and abs(skew) <= SKEW

    def _step(self, ticket: Ticket, present: datetime) -> bool:
        service = self.config.services.get(ticket.service)
        if service is None:
            return self._end(
                ticket, "failed", "gateway.no_service", "配置里的服务已被删除。", "The service is gone."
            )
        try:
            if not ticket.case_id:
                return self._open(ticket, service)
            if not ticket.asked:
                return self._ask(ticket, service, present)
            if not ticket.consent:
                return self._poll(ticket, present)
            return self._verify(ticket)
        except _TROUBLE as fault:
            self._away = True
            code = fault.code if isinstance(fault, HubError) else type(fault).__name__
            return self._trouble(
                ticket, "hub_away", code, present, "连不上枢纽，会自动再试。", "The hub is away."
            )
        except HubError as fault:
            skew = self._skew() if fault.code.startswith(_BY_CLOCK) else None
            if skew is not None and abs(skew) > SKEW:
                zh, en = f"本机时钟差 {skew:+.0f} 秒，请校时。", f"Our clock is off by {skew:+.0f} s: set it."
                return self._trouble(ticket, "clock_wrong", fault.code, present, zh, en)
            return self._end(ticket, "failed", fault.code, fault.zh, fault.en)

    def _open(self, ticket: Ticket, service: Service) -> bool:
        people = [{"id_type": RESIDENT, "id_no": number} for number in ticket.people]
        case = self._client.open_case(
            service.item, people[0], people[1] if len(people) > 1 else None, key=f"{ticket.id}-case"
        )
        self.tickets.update(ticket.id, case_id=case)
        return True

    def _ask(self, ticket: Ticket, service: Service, present: datetime) -> bool:
        details = [self._detail(service, ticket.case_id, present)]
        asked = self._client.ask(
            details, login_hint=f"{RESIDENT}:{ticket.people[0]}", binding_message=ticket.code_word
        )
        self.tickets.update(
            ticket.id, asked=json.dumps([asked.auth_req_id, asked.interval, asked.expires_in]), state="waiting",
            zh=f"已请本人确认，核对码 {ticket.code_word}。", en=f"The citizen was asked; code {ticket.code_word}.",
            code="", due=present + timedelta(seconds=asked.interval),
        )  # fmt: skip
        return True

    def _poll(self, ticket: Ticket, present: datetime) -> bool:
        asked = Asked(*json.loads(ticket.asked))
        try:
            consent = self._client.poll(asked)
        except HubError as fault:
            if fault.code not in _DENIED:
                raise
            return self._end(ticket, _DENIED[fault.code], fault.code, fault.zh, fault.en)
        if consent is None:
            self.tickets.update(ticket.id, due=present + timedelta(seconds=asked.interval), state="waiting")
            return False
        kept = [consent.token, consent.expires_in, [*consent.grants], [*consent.details]]
        self.tickets.update(ticket.id, consent=json.dumps(kept, ensure_ascii=False))  # before it is used
        return True

    def _verify(self, ticket: Ticket) -> bool:
        token, lasts, grants, details = json.loads(ticket.consent)
        consent = Consent(token, lasts, tuple(grants), tuple(details))
        asks = [
            {"type": kind, "basis": detail["basis"]}
            for detail in consent.details
            for kind in detail["datatypes"]
        ]
        verdicts = self._client.verify(consent.token, asks, key=f"{ticket.id}-verify")
        accepted = [one for one in verdicts if one.get("sd_jwt")]
        if not accepted:
            first = next((one for one in verdicts), {})
            state = "no_record" if first.get("outcome") == "no_record" else "not_accepted"
            return self._end(ticket, state, str(first.get("reason") or "none"), *_told(first))
        checked = [self._checked(one) for one in accepted]
        missing = sorted({str(ask["type"]) for ask in asks} - {str(one["type"]) for one in checked})
        if missing:  # an old system that looks at the state alone must not take a part for the whole
            self.tickets.update(ticket.id, answer=json.dumps(checked, ensure_ascii=False))
            return self._end(
                ticket, "partly", f"missing:{','.join(missing)}",
                "只有一部分证照可采用。", "Only some of the certificates were accepted.",
            )  # fmt: skip
        self.tickets.update(
            ticket.id, state="verified", answer=json.dumps(checked, ensure_ascii=False), code="", asked="", consent="",
            zh="已核验，并已用发证部门公钥复核。", en="Verified, and checked again with the issuer's key.",
        )  # fmt: skip
        return True

    def _checked(self, verdict: Mapping[str, Any]) -> dict[str, Any]:
        """What is handed on, after our own checks. Nothing is fetched from anybody but the hub.

        1. The issuer really signed it, for this hub. 2. Its newest status list says valid. 3. The hub's receipt is its
        own; with a pinned ledger key, the leaf is in the ledger.
        """
        issuer, token = str(verdict["issuer"]), str(verdict["sd_jwt"])
        checker = Checker(self._client, self._log_key, self._clock)  # fresh: lists of this moment
        claims = checker.certificate(token, issuer)  # 1, 2
        if claims.get("iss") != f"{self._client.hub}/dept/{issuer}":
            raise Malformed(
                "gateway.other_hub", "证照不是本平台的。", "The certificate belongs to another hub."
            )
        receipt = checker.receipt(str(verdict["receipt"]))  # 3
        if self._log_key is not None:
            checker.in_ledger(receipt.leaf_hash)
        return {
            "type": verdict["type"], "issuer": issuer, "certificate": verdict["certificate"],
            "claims": verdict["claims"], "predicates": verdict["predicates"], "sd_jwt": token,
            "access": verdict["access"], "receipt": verdict["receipt"], "as_of": claims.get("as_of"),
        }  # fmt: skip

    # --- inside ---

    def _detail(self, service: Service, case_id: str, present: datetime) -> dict[str, Any]:
        fields = {kind: [list(path) for path in paths] for kind, paths in service.fields.items()}
        for kind in service.types:
            fields.setdefault(kind, self._allowed(service.item, kind))
        return {
            "type": "certificate_verification", "item_code": service.item, "case_id": case_id,
            "purpose": service.purpose, "basis": service.basis, "datatypes": sorted(fields), "fields": fields,
            "valid_until": int((present + timedelta(days=service.days)).timestamp()), "max_uses": 1,
        }  # fmt: skip

    def _allowed(self, item: str, kind: str) -> list[Any]:
        """Everything that the item lets one ask of a type."""
        if item not in self._items:
            self._items[item] = json.loads(self._client.public(f"/v1/items/{item}"))
        found: list[Any] = []
        for material in self._items[item]["materials"]:
            for evidence in material["satisfied_by"]:
                if evidence.get("type") == kind:
                    found += [path for path in evidence["fields"] if path not in found]
        return found

    def _number(self, asked: Mapping[str, Any], name: str) -> str:
        found = resident_id_lenient(str(asked.get(name, "")).strip().upper(), today=self._clock().date())
        wrong = {finding.code.partition(".")[2] for finding in found.findings} & {
            "form",
            "check",
            "birth_date",
        }
        if found.value is None or wrong:
            raise Malformed("gateway.id_no", "证件号码不对。", "The identity number does not check.")
        return found.value.value

    def _flat(self, service: str, certificates: list[Mapping[str, Any]]) -> dict[str, str]:
        known = self.config.services.get(service)
        found: dict[str, str] = {}
        for name, (kind, path) in (known.columns if known else {}).items():
            said: dict[str, None] = {}
            for one in certificates:
                value: Any = one["claims"] if one["type"] == kind else None
                for step in path:
                    value = value.get(step) if isinstance(value, Mapping) else None
                if value is not None:
                    said[str(value)] = None
            if said:  # two certificates that differ are both told: nobody picks one silently
                found[name] = "；".join(said)
        return found

    def _skew(self) -> float | None:
        """Our clock minus the hub's, by the Date of any answer."""
        try:
            told = httpx.get(f"{self._client.hub}/.well-known/jwks.json", timeout=10).headers.get("date")
            return (self._clock() - parsedate_to_datetime(told)).total_seconds() if told else None
        except (httpx.HTTPError, ValueError):
            return None

    def _trouble(self, ticket: Ticket, state: str, code: str, present: datetime, zh: str, en: str) -> bool:
        """It stays where it is, and is tried again."""
        self.tickets.update(
            ticket.id, state=state, code=code, zh=zh, en=en, due=present + timedelta(seconds=30)
        )
        return ticket.state != state

    def _end(self, ticket: Ticket, state: str, code: str, zh: str, en: str) -> bool:
        self.tickets.update(ticket.id, state=state, code=code, zh=zh, en=en, asked="", consent="")
        return True


def _told(verdict: Mapping[str, Any]) -> tuple[str, str]:
    """Why nothing was accepted, in the words of the check that decided; what a clerk reads in the old system."""
    for check in verdict.get("checks") or ():
        if isinstance(check, dict) and check.get("result") in ("failed", "undecided"):
            return str(check.get("zh") or ""), str(check.get("en") or "")
    return "没有可采用的证照。", "No certificate was accepted."
