"""A body as it rests: the JCS of an event, deflated with a fixed dictionary. Events are many and say nearly the same.

What is committed to is the JCS itself; only its sealed copy is pressed. 0x01 || raw deflate; a body that would not
become shorter rests as it is, and so do those of earlier versions: JCS of an object begins with `{`.
"""

import zlib

from hub.errors import Internal

PRESSED = b"\x01"
MOST = 1 << 20
"""No event is nearly as long; what would come out longer never came from here."""

_DICTIONARY = (  # never to be changed: another one is another first byte. What is most frequent stands last.
    b'{"at":17,"event":"access.refused","department":"dg-","reason":"grant.spentgrant.withdrawncoverage.not_granted'
    b'status.revokedcertificate.none_registeredtoken.other_verifier"}'
    b'{"at":17,"case":"","event":"case.openedgrant.approvedgrant.withdrawngrant.used","item":"441900-edu-points-enrolment"'
    b',"max_uses":1,"valid_until":17'
    b'{"at":17,"certificate":"","department":"dg-","event":"certificate.revoked","reason":"superseded"}'
    b'{"at":17,"certificate":"","department":"dg-degree","event":"certificate.registered","kid":"'
    b'","signing_input_sha256":"","type":"household_registerproperty"}'
    b'"["holders",0,"id_type"],["holders",0,"role"],["number"],["school"],["issued_on"],["as_of"],["conferred_on"]'
    b'{"access":"","at":17,"basis":"guardian","basis":"holder","case":"","certificate":"","department":"dg-edu"'
    b',"event":"access","fields":[["degree_level"],["education_level"],["holders",0,"id_no"],["holders",0,"name"]]'
    b',"grant":"","grant_seq":1,"item":"441900-edu-points-enrolment","officer":null,"outcome":"accepted","predicates":[]'
    b',"previous":"","purpose":"points-enrolment","reason":"accepted","subject_seq":1,"type":"degree"}'
)


def press(raw: bytes) -> bytes:
    """The body as it rests."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -12, 4, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    pressed = PRESSED + squeeze.compress(raw) + squeeze.flush()
    return pressed if len(pressed) < len(raw) else raw


def unpress(rested: bytes) -> bytes:
    """The body that was pressed. Raises Internal `seal.broken`."""
    if rested[:1] != PRESSED:
        return rested
    opened = zlib.decompressobj(-15, _DICTIONARY)
    try:
        raw = opened.decompress(rested[1:], MOST)
    except zlib.error:
        raw = b""
    if not raw or not opened.eof:
        raise Internal(
            "seal.broken",
            "存储的数据未能通过完整性校验，已停止使用。",
            "Stored data failed its integrity check and is not used.",
            next_zh="请联系运维人员运行 yimen ledger check。",
            next_en="Ask an operator to run: yimen ledger check",
        )
    return raw
