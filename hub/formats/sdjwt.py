"""SD-JWT (RFC 9901) and the profile of SD-JWT VC that certificates follow.

A certificate is `<issuer JWT>~<disclosure>~...~`. Claims that stand in a disclosure can be left out of a copy without
hurting the issuer's signature; everything else is always visible. Presentations of one certificate are linkable.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from hub.errors import HubError, Malformed, TooLarge, each
from hub.formats import jws
from hub.formats.disclosures import (
    MAX_BYTES,
    MAX_DISCLOSURES,
    SD,
    Known,
    Path,
    cannot,
    dumps,
    hide,
    known,
    mark,
    process,
    refuse,
    reveal,
)
from keys.signer import Signer

__all__ = [
    "MAX_BYTES",
    "MAX_DISCLOSURES",
    "SD",
    "TYP",
    "Path",
    "Processed",
    "SdJwt",
    "claims",
    "is_issuer_url",
    "issue",
    "mark",
    "parse",
    "paths",
    "process",
    "reveal",
    "select",
    "signing_input_hash",
    "status_reference",
    "verify",
    "verify_all",
]

TYP = "dc+sd-jwt"


@dataclass(frozen=True, slots=True)
class SdJwt:
    """The parts of an SD-JWT as received; nothing is verified. `kb_jwt` is the key binding, if one came along."""

    issuer_jwt: str
    disclosures: tuple[str, ...]
    kb_jwt: str | None

    def __str__(self) -> str:
        return "~".join((self.issuer_jwt, *self.disclosures, self.kb_jwt or ""))

    @property
    def bound_part(self) -> str:
        """Everything before the key binding, with the last `~`: what `sd_hash` covers (RFC 9901 section 4.3.1)."""
        return "~".join((self.issuer_jwt, *self.disclosures, ""))


@dataclass(frozen=True, slots=True)
class Processed:
    """A verified SD-JWT. `payload` has the disclosed claims in place and no trace of the others.

    `disclosed` maps the path of each disclosed claim, as it stands in `payload`, to its disclosure; `known` are the
    disclosures in their order, with what was computed of them.
    `signing_input_hash` is the SHA-256 (32 bytes) by which a certificate is known, whatever was left out. `raw` are the
    bytes of the payload as its issuer signed it, `signature` those of the signature.
    """

    payload: dict[str, Any]
    header: dict[str, Any]
    kid: str
    disclosed: dict[Path, str]
    signing_input_hash: bytes
    known: Sequence[Known]
    raw: bytes
    signature: bytes


# ---------------------------------------------------------------- reading


def parse(token: str, max_bytes: int = MAX_BYTES) -> SdJwt:
    """Split a compact SD-JWT (RFC 9901 section 4) without verifying it.

    Raises `TooLarge` above `max_bytes` or 256 disclosures, `Malformed` ("sdjwt.form") for another shape.
    """
    if not isinstance(token, str) or not token.isascii():
        raise refuse("form", "证照不是 ASCII 文本", "the SD-JWT is not ASCII text")
    if len(token) > max_bytes:
        raise TooLarge("sdjwt.too_large", "证照数据过大", "the SD-JWT is too large")
    issuer_jwt, *disclosures = token.split("~")
    if not disclosures:
        raise refuse("form", "证照缺少结尾的波浪号", "the final ~ of the SD-JWT is missing")
    kb_jwt = disclosures.pop()
    if not issuer_jwt or not all(disclosures):
        raise refuse("form", "证照有空的部分", "a part of the SD-JWT is empty")
    if len(disclosures) > MAX_DISCLOSURES:
        raise TooLarge("sdjwt.too_many_disclosures", "披露项过多", "there are too many disclosures")
    return SdJwt(issuer_jwt, tuple(disclosures), kb_jwt or None)


def signing_input_hash(token: str) -> bytes:
    """SHA-256 of `header.payload` as signed: the same for every copy, whatever it discloses."""
    signing_input, dot, _signature = token.partition("~")[0].rpartition(".")
    if not dot or not signing_input.isascii():
        raise refuse("form", "证照格式错误", "this is not an SD-JWT")
    return hashlib.sha256(signing_input.encode("ascii")).digest()


def verify(
    token: str | SdJwt,
    *,
    key: jws.KeySource,
    now: int,
    typ: str = TYP,
    require_kb: bool = False,
    skew: int = jws.SKEW,
) -> Processed:
    """Verify an SD-JWT as a certificate (RFC 9901 section 7, SD-JWT VC section 2.4); abort at the first failure.

    1. Shape and size. 2. Key binding by the caller's policy: a missing one is refused when required, one that
    nobody asked for is refused too, so that it is never mistaken for checked. When it is required use
    `keybinding.verify`, which also checks it. 3. Header `typ`, `alg`; `key` belongs to the issuer. 4. Signature.
    5-6. Disclosures, by `process`. 7. The profile: `vct`, `iss`, `status`, `exp`, and the times at `now` (seconds), on
    the processed payload. Status, ledger and whether this issuer may issue this `vct` are the caller's checks.
    Raises `Malformed`, `TooLarge`, or `Unprocessable` for times and unknown keys.
    """
    signed = _signed(_read(token, require_kb), typ, key)  # 1 to 4
    return _processed(signed, require_kb, now, skew)  # 5 to 7


def verify_all(
    tokens: Sequence[str], *, key: jws.KeySource, now: int, typ: str = TYP, skew: int = jws.SKEW
) -> list[Processed | HubError]:
    """`verify` of many without key binding: for each what it says, or the refusal that `verify` would raise.

    Each step is done for all of them before the next one: its code and its tables then stay in the processor's caches.
    """
    read = each(tokens, lambda token: _read(token, False))
    signed = each(read, lambda one: _signed(one, typ, key))
    return each(signed, lambda one: _processed(one, False, now, skew))


def _read(token: str | SdJwt, require_kb: bool) -> tuple[SdJwt, jws.Parsed]:
    parts = token if isinstance(token, SdJwt) else parse(token)
    if require_kb and parts.kb_jwt is None:
        raise refuse("kb_missing", "缺少持有人密钥绑定", "key binding is required and missing")
    if not require_kb and parts.kb_jwt is not None:
        raise refuse("kb_unexpected", "不应带有密钥绑定", "a key binding that nobody asked for")
    return parts, jws.split(parts.issuer_jwt)


def _signed(read: tuple[SdJwt, jws.Parsed], typ: str, key: jws.KeySource) -> tuple[SdJwt, jws.Verified]:
    parts, parsed = read
    return parts, jws.verify_parsed(parsed, typ=typ, key=key)


def _processed(whole: tuple[SdJwt, jws.Verified], require_kb: bool, now: int, skew: int) -> Processed:
    parts, signed = whole
    disclosures = [known(text) for text in parts.disclosures]
    payload, disclosed = process(signed.payload, disclosures)
    _require_profile(payload, require_kb)
    jws.check_times(payload, now=now, skew=skew)
    digest = hashlib.sha256(signed.signing_input).digest()
    return Processed(
        payload, signed.header, signed.kid, disclosed, digest, disclosures, signed.raw, signed.signature
    )


def _require_profile(payload: Mapping[str, Any], bound: bool) -> None:
    vct = payload.get("vct")
    if not isinstance(vct, str) or not vct:
        raise refuse("vct", "证照缺少类型 vct", "vct is missing or not a string")
    iss = payload.get("iss")
    if not isinstance(iss, str) or not is_issuer_url(iss):
        raise refuse("iss", "证照缺少签发者或其格式错误", "iss is missing or not a plain https URL")
    if payload.get("exp") is None and "status" not in payload:
        raise refuse("unlimited", "证照既无到期时间也无状态", "exp and status are both missing")
    if "status" in payload:
        status_reference(payload)
    if bound and not (isinstance(payload.get("cnf"), dict) and isinstance(payload["cnf"].get("jwk"), dict)):
        raise refuse("cnf", "证照未绑定持有人密钥", "the certificate is bound to no holder key")


def status_reference(payload: Mapping[str, Any]) -> tuple[str, int] | None:
    """(uri, index) of the status list entry, None when there is no `status`; `Malformed` for another shape."""
    if "status" not in payload:
        return None
    entry = payload["status"].get("status_list") if isinstance(payload["status"], dict) else None
    if isinstance(entry, dict):
        idx, uri = entry.get("idx"), entry.get("uri")
        if type(idx) is int and idx >= 0 and isinstance(uri, str) and uri:
            return uri, idx
    raise refuse("status", "证照的状态引用格式错误", "status.status_list is not {idx, uri}")


@lru_cache(maxsize=1024)
def is_issuer_url(text: str) -> bool:
    """Whether `text` is an https URL with a host and without user, query or fragment (our profile of `iss`).

    Plain http is accepted for names that cannot be public (loopback, one label, `.localhost`, `.test`), so that a
    demo works; a production hub refuses such a public URL in its settings.
    """
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?", text):
        return False
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        return False
    return bool(host) and (url.scheme == "https" or _is_private_name(str(host)))


def _is_private_name(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".test"))


# ---------------------------------------------------------------- choosing what to show


def claims(token: str) -> dict[str, Any]:
    """The processed payload of a token that was verified before (when it was stored). Nothing is verified here."""
    parts = parse(token)
    return process(jws.split(parts.issuer_jwt).payload, parts.disclosures)[0]


def paths(token: str) -> list[Path]:
    """The paths of all claims that this token discloses, as they stand in its processed payload. Not verified."""
    parts = parse(token)
    return list(process(jws.split(parts.issuer_jwt).payload, parts.disclosures)[1])


def select(token: str, paths: Iterable[Path]) -> str:
    """The same certificate with only the disclosures that these claim paths need, in their old order.

    A path brings its claim and the claims around it, never what is separately hidden beneath it: ask for that by
    its own path. None stands for every element of an array. Paths that find nothing are passed over, since a claim
    may simply not exist (see `paths`). A key binding is dropped: it covers other bytes. The signature is not checked.
    """
    parts = parse(token)
    payload = jws.split(parts.issuer_jwt).payload
    process(payload, parts.disclosures)  # what breaks a rule is refused, also where it would not be shown
    _, kept = reveal(payload, parts.disclosures, paths)
    return str(SdJwt(parts.issuer_jwt, tuple(kept), None))


# ---------------------------------------------------------------- issuing


def issue(
    claims: Mapping[str, Any],
    *,
    signer: Signer,
    typ: str = TYP,
    disclose: Iterable[Path] = (),
    header: Mapping[str, Any] | None = None,
    decoys: int = 0,
) -> str:
    """Sign `claims` as an SD-JWT with all disclosures attached (RFC 9901 section 5).

    Selectively disclosable is what is wrapped in `SD` and what a path of `disclose` ends at. Each object that hides
    something, and the top level, gets `decoys` more digests that fit nothing. Salts are 128 random bits; digests
    are sorted, so their order tells nothing. Claims must be plain JSON (strings, whole numbers within 2^53-1, finite
    numbers, booleans, None, lists, dicts). What `verify` would refuse is `Unprocessable` "sdjwt.cannot_issue".
    """
    disclosures: list[str] = []
    payload = hide(mark(claims, disclose), disclosures, decoys, top=True)
    if "_sd" in payload or disclosures:
        payload["_sd_alg"] = "sha-256"
    if len(disclosures) > MAX_DISCLOSURES:
        raise cannot("可选披露项过多", "more selectively disclosable claims than a verifier accepts")
    if typ == TYP:
        try:
            _require_profile(payload, bound=False)
        except Malformed as fault:
            raise cannot(fault.zh, fault.en) from fault
    whole = {**(header or {}), "alg": signer.alg, "typ": typ, "kid": signer.kid}
    return "~".join((jws.sign_bytes(dumps(payload), signer, whole), *disclosures, ""))
