"""Reads a list of officers from CSV as offices write it: UTF-8 or GB 18030, Chinese or English headings."""

import csv
import io
import re
from dataclasses import dataclass

from hub.errors import Malformed
from hub.registry.model import ROLE_LABELS

MAX_BYTES = 4 << 20
_HEADINGS = {
    "department": "department",
    "部门": "department",
    "login": "login",
    "登录名": "login",
    "name": "name",
    "姓名": "name",
    "roles": "roles",
    "角色": "roles",
}
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_ROLE_NAMES = {zh: role.value for role, (zh, _) in ROLE_LABELS.items()} | {
    en.casefold(): role.value for role, (_, en) in ROLE_LABELS.items()
}


@dataclass(frozen=True, slots=True)
class OfficerRow:
    """One line of the list, trimmed. `roles` are codes where the name was known, else as written."""

    line: int
    department: str
    login: str
    name: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with one line of the file (the heading is line 1)."""

    line: int
    code: str
    zh: str
    en: str


def read_roster(data: bytes) -> tuple[list[OfficerRow], list[RowError]]:
    """Rows and the lines that cannot be rows. Columns: department, login, name, roles (in any order).

    Roles are codes or names, separated by `;`, `、` or spaces. Raises Malformed `officer.file` when the file as a
    whole cannot be read.
    """
    reader = csv.reader(io.StringIO(_text(data), newline=""), strict=True)
    try:
        headings = [_HEADINGS.get(cell.strip().casefold(), "") for cell in next(reader, [])]
        if sorted(h for h in headings if h) != ["department", "login", "name", "roles"]:
            raise _bad_file()
        rows: list[OfficerRow] = []
        errors: list[RowError] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            found = _row(reader.line_num, dict(zip(headings, (c.strip() for c in cells), strict=False)))
            if isinstance(found, OfficerRow):
                rows.append(found)
            else:
                errors.append(found)
        return rows, errors
    except csv.Error as error:
        raise _bad_file() from error


def _row(line: int, cells: dict[str, str]) -> OfficerRow | RowError:
    if not cells.get("department") or not cells.get("name") or not cells.get("roles"):
        return RowError(
            line, "officer.empty", "部门、姓名、角色均不能为空", "department, name and roles are needed"
        )
    if not _LOGIN.fullmatch(cells.get("login", "")) or len(cells["name"]) > 64:
        return RowError(
            line,
            "officer.login",
            "登录名只能由字母、数字和 . _ @ - 组成，登录名和姓名最多 64 个字符",
            "a login is letters, digits and . _ @ -; login and name have at most 64 characters",
        )
    words = [word for word in re.split(r"[;；、,，|]+|\s{2,}", cells["roles"]) if word.strip()]
    roles = frozenset(_ROLE_NAMES.get(word.strip().casefold(), word.strip()) for word in words)
    return OfficerRow(line, cells["department"], cells["login"], cells["name"], roles)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _bad_file()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _bad_file()


def _bad_file() -> Malformed:
    return Malformed(
        "officer.file",
        "文件须为 CSV，首行含 部门、登录名、姓名、角色 四列。",
        "The file must be CSV whose first line has the columns department, login, name, roles.",
        next_zh="请用 UTF-8 或 GB 18030 保存后重试，最大 4 MB。",
        next_en="Save it as UTF-8 or GB 18030 and try again, 4 MB at most.",
    )
