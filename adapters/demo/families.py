"""Forty families who moved to Dongguan, the same ones for the same day and seed; some stand at an edge of a rule.

All dates count back from `today`, so that "one day short of a year" is so whenever the demo is run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from typing import Literal

from adapters.demo.people import AREAS, Person, Registry

SEED = 20160515
COUNT = 40
TOWNS = ("南城街道", "东城街道", "虎门镇", "长安镇", "厚街镇", "塘厦镇", "麻涌镇", "松山湖")
EMPLOYERS = ("东莞市晨光电子厂", "东莞市恒信家具有限公司", "东莞市立达模具有限公司", "东莞市南粤纺织有限公司")
INSURANCE = ("110", "310", "210", "410", "510")
"""Old codes of pension, medical, unemployment, work injury and maternity insurance."""


@dataclass(frozen=True, slots=True)
class Permit:
    """One permit, both days included."""

    kind: Literal["temporary", "residence"]
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Study:
    """A diploma: 1 postgraduate, 2 bachelor, 3 junior college; degree 2 doctor, 3 master, 4 bachelor, "" none."""

    education: str
    degree: str
    school: str
    subject: str
    on: date


@dataclass(frozen=True, slots=True)
class Adult:
    """A parent and what offices know of them. `taxes`: kind -> fen paid in each of the last tax years."""

    person: Person
    service_months: int
    in_business: bool
    employer: str
    permits: tuple[Permit, ...]
    insured_months: Mapping[str, int]
    taxes: Mapping[str, tuple[int, ...]]
    study: Study | None = None
    skill: str | None = None
    business_code: str | None = None
    volunteer_hours: int = 0
    blood: int = 0
    gifts_fen: int = 0
    award: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A child and its schooling in Dongguan, in months."""

    person: Person
    nursery_months: int
    nursery_approved: bool
    primary_months: int


@dataclass(frozen=True, slots=True)
class Home:
    """A home; with `joint` both parents own it."""

    town_class: str
    area_m2: str
    joint: bool
    clear: bool
    registered: date


@dataclass(frozen=True, slots=True)
class Family:
    """One family. `label` names why it is in the cast ("" for an ordinary one)."""

    key: str
    label: str
    label_zh: str
    town: str
    area: str
    mother: Adult
    father: Adult | None
    children: tuple[Child, ...]
    home: Home | None
    married: date | None
    divorced: bool
    only_child: bool
    violation: bool

    @property
    def adults(self) -> tuple[Adult, ...]:
        """The father, where there is one, and the mother."""
        return (self.father, self.mother) if self.father else (self.mother,)

    @property
    def parent(self) -> Adult:
        """Whose points the family would choose: the father's, or the mother's where she is alone."""
        return self.father or self.mother


def back(day: date, months: int) -> date:
    """The same day so many months earlier (or later, if negative); the month's last day when it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    end = date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)
    return date(year, month + 1, min(day.day, end.day))


def build(today: date, *, seed: int = SEED) -> tuple[Family, ...]:
    """The forty families as of `today`."""
    random = Random(seed)  # noqa: S311  (invents people, protects nothing)
    registry = Registry(random)
    return tuple(_cast(_family(n, random, registry, today), n, registry, today) for n in range(1, COUNT + 1))


def _family(number: int, random: Random, registry: Registry, today: date) -> Family:
    area = random.choice(AREAS)
    father = _adult(random, registry, male=True, area=area, today=today)
    mother = _adult(random, registry, male=False, area=area, today=today)
    surname = father.person.name[0]
    # Six years old by 31 August of this year: born between 1 September seven and 31 August six years ago.
    born = date(today.year - 7, 9, 1) + timedelta(random.randrange(364))
    nursery = random.choice((0, 11, 12, 24, 36, 36, 36))
    child = Child(registry.child(surname=surname, area=area, born=born), nursery, random.random() < 0.9, 0)
    home = None
    if random.random() < 0.4:
        home = Home(
            random.choice("ABC"), f"{random.randint(6000, 14000) / 100:.2f}", random.random() < 0.5,
            random.random() < 0.9, back(today, random.randint(3, 58)),
        )  # fmt: skip
    return Family(
        key=f"f{number:02d}",
        label="",
        label_zh="",
        town=random.choice(TOWNS),
        area=area,
        mother=mother,
        father=father,
        children=(child,),
        home=home,
        married=born - timedelta(days=random.randint(300, 1500)),
        divorced=False,
        only_child=random.random() < 0.3,
        violation=random.random() < 0.1,
    )


def _adult(random: Random, registry: Registry, *, male: bool, area: str, today: date) -> Adult:
    stay = random.randint(8, 190)
    service = random.randint(stay // 2, stay)
    insured = {kind: max(service - random.choice((0, 0, 2, 7, 13)), 0) for kind in INSURANCE}
    in_business = random.random() < 0.15
    person = registry.adult(male=male, area=area, today=today)
    return Adult(
        person=person,
        service_months=service,
        in_business=in_business,
        employer=f"东莞市{person.name[0]}记商行" if in_business else random.choice(EMPLOYERS),
        permits=renewed(back(today, stay), today),
        insured_months=insured,
        taxes=_taxes(random, in_business),
        study=_study(random, today),
        skill=random.choice((None, None, "1", "2", "3", "7")),
        business_code=f"{random.randrange(10**6):06d}" if in_business else None,
        volunteer_hours=random.choice((0, 0, 20, 50, 120)),
        blood=random.choice((0, 0, 1, 3)),
        gifts_fen=random.choice((0, 0, 150_000)),
        award=("1", "1", "一种可调节的注塑模具") if random.random() < 0.05 else None,
    )


def _taxes(random: Random, in_business: bool) -> dict[str, tuple[int, ...]]:
    paid = {"0101": tuple(random.randrange(0, 250_000) for _ in range(3))}
    if in_business:
        paid["0201"] = tuple(random.randrange(50_000, 900_000) for _ in range(3))
    if random.random() < 0.3:
        paid["0601"] = (random.randrange(500_000, 2_500_000),)
    return paid


def _study(random: Random, today: date) -> Study | None:
    education = random.choice(("", "", "3", "3", "2", "1"))
    if not education:
        return None
    return Study(
        education,
        {"1": "3", "2": "4", "3": ""}[education],
        random.choice(("东江学院（演示）", "岭南工学院（演示）", "湘江大学（演示）")),
        random.choice(("机械工程", "会计学", "电子信息", "工商管理")),
        date(today.year - random.randint(6, 15), 6, 30),
    )


def renewed(first: date, today: date, *, months: int = 36) -> tuple[Permit, ...]:
    """Residence permits renewed on the day, from `first` to beyond `today`."""
    permits = []
    while first <= today:
        after = back(first, -months)
        permits.append(Permit("residence", first, after - timedelta(days=1)))
        first = after
    return tuple(permits)


def _father(family: Family) -> Adult:
    """The father of a family that the cast is made from: each begins with one."""
    if family.father is None:
        raise ValueError("this part is for a family with a father")
    return family.father


def _with_permits(family: Family, permits: tuple[Permit, ...]) -> Family:
    return replace(family, father=replace(_father(family), permits=permits))


def _late(family: Family, today: date, days: int) -> Family:
    """Five years of residence, with one renewal so many days after the end."""
    ended = back(today, 20)
    first = Permit("residence", back(today, 60), ended)
    return _with_permits(family, (first, *renewed(ended + timedelta(days=days), today)))


def _before_2010(family: Family, today: date, taken_out: date) -> Family:
    old = tuple(
        Permit("temporary", date(y, 3, 1), date(y + 1, 3, 1) - timedelta(days=1)) for y in range(2006, 2010)
    )
    return _with_permits(family, (*old, *renewed(taken_out, today)))


def _named(family: Family, father: str, mother: str, child: str) -> Family:
    """The same family under other names; their numbers stay, and their businesses are given up."""
    first, *others = family.children
    return replace(
        family,
        father=replace(_father(family), person=replace(_father(family).person, name=father)),
        mother=replace(
            family.mother,
            person=replace(family.mother.person, name=mother),
            in_business=False,
            business_code=None,
            employer=EMPLOYERS[1],
        ),
        children=(replace(first, person=replace(first.person, name=child)), *others),
    )


def _story(family: Family, registry: Registry, today: date) -> Family:
    """The family that the demo follows: something in every office, and rare characters in their names."""
    family = _before_2010(_named(family, "陈䶮", "李𬭎", "陈㛃"), today, date(2010, 5, 20))
    father = replace(
        _father(family),
        service_months=86,
        in_business=False,
        employer=EMPLOYERS[0],
        insured_months={"110": 86, "310": 86, "210": 74, "410": 86, "510": 59},
        taxes={"0101": (181_210, 190_000, 172_000), "0102": (0, 120_000, 0), "0601": (1_234_500,)},
        study=Study("2", "4", "东江学院（演示）", "机械工程", date(today.year - 12, 6, 30)),
        skill="2",
        business_code=None,
        volunteer_hours=120,
        blood=3,
        award=("1", "1", "一种可调节的注塑模具"),
    )
    child = replace(family.children[0], nursery_months=36, nursery_approved=True)
    home = Home("B", "89.60", True, True, back(today, 30))
    return replace(
        family, father=father, children=(child,), home=home, town="南城街道", only_child=True, violation=False
    )


def _tax_over_cap(family: Family, registry: Registry, today: date) -> Family:
    paid = {"0101": (300_000,) * 3, "0102": (500_000,) * 3, "0201": (1_200_000,) * 3, "0301": (9_000_000,) * 3,
            "0601": (5_000_000,)}  # fmt: skip
    return replace(family, father=replace(_father(family), taxes=paid))


def _sister(family: Family, registry: Registry, today: date) -> Family:
    """A second, older child who enters a later grade."""
    born = date(today.year - 12, 3, 15)
    older = Child(
        registry.child(surname=family.children[0].person.name[0], area=family.area, born=born), 24, True, 30
    )
    return replace(family, children=(*family.children, older), only_child=False)


def _studied(family: Family, registry: Registry, today: date) -> Family:
    study = Study("2", "4", "岭南工学院（演示）", "会计学", date(today.year - 10, 6, 30))
    return replace(family, father=replace(_father(family), study=study))


def _co_owned(family: Family, registry: Registry, today: date) -> Family:
    return replace(family, home=Home("A", "102.35", True, True, back(today, 14)))


Change = Callable[[Family, Registry, date], Family]

CAST: Mapping[int, tuple[str, str, Change]] = {
    1: ("school", "主角：为孩子申请学位，姓名含生僻字", _story),
    2: ("renewed_day_30", "居住证到期后第30日续签：连续", lambda f, r, t: _late(f, t, 30)),
    3: ("renewed_day_31", "居住证到期后第31日续签：重新计算", lambda f, r, t: _late(f, t, 31)),
    4: (
        "one_day_short",
        "居住差一天满一年",
        lambda f, r, t: _with_permits(f, renewed(back(t + timedelta(days=1), 12) + timedelta(days=1), t)),
    ),
    5: ("revoked_degree", "学位将被撤销", _studied),
    6: ("co_owned", "夫妻共有房产", _co_owned),
    7: (
        "minority_name",
        "少数民族姓名含间隔号",
        lambda f, r, t: _named(f, "阿卜杜拉·买买提", "古丽·艾合买提", "艾山·阿卜杜拉"),
    ),
    8: (
        "suspended",
        "居住证已到期十日，仍可续签",
        lambda f, r, t: _with_permits(f, (Permit("residence", back(t, 60), t - timedelta(days=10)),)),
    ),
    9: (
        "temporary_lost",
        "2010年7月才办居住证：暂住证年限不计",
        lambda f, r, t: _before_2010(f, t, date(2010, 7, 1)),
    ),
    10: ("tax_over_cap", "纳税超过100分上限", _tax_over_cap),
    11: ("second_child", "两个孩子，大孩子插班", _sister),
    12: ("one_parent", "单亲：只有母亲", lambda f, r, t: replace(f, father=None, married=None, home=None)),
    13: ("divorced", "父母已离婚", lambda f, r, t: replace(f, divorced=True)),
    14: ("old_number", "旧库里是15位身份证号", lambda f, r, t: f),
}
"""Who stands at which edge: number -> label, label in Chinese, what is changed."""


def _cast(family: Family, number: int, registry: Registry, today: date) -> Family:
    if number not in CAST:
        return family
    label, label_zh, change = CAST[number]
    return replace(change(family, registry, today), label=label, label_zh=label_zh)
