"""What is wrong, or worth noting, about one row: stable words, never a value of the row."""

from dataclasses import dataclass

CODES: dict[str, tuple[str, str]] = {
    "charset": ("文字无法按声明的编码读出", "text cannot be read in the declared charset"),
    "lossy_text": ("姓名里有 ? 或 U+FFFD，原字已丢失", "a name holds ? or U+FFFD: a character was lost"),
    "private_use": ("含有没有统一码形式的自造字", "a private-use character without a Unicode form"),
    "control_character": ("含有控制字符", "a control character"),
    "invisible_character": ("含有看不见的字符", "an invisible character"),
    "type": ("值的类型不对", "the value has the wrong type"),
    "range": ("数值超出范围或小数位过多", "the number is out of range or has too many decimals"),
    "code_unknown": ("代码不在代码表中", "the code is not in the code table"),
    "date_impossible": ("日期不存在或格式不符", "no such date, or another format"),
    "id_check_digit": ("证件号码校验不通过", "the identity number does not check"),
    "list_shape": ("列表项的字段数不符", "a list entry has the wrong number of fields"),
    "missing_value": ("必填的值为空", "a required value is empty"),
    "missing_column": ("数据源没有这一列", "the source has no such column"),
    "missing_key": ("主键为空", "the row has no key"),
    "duplicate_key": ("主键重复", "several rows share this key"),
    "row_shape": ("列数与表头不符", "the number of cells differs from the header"),
    "fetch_failed": ("这一行读不出来", "the row cannot be fetched"),
    "holders": ("持证主体与证照类型不符", "the holders do not fit the certificate type"),
    "schema": ("内容不符合证照类型的规定", "the claims do not fit the certificate type's schema"),
    "validity": ("有效期起止颠倒", "validity ends before it begins"),
    "too_large": ("一张证照放不下这么多内容", "too much for one certificate"),
    "refused_by_hub": ("枢纽拒收", "the hub refused it"),
    # Notes: the row is signed all the same.
    "unicode_form": ("自造字区的旧码已换成统一码", "an old private-use form was brought to Unicode"),
    "bytes_recovered": ("错码已按原始字节还原", "text was recovered from its raw bytes"),
    "id_converted": ("15 位证件号已转为 18 位", "a 15-digit number was lengthened to 18"),
    "id_tidied": (
        "证件号里的空格、连字符或全角字符已去除",
        "spaces, hyphens or full-width forms were taken out",
    ),
    "float_source": (
        "数据源给的是浮点数，已按位数取整",
        "the source gave a float; rounded to the declared scale",
    ),
    "code_dropped": ("未知代码，此项留空", "an unknown code was left out"),
}
"""Finding code -> (Chinese, English)."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault (quarantines the row) or note (does not).

    `where` is a claim or holder path, `column` a source column. `detail` may hold positions and code points,
    never a value of the row.
    """

    code: str
    where: str = ""
    column: str = ""
    detail: str = ""

    @property
    def zh(self) -> str:
        """In Chinese."""
        return CODES.get(self.code, (self.code, self.code))[0]

    @property
    def en(self) -> str:
        """In English."""
        return CODES.get(self.code, (self.code, self.code))[1]
