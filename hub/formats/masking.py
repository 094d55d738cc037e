"""Masks: what a list, a log line or a page shows of a value that is not to be read in full.

Masking is never the only protection: data that was not granted is not sent at all, and a masked value is
not a claim and never signed. All work on whole characters as a reader sees them, also outside the basic
plane.
"""

import re
import unicodedata
from collections.abc import Callable

_TOWN = re.compile(r"^(.{0,40}?(?:街道|[^\d\s]镇|[^\d\s]乡))")
_CITY = re.compile(r"^(.{0,20}?[市县区])")
_SELECTORS = range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)


def mask_id_no(value: str) -> str:
    """First 4 and last 4 of an 18-character number around ten stars. Never show it beside the birth date."""
    chars = _graphemes(value.strip())
    if len(chars) < 9:
        return "*" * len(chars)
    return "".join([*chars[:4], "*" * (len(chars) - 8), *chars[-4:]])


def mask_name(value: str) -> str:
    """The first character kept; of three or more also the last; names with a middle dot keep their first
    part.

    Works on whole characters: one outside the basic plane, or with a variation selector, is never split.
    """
    name = value.strip()
    for dot in "·•・":
        first, found, rest = name.partition(dot)
        if found and first and rest:
            return f"{first}{dot}{'*' * len(_graphemes(rest))}"
    chars = _graphemes(name)
    if len(chars) < 2:
        return "*" * len(chars)
    if len(chars) == 2:
        return chars[0] + "*"
    return chars[0] + "*" * (len(chars) - 2) + chars[-1]


def mask_phone(value: str) -> str:
    """3 shown, 4 stars, 4 shown, for 11 digits; otherwise only the last two are shown."""
    chars = _graphemes(value.strip())
    if len(chars) == 11:
        return "".join([*chars[:3], "****", *chars[7:]])
    return "*" * max(len(chars) - 2, 0) + "".join(chars[-2:]) if len(chars) > 5 else "*" * len(chars)


def mask_address(value: str) -> str:
    """Down to the town or street, else to the city; nothing of the rest."""
    match = _TOWN.match(value.strip()) or _CITY.match(value.strip())
    return (match[1] if match else "") + "****"


def mask_number(value: str) -> str:
    """Only the last 4 shown, the length kept; short numbers are hidden wholly."""
    chars = _graphemes(value.strip())
    shown = 4 if len(chars) >= 8 else 0
    return "*" * (len(chars) - shown) + "".join(chars[len(chars) - shown :])


def mask_birth_date(value: str) -> str:
    """Only the year: `1994年` for `1994-03-15`; stars when there is no year."""
    match = re.match(r"[0-9]{4}", value, re.ASCII)
    return f"{match[0]}年" if match else "****"


_MASKS: dict[str, Callable[[str], str]] = {
    "id_no": mask_id_no,
    "name": mask_name,
    "phone": mask_phone,
    "address": mask_address,
    "number": mask_number,
    "birth_date": mask_birth_date,
}


def mask_by(kind: str, value: str) -> str:
    """Mask `value` as a certificate type says: none, id_no, name, phone, address, number, birth_date.

    An unknown kind hides everything: a typing error in a type file must not show a value.
    """
    if kind == "none":
        return value
    mask = _MASKS.get(kind)
    return mask(value) if mask else "****"


def _graphemes(text: str) -> list[str]:
    """Characters as a reader sees them: combining marks, joiners and variation selectors stay with their
    base.
    """
    found: list[str] = []
    joined = False
    for char in text:
        sticks = joined or unicodedata.combining(char) or char == "\u200d" or _is_selector(char)
        if found and sticks:
            found[-1] += char
        else:
            found.append(char)
        joined = char == "\u200d"
    return found


def _is_selector(char: str) -> bool:
    return any(ord(char) in block for block in _SELECTORS) or unicodedata.category(char) in {"Mn", "Me", "Mc"}
