"""Seven departments that keep SQLite databases: pinyin columns, code values, zero dates, money in fen.

Each function takes the file to create, the families and the day, and writes what that office would hold.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from adapters.demo.families import Adult, Family, Permit, back
from hub.formats.identifiers import credit_check_character

ZERO = "00000000"
Rows = Sequence[tuple[object, ...]]


def day(value: date | None) -> str:
    """A date as these tables write it; nothing is eight zeros."""
    return f"{value:%Y%m%d}" if value else ZERO


def adults(families: Sequence[Family]) -> Iterator[tuple[Family, Adult]]:
    """Every parent with their family."""
    for family in families:
        for adult in family.adults:
            yield family, adult


def schools(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-edu: 学籍 xsxj. jdlx 1 kindergarten, 2 primary; yeysp Y/N; byzt 0/1."""
    rows = [
        (
            f"G{child.person.id_no[:6]}{n:08d}",
            child.person.name,
            child.person.id_no,
            f"{family.town[:2]}中心小学（演示）"
            if child.primary_months
            else f"{family.town[:2]}第一幼儿园（演示）",
            "2" if child.primary_months else "1",
            "Y" if child.nursery_approved else "N",
            child.nursery_months,
            child.primary_months,
            "0",
            day(today),
        )
        for n, (family, child) in enumerate(((f, c) for f in families for c in f.children), 1)
        if child.nursery_months or child.primary_months
    ]
    _create(
        path,
        {
            "create table xsxj (xjh text primary key, xm text, sfzh text, xxmc text, jdlx text, yeysp text, "
            "yey_ys integer, xx_ys integer, byzt text, gxrq text)": rows
        },
    )


def degrees(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-degree: 学位 xwzs. Names are GB18030 bytes; xllx 1 2 3, xwlx 2 3 4; zt 1 valid, 9 revoked."""
    rows: list[tuple[object, ...]] = []
    for n, (_, adult) in enumerate(adults(families), 1):
        study = adult.study
        if study:
            number = f"99999{study.degree or 0}{study.on:%Y}{n:06d}"
            rows.append(
                (n, number, adult.person.name.encode("gb18030"), adult.person.id_no, study.education, study.degree,
                 study.school, study.subject, day(study.on), "1")
            )  # fmt: skip
    # Rows that cannot be signed: a code that no list has, a date of zeros, a name with a lost character.
    spoilt = rows[0]
    rows += [
        (9001, "9999992009900001", *spoilt[2:4], "8", "9", *spoilt[6:9], "1"),
        (9002, "9999942009900002", *spoilt[2:8], ZERO, "1"),
        (9003, "9999942009900003", "张?明".encode("gb18030"), *spoilt[3:9], "1"),
    ]
    _create(
        path,
        {
            "create table xwzs (id integer primary key, zsbh text, xm blob, sfzh text, xllx text, xwlx text, "
            "byyx text, zymc text, bydate text, zt text)": rows
        },
    )


def insurance(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-si: insured persons cbr and their spans cbmx (xz 110 210 310 410 510, months ksny to jsny)."""
    persons: list[tuple[object, ...]] = []
    spans: list[tuple[object, ...]] = []
    for n, (_, adult) in enumerate(adults(families), 1):
        number = f"G44{n:07d}"
        persons.append((number, adult.person.name, adult.person.id_no, "1", day(today)))
        for kind, months in adult.insured_months.items():
            if months:
                first = back(today, months - 1)
                middle = back(first, -(months // 2))
                if months > 1:  # two employers, two spans
                    spans.append((number, kind, f"{first:%Y%m}", f"{back(middle, 1):%Y%m}"))
                spans.append((number, kind, f"{middle if months > 1 else first:%Y%m}", f"{today:%Y%m}"))
    _, adult = next(adults(families))
    wrong = adult.person.id_no[:17] + ("0" if adult.person.id_no[17] != "0" else "1")
    persons.append(("G449999999", adult.person.name, wrong, "1", day(today)))  # a digit mistyped: quarantine
    _create(
        path,
        {
            "create table cbr (sbh text primary key, xm text, sfzh text, cbzt text, gxrq text)": persons,
            "create table cbmx (sbh text, xz text, ksny text, jsny text)": spans,
        },
    )


def police(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-ps: permits jzz with history qzjl (lx 1 temporary, 2 residence), household books hk_hu and hk_ry."""
    permits: list[tuple[object, ...]] = []
    history: list[tuple[object, ...]] = []
    for n, (family, adult) in enumerate(adults(families), 1):
        number = f"J4419{n:09d}"
        old = family.label == "old_number" and adult is family.mother
        id_no = adult.person.old_id_no if old else adult.person.id_no
        address = f"东莞市{family.town}人民路{n}号"
        permits.append((number, adult.person.name, id_no, day(adult.person.born), family.town, address))
        history += [(number, _permit_code(p), day(p.first), day(p.last)) for p in adult.permits]
    books = [
        (f"H{f.area}{n:05d}", "2", f.area, f"演示省演示县城关镇{n}号") for n, f in enumerate(families, 1)
    ]
    _create(
        path,
        {
            "create table jzz (jzzh text primary key, xm text, sfzh text, csrq text, zj text, dz text)": permits,
            "create table qzjl (jzzh text, lx text, qsrq text, jzrq text)": history,
            "create table hk_hu (hh text primary key, hklx text, xzqh text, dz text)": books,
            "create table hk_ry (hh text, gx text, xh integer, xm text, sfzh text, csrq text)": [
                row for book, f in zip(books, families, strict=True) for row in _members(str(book[0]), f)
            ],
        },
    )


def _permit_code(permit: Permit) -> str:
    return "1" if permit.kind == "temporary" else "2"


def _members(book: str, family: Family) -> list[tuple[object, ...]]:
    """Relation codes of GB/T 4761: 01 head, 10 spouse, 20 child. A divorced father keeps another book."""
    head = family.mother if family.divorced or not family.father else family.father
    spouse = family.mother if head is family.father else None
    found: list[tuple[object, ...]] = [
        (book, "01", 1, head.person.name, head.person.id_no, day(head.person.born))
    ]
    if spouse:
        found.append((book, "10", 1, spouse.person.name, spouse.person.id_no, day(spouse.person.born)))
    for n, child in enumerate(family.children, 1):
        found.append((book, "20", n, child.person.name, child.person.id_no, day(child.person.born)))
    return found


def taxes(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-tax: payers nsr, payments nsmx in fen by year nd and kind sz, and the period of the statistics tjqj."""
    payers: list[tuple[object, ...]] = []
    payments: list[tuple[object, ...]] = []
    for n, (_, adult) in enumerate(adults(families), 1):
        number = f"N{n:08d}"
        payers.append((number, adult.person.name, adult.person.id_no))
        for kind, amounts in adult.taxes.items():
            payments += [(number, kind, today.year - 1 - back_by, fen) for back_by, fen in enumerate(amounts)]
        payments.append((number, "0101", today.year - 5, 700_000))  # too long ago to count
    period = [
        (today.year - 3, today.year - 5, today.year - 1, day(date(today.year, today.month, 1) - timedelta(1)))
    ]
    _create(
        path,
        {
            "create table nsr (nsrbh text primary key, xm text, sfzh text)": payers,
            "create table nsmx (nsrbh text, sz text, nd integer, se integer)": payments,
            "create table tjqj (gsksnd integer, qsksnd integer, jsnd integer, jzrq text)": period,
        },
    )


def health(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-health: births csyx (xb 1 male, 2 female) and family planning jhsy (wfbz, dszn, bd, cx 0/1)."""
    births: list[tuple[object, ...]] = []
    planning: list[tuple[object, ...]] = []
    for n, family in enumerate(families, 1):
        mother, father = family.mother.person, family.father.person if family.father else None
        for m, child in enumerate(family.children, 1):
            births.append(
                (f"T{n:06d}{m:03d}", day(child.person.born), "1" if child.person.male else "2",
                 "东莞市妇幼保健院（演示）", child.person.name, child.person.id_no, mother.name, mother.id_no,
                 father.name if father else None, father.id_no if father else None)
            )  # fmt: skip
        planning.append(
            (f"JS{n:07d}", mother.name, mother.id_no, father.name if father else "", father.id_no if father else "",
             "1" if family.violation else "0", "1" if family.only_child else "0", "1", "0", len(family.children))
        )  # fmt: skip
    _create(
        path,
        {
            "create table csyx (cszbh text primary key, csrq text, xb text, csdd text, xsexm text, xsesfzh text, "
            "mqxm text, mqsfzh text, fqxm text, fqsfzh text)": births,
            "create table jhsy (jsh text primary key, nfxm text, nfsfzh text, poxm text, posfzh text, wfbz text, "
            "dszn text, bdbz text, cxcs text, zns integer)": planning,
        },
    )


def market(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-market: businesses scztxx (ztlx 2 sole trader; zcxs 1 open, 2 closed)."""
    rows: list[tuple[object, ...]] = []
    for n, (family, adult) in enumerate(adults(families), 1):
        if adult.business_code:
            body = f"92441900MA9{adult.business_code}"
            rows.append(
                (f"ZZ{n:08d}", body + credit_check_character(body), adult.employer, "2", day(back(today, 40)), "50000",
                 "1", family.town, adult.person.name, adult.person.id_no)
            )  # fmt: skip
    _create(
        path,
        {
            "create table scztxx (zzbh text primary key, tyshxydm text, mc text, ztlx text, clrq text, zczb text, "
            "zcxs text, zj text, jyzxm text, jyzsfzh text)": rows
        },
    )


def _create(path: Path, tables: dict[str, Rows]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement, rows in tables.items():
            connection.execute(statement)
            if rows:
                table = statement.split()[2]
                marks = ",".join("?" * len(rows[0]))
                connection.executemany(f"insert into {table} values ({marks})", rows)  # noqa: S608  (our own words)
