"""Addresses at which people are reached: e-mail (RFC 5321, ASCII) and phone numbers (E.164), each in one spelling."""

import re

from hub.errors import Malformed

EMAIL_MAX = 254
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", re.ASCII)
_MOBILE = re.compile(r"1[3-9][0-9]{9}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{7,14}", re.ASCII)


def normal_email(text: str) -> str:
    """The address with its domain in lower case. Raises Malformed `contact.email`; never repeats what was typed."""
    local, _, domain = text.strip().rpartition("@")
    domain = domain.lower()
    fits = len(local) <= 64 and len(local) + len(domain) < EMAIL_MAX
    if not fits or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise Malformed(
            "contact.email",
            "这不像一个电子邮箱，例如 name@example.cn。",
            "This does not look like an e-mail address, as name@example.cn.",
        )
    return f"{local}@{domain}"


def normal_phone(text: str) -> str:
    """E.164, `+8613800138000` for a mainland mobile however it was typed. Raises Malformed `contact.phone`."""
    bare = re.sub(r"[\s()\-]", "", text.strip())
    if _MOBILE.fullmatch(bare):
        return "+86" + bare
    if bare.startswith("+86") and not _MOBILE.fullmatch(bare[3:]):
        bare = ""
    if not _E164.fullmatch(bare):
        raise Malformed(
            "contact.phone",
            "这不像一个手机号码：大陆号码 11 位，其他地区以 + 和区号开头。",
            "This does not look like a mobile number: 11 digits, or + and the country code.",
        )
    return bare


def mask_contact(address: str) -> str:
    """What a log line or a page shows of it: first character and top domain, or the last four digits."""
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}***@***.{domain.rpartition('.')[2]}"
    return f"****{address[-4:]}"
