"""Data at rest is sealed: a key per person under a key-encryption key, and keyed blind indexes.

What is sealed for a person can be erased by destroying one key, backups included (DESIGN section 3, rule 3).
AES-256-GCM with a random 96-bit nonce in front; the additional data names the row, so that a sealed value
cannot be moved to another row. Keys are given in by the composition root; this module reads no file.
"""

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hub.errors import Gone, Internal
from hub.ids import bucket_of
from hub.store.model import person_keys
from hub.store.statement import Statement

if TYPE_CHECKING:
    from hub.store.tx import Tx, View

WRAPPED = Statement(
    lambda _: sa.select(
        person_keys.c.subject_id, person_keys.c.wrapped, person_keys.c.kek, person_keys.c.created_at
    ).where(
        person_keys.c.bucket == sa.bindparam("bucket_of"), person_keys.c.subject_id == sa.bindparam("subject")
    )
)

NONCE = 12
KEPT_SECONDS = 60.0
KEPT_AT_MOST = 10_000


def seal(key: bytes, plain: bytes, *, bound_to: bytes) -> bytes:
    """nonce || AES-256-GCM(key, plain), valid only together with `bound_to`."""
    nonce = secrets.token_bytes(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def unseal(key: bytes, sealed: bytes, *, bound_to: bytes) -> bytes:
    """The plain bytes; Internal `seal.broken` when key, bytes or `bound_to` do not belong together."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise Internal(
            "seal.broken",
            "存储的数据未能通过完整性校验，已停止使用。",
            "Stored data failed its integrity check and is not used.",
            next_zh="请联系运维人员运行 yimen ledger check。",
            next_en="Ask an operator to run: yimen ledger check",
        ) from error


def erased() -> Gone:
    """The refusal to read what belonged to somebody whose key was destroyed."""
    return Gone(
        "subject.erased",
        "此人的数据已依法删除，无法再读取。",
        "This person's data was erased and cannot be read any more.",
    )


@dataclass(frozen=True, slots=True)
class Vault:
    """The secrets of storage: key-encryption keys by name, and the pepper of blind indexes by version."""

    keks: dict[str, bytes] = field(repr=False)
    current_kek: str
    peppers: dict[int, bytes] = field(repr=False)
    current_pepper: int
    _opened: OrderedDict[UUID, tuple[float, bytes]] = field(
        default_factory=OrderedDict, repr=False, compare=False
    )

    def blind(self, label: str, value: str, *, pepper: int | None = None) -> bytes:
        """HMAC-SHA256 of a normalised value: equal values meet, nobody without the pepper can enumerate."""
        key = self.peppers[self.current_pepper if pepper is None else pepper]
        return hmac.digest(key, f"{label}\x00{value}".encode(), "sha256")

    def hub_key(self, purpose: str, *, kek: str | None = None) -> bytes:
        """A key for sealing what belongs to no single person (idempotent replies, unknown callers)."""
        return hmac.digest(self.keks[kek or self.current_kek], f"hub:{purpose}".encode(), "sha256")

    async def person_key(self, view: "View", subject_id: UUID) -> bytes:
        """The person's own key, kept unwrapped for 60 seconds at most; Gone `subject.erased` when it was destroyed."""
        key = (await self.person_keys(view, (subject_id,))).get(subject_id)
        if key is None:
            raise erased()
        return key

    async def person_keys(self, view: "View", subjects: Iterable[UUID]) -> dict[UUID, bytes]:
        """The keys of many persons in one statement; who has none any more is left out."""
        now, found, unknown = time.monotonic(), {}, []
        for subject_id in subjects:
            kept = self._opened.get(subject_id)
            if kept is not None and now < kept[0]:
                found[subject_id] = kept[1]
            else:
                unknown.append({"subject": subject_id, "bucket_of": bucket_of(subject_id)})
        for row in await view.each(WRAPPED, unknown):
            if row.wrapped is None:
                continue
            key = self.unwrap(row.subject_id, row.wrapped, row.kek)
            found[row.subject_id] = key
            # A key of this very transaction may still be rolled back: keeping it could seal under a key nobody has.
            if row.created_at < view.now:
                self._keep(row.subject_id, key)
        return found

    def _keep(self, subject_id: UUID, key: bytes) -> None:
        self._opened[subject_id] = (time.monotonic() + KEPT_SECONDS, key)
        self._opened.move_to_end(subject_id)
        if len(self._opened) > KEPT_AT_MOST:
            self._opened.popitem(last=False)

    def new_person_key(self, subject_id: UUID) -> tuple[bytes, bytes]:
        """A fresh key for a person who is being made: (the key, the key as it rests)."""
        key = secrets.token_bytes(32)
        return key, seal(self.keks[self.current_kek], key, bound_to=subject_id.bytes)

    def unwrap(self, subject_id: UUID, wrapped: bytes, kek: str) -> bytes:
        """A person's key out of the form in which it rests."""
        return unseal(self.keks[kek], wrapped, bound_to=subject_id.bytes)

    async def create_person_key(self, tx: "Tx", subject_id: UUID) -> None:
        """Make the person's key once; a second call changes nothing."""
        _, wrapped = self.new_person_key(subject_id)
        await tx.insert_new(
            person_keys,
            {
                "bucket": bucket_of(subject_id),
                "subject_id": subject_id,
                "wrapped": wrapped,
                "kek": self.current_kek,
                "created_at": tx.now,
            },
        )

    async def seal_for(self, view: "View", subject_id: UUID, plain: bytes, *, bound_to: bytes) -> bytes:
        """Seal bytes so that only this person's key opens them."""
        return seal(await self.person_key(view, subject_id), plain, bound_to=bound_to)

    async def open_for(self, view: "View", subject_id: UUID, sealed: bytes, *, bound_to: bytes) -> bytes:
        """Open what was sealed for this person."""
        return unseal(await self.person_key(view, subject_id), sealed, bound_to=bound_to)


def unseal_hub(vault: Vault, purpose: str, sealed: bytes, *, bound_to: bytes) -> bytes:
    """Open what was sealed under the hub's own key for `purpose`, by whichever key-encryption key was current then."""
    for kek in (vault.current_kek, *vault.keks):
        try:
            return unseal(vault.hub_key(purpose, kek=kek), sealed, bound_to=bound_to)
        except Internal as refused:
            broken = refused
    raise broken
