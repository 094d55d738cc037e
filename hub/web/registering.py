"""A batch of registrations at work: looked at by the workers, registered run by run, one receipt a line."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from hub.actor import Actor
from hub.certificates.register import Handed, Registered, register, register_all, terms_of, together
from hub.consent.withdraw import end_resting_on
from hub.errors import HubError, Unavailable
from hub.ledger.receipt import Issuance, receipts
from hub.oversight.reliance import tell_who_relied
from hub.store.tx import Tx
from hub.web.answer import issuance_of, request_id
from hub.web.deps import Hub
from hub.web.ndjson import Limits, LinesAnswer, Result
from hub.web.problems import STATUS, document
from hub.web.registration import NewCertificate
from hub.web.workers import not_handled

Looked = list[Handed | HubError]


def registering(hub: Hub, actor: Actor, request: Request, limits: Limits) -> LinesAnswer[Looked]:
    """The answer to a batch: what `register` would say of each line, with the same checks in the same order."""
    number = request_id(request)

    def told(refusal: HubError) -> Result:
        status = STATUS[refusal.kind]
        return {"status": status, "problem": document(refusal, status=status, request_id=number)}

    async def prepare(lines: Sequence[bytes]) -> Looked:
        if not lines:
            return []
        async with hub.view(actor) as view:
            terms = await terms_of(view, base_url=hub.settings.public_url)
        return await hub.batches.examine(lines, terms, hub.types)

    async def commit(looked: Looked) -> list[Result]:
        found = await _register(hub, actor, looked)
        answers = iter(registered_all([one for one in found if isinstance(one, Registered)], issuance_of(hub)))
        return [told(one) if isinstance(one, HubError) else {"status": 201, **next(answers)} for one in found]

    return LinesAnswer(request, limits, prepare=prepare, commit=commit, told=told, place=hub.batches.one())


async def register_one(tx: Tx, hub: Hub, body: NewCertificate) -> Registered:
    """Register one certificate of the calling department, with everything that a supersession brings with it."""
    token, source, supersedes = body.application()
    made = await register(
        tx, token=token, types=hub.types, base_url=hub.settings.public_url, source=source, supersedes=supersedes
    )
    if body.supersedes is not None:  # the next version may say something else
        await end_resting_on(tx, evidence=body.supersedes.certificate_id)
        await tell_who_relied(tx, certificate=body.supersedes.certificate_id)
    return made


def registered(made: Registered, issuance: Issuance) -> dict[str, Any]:
    """What a department is told of a certificate that is registered; where its status stands, if it was before."""
    return registered_all([made], issuance)[0]


def registered_all(made: Sequence[Registered], issuance: Issuance) -> list[dict[str, Any]]:
    """As `registered` of each."""
    signed = receipts(issuance, kind="certificate.registered", leaves=[(one.leaf_hash, one.at) for one in made])
    return [
        {
            "certificate_id": one.certificate,
            "state": one.state,
            "receipt": signed[one.leaf_hash],
            "replayed": one.replayed,
            "status_list": {"uri": one.entry[0], "idx": one.entry[1]} if one.entry is not None else None,
        }
        for one in made
    ]


async def _register(hub: Hub, actor: Actor, looked: Looked) -> list[Registered | HubError]:
    """Every line's result, in order: those that may go together are one commit."""
    places = [at for at, one in enumerate(looked) if not isinstance(one, HubError)]
    handed = [one for one in looked if not isinstance(one, HubError)]
    later = not_handled()
    answers: list[Registered | HubError] = [one if isinstance(one, HubError) else later for one in looked]
    begin = 0
    while begin < len(handed):
        run = handed[begin : begin + together(handed[begin:])]
        for place, answer in zip(places[begin:], await _run(hub, actor, run), strict=False):
            answers[place] = answer
        begin += len(run)
    return answers


async def _run(hub: Hub, actor: Actor, run: Sequence[Handed]) -> list[Registered | HubError]:
    """One commit. When it fails whole (a deadlock, a lost connection) its halves are tried, down to single lines."""
    try:
        async with hub.tx(actor, by_key=True) as tx:
            answers = await register_all(tx, run)
            for (application, _), made in zip(run, answers, strict=True):
                if application.supersedes is not None and not isinstance(made, HubError):
                    await end_resting_on(tx, evidence=application.supersedes.certificate)
                    await tell_who_relied(tx, certificate=application.supersedes.certificate)
            return answers
    except (Unavailable, DBAPIError) as fault:
        if len(run) == 1:
            return [fault if isinstance(fault, Unavailable) else not_handled()]
    middle = len(run) // 2
    return await _run(hub, actor, run[:middle]) + await _run(hub, actor, run[middle:])
