"""Five departments that hand out files: GB18030 CSV and dBASE tables."""

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from adapters.demo import dbf
from adapters.demo.databases import adults, day
from adapters.demo.dbf import Column
from adapters.demo.families import Family, back


def jobs(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-hrss: jiuye.csv, GB18030. jyxs 1 employed, 2 in business; zt 1 working."""
    rows = [
        (f"JY{n:08d}", a.person.name, a.person.id_no, "2" if a.in_business else "1", a.service_months, "1", a.employer,
         _written(back(today, min(a.service_months, 24))))
        for n, (_, a) in enumerate(adults(families), 1)
        if a.service_months
    ]  # fmt: skip
    _csv(path, ("djh", "xm", "sfzh", "jyxs", "ljys", "zt", "dwmc", "ksrq"), rows, ",")


def skills(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-hrss: ZYZG.DBF. DJ 1 intermediate worker, 2 intermediate title, 3 junior worker, 7 senior worker."""
    columns = (Column("ZSBH", "C", 20), Column("XM", "C", 40), Column("SFZH", "C", 18), Column("DJ", "C", 1),
               Column("ZYMC", "C", 40), Column("FZRQ", "D", 8))  # fmt: skip
    rows = [
        (f"ZY{n:012d}", a.person.name, a.person.id_no, a.skill, "电工", back(today, 36))
        for n, (_, a) in enumerate(adults(families), 1)
        if a.skill
    ]
    dbf.write(path, columns, rows, written=today)


def homes(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-realestate: BDCQ.DBF without a code page mark. YT 10 home; GYQK 0 sole, 1 joint; CF 0 clear, 1 seized."""
    columns = (
        Column("BDCQZH", "C", 48), Column("QLR", "C", 40), Column("QLRZJH", "C", 18), Column("GYR", "C", 40),
        Column("GYRZJH", "C", 18), Column("YT", "C", 2), Column("GYQK", "C", 1), Column("CF", "C", 1),
        Column("ZJLB", "C", 1), Column("MJ", "N", 10, 2), Column("ZJ", "C", 20), Column("ZL", "C", 80),
        Column("DJRQ", "D", 8),
    )  # fmt: skip
    rows = []
    for n, family in enumerate(families, 1):
        home = family.home
        if home:
            owner = family.parent.person
            other = family.mother.person if home.joint and family.father else None
            rows.append(
                (f"粤({home.registered.year})东莞不动产权第{n:07d}号", owner.name, owner.id_no,
                 other.name if other else "", other.id_no if other else "", "10", "1" if other else "0",
                 "0" if home.clear else "1", home.town_class, home.area_m2, family.town,
                 f"东莞市{family.town}花园路{n}号", home.registered)
            )  # fmt: skip
    dbf.write(path, columns, rows, written=today, code_page=dbf.NO_CODE_PAGE)


def marriages(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-civil: hunyin.csv, GB18030, bar-separated. zt 1 married, 2 divorced."""
    rows = [
        (f"J441900-{f.married.year}-{n:06d}", f.father.person.name, f.father.person.id_no, f.mother.person.name,
         f.mother.person.id_no, "2" if f.divorced else "1", day(f.married))
        for n, f in enumerate(families, 1)
        if f.married and f.father
    ]  # fmt: skip
    _csv(path, ("zh", "nxm", "nsfzh", "vxm", "vsfzh", "zt", "djrq"), rows, "|")


def awards(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-science: kejijiang.csv, UTF-8 with a mark. lb 1 patent, 2 result, 3 contest; js 1 inventor, 2 main author."""
    rows = [
        (f"ZL{n:010d}", a.person.name, a.person.id_no, *a.award, f"{back(today, 30):%Y-%m-%d}")
        for n, (_, a) in enumerate(adults(families), 1)
        if a.award
    ]
    _csv(path, ("zsh", "xm", "sfzh", "lb", "js", "mc", "sqrq"), rows, ",", encoding="utf-8-sig")


def volunteers(path: Path, families: Sequence[Family], today: date) -> None:
    """dg-volunteer: ZYZ.DBF. FWSC hours, XX blood donations, JZ gifts in yuan, all of the last five years."""
    columns = (Column("ZYZBH", "C", 16), Column("XM", "C", 40), Column("SFZH", "C", 18), Column("FWSC", "N", 6),
               Column("XX", "N", 3), Column("JZ", "N", 12, 2))  # fmt: skip
    rows = [
        (f"V{n:010d}", a.person.name, a.person.id_no, a.volunteer_hours, a.blood, f"{a.gifts_fen / 100:.2f}")
        for n, (_, a) in enumerate(adults(families), 1)
        if a.volunteer_hours or a.blood or a.gifts_fen
    ]
    dbf.write(path, columns, rows, written=today)


def _written(value: date) -> str:
    return f"{value.year}年{value.month}月{value.day}日"


def _csv(
    path: Path,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    delimiter: str,
    *,
    encoding: str = "gb18030",
) -> None:
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
