"""Identifiers of the Chinese administration: resident numbers, social credit codes, certificate identifiers.

Strict parsers are for what our departments issue; lenient ones for what adapters bring in: they keep the
original string, give the parts that parse, and name each data-quality finding. Nothing is repaired
silently and nobody is refused because a table of area codes is old. Error texts never repeat the value.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from operator import mul
from typing import Generic, Literal, TypeVar

from hub.errors import Malformed
from hub.formats.masking import (
    mask_address,
    mask_birth_date,
    mask_by,
    mask_id_no,
    mask_name,
    mask_number,
    mask_phone,
)

__all__ = [
    "CertificateIdentifier",
    "Finding",
    "Lenient",
    "ResidentId",
    "Sex",
    "certificate_check_character",
    "certificate_identifier",
    "certificate_identifier_lenient",
    "credit_check_character",
    "credit_code",
    "credit_code_lenient",
    "mask_address",
    "mask_birth_date",
    "mask_by",
    "mask_id_no",
    "mask_name",
    "mask_number",
    "mask_phone",
    "normal_id",
    "normal_number",
    "resident_check_character",
    "resident_from_15",
    "resident_id",
    "resident_id_lenient",
]

Sex = Literal["male", "female"]
T = TypeVar("T")

# --- GB 11643 resident identity number ---

_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_ZERO = ord("0") * sum(_RESIDENT_WEIGHTS)
_RESIDENT = re.compile(r"[0-9]{17}[0-9X]", re.ASCII)
OLDEST = 130
"""Years beyond which an age is not believed."""


@dataclass(frozen=True, slots=True)
class ResidentId:
    """A GB 11643 number that holds together. `area` is where the person was first registered, nothing
    more.
    """

    value: str
    area: str
    born: date
    sex: Sex


@dataclass(frozen=True, slots=True)
class Finding:
    """What a lenient parser noticed: a stable `code`; the value itself is never repeated in it."""

    code: str


@dataclass(frozen=True, slots=True)
class Lenient(Generic[T]):
    """The original string as it came, its value where it parses, and the findings."""

    original: str
    value: T | None
    findings: tuple[Finding, ...]


def resident_check_character(body17: str) -> str:
    """The 18th character of a resident number (GB 11643, ISO 7064 MOD 11-2).

    Raises Malformed `gb11643.form` unless given 17 ASCII digits.
    """
    if len(body17) != 17 or not body17.isascii() or not body17.isdigit():
        raise _refused("gb11643.form")
    total = sum(map(mul, body17.encode("ascii"), _RESIDENT_WEIGHTS)) - _RESIDENT_ZERO
    return "10X98765432"[total % 11]


def resident_id(text: str, *, today: date) -> ResidentId:
    """Read an 18-character resident number strictly; outer spaces and a lower-case x are taken.

    1. Form, 2. check character, 3. a real birth date, 4. not after `today` and not over 130 years ago.
    The area code is not judged. Raises Malformed `gb11643.form`, `.check`, `.birth_date`, `.age`.
    """
    value = text.strip(" ").upper() if text.isascii() else ""
    if not _RESIDENT.fullmatch(value):  # 1
        raise _refused("gb11643.form")
    if resident_check_character(value[:17]) != value[17]:  # 2
        raise _refused("gb11643.check")
    parsed = _resident_parts(value)  # 3
    if parsed is None:
        raise _refused("gb11643.birth_date")
    if not _believable(parsed.born, today):  # 4
        raise _refused("gb11643.age")
    return parsed


def resident_id_lenient(text: str, *, today: date) -> Lenient[ResidentId]:
    """Read what an old database holds: 15 digits are lengthened, full-width digits and inner spaces are
    mapped.

    Findings: `gb11643.full_width`, `.separators`, `.fifteen_digits`, `.over_century` (15 digits ending
    996-999, not converted), `.form`, `.check`, `.birth_date`, `.birth_date_implausible`.
    """
    notes: list[str] = []
    value = _tidied(text, "gb11643", notes)
    if re.fullmatch(r"[0-9]{15}", value, re.ASCII):
        if value[12:] in {"996", "997", "998", "999"}:
            return _lenient(text, None, [*notes, "gb11643.over_century"])
        notes.append("gb11643.fifteen_digits")
        value = resident_from_15(value)
    if not _RESIDENT.fullmatch(value):
        return _lenient(text, None, [*notes, "gb11643.form"])
    if resident_check_character(value[:17]) != value[17]:
        return _lenient(text, None, [*notes, "gb11643.check"])
    parsed = _resident_parts(value)
    if parsed is None:
        notes.append("gb11643.birth_date")
    elif not _believable(parsed.born, today):
        notes.append("gb11643.birth_date_implausible")
    return _lenient(text, parsed, notes)


def resident_from_15(value: str) -> str:
    """The 18-character form of a 15-digit number: `19` after the area, check appended. For adapters only.

    Raises Malformed `gb11643.form`.
    """
    if not re.fullmatch(r"[0-9]{15}", value, re.ASCII):
        raise _refused("gb11643.form")
    body = value[:6] + "19" + value[6:]
    return body + resident_check_character(body)


def _resident_parts(value: str) -> ResidentId | None:
    try:
        born = date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return None
    return ResidentId(value, value[:6], born, "male" if int(value[16]) % 2 else "female")


def _believable(born: date, today: date) -> bool:
    return born <= today and today.year - born.year <= OLDEST


# --- GB 32100 unified social credit code ---

_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_CREDIT = re.compile(r"[0-9A-HJ-NP-RTUWXY]{18}", re.ASCII)


def credit_check_character(body17: str) -> str:
    """The 18th character of a unified social credit code (GB 32100). Raises Malformed `gb32100.form`."""
    if not re.fullmatch(r"[0-9A-HJ-NP-RTUWXY]{17}", body17, re.ASCII):
        raise _refused("gb32100.form")
    total = sum(
        _CREDIT_ALPHABET.index(char) * weight for char, weight in zip(body17, _CREDIT_WEIGHTS, strict=True)
    )
    return _CREDIT_ALPHABET[-total % 31]


def credit_code(text: str) -> str:
    """Read a unified social credit code strictly: 18 characters without I, O, S, V, Z; upper-cased.

    Raises Malformed `gb32100.form`, `gb32100.check`.
    """
    value = text.strip(" ").upper() if text.isascii() else ""
    if not _CREDIT.fullmatch(value):
        raise _refused("gb32100.form")
    if credit_check_character(value[:17]) != value[17]:
        raise _refused("gb32100.check")
    return value


def credit_code_lenient(text: str) -> Lenient[str]:
    """Findings: `gb32100.full_width`, `.separators`, `.form`, `.check`."""
    notes: list[str] = []
    value = _tidied(text, "gb32100", notes)
    if not _CREDIT.fullmatch(value):
        return _lenient(text, None, [*notes, "gb32100.form"])
    if credit_check_character(value[:17]) != value[17]:
        return _lenient(text, None, [*notes, "gb32100.check"])
    return _lenient(text, value, notes)


# --- GB/T 36904 certificate identifier ---

CERTIFICATE_ROOT = "1.2.156.3005.2"
MAX_CERTIFICATE_IDENTIFIER = 128
_MOD_36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CERTIFICATE = re.compile(
    r"1\.2\.156\.3005\.2\.([0-9A-Z]{18}[0-9]{3})\.([0-9A-Z]{18}|[0-9]{6})\.([0-9A-Z]{1,64})\.([0-9]{3})\.([0-9A-Z])",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class CertificateIdentifier:
    """A GB/T 36904 identifier: type code (21), issuer (18, or a 6-digit area in old data), serial, version
    1-999.
    """

    type_code: str
    issuer: str
    serial: str
    version: int

    @property
    def check(self) -> str:
        """The check character over type, issuer, serial and version."""
        return certificate_check_character(f"{self.type_code}{self.issuer}{self.serial}{self.version:03}")

    def __str__(self) -> str:
        parts = (CERTIFICATE_ROOT, self.type_code, self.issuer, self.serial, f"{self.version:03}", self.check)
        return ".".join(parts)

    def next_version(self) -> "CertificateIdentifier":
        """The identifier of a correction. Raises Malformed `gb36904.version` after 999: take a new serial."""
        if self.version >= 999:
            raise _refused("gb36904.version")
        return CertificateIdentifier(self.type_code, self.issuer, self.serial, self.version + 1)


def certificate_check_character(body: str) -> str:
    """ISO/IEC 7064 MOD 37,36 over 0-9A-Z, root and dots left out. Raises Malformed `gb36904.form`."""
    product = 36
    for char in body:
        value = _MOD_36.find(char)
        if value < 0:
            raise _refused("gb36904.form")
        product = (product + value) % 36 or 36
        product = 2 * product % 37
    return _MOD_36[(37 - product) % 36]


def certificate_identifier(text: str) -> CertificateIdentifier:
    """Read a GB/T 36904 identifier strictly: form, credit codes inside, version from 001, check character.

    Raises Malformed `gb36904.form`, `.type_code`, `.issuer`, `.version`, `.check_mismatch`.
    """
    match = _CERTIFICATE.fullmatch(text) if len(text) <= MAX_CERTIFICATE_IDENTIFIER else None
    if match is None:
        raise _refused("gb36904.form")
    parsed = CertificateIdentifier(match[1], match[2], match[3], int(match[4]))
    for code in _certificate_faults(parsed, match[5]):
        raise _refused(code)
    return parsed


def certificate_identifier_lenient(text: str) -> Lenient[CertificateIdentifier]:
    """Upper-cases ASCII only. Findings: those of the strict parser, all at once; the value is kept beside
    them.
    """
    value = text.strip(" ").upper() if text.isascii() else ""
    match = _CERTIFICATE.fullmatch(value) if len(value) <= MAX_CERTIFICATE_IDENTIFIER else None
    if match is None:
        return _lenient(text, None, ["gb36904.form"])
    parsed = CertificateIdentifier(match[1], match[2], match[3], int(match[4]))
    return _lenient(text, parsed, _certificate_faults(parsed, match[5]))


def _certificate_faults(parsed: CertificateIdentifier, check: str) -> list[str]:
    faults: list[str] = []
    if credit_code_lenient(parsed.type_code[:18]).value is None:
        faults.append("gb36904.type_code")
    if len(parsed.issuer) == 18 and credit_code_lenient(parsed.issuer).value is None:
        faults.append("gb36904.issuer")
    if parsed.version < 1:
        faults.append("gb36904.version")
    if parsed.check != check:
        faults.append("gb36904.check_mismatch")
    return faults


# --- one normal form for look-ups ---

RESIDENT_TYPE = "111"
CREDIT_TYPE = "001"
_BRACKETS = str.maketrans(dict.fromkeys("〔[【〈《", "(") | dict.fromkeys("〕]】〉》", ")"))


def normal_id(id_type: str, value: str) -> str:
    """The form of an identifier that blind indexes are made of; the signed string stays as issued.

    Type 111 and 001: outer spaces off, upper case, must have the right form and check character (a number
    that is mistyped must not find nobody silently). Other types: NFKC, spaces and hyphens out, brackets
    unified, upper case. Raises Malformed `gb11643.*`, `gb32100.*`, `identifier.empty`, `identifier.too_long`.
    """
    if id_type == RESIDENT_TYPE:
        found = value.strip(" ").upper() if value.isascii() else ""
        if not _RESIDENT.fullmatch(found):
            raise _refused("gb11643.form")
        if resident_check_character(found[:17]) != found[17]:
            raise _refused("gb11643.check")
        return found
    if id_type == CREDIT_TYPE:
        return credit_code(value)
    return normal_number(value)


def normal_number(value: str) -> str:
    """A certificate or other number for look-up. Raises Malformed `identifier.empty`,
    `identifier.too_long`.
    """
    if len(value) > 256:
        raise _refused("identifier.too_long")
    # Twice: upper-casing can make characters that NFKC folds again, and the result must be its own normal
    # form.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).upper()).translate(_BRACKETS)
    kept = unicodedata.normalize("NFKC", "".join(char for char in folded if not _separates(char)))
    if not kept:
        raise _refused("identifier.empty")
    return kept


def _separates(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) in {"Pd", "Cf", "Cc"} or char == "\u2212"


# --- inside ---

_REFUSALS = {
    "gb11643.form": ("身份证号码应为18位。", "A resident number has 18 characters."),
    "gb11643.check": ("身份证号码校验位不符，请核对。", "The resident number's check character is wrong."),
    "gb11643.birth_date": ("身份证号码中的出生日期不存在。", "The resident number holds no real birth date."),
    "gb11643.age": ("身份证号码中的出生日期不合理。", "The resident number's birth date is not believable."),
    "gb32100.form": ("统一社会信用代码应为18位。", "A social credit code has 18 characters."),
    "gb32100.check": (
        "统一社会信用代码校验位不符，请核对。",
        "The social credit code's check character is wrong.",
    ),
    "gb36904.form": ("电子证照标识格式不对。", "Not a GB/T 36904 certificate identifier."),
    "gb36904.type_code": ("证照类型代码校验位不符。", "The type code's credit code does not check."),
    "gb36904.issuer": ("证照颁发机构代码校验位不符。", "The issuer's credit code does not check."),
    "gb36904.version": ("证照版本号超出 001 至 999。", "The version is not within 001 to 999."),
    "gb36904.check_mismatch": (
        "电子证照标识校验位不符。",
        "The certificate identifier's check character is wrong.",
    ),
    "identifier.empty": ("号码不能为空。", "The number is empty."),
    "identifier.too_long": ("号码过长。", "The number is too long."),
}


def _refused(code: str) -> Malformed:
    zh, en = _REFUSALS[code]
    return Malformed(code, zh, en)


def _tidied(text: str, standard: str, notes: list[str]) -> str:
    value = text.strip(" ").upper() if text.isascii() else text.strip(" ")
    wide = "".join(chr(ord(char) - 0xFEE0) if "\uff01" <= char <= "\uff5e" else char for char in value)
    if wide != value:
        notes.append(f"{standard}.full_width")
    bare = wide.replace(" ", "").replace("-", "")
    if bare != wide:
        notes.append(f"{standard}.separators")
    return bare.upper() if bare.isascii() else bare


def _lenient(original: str, value: T | None, notes: list[str]) -> Lenient[T]:
    return Lenient(original, value, tuple(map(Finding, notes)))
