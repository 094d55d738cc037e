"""Text from legacy systems: strict decoding, GBK bytes in latin1 columns, private-use forms.

Python's `gb18030` is the mapping of the year 2000: some characters come out in the private use area
(PUA), where newer systems have real code points. The same name typed at two departments would then
differ, so names are brought to the Unicode form before they are compared or hashed, and what was replaced
is noted.
"""

import re

# GB 18030-2022 moved these 18 from the private use area to Unicode; -2005 moved A8BC.
_MOVED = {
    0xE78D: 0xFE10, 0xE78E: 0xFE12, 0xE78F: 0xFE11, 0xE790: 0xFE13, 0xE791: 0xFE14, 0xE792: 0xFE15,
    0xE793: 0xFE16, 0xE794: 0xFE17, 0xE795: 0xFE18, 0xE796: 0xFE19, 0xE7C7: 0x1E3F,
    0xE81E: 0x9FB4, 0xE826: 0x9FB5, 0xE82B: 0x9FB6, 0xE82C: 0x9FB7, 0xE832: 0x9FB8, 0xE843: 0x9FB9,
    0xE854: 0x9FBA, 0xE864: 0x9FBB,
}  # fmt: skip


def _older_forms() -> dict[int, int]:
    """GBK of 1995 kept FE50-FEA0 in the private use area from U+E815 on; most have a place since."""
    trails = [*range(0x50, 0x7F), *range(0x80, 0xA1)]
    found: dict[int, int] = {}
    for position, trail in enumerate(trails):
        char = bytes((0xFE, trail)).decode("gb18030")
        if ord(char) != 0xE815 + position:
            found[0xE815 + position] = ord(char)
    return found


UNICODE_FORMS = _older_forms() | _MOVED
"""Private-use code point -> Unicode code point."""

_INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e")

_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")  # all of category Co
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # all of category Cc
_UNDECODED = re.compile("[\ud800-\udfff]")
_LOSSY = re.compile("[?？\ufffd]")


def to_unicode_forms(text: str) -> str:
    """`text` with every private-use character that has a Unicode form replaced by it."""
    return text if text.isascii() else text.translate(UNICODE_FORMS)


def replaced(raw: str) -> str:
    """What `to_unicode_forms` replaces, by place: "1:U+E863>U+4DAE"; enough to restore the raw text."""
    return " ".join(
        f"{place}:U+{ord(char):04X}>U+{UNICODE_FORMS[ord(char)]:04X}"
        for place, char in enumerate(raw)
        if ord(char) in UNICODE_FORMS
    )


def has_private_use(text: str) -> bool:
    """Whether a private-use character is left: it means something else on every machine."""
    return _PRIVATE.search(text) is not None


def has_undecoded(text: str) -> bool:
    """Whether bytes that could not be decoded stand in the text (lone surrogates)."""
    return _UNDECODED.search(text) is not None


def has_control(text: str) -> bool:
    """Whether a control character stands in the text."""
    return _CONTROL.search(text) is not None


def is_lossy(name: str) -> bool:
    """Whether a store that could not hold a character of a name left `?` or U+FFFD."""
    return _LOSSY.search(name) is not None


def has_invisible(text: str) -> bool:
    """Whether zero-width or direction marks stand in the text."""
    return not _INVISIBLE.isdisjoint(text)


def strip(text: str) -> str:
    """Without outer ASCII, no-break and ideographic spaces and trailing NULs of fixed-width columns."""
    return text.strip(" \t\r\n\x00\xa0\u3000")


def decode(raw: bytes, encoding: str) -> str | None:
    """Strictly decoded, or None. Never `gbk`, never a replacement character."""
    try:
        return raw.decode(encoding, "strict")
    except (UnicodeDecodeError, LookupError):
        return None


def decode_mixed(raw: bytes, encoding: str | None) -> str | None:
    """Bytes of a column with old rows in `encoding`, newer ones in UTF-8; None when they fit neither.

    UTF-8 is believed when it reads as Chinese or ASCII: many GBK pairs are valid UTF-8 too (路 is a middle dot), and
    the configuration has said what the column holds. Where both read as Chinese, common characters (GB 2312) decide.
    """
    text = decode(raw, "utf-8")
    if encoding is None or (text is not None and text.isascii()):
        return text
    found = decode(raw, encoding)
    if text is None or found is None:
        return found if text is None or not _plausible(text) else text
    if not _chinese(text) or (_common(found) and not _common(text)):
        return found
    return text


def recover(text: str, encoding: str) -> str | None:
    """What stood in a latin1 column that holds bytes of `encoding`: `ÕÅÈý·á` for 张三丰 in GB 18030.

    Text that could not have come out of a latin1 column is returned unchanged when it reads as Chinese, because one
    table may mix both kinds. None when nothing fits.
    """
    if text.isascii():
        return text
    back = _latin1_bytes(text)
    found = decode(back, encoding) if back is not None else None
    if found is not None and _plausible(found):
        return found
    return text if _plausible(text) else None


def _latin1_bytes(text: str) -> bytes | None:
    """The bytes behind text read as MySQL's latin1: cp1252, with its five gaps as the same C1 controls."""
    out = bytearray()
    for char in text:
        if ord(char) < 0x100:
            out.append(ord(char))
            continue
        try:
            out += char.encode("cp1252")
        except UnicodeEncodeError:
            return None
    return bytes(out)


def _plausible(text: str) -> bool:
    return all(_expected(char) for char in text)


def _chinese(text: str) -> bool:
    return _plausible(text) and any(ord(char) >= 0x2E80 for char in text)


def _common(text: str) -> bool:
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _expected(char: str) -> bool:
    point = ord(char)
    if point < 0x80:
        return point >= 0x20 or char in "\t\r\n\x00"
    return (
        0x2E80 <= point <= 0xD7FF  # CJK and its neighbours
        or 0xE000 <= point <= 0xFAFF  # private use (old forms) and compatibility ideographs
        or 0xFE10 <= point <= 0xFE4F
        or 0xFF00 <= point <= 0xFFEF
        or point >= 0x20000
        or 0x2010 <= point <= 0x2027
        or char in "·×°§①②③④⑤⑥⑦⑧⑨⑩€ḿ"
    )
