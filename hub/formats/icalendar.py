"""One event as an iCalendar file (RFC 5545), for whichever calendar somebody has. Pure: values in, bytes out."""

from datetime import UTC, datetime

_ESCAPED = str.maketrans({"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"})
FOLD = 75
"""Octets of one line (section 3.1); a longer one goes on after CRLF and one space."""


def event(
    *,
    uid: str,
    starts: datetime,
    ends: datetime,
    made: datetime,
    summary: str,
    place: str,
    notes: str,
    method: str = "PUBLISH",
) -> bytes:
    """A calendar with one event. Moments are aware and written in UTC, so that no time zone must be described.

    Control characters other than line feeds are left out: they have no place in TEXT (section 3.3.11).
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Yimen//appointments//ZH",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{text(uid)}",
        f"DTSTAMP:{moment(made)}",
        f"DTSTART:{moment(starts)}",
        f"DTEND:{moment(ends)}",
        f"SUMMARY:{text(summary)}",
        f"LOCATION:{text(place)}",
        f"DESCRIPTION:{text(notes)}",
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        f"DESCRIPTION:{text(summary)}",
        "TRIGGER:-PT2H",
        "END:VALARM",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return b"".join(folded(line) for line in lines)


def moment(value: datetime) -> str:
    """A UTC date-time, form 2 of section 3.3.5."""
    return f"{value.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def text(value: str) -> str:
    """A TEXT value, escaped (section 3.3.11)."""
    clean = "".join(c for c in value.replace("\r\n", "\n") if c == "\n" or c.isprintable())
    return clean.translate(_ESCAPED)


def folded(line: str) -> bytes:
    """One content line, folded between characters, with its CRLF."""
    out, run = bytearray(), bytearray()
    for character in line:
        piece = character.encode()
        if len(run) + len(piece) > FOLD:
            out += run + b"\r\n"
            run = bytearray(b" ")
        run += piece
    return bytes(out + run + b"\r\n")
