"""Token Status List: one signed bit list says of many certificates whether they stand.

A list says nothing about certificates it has no index for, and nothing at all once it is out of date: no statement
is not VALID. The signer is the department that signed the certificates.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hub.errors import Malformed, TooLarge
from hub.formats import jws
from keys.signer import Signer

TYP = "statuslist+jwt"
MEDIA_TYPE = "application/statuslist+jwt"
VALID = 0x00
INVALID = 0x01
"""Revoked, for ever."""
SUSPENDED = 0x02
"""May return to VALID."""
MAX_SIZE = 1 << 20
"""Entries in a list that we read when the caller sets no other limit."""
MAX_TTL = 7 * 86_400
MAX_LIFE = 366 * 86_400

_BITS = (1, 2, 4, 8)
_SMALL = 4096
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}")


def _refuse(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"statuslist.{code}", zh, en)


class StatusList:
    """`size` entries of `bits` bits each, packed, least significant bits first within a byte. Starts all VALID."""

    __slots__ = ("_packed", "bits", "size")

    def __init__(self, bits: int = 2, size: int = MAX_SIZE) -> None:
        if bits not in _BITS or size <= 0 or size * bits % 8:
            raise _refuse(
                "shape", "状态列表的位宽或长度不允许", "bits is 1, 2, 4 or 8, and size fills whole bytes"
            )
        self.bits = bits
        self.size = size
        self._packed = bytearray(size * bits // 8)

    def get(self, index: int) -> int:
        """The value at `index`; `IndexError` outside the list."""
        at, shift = self._place(index)
        return self._packed[at] >> shift & (1 << self.bits) - 1

    def set(self, index: int, value: int) -> None:
        """Write `value` at `index`; `IndexError` outside the list, `ValueError` when it does not fit the width."""
        mask = (1 << self.bits) - 1
        if not 0 <= value <= mask:
            raise ValueError("the value does not fit the width of the list")
        at, shift = self._place(index)
        self._packed[at] = self._packed[at] & ~(mask << shift) | value << shift

    def _place(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.size:
            raise IndexError("index outside the status list")
        at, position = divmod(index, 8 // self.bits)
        return at, position * self.bits

    def packed(self) -> bytes:
        """The bytes of the list, uncompressed."""
        return bytes(self._packed)

    def with_changes(self, changes: Mapping[int, int]) -> Self:
        """A copy in which the entries of `changes` (index: value) are written."""
        result = type(self)(self.bits, self.size)
        result._packed[:] = self._packed
        for index, value in changes.items():
            result.set(index, value)
        return result

    def encode(self) -> str:
        """`lst` of the token: base64url of the zlib-compressed bytes.

        The draft recommends the highest level. With one entry in fifty set that takes 60 ms for 32 KiB instead of one,
        and saves an eighth: long lists are pressed at the usual level, so that a night of changes is not spent on it.
        """
        return jws.b64u_encode(zlib.compress(self.packed(), 9 if len(self._packed) <= _SMALL else 6))

    def differing(self, other: "StatusList") -> list[int]:
        """The indices at which two lists of one shape differ, in order."""
        places = [at for at, (mine, its) in enumerate(zip(self._packed, other._packed, strict=True)) if mine != its]
        in_a_byte = 8 // self.bits
        near = (index for at in places for index in range(at * in_a_byte, (at + 1) * in_a_byte))
        return [index for index in near if self.get(index) != other.get(index)]

    def keeps_invalid(self, newer: "StatusList") -> bool:
        """Whether every entry that is INVALID here is INVALID in `newer`, a list of the same shape."""
        return (self.bits, self.size) == (newer.bits, newer.size) and not self._invalid() & ~newer._invalid()

    def _invalid(self) -> int:
        """One number with the lowest bit of each entry that is INVALID: a hundred thousand entries compared at once."""
        whole = int.from_bytes(self._packed, "little")
        lowest = int.from_bytes(bytes([sum(1 << at for at in range(0, 8, self.bits))]) * len(self._packed), "little")
        for higher in range(1, self.bits):
            lowest &= ~(whole >> higher)
        return whole & lowest

    @classmethod
    def decode(cls, lst: str, *, bits: int, max_size: int = MAX_SIZE) -> Self:
        """The list that `lst` spells.

        1. Canonical base64url. 2. Inflated to at most `max_size` entries, never further, whatever the data promise.
        3. The zlib stream ends there and nothing follows it. Raises `Malformed` or `TooLarge`.
        """
        if type(bits) is not int or bits not in _BITS:
            raise _refuse("shape", "状态列表的位宽不允许", "bits is not 1, 2, 4 or 8")
        limit = max_size * bits // 8
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(jws.b64u_decode(lst), limit + 1)  # 1, 2
        except zlib.error as fault:
            raise _refuse("compression", "状态列表压缩数据损坏", "the compressed list is damaged") from fault
        if len(raw) > limit:
            raise TooLarge("statuslist.too_large", "状态列表过大", "the status list is larger than allowed")
        if not inflater.eof or inflater.unused_data or not raw:  # 3
            raise _refuse(
                "compression", "状态列表压缩数据不完整", "the compressed list is cut short, or more follows"
            )
        result = cls(bits, len(raw) * 8 // bits)
        result._packed[:] = raw
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StatusList) and (self.bits, self._packed) == (other.bits, other._packed)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"StatusList(bits={self.bits}, size={self.size})"


@dataclass(frozen=True, slots=True)
class StatusToken:
    """A verified list. `sha256` (hex, of the token as signed) is what the next list names as `previous`."""

    sub: str
    iat: int
    exp: int
    ttl: int
    seq: int
    previous: str | None
    bits: int
    lst: StatusList
    sha256: str


def sign_token(
    lst: StatusList,
    *,
    sub: str,
    iat: int,
    exp: int,
    ttl: int,
    seq: int,
    previous: str | None,
    signer: Signer,
) -> str:
    """Sign a list as `statuslist+jwt`.

    `sub` is the list's own URI; `seq` counts from 1 and `previous` is the SHA-256 (hex) of the token before, None
    for the first. Raises `Malformed` for what `verify_token` would refuse.
    """
    payload = {
        "sub": sub,
        "iat": iat,
        "exp": exp,
        "ttl": ttl,
        "seq": seq,
        "previous": previous,
        "status_list": {"bits": lst.bits, "lst": lst.encode()},
    }
    _claims(payload)
    return jws.sign(payload, signer, typ=TYP)


def verify_token(
    token: str,
    *,
    key: jws.KeySource,
    expected_sub: str,
    now: int,
    max_size: int = MAX_SIZE,
    skew: int = jws.SKEW,
) -> StatusToken:
    """Verify a status list token for the list `expected_sub` at `now` (seconds).

    1. Header and signature: `key` is the department's status key. 2. Claims present and within sane ranges. 3. `sub` is
    the wanted list. 4. iat <= now < exp: an old list is no statement (`Unprocessable` "jwt.expired"). For a list of the
    past give that moment as `now` and `skew=0`. 5. The list, inflated within `max_size` entries.
    """
    signed = jws.verify(token, typ=TYP, key=key, max_bytes=_max_bytes(max_size))  # 1
    payload = signed.payload
    iat, exp, ttl, seq, previous = _claims(payload)  # 2
    if payload["sub"] != expected_sub:  # 3
        raise _refuse("sub", "这是另一个状态列表", "this is another status list")
    jws.check_times(payload, now=now, skew=skew)  # 4
    lst = _list(payload, max_size)  # 5
    digest = hashlib.sha256(token.encode("ascii")).hexdigest()
    return StatusToken(payload["sub"], iat, exp, ttl, seq, previous, lst.bits, lst, digest)


def read_bits(token: str, *, max_size: int = MAX_SIZE) -> StatusList:
    """The list in a token that was verified when it was stored. Checks form, not the signature or the time."""
    return _list(jws.split(token, max_bytes=_max_bytes(max_size)).payload, max_size)


def _max_bytes(max_size: int) -> int:
    """A list that does not compress, base64url twice, and room for the rest."""
    return max_size * 16 // 9 + 8192  # entries, as if each had a byte: also right for bits=8


def _list(payload: Mapping[str, Any], max_size: int) -> StatusList:
    body = payload.get("status_list")
    if not isinstance(body, dict) or not isinstance(body.get("lst"), str):
        raise _refuse("shape", "状态列表格式错误", "status_list is not {bits, lst}")
    return StatusList.decode(body["lst"], bits=body.get("bits", 0), max_size=max_size)


def _claims(payload: Mapping[str, Any]) -> tuple[int, int, int, int, str | None]:
    """iat, exp, ttl, seq, previous; `Malformed` when one is missing or not sane."""
    iat, exp = jws.numeric_date(payload, "iat"), jws.numeric_date(payload, "exp")
    ttl, seq, previous = payload.get("ttl"), payload.get("seq"), payload.get("previous")
    if not isinstance(payload.get("sub"), str) or not payload["sub"]:
        raise _refuse("sub", "状态列表缺少自身地址", "the status list does not name itself")
    if iat is None or exp is None or not iat < exp <= iat + MAX_LIFE:
        raise _refuse(
            "times", "状态列表的时间缺失或不合理", "the times of the status list are missing or not sane"
        )
    if type(ttl) is not int or not 0 < ttl <= MAX_TTL:
        raise _refuse("ttl", "状态列表的缓存时间缺失或不合理", "ttl is missing or not sane")
    if type(seq) is not int or not 0 < seq <= jws.MAX_SAFE_INT:
        raise _refuse("seq", "状态列表的序号缺失或不合理", "seq is missing or not sane")
    if seq == 1:
        if "previous" not in payload or previous is not None:
            raise _refuse("previous", "首个状态列表不应有前一版", "the first list has no previous one")
    elif not isinstance(previous, str) or not _HEX_SHA256.fullmatch(previous):
        raise _refuse("previous", "状态列表缺少前一版的摘要", "the hash of the previous list is missing")
    return iat, exp, ttl, seq, previous
