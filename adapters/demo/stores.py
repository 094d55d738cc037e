"""Writes the twelve departments' legacy stores, each beside its agent's configuration, and a list of the cast.

python -m adapters.demo.stores FOLDER      writes FOLDER/<slug>/{agent.yaml, legacy files} and FOLDER/families.json
"""

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from adapters.demo import databases, snapshots
from adapters.demo.families import Family, build
from adapters.demo.people import Person
from hub.clock import civil_day, now

Write = Callable[[Path, Sequence[Family], date], None]

STORES: Mapping[str, Mapping[str, Write]] = {
    "dg-edu": {"xueji.db": databases.schools},
    "dg-degree": {"xuewei.db": databases.degrees},
    "dg-hrss": {"jiuye.csv": snapshots.jobs, "ZYZG.DBF": snapshots.skills},
    "dg-si": {"shebao.db": databases.insurance},
    "dg-ps": {"renkou.db": databases.police},
    "dg-tax": {"nashui.db": databases.taxes},
    "dg-realestate": {"BDCQ.DBF": snapshots.homes},
    "dg-civil": {"hunyin.csv": snapshots.marriages},
    "dg-health": {"weiji.db": databases.health},
    "dg-market": {"gongshang.db": databases.market},
    "dg-science": {"kejijiang.csv": snapshots.awards},
    "dg-volunteer": {"ZYZ.DBF": snapshots.volunteers},
}
"""Department -> file -> who writes it."""

NAMES: Mapping[str, tuple[str, str]] = {
    "dg-edu": ("东莞市教育局", "Education Bureau"),
    "dg-degree": ("学位授予单位", "Degree-conferring institution"),
    "dg-hrss": ("东莞市人力资源局", "Human Resources Bureau"),
    "dg-si": ("东莞市社会保障局", "Social Security Bureau"),
    "dg-ps": ("东莞市公安局", "Public Security Bureau"),
    "dg-tax": ("东莞市税务局", "Tax Bureau"),
    "dg-realestate": ("东莞市不动产登记中心", "Real Estate Registration Centre"),
    "dg-civil": ("东莞市民政局", "Civil Affairs Bureau"),
    "dg-health": ("东莞市卫生和计划生育局", "Health and Family Planning Bureau"),
    "dg-market": ("东莞市市场监督管理局", "Market Supervision Bureau"),
    "dg-science": ("东莞市科学技术局", "Science and Technology Bureau"),
    "dg-volunteer": ("东莞市志愿服务联合会", "Volunteer Service Federation"),
}
"""Department -> its name in Chinese and English."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: a folder per department (`agent.yaml` in it), and the cast."""

    folder: Path
    departments: Mapping[str, Path]
    families: tuple[Family, ...]

    def family(self, label: str) -> Family:
        """The family with that label or key; raises `KeyError`."""
        for family in self.families:
            if label and label in (family.label, family.key):
                return family
        raise KeyError(label)


def write(folder: Path, *, today: date | None = None) -> Written:
    """Write every store afresh under `folder`; the same day gives the same stores.

    Folders are 0700 and `families.json` 0600, as if the people were real. Raises `FileExistsError` when a
    department's folder is there already: a store is never overwritten under a running agent.
    """
    day = today or civil_day(now())
    families = build(day)
    folder.mkdir(parents=True, exist_ok=True)
    departments = {}
    for slug, stores in STORES.items():
        place = folder / slug
        place.mkdir(mode=0o700)
        for name, writer in stores.items():
            writer(place / name, families, day)
        with as_file(files("adapters.demo").joinpath("config", f"{slug}.yaml")) as config:
            shutil.copyfile(config, place / "agent.yaml")
        departments[slug] = place
    cast = folder / "families.json"
    with os.fdopen(
        os.open(cast, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as stream:
        json.dump(
            {"today": day.isoformat(), "families": [_described(f) for f in families]},
            stream,
            ensure_ascii=False,
            indent=1,
        )
    return Written(folder, departments, families)


def revoke_degree(folder: Path, id_no: str) -> int:
    """The degree office strikes somebody's degree out of its own table; returns how many rows that was.

    The agent's next passes find the row gone from the view and revoke the certificate.
    """
    with closing(sqlite3.connect(folder / "dg-degree" / "xuewei.db")) as connection, connection:
        return connection.execute("update xwzs set zt = '9' where sfzh = ? and zt = '1'", (id_no,)).rowcount


def _described(family: Family) -> dict[str, Any]:
    return {
        "key": family.key,
        "label": family.label,
        "label_zh": family.label_zh,
        "father": _person(family.father.person) if family.father else None,
        "mother": _person(family.mother.person),
        "children": [_person(child.person) for child in family.children],
    }


def _person(person: Person) -> dict[str, str]:
    return {"name": person.name, "id_type": "111", "id_no": person.id_no, "born": person.born.isoformat()}


if __name__ == "__main__":
    print(write(Path(sys.argv[1])).folder)
