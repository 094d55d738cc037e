"""Citizens are told of each request, use and withdrawal: once, never of what did not happen, by the ways they chose."""

import asyncio
import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
import structlog
from notices.telling import Telling
from oversight.test_objections import objected, relied_on, superseded

from hub.access.history import of_subject
from hub.actor import Actor, ActorKind
from hub.cases.office import ask_office, confirm_office, look_by_office
from hub.certificates.model import StatusEvent
from hub.consent.model import grants as granted
from hub.consent.office import load_rules
from hub.consent.withdraw import withdraw
from hub.errors import Conflict, Gone, Malformed, TooMany, Unavailable
from hub.formats.contacts import mask_contact, normal_email, normal_phone
from hub.ids import bucket_of
from hub.ledger.model import leaves
from hub.notices import contacts, inbox, looks, run
from hub.notices import derive as deriving
from hub.notices.derive import derive
from hub.notices.inbox import Reached
from hub.notices.message import SENT, Attempt, Message
from hub.notices.model import OPTIONAL, Channel, DeliveryState, NoticeKind, deliveries
from hub.notices.run import tell_once
from hub.notices.wishes import Wishes, choose
from hub.notices.words import KINDS
from hub.oversight import objections, reliance
from hub.store.model import outbox, person_keys
from hub.verification.model import Ask

MAIL, PHONE = "Wang.X@Example.CN", "138 0013 8000"


async def states(telling: Telling) -> list[tuple[str, str | None]]:
    async with telling.view() as view:
        rows = await view.all(sa.select(deliveries.c.state, deliveries.c.fault).order_by(deliveries.c.id))
    return [(row.state, row.fault) for row in rows]


async def test_each_request_use_and_withdrawal_is_told_once(telling: Telling) -> None:
    wang = telling.person("王小明")
    held = await telling.certificate("degree", (wang, "owner"))
    await telling.certificate("employment", (wang, "worker"))
    await telling.reach(wang, MAIL)
    case = await telling.case(wang)
    started = await telling.ask("dg-edu", case, [telling.detail(case, ["degree", "employment"], max_uses=2)], of=wang)
    await telling.tell()
    grants = await telling.agree(wang, started.public_id)
    await telling.verify(case, grants, [Ask("degree"), Ask("employment")])
    citizen = await telling.citizen(wang)
    with suppress(ZeroDivisionError):
        async with telling.tx(citizen) as tx:
            await withdraw(tx, grant=grants[0].public_id)
            raise ZeroDivisionError  # rolled back: it did not happen
    await telling.tell()
    assert NoticeKind.WITHDRAWN not in await telling.kinds(wang)
    async with telling.tx(citizen) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    await telling.change(held.certificate, StatusEvent.REVOKE, by="dg-degree")
    for _ in range(2):
        await telling.tell()
    wanted = [NoticeKind.CONTACT, NoticeKind.ASKED, NoticeKind.USED, NoticeKind.WITHDRAWN, NoticeKind.CERTIFICATE]
    assert sorted(await telling.kinds(wang)) == sorted(wanted[1:]), "the test confirmed the contact by the verb alone"
    async with telling.view() as view:
        subject = await telling.subject(wang)
        found = {one.kind: one for one in await inbox.newest(view, subject_id=subject)}
        assert await inbox.unread(view, subject_id=subject) == 4
        assert await view.value(sa.select(sa.func.count()).select_from(outbox)) == 0
        looks = await of_subject(view, subject_id=subject)
    assert found[NoticeKind.USED].facts["types"] == ["degree", "employment"], "one call is one message"
    assert found[NoticeKind.USED].ref in {one.public_id for one in looks}
    assert found[NoticeKind.CERTIFICATE].facts["state"] == "revoked"
    sent = telling.messages()
    assert len(sent) == 4
    for _, to, text in sent:
        assert to == "Wang.X@example.cn"
        assert not re.search(r"https?:|www\.|[0-9]{6}", text), "no link, no number"
        assert "王" not in text
        assert held.certificate not in text
        assert case.item_code not in text
    async with telling.tx() as tx:
        assert await inbox.mark_read(tx, subject_id=subject, public_id=found[NoticeKind.USED].public_id) == 1
        assert await inbox.mark_read(tx, subject_id=subject) == 3
        assert await inbox.unread(tx, subject_id=subject) == 0
        first = await inbox.newest(tx, subject_id=subject, limit=3)
        rest = await inbox.newest(tx, subject_id=subject, before=first[-1].public_id)
    assert len({one.public_id for one in [*first, *rest]}) == 4


async def test_a_refused_look_stands_in_the_wallet_and_rings_no_phone(small: Telling) -> None:
    wang = small.person("王小明")
    await small.certificate("degree", (wang, "owner"))
    await small.reach(wang, PHONE)
    case, grants = await small.grant(wang, ["degree"])
    await small.tell()
    small.empty()
    await small.verify(case, grants, [Ask("degree")])
    small.clock.advance(seconds=1)
    assert (await small.verify(case, grants, [Ask("degree")]))[0].sd_jwt is None, "its one use is taken"
    await small.tell()
    assert (await small.kinds(wang))[-2:] == [NoticeKind.USED, NoticeKind.TRIED]
    assert len(small.messages()) == 1


async def test_parents_are_told_of_what_is_done_for_their_child(small: Telling) -> None:
    mother, father = small.person("李秀英"), small.person("王建国")
    child = small.person("王小明", born="20200601")
    await small.certificate("birth", (child, "child"), (mother, "mother"), (father, "father"), born_on="2020-06-01")
    case = await small.case(mother, child)
    started = await small.ask("dg-edu", case, [small.detail(case, ["birth"], basis="guardian")], of=mother)
    grants = await small.agree(mother, started.public_id)
    await small.verify(case, grants, [Ask("birth", basis="guardian")])
    await small.tell()
    assert sorted(await small.kinds(mother)) == [NoticeKind.ASKED, NoticeKind.USED]
    assert sorted(await small.kinds(child)) == [NoticeKind.GIVEN, NoticeKind.USED]
    small.clock.advance(minutes=1)
    async with small.tx(await small.citizen(father)) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    await small.tell()
    assert (await small.kinds(mother))[-1] is NoticeKind.WITHDRAWN


async def test_an_answered_objection_and_a_corrected_record_are_told(small: Telling) -> None:
    one = await relied_on(small)
    found = await objected(small, one)
    await superseded(small, one)
    async with small.tx(
        Actor(ActorKind.OFFICER, department="dg-hrss", officer_id=uuid4(), roles=frozenset({"complaint_handler"}))
    ) as tx:
        await objections.answer(
            tx, public_id=found.public_id, outcome=objections.ObjectionState.SUPERSEDED, words="已更正"
        )
        assert await reliance.notices_of(tx, department="dg-edu")
    await small.tell()
    told = await small.kinds(one.person)
    assert NoticeKind.ANSWERED in told
    assert told.count(NoticeKind.CERTIFICATE) == (0 if small.types["employment"].living else 1)


async def test_a_look_by_office_power_cannot_be_silenced(small: Telling) -> None:
    wang = small.person("王小明")
    await small.certificate("degree", (wang, "owner"))
    await small.reach(wang, PHONE)
    subject = await small.subject(wang)
    async with small.tx() as tx:
        await choose(tx, subject_id=subject, language="en", quiet=None, silenced=[*NoticeKind, "nonsense"])
    case, grants = await small.grant(wang, ["degree"])
    await small.verify(case, grants, [Ask("degree")])
    await small.tell()
    assert small.messages() == [], "what may be silenced is silent, and stands in the wallet"
    assert len(await small.kinds(wang)) == 2
    clerk = Actor(ActorKind.OFFICER, department="dg-edu", officer_id=uuid4(), roles=frozenset({"clerk"}))
    async with small.tx(clerk) as tx:
        asked = await ask_office(tx, case_id=case.public_id, rule=load_rules()["441900-edu-points-recheck"])
    async with small.tx(clerk) as tx:
        await look_by_office(
            tx, public_id=asked.public_id, rules=load_rules(), items=small.items, types=small.types, issuer="x"
        )
    await small.tell()
    assert (await small.kinds(wang))[-1] is NoticeKind.OFFICE
    assert ["without your consent" in text for text in small.texts()] == [True]


async def test_a_look_that_a_published_rule_delays_is_told_when_its_time_has_come(small: Telling) -> None:
    rule = load_rules()["441900-ps-household-papers"]
    await small.department("dg-ps")
    wang = small.person("王小明")
    await small.certificate("household_register", (wang, "head"))
    await small.reach(wang, PHONE)
    case = await small.case(wang, item=rule.item_code)
    clerk, second = (
        Actor(ActorKind.OFFICER, department="dg-ps", officer_id=uuid4(), roles=frozenset({"clerk"})) for _ in range(2)
    )
    async with small.tx(clerk) as tx:
        asked = await ask_office(tx, case_id=case.public_id, rule=rule)
    async with small.tx(second) as tx:
        await confirm_office(tx, public_id=asked.public_id, agree=True)
    async with small.tx(clerk) as tx:
        await look_by_office(
            tx, public_id=asked.public_id, rules=load_rules(), items=small.items, types=small.types, issuer="x"
        )
    await small.tell()
    subject = await small.subject(wang)
    async with small.view() as view:
        assert await inbox.unread(view, subject_id=subject) == 0
    assert (await small.kinds(wang), small.messages()) == ([], [])
    small.clock.advance(days=rule.delay.days)
    await small.tell()
    assert await small.kinds(wang) == [NoticeKind.OFFICE]
    assert len(small.messages()) == 1


# ── contacts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_cannot_be_guessed(telling: Telling) -> None:
    wang, li = await telling.subject(telling.person("王小明")), await telling.subject(telling.person("李大勇"))
    tries = 0
    async with telling.tx() as tx:
        added = await contacts.add(tx, subject_id=wang, address=PHONE, offered=list(Channel))
    await telling.tell()
    code = re.findall(r"\b[0-9]{6}\b", telling.texts()[0])[0]
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for _ in range(contacts.TRIES):
        async with telling.tx() as tx:
            assert not await contacts.try_code(tx, subject_id=wang, public_id=added, code=wrong)
            tries += 1
    async with telling.tx() as tx:
        with pytest.raises(Gone):
            await contacts.try_code(tx, subject_id=wang, public_id=added, code=code)
    for more in range(contacts.CODES_A_DAY - 1):
        async with telling.tx() as tx:  # removed and added again: it counts for the person and for the address
            await contacts.remove(tx, subject_id=wang, public_id=added)
            added = await contacts.add(
                tx, subject_id=wang, address=PHONE if more < 2 else f"1380013800{more}", offered=list(Channel)
            )
    async with telling.tx() as tx:
        with pytest.raises(TooMany):
            await contacts.add(tx, subject_id=wang, address="a@example.cn", offered=list(Channel))
    async with telling.tx() as tx:
        for _ in range(2):  # a second person gets the last codes of this address, and no more
            await contacts.add(tx, subject_id=li, address=PHONE, offered=list(Channel))
        with pytest.raises(TooMany):
            await contacts.add(tx, subject_id=li, address=PHONE, offered=list(Channel))
    telling.clock.advance(minutes=11)
    async with telling.tx() as tx:
        with pytest.raises(Gone):
            await contacts.try_code(tx, subject_id=wang, public_id=added, code="000000")
    telling.clock.advance(days=1)
    async with telling.tx() as tx:
        assert await contacts.forget_codes(tx) == contacts.CODES_A_DAY + 2
        await contacts.add(tx, subject_id=li, address=PHONE, offered=list(Channel))


async def test_addresses_are_sealed_few_and_of_a_known_shape(small: Telling) -> None:
    wang = await small.subject(small.person("王小明"))
    async with small.tx() as tx:
        for number in range(contacts.MOST):
            await contacts.add(tx, subject_id=wang, address=f"w{number}@example.cn", offered=list(Channel))
        with pytest.raises(Conflict):
            await contacts.add(tx, subject_id=wang, address=PHONE, offered=list(Channel))
        with pytest.raises(Unavailable):
            await contacts.add(tx, subject_id=wang, address=PHONE, offered=[Channel.EMAIL])
        shown = await contacts.of_person(tx, subject_id=wang)
    assert [one.shown for one in shown] == ["w***@***.cn"] * contacts.MOST
    assert b"example.cn" not in (small.out.parent / "hub.db").read_bytes()
    assert normal_phone("(+86) 138-0013-8000") == "+8613800138000"
    assert normal_phone("+852 9123 4567") == "+85291234567"
    assert mask_contact("+8613800138000") == "****8000"
    for text in ("12345", "+86 12345678901", "a@b", "a@@example.cn", "a@example.cn\nBcc: x@y.cn", "é@example.cn", ""):
        with pytest.raises(Malformed):
            (normal_email if "@" in text else normal_phone)(text)


# ── quiet hours ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("quiet", "shanghai", "earliest"),
    [
        ((22 * 60, 7 * 60), "2026-11-23T21:59", "2026-11-23T21:59"),
        ((22 * 60, 7 * 60), "2026-11-23T22:00", "2026-11-24T07:00"),
        ((22 * 60, 7 * 60), "2026-11-23T23:59", "2026-11-24T07:00"),
        ((22 * 60, 7 * 60), "2026-11-24T00:00", "2026-11-24T07:00"),
        ((22 * 60, 7 * 60), "2026-11-24T06:59", "2026-11-24T07:00"),
        ((22 * 60, 7 * 60), "2026-11-24T07:00", "2026-11-24T07:00"),
        ((12 * 60, 14 * 60), "2026-11-24T13:00", "2026-11-24T14:00"),
        ((22 * 60, 0), "2026-12-31T23:30", "2027-01-01T00:00"),
    ],
)
def test_quiet_hours_end_in_shanghai(quiet: tuple[int, int], shanghai: str, earliest: str) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text + ":00+08:00").astimezone(UTC)

    assert Wishes(quiet=quiet).earliest(moment(shanghai)) == moment(earliest)


async def test_a_message_waits_over_midnight_and_the_clerk_is_told_so(telling: Telling) -> None:
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    await telling.reach(wang, PHONE)
    subject = await telling.subject(wang)
    async with telling.tx() as tx:
        await choose(tx, subject_id=subject, language="zh-CN", quiet=(22 * 60, 7 * 60), silenced=[])
    telling.clock.advance(hours=14)  # 23:30
    case = await telling.case(wang)
    started = await telling.ask("dg-edu", case, [telling.detail(case, ["degree"])], of=wang)
    await telling.tell()
    assert telling.messages() == []

    async def reach() -> inbox.Reach:
        async with telling.view() as view:
            return (await inbox.reached(view, requests=[started.public_id]))[started.public_id]

    assert (await reach()).how is Reached.LATER
    telling.clock.advance(hours=7, minutes=29)
    await telling.tell()
    assert telling.messages() == []
    telling.clock.advance(minutes=1)
    await telling.tell()
    assert len(telling.messages()) == 1
    assert (await reach()).how is Reached.PHONE
    async with telling.tx() as tx:  # a retry that falls into quiet hours waits for their end too, and is no attempt
        await tx.run(deliveries.update().values(state=DeliveryState.WAITING, due_at=tx.now, attempts=0))
        await choose(tx, subject_id=subject, language="zh-CN", quiet=(7 * 60, 8 * 60), silenced=[])
    await telling.tell()
    assert len(telling.messages()) == 1
    async with telling.view() as view:
        assert await view.value(sa.select(deliveries.c.attempts).where(deliveries.c.purpose == "notice")) == 0


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Slow:
    """A way out that takes a moment, so that two deliverers are at it together."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, message: Message) -> Attempt:
        await asyncio.sleep(0.01)
        self.sent.append(message.id)
        return SENT


async def asked(telling: Telling, how_many: int, *, reach: str = PHONE) -> None:
    """So many requests to one person, written down and due."""
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    if reach:
        await telling.reach(wang, reach)
    case = await telling.case(wang)
    for _ in range(how_many):
        await telling.ask("dg-edu", case, [telling.detail(case, ["degree"])], of=wang)


async def test_two_deliverers_at_once_send_each_message_once(telling: Telling) -> None:
    await asked(telling, 40)
    way = Slow()
    ways = {Channel.SMS: way}

    async def work() -> None:
        mine = telling.sending(ways)
        while await tell_once(telling.db, types=telling.types, deliverer=mine):
            pass

    await asyncio.gather(work(), work(), work())
    assert len(way.sent) == len(set(way.sent)) == 40


class Broken:
    """A way out with a fault of ours in it."""

    async def send(self, message: Message) -> Attempt:
        raise ZeroDivisionError


async def test_a_fault_of_ours_in_one_way_holds_up_no_other(small: Telling) -> None:
    wang = small.person("王小明")
    await small.certificate("degree", (wang, "owner"))
    await small.reach(wang, PHONE)
    await small.reach(wang, MAIL)
    case = await small.case(wang)
    await small.ask("dg-edu", case, [small.detail(case, ["degree"])], of=wang)
    way = Slow()
    await small.tell(small.sending({Channel.SMS: Broken(), Channel.EMAIL: way}))
    assert len(way.sent) == 1
    assert sorted(await states(small))[-1] == (DeliveryState.WAITING, "delivery.failed")


async def test_an_erased_person_is_told_nothing(telling: Telling) -> None:
    await asked(telling, 1)
    async with telling.tx() as tx:  # the key was used a moment ago: what a process remembers must not count
        found = (await tx.first(sa.select(deliveries.c.subject_id))).subject_id
        await tx.run(
            person_keys.update()
            .where(person_keys.c.bucket == bucket_of(found), person_keys.c.subject_id == found)
            .values(wrapped=None, erased_at=tx.now)
        )
    await telling.tell()
    assert telling.messages() == []
    assert (await states(telling))[-1] == (DeliveryState.DROPPED, "subject.erased")


async def test_a_removed_contact_gets_nothing_more(small: Telling) -> None:
    wang = small.person("王小明")
    await small.certificate("degree", (wang, "owner"))
    public_id = await small.reach(wang, MAIL)
    case = await small.case(wang)
    await small.ask("dg-edu", case, [small.detail(case, ["degree"])], of=wang)
    subject = await small.subject(wang)
    async with small.tx() as tx:
        await derive(tx, types=small.types)
        await contacts.remove(tx, subject_id=subject, public_id=public_id)
    await small.tell()
    assert small.messages() == []
    assert (await states(small))[-1] == (DeliveryState.DROPPED, "contact.removed")


async def test_what_is_logged_of_a_message_is_masked(small: Telling) -> None:
    with structlog.testing.capture_logs() as lines:
        await asked(small, 1, reach=PHONE)
        await small.tell()
    told = [line for line in lines if line["event"] == "notice.attempt"]
    assert [line["to"] for line in told] == ["****8000"] * 2
    assert "13800138000" not in repr(lines)
    assert not re.search(r"[0-9]{6}\b", "".join(str(line.get("text", "")) for line in lines))


def test_only_what_may_be_silenced_is_offered() -> None:
    assert set(KINDS) == OPTIONAL


async def test_a_round_says_whether_more_waits_than_it_took(telling: Telling, monkeypatch) -> None:
    """Only then the next one follows at once: else many looks are told in one round a second later."""
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    case, grants = await telling.grant(wang, ["degree"], max_uses=2)
    await telling.tell()
    for _ in range(2):
        telling.clock.advance(seconds=61)
        await telling.verify(case, grants, [Ask("degree")])
    await telling.publish()

    async def one_round() -> tuple[bool, bool, int]:
        found = await tell_once(telling.db, types=telling.types, deliverer=telling.deliverer)
        return bool(found), found.more, (await telling.kinds(wang)).count(NoticeKind.USED)

    with monkeypatch.context() as few:
        few.setattr(looks, "LOOKS_AT_ONCE", {"sqlite": 1, "postgresql": 1})
        assert await one_round() == (True, True, 1)
    assert await one_round() == (True, False, 2)
    assert await one_round() == (False, False, 2)


async def test_who_was_beaten_leaves_looks_to_the_other_process_for_a_while(telling: Telling, monkeypatch) -> None:
    """And takes them up again: nobody knows how long the other one lives."""
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    case, grants = await telling.grant(wang, ["degree"])
    await telling.tell()
    await telling.verify(case, grants, [Ask("degree")])
    await telling.publish()
    read, take, stop, at = run.read_looks, deriving.take_looks, asyncio.Event(), []

    async def reads(view):
        at.append(time.monotonic())
        return await read(view)

    async def beaten_once(tx, found):
        return len(at) > 1 and await take(tx, found)

    monkeypatch.setattr(run, "read_looks", reads)
    monkeypatch.setattr(deriving, "take_looks", beaten_once)
    monkeypatch.setattr(run, "BEATEN_SECONDS", 0.4)
    at_work = run.keep_telling(
        telling.db, types=telling.types, deliverer=telling.deliverer, stop=stop, on_trouble=pytest.fail, every=0.01
    )
    working = asyncio.create_task(at_work)
    while NoticeKind.USED not in await telling.kinds(wang):
        assert not working.done()
        await asyncio.sleep(0.02)
    stop.set()
    await working
    assert at[1] - at[0] >= 0.4


async def test_who_looks_at_the_same_again_within_a_minute_is_told_of_once(telling: Telling) -> None:
    """In one round or in several; other certificates, a refusal and the next minute are news."""
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    await telling.certificate("employment", (wang, "worker"))
    case, grants = await telling.grant(wang, ["degree", "employment"])
    async with telling.tx() as tx:
        await tx.run(granted.update().values(max_uses=5))
    await telling.publish()
    telling.clock.moment = telling.clock().replace(second=0, microsecond=0) + timedelta(minutes=1)

    async def looks_at(*types: str, later: int = 1) -> str:
        telling.clock.advance(seconds=later)
        return (await telling.verify(case, grants, [Ask(one) for one in types]))[0].access or ""

    first = await looks_at("degree")
    await looks_at("degree")
    await telling.tell()
    await looks_at("degree")
    await looks_at("degree", "employment")
    await telling.tell()
    await looks_at("degree", later=60)
    await looks_at("degree")  # a use too many
    await looks_at("degree")
    await telling.tell()
    async with telling.view() as view:
        subject = await telling.subject(wang)
        told = (await inbox.newest(view, subject_id=subject))[::-1]
        assert len(await of_subject(view, subject_id=subject)) == 8, "each stands in the list of looks"
    news = [(one.kind, one.facts["types"]) for one in told if one.kind in (NoticeKind.USED, NoticeKind.TRIED)]
    assert news == [
        (NoticeKind.USED, ["degree"]), (NoticeKind.USED, ["degree", "employment"]), (NoticeKind.USED, ["degree"]),
        (NoticeKind.TRIED, ["degree"]),
    ]  # fmt: skip
    assert first in {one.ref for one in told}, "the first of them is named"


async def test_no_look_is_passed_over_or_told_twice_however_the_ledger_is_cut(telling: Telling, monkeypatch) -> None:
    """Several processes follow the ledger at once, a few leaves at a time, and cut it in the middle of calls."""
    wang = telling.person("王小明")
    await telling.certificate("degree", (wang, "owner"))
    await telling.certificate("employment", (wang, "worker"))
    case, grants = await telling.grant(wang, ["degree", "employment"], max_uses=2)
    await telling.publish()
    for _ in range(2):
        telling.clock.advance(seconds=61)
        await telling.verify(case, grants, [Ask("degree"), Ask("employment")])
    await telling.publish()
    async with telling.view() as view:
        first = await view.value(sa.select(sa.func.min(leaves.c.idx)).where(leaves.c.kind == "access"))
    monkeypatch.setattr(looks, "LOOKS_AT_ONCE", {"sqlite": 1, "postgresql": 1})
    monkeypatch.setattr(looks, "LEAVES_AT_ONCE", first + 1)  # between the two looks of the first call

    async def work() -> None:
        mine = telling.sending({})
        while await tell_once(telling.db, types=telling.types, deliverer=mine):
            pass

    async with telling.view() as view:
        size = await looks.behind(view)
    for _ in range(size):  # a round may find nothing among its leaves, and is then not the last
        await asyncio.gather(work(), work(), work())
        async with telling.view() as view:
            if not await looks.behind(view):
                break
    subject = await telling.subject(wang)
    async with telling.view() as view:
        assert await looks.behind(view) == 0
        told = await inbox.newest(view, subject_id=subject)
    used = [one for one in told if one.kind is NoticeKind.USED]
    assert [one.facts["types"] for one in used] == [["degree", "employment"]] * 2, "what one call saw is one message"
