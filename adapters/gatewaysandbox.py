"""The sandbox: fixed people with fixed outcomes, for building the old system's side before there is a key or a hub.

Its certificates are signed by a key that is made at start and lives nowhere else, under an issuer that cannot be
anybody's (`https://sandbox.invalid`): no hub knows the key, no gateway accepts the issuer, and every answer says
`sandbox: true`. Nothing from here ever verifies in production.
"""

import json
from collections.abc import Mapping
from typing import Any

from adapters.gatewayconfig import GatewayConfig
from adapters.gatewaytickets import LONGEST, Ticket, Tickets
from hub.clock import Clock, now, seconds
from hub.errors import Malformed, NotFound
from hub.formats.identifiers import resident_check_character
from hub.formats.sdjwt import SD, issue
from keys.signer import generate

ISSUER = "https://sandbox.invalid/dept/sandbox"
_BODIES = {
    "valid": "99990019900101001", "revoked": "99990019900101002", "source_down": "99990019900101003",
    "ambiguous": "99990019900101004", "no_record": "99990019900101005", "refused": "99990019900101006",
    "waits": "99990019900101007",
}  # fmt: skip
PEOPLE: Mapping[str, str] = {
    body + resident_check_character(body): outcome for outcome, body in _BODIES.items()
}
"""Identity number -> what happens. Their area code, 999900, is nobody's."""
_ENDS = {
    "valid": ("verified", "", "已核验（沙箱）。", "Verified (sandbox)."),
    "revoked": ("not_accepted", "certificate.revoked", "证照已被撤销（沙箱）。", "Revoked (sandbox)."),
    "source_down": (
        "not_accepted", "pull.unavailable", "发证部门的数据源暂时连不上，不等于没有记录（沙箱）。",
        "Its source cannot be reached, which is no “no record” (sandbox).",
    ),
    "ambiguous": ("not_accepted", "pull.ambiguous", "多条记录符合，须人工核对（沙箱）。", "Several match (sandbox)."),
    "no_record": ("no_record", "certificate.none_registered", "没有登记的证照（沙箱）。", "No certificate (sandbox)."),
    "refused": ("refused", "access_denied", "本人没有同意（沙箱）。", "The citizen did not agree (sandbox)."),
}  # fmt: skip


class Sandbox:
    """Stands behind the same local door as the gateway."""

    def __init__(self, config: GatewayConfig, tickets: Tickets, *, clock: Clock = now) -> None:
        self.config = config
        self.tickets = tickets
        self._clock = clock
        self._signer = generate()

    def accept(self, asked: Mapping[str, Any]) -> Ticket:
        """As the gateway takes it in; only the people of `PEOPLE` are known."""
        service = self.config.services.get(str(asked.get("service", "")))
        if service is None:
            raise NotFound("gateway.no_service", "网关配置里没有这个服务。", "No such service.")
        number = str(asked.get("id_no", "")).strip().upper()
        if number not in PEOPLE:
            raise Malformed(
                "sandbox.unknown_person", "沙箱只认固定的几个人。", "The sandbox knows a few fixed people only.",
                next_zh="yimen-gateway people 列出他们。", next_en="yimen-gateway people lists them.",
            )  # fmt: skip
        reference = str(asked.get("reference") or f"sandbox-{PEOPLE[number]}")
        known = self.tickets.by_reference(reference)
        return known or self.tickets.add(reference, service.name, [number], self._clock())

    def work(self) -> int:
        """Every ticket comes to the end that its person stands for; the one who waits, waits."""
        return sum(self.trigger(ticket) for ticket in self.tickets.due(self._clock()))

    def trigger(self, ticket: Ticket, outcome: str | None = None) -> bool:
        """Bring a ticket to an end now: its person's, or the one named."""
        chosen = outcome or PEOPLE.get(ticket.people[0] if ticket.people else "", "waits")
        if chosen not in _ENDS:
            self.tickets.update(
                ticket.id, state="waiting", zh="等本人确认（沙箱）。", en="Waiting for the citizen (sandbox).",
                due=self._clock() + LONGEST,
            )  # fmt: skip
            return False
        state, code, zh, en = _ENDS[chosen]
        answer = json.dumps(self._certificates(ticket), ensure_ascii=False) if chosen == "valid" else ""
        self.tickets.update(ticket.id, state=state, code=code, zh=zh, en=en, answer=answer)
        return True

    def answer(self, ticket: Ticket) -> dict[str, Any]:
        """As the gateway tells it, and `sandbox` true."""
        certificates = json.loads(ticket.answer) if ticket.answer else []
        service = self.config.services.get(ticket.service)
        columns = {name: f"沙箱-{name}" for name in service.columns} if service and certificates else {}
        return {
            "ticket": ticket.id, "reference": ticket.reference, "state": ticket.state, "code": ticket.code,
            "zh": ticket.zh, "en": ticket.en, "sandbox": True, "certificates": certificates, "columns": columns,
        }  # fmt: skip

    def _certificates(self, ticket: Ticket) -> list[dict[str, Any]]:
        service = self.config.services[ticket.service]
        present = seconds(self._clock())
        return [
            {
                "type": kind, "issuer": "sandbox", "certificate": "sandbox", "claims": {"number": "SANDBOX-0001"},
                "predicates": [], "access": "sandbox", "receipt": "", "as_of": None,
                "sd_jwt": issue(
                    {"iss": ISSUER, "vct": f"urn:yimen:sandbox:{kind}", "iat": present, "exp": present + 3600,
                     "number": SD("SANDBOX-0001")},
                    signer=self._signer,
                ),
            }
            for kind in service.types
        ]  # fmt: skip
