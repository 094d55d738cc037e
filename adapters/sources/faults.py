"""What went wrong at a database, in words that tell the operator where to look; never the database's own text.

That text may repeat values, the statement or the address with its password, so only its code is read. Faults that
time does not mend have their own codes: the program then ends with 1 and not with "try again later".
"""

import re
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from adapters.source import SourceFault

TEMPORARY = frozenset({"source.database", "source.timeout", "source.http"})
"""Codes of faults after which the same may work later."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One kind of trouble: its code, and what is told, Chinese first."""

    code: str
    zh: str
    en: str
    next_zh: str
    next_en: str


_LOGIN = _Told(
    "source.login", "数据库不认这个账号或口令", "The database refuses this account or its password",
    "请核对 source.url 里的账号、口令和来源地址限制。", "Check account, password and allowed hosts of source.url.",
)  # fmt: skip
_DATABASE = _Told(
    "source.no_database", "没有这个数据库", "There is no such database",
    "请核对 source.url 最后的库名；SQLite 请核对文件路径。",
    "Check the database's name, or the file's path, in source.url.",
)  # fmt: skip
_TABLE = _Told(
    "source.no_table", "查询里的表或视图不存在", "A table or view of the query does not exist",
    "请核对 query 里的表名、模式名和大小写；表改名或被删了吗？",
    "Check names, schema and case in query: renamed or dropped?",
)  # fmt: skip
_COLUMN = _Told(
    "source.no_column", "查询里的列不存在", "A column of the query does not exist",
    "列改名或被删了吗？请核对 query；没有读任何行，也没有撤销。",
    "Renamed or dropped? Check query; no row was read, none revoked.",
)  # fmt: skip
_DENIED = _Told(
    "source.denied", "账号没有读这张表的权限", "The account may not read this table",
    "请 DBA 给只读账号 select 权限。", "Ask the DBA to grant select to the read-only account.",
)  # fmt: skip
_QUERY = _Told(
    "source.query", "数据库看不懂这条查询", "The database does not understand the query",
    "请把 query 放到数据库客户端里试一次。", "Try the query in a client of the database.",
)  # fmt: skip
_TIMEOUT = _Told(
    "source.timeout", "查询超时", "The query took too long",
    "请给主键加索引，或加大 source.statement_timeout；下次会再试。",
    "Index the key, or raise source.statement_timeout.",
)  # fmt: skip
_AWAY = _Told(
    "source.database", "数据库读取中断", "Reading the database broke off",
    "请检查网络和数据库；稍后会自动重试。", "Check the network and the database; the next pass tries again.",
)  # fmt: skip

_MYSQL = {
    1045: _LOGIN, 1698: _LOGIN, 1130: _LOGIN, 1044: _DENIED, 1049: _DATABASE, 1146: _TABLE, 1054: _COLUMN,
    1142: _DENIED, 1143: _DENIED, 1370: _DENIED, 1064: _QUERY, 1969: _TIMEOUT, 3024: _TIMEOUT, 1205: _TIMEOUT,
}  # fmt: skip
_SQLSTATE = {
    "28P01": _LOGIN, "28000": _LOGIN, "3D000": _DATABASE, "42P01": _TABLE, "3F000": _TABLE, "42703": _COLUMN,
    "42501": _DENIED, "42601": _QUERY, "57014": _TIMEOUT,
}  # fmt: skip
_WORDS = (  # SQLite has one code for all, and PostgreSQL none before the connection stands
    ("no such table", _TABLE), ("no such column", _COLUMN), ("unable to open database file", _DATABASE),
    ("file is not a database", _DATABASE), ("syntax error", _QUERY), ("password authentication failed", _LOGIN),
    ("no password supplied", _LOGIN), ("no pg_hba.conf entry", _LOGIN),
)  # fmt: skip


_EXTRAS = {"postgresql": "yimen[postgresql]", "mysql": "yimen[mysql]", "mariadb": "yimen[mysql]", "oracle": "oracledb",
           "mssql": "pymssql", "dm": "dmPython dmSQLAlchemy"}  # fmt: skip
"""What brings the driver of a kind of address."""


def bad_url() -> SourceFault:
    """An address that is none. The library's own words would repeat it with its password."""
    return SourceFault(
        "source.url", "数据库地址写得不对。", "The database URL is no URL.",
        next_zh="例如 postgresql+psycopg://用户:口令@主机/库、mysql+pymysql://…、sqlite:///文件；"
        "口令里的 @ : / 要写成 %40 %3A %2F。",
        next_en="For example postgresql+psycopg://user:word@host/db, mysql+pymysql://, sqlite:///; @ : / in a password"
        " are %40 %3A %2F.",
    )  # fmt: skip


def no_driver(url: str) -> SourceFault:
    """An address whose driver is not installed here."""
    kind = url.partition(":")[0].partition("+")[0]
    brings = _EXTRAS.get(kind)
    return SourceFault(
        "source.driver", "没有安装这种数据库的驱动。", "The driver of this kind of database is not installed.",
        next_zh=f'请运行 pip install "{brings}"。' if brings else "地址开头写对了吗？例如 postgresql+psycopg://、mysql+pymysql://。",
        next_en=f'Run pip install "{brings}".' if brings else "Is its beginning right? postgresql+psycopg://, mysql+pymysql://.",
    )  # fmt: skip


def moving(fault: SQLAlchemyError) -> SourceFault:
    """The fault as it is told."""
    origin = getattr(fault, "orig", None) or fault
    told = _told(origin)
    kind = type(origin).__name__
    return SourceFault(
        told.code,
        f"{told.zh}（{kind}）。",
        f"{told.en} ({kind}).",
        next_zh=told.next_zh,
        next_en=told.next_en,
    )


def _told(origin: BaseException) -> _Told:
    number = origin.args[0] if origin.args else None
    if isinstance(number, int) and number in _MYSQL:
        return _MYSQL[number]
    state = getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None)
    if isinstance(state, str) and state in _SQLSTATE:
        return _SQLSTATE[state]
    text = str(origin)
    if re.search(r'database "[^"]*" does not exist', text):
        return _DATABASE
    return next((told for words, told in _WORDS if words in text), _AWAY)
