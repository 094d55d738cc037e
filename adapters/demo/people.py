"""Made-up people with resident numbers that check and belong to nobody."""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from hub.formats.identifiers import resident_check_character

AREAS = ("369998", "419998", "429998", "439998", "459998", "529998")
"""Area codes of no county (province + 9998), so that no number made here can be a real person's."""

SURNAMES = "陈李张黄何林刘吴梁罗周谢郑曾邓冯彭叶卢蔡"
GIVEN_MALE = (
    "志强",
    "建国",
    "伟明",
    "国华",
    "永辉",
    "文杰",
    "家豪",
    "俊",
    "磊",
    "海波",
    "立新",
    "晓东",
    "春生",
    "鹏飞",
)
GIVEN_FEMALE = (
    "秀英",
    "丽华",
    "小红",
    "燕",
    "玉兰",
    "雪梅",
    "静",
    "慧敏",
    "晓玲",
    "春燕",
    "美凤",
    "敏",
    "婷婷",
    "艳芳",
)
GIVEN_CHILD = ("子轩", "梓涵", "雨桐", "浩然", "思远", "欣怡", "宇航", "诗涵", "俊熙", "可馨", "明轩", "佳琪")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist. `male` decides the parity of the number's sequence."""

    name: str
    id_no: str
    born: date
    male: bool

    @property
    def old_id_no(self) -> str:
        """The 15-digit form of before 1999, as old tables still hold it (people born in the 1900s only)."""
        return self.id_no[:6] + self.id_no[8:17]


class Registry:
    """Hands out people; the same seed gives the same people, and no number comes twice."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used: set[str] = set()

    def person(self, name: str, *, born: date, male: bool, area: str) -> Person:
        """A person of that name; area + birth date + sequence (odd: male) + check character (GB 11643)."""
        while True:
            sequence = self._random.randrange(1, 499) * 2 - (1 if male else 0)
            body = f"{area}{born:%Y%m%d}{sequence:03d}"
            if body not in self._used:
                self._used.add(body)
                return Person(name, body + resident_check_character(body), born, male)

    def adult(self, *, male: bool, area: str, today: date, name: str | None = None) -> Person:
        """A parent between 28 and 40 years old."""
        given = self._random.choice(GIVEN_MALE if male else GIVEN_FEMALE)
        drawn = self._random.choice(SURNAMES) + given
        born = date(today.year - self._random.randint(28, 40), 1, 1) + timedelta(self._random.randrange(365))
        return self.person(name or drawn, born=born, male=male, area=area)

    def child(self, *, surname: str, area: str, born: date, name: str | None = None) -> Person:
        """A child with the given birthday."""
        given = self._random.choice(GIVEN_CHILD)
        return self.person(name or surname + given, born=born, male=self._random.random() < 0.5, area=area)
