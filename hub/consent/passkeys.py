"""Passkeys of citizens: bound in the ledger, used to sign an approval, removed by their owner."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_registration_response,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from hub.clock import seconds
from hub.consent.model import passkey_challenges, passkeys
from hub.errors import Conflict, Gone, HubError, Malformed, NotFound
from hub.formats import jws
from hub.formats.jcs import canonical
from hub.formats.passkeyowner import SALT_BYTES, OwnerProof, binding_text, leaf_of, owner_of
from hub.formats.webauthn import Approval, challenge_of, check_approval
from hub.ids import public_token
from hub.ledger.append import append, commit_event
from hub.registry.subjects import face
from hub.store.tx import Tx, View

LIVES = timedelta(minutes=5)
MOST = 10
MOST_TEXT = 32 * 1024
APP_NAME = "一门 Yimen"


@dataclass(frozen=True, slots=True)
class Passkey:
    """One passkey of a person; `public_id` names it in addresses."""

    public_id: str
    credential_id: str
    label: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A ceremony that began: what the browser is given, and the ticket with which it comes back."""

    ticket: str
    options: str


async def begin_binding(tx: Tx, *, origin: str, name: str) -> Begun:
    """Begin to bind a passkey to the acting citizen; good for five minutes. Conflict `passkey.too_many`."""
    person = _citizen(tx)
    held = await of_person(tx)
    if len(held) >= MOST:
        raise Conflict(
            "passkey.too_many", "通行密钥太多，请先删除不用的。", "Too many passkeys: remove one first."
        )
    salt, text = secrets.token_bytes(SALT_BYTES), None
    known = await face(tx, person)
    if known is not None:  # somebody of whom no certificate was ever registered has no number here to commit to
        owner = owner_of(salt, id_type=known.id_type, id_no=known.id_no)
        text = binding_text(audience=origin, owner=owner, nonce=public_token())
    challenge = challenge_of(text) if text else jws.b64u_decode(public_token(32))
    options = generate_registration_options(
        rp_id=_host(origin),
        rp_name=APP_NAME,
        user_id=person.bytes,
        user_name=name,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(one) for one in held],
    )
    ticket = await _remember(tx, challenge=challenge, signed=text, salt=salt if text else None)
    return Begun(ticket, options_to_json(options))


async def bind(tx: Tx, *, ticket: str, credential: str, label: str, origin: str) -> None:
    """Bind the passkey that the browser made; its key stands in the ledger, so that it cannot be exchanged later.

    Raises Malformed `passkey.refused`, Conflict `passkey.taken`.
    """
    row = await _spend(tx, ticket)
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=row.challenge,
            expected_rp_id=_host(origin),
            expected_origin=origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as fault:
        raise _refused() from fault
    credential_id = jws.b64u_encode(found.credential_id)
    if len(credential_id) > 400:
        raise _refused()
    proof = await _bound(tx, row, credential, found.credential_public_key)
    values = {
        "credential_id": credential_id,
        "public_id": public_token(),
        "owner": jws.loads(proof.leaf, max_bytes=MOST_TEXT)["owner"] if proof else None,
        "sealed_owner": await _seal_proof(tx, credential_id, proof) if proof else None,
        "subject_id": _citizen(tx),
        "public_key": found.credential_public_key,
        "sign_count": found.sign_count,
        "label": label[:40],
        "created_at": tx.now,
    }
    if not await tx.insert_new(passkeys, values):
        raise Conflict("passkey.taken", "这个通行密钥已登记。", "This passkey is bound already.")
    if proof is not None:
        await append(tx, kind="passkey.bound", event=jws.loads(proof.leaf, max_bytes=MOST_TEXT))
    await _record(tx, "passkey.bound", credential_id, found.credential_public_key)


async def remove(tx: Tx, *, public_id: str) -> None:
    """Remove one of one's own passkeys; what it signed stays valid. NotFound `passkey.unknown`."""
    table = passkeys.c
    row = (
        await tx.conn.execute(
            passkeys.update()
            .where(
                table.public_id == public_id,
                table.subject_id == _citizen(tx),
                table.removed_at.is_(None),
            )
            .values(removed_at=tx.now)
            .returning(passkeys)
        )
    ).first()
    if row is None:
        raise NotFound("passkey.unknown", "没有这个通行密钥。", "There is no such passkey.")
    await _record(tx, "passkey.removed", row.credential_id, row.public_key)


async def of_person(view: View) -> list[Passkey]:
    """The acting citizen's passkeys that stand."""
    table = passkeys.c
    rows = await view.all(
        sa.select(passkeys)
        .where(table.subject_id == _citizen(view), table.removed_at.is_(None))
        .order_by(table.created_at)
    )
    return [
        Passkey(row.public_id, row.credential_id, row.label, row.created_at, row.last_used_at) for row in rows
    ]


async def owners_of(view: View) -> list[str]:
    """The commitments under which the acting citizen's standing passkeys are in the ledger."""
    table = passkeys.c
    rows = await view.all(
        sa.select(table.owner).where(
            table.subject_id == _citizen(view), table.removed_at.is_(None), table.owner.is_not(None)
        )
    )
    return [row.owner for row in rows]


async def owner_proof(view: View, *, credential_id: str, with_salt: bool) -> OwnerProof | None:
    """What opens the leaf of a passkey, for whoever may see an approval by it; None when it has none.

    The salt only for a reader who was shown the person's number anyway: with it alone a number could be guessed.
    """
    row = await view.first(sa.select(passkeys).where(passkeys.c.credential_id == credential_id))
    if row is None or row.sealed_owner is None:
        return None
    try:
        plain = await view.vault.open_for(
            view, row.subject_id, row.sealed_owner, bound_to=credential_id.encode()
        )
    except Gone:  # the person was erased, and what opens the leaf with them
        return None
    proof = OwnerProof.from_json(jws.loads(plain, max_bytes=MOST_TEXT))
    return proof if with_salt else replace(proof, salt=None)


async def _bound(tx: Tx, row: Any, credential: str, public_key: bytes) -> OwnerProof | None:
    """The leaf of a new passkey and what opens it; None for somebody whose number is not known here."""
    if row.signed is None or row.salt is None:
        return None
    response = jws.loads(credential, max_bytes=MOST_TEXT)["response"]
    parts = {
        "signed": row.signed,
        "client_data": str(response["clientDataJSON"]),
        "attestation": str(response["attestationObject"]),
    }
    owner = jws.loads(row.signed, max_bytes=MOST_TEXT)["owner"]
    leaf = leaf_of(public_key=public_key, owner=owner, at=seconds(tx.now), **parts)
    known = await face(tx, _citizen(tx))
    if known is None or owner_of(row.salt, id_type=known.id_type, id_no=known.id_no) != owner:
        raise _refused()
    return OwnerProof(
        leaf=canonical(leaf).decode(), id_type=known.id_type, salt=jws.b64u_encode(row.salt), **parts
    )


async def _seal_proof(tx: Tx, credential_id: str, proof: OwnerProof) -> bytes:
    plain = canonical(proof.to_json())
    return await tx.vault.seal_for(tx, _citizen(tx), plain, bound_to=credential_id.encode())


async def begin_signing(tx: Tx, *, origin: str, request: str, signed: str, ticked: list[str]) -> Begun:
    """Begin to sign an approval: the canonical request and what was ticked are kept for five minutes."""
    options = generate_authentication_options(
        rp_id=_host(origin),
        challenge=challenge_of(signed),
        allow_credentials=[_descriptor(one) for one in await of_person(tx)],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    ticket = await _remember(
        tx, challenge=challenge_of(signed), request=request, signed=signed, ticked=ticked
    )
    return Begun(ticket, options_to_json(options))


@dataclass(frozen=True, slots=True)
class Signed:
    """An approval that a standing passkey of the acting citizen signed, and what had been ticked for it."""

    request: str
    ticked: tuple[str, ...]
    approval: Approval


async def finish_signing(tx: Tx, *, ticket: str, credential: str, origin: str) -> Signed:
    """Check what came back: a standing passkey of this citizen signed exactly the request that was kept.

    Raises Malformed `passkey.refused`, `approval.*`.
    """
    row = await _spend(tx, ticket)
    said = _credential(credential)
    table = passkeys.c
    key = await tx.first(
        sa.select(passkeys).where(
            table.credential_id == said["id"],
            table.subject_id == _citizen(tx),
            table.removed_at.is_(None),
        )
    )
    if key is None or row.signed is None or row.request is None:
        raise _refused()
    approval = Approval(
        signed=row.signed,
        credential_id=said["id"],
        client_data=said["clientDataJSON"],
        authenticator_data=said["authenticatorData"],
        signature=said["signature"],
        public_key=jws.b64u_encode(key.public_key),
        origin=origin,
    )
    count = check_approval(approval, sign_count=key.sign_count)["sign_count"]
    await tx.run(
        passkeys.update()
        .where(table.credential_id == key.credential_id)
        .values(sign_count=count, last_used_at=tx.now)
    )
    return Signed(row.request, tuple(row.ticked or ()), approval)


async def forget_expired(tx: Tx) -> int:
    """Delete ceremonies whose five minutes are over; returns how many."""
    return await tx.run(passkey_challenges.delete().where(passkey_challenges.c.expires_at < tx.now))


def _credential(text: str) -> Mapping[str, str]:
    try:
        raw: Any = json.loads(text) if len(text) <= MOST_TEXT else {}
        response = raw["response"]
        said = {"id": raw["id"], **{n: response[n] for n in ("clientDataJSON", "authenticatorData", "signature")}}
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise _refused() from fault
    if not all(isinstance(value, str) for value in said.values()):
        raise _refused()
    return said


async def _remember(tx: Tx, *, challenge: bytes, **more: Any) -> str:
    ticket = public_token()
    row = {
        "ticket": ticket,
        "subject_id": _citizen(tx),
        "challenge": challenge,
        "expires_at": tx.now + LIVES,
        **more,
    }
    await tx.insert(passkey_challenges, row)
    return ticket


async def _spend(tx: Tx, ticket: str) -> Any:
    """The ceremony of a ticket, once, for the citizen who began it."""
    table = passkey_challenges.c
    row = (
        await tx.conn.execute(
            passkey_challenges.update()
            .where(
                table.ticket == ticket,
                table.subject_id == _citizen(tx),
                table.expires_at > tx.now,
                table.used_at.is_(None),
            )
            .values(used_at=tx.now)
            .returning(passkey_challenges)
        )
    ).first()
    if row is None:
        raise _refused()
    return row


async def _record(tx: Tx, event: str, credential_id: str, public_key: bytes) -> None:
    body = {
        "event": event,
        "credential": credential_id,
        "public_key": jws.b64u_encode(public_key),
        "at": seconds(tx.now),
    }
    await commit_event(tx, kind=event, subject_id=_citizen(tx), body=body)


def _descriptor(one: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=jws.b64u_decode(one.credential_id))


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def _citizen(view: View) -> UUID:
    if view.actor.subject_id is None:
        raise _refused()
    return view.actor.subject_id


def _refused() -> HubError:
    return Malformed(
        "passkey.refused",
        "通行密钥没有确认成功，没有办理任何事。",
        "The passkey did not confirm; nothing was done.",
        next_zh="请回到页面重新操作，五分钟内完成。",
        next_en="Go back and begin again; finish within five minutes.",
    )
