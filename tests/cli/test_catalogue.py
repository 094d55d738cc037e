"""`yimen catalogue`: lint counts, load takes two officers, diff says what differs."""

import csv
import io

from registry.makers import credit

from hub.catalogue.table import COLUMNS

ROW = {
    "code": "441900-civil-marriage", "class": "社会民生", "department": "dg-civil", "level": "市级",
    "subject": "自然人", "zh": "内地居民结婚登记", "en": "Marriage registration", "version": "2",
    "valid_from": "2026-01-01", "limit": "0",
    "limit_basis": "hy", "materials": "identity; household", "intro_zh": "当场登记。", "intro_en": "On the spot.",
    "unconfirmed": "materials",
}  # fmt: skip


def written(home, *rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS.values())
    writer.writerows([[row[name] for name in COLUMNS] for row in rows])
    path = home / "items.csv"
    path.write_bytes(out.getvalue().encode("gb18030"))
    return str(path)


def test_lint_counts_by_completeness_and_needs_no_hub(yimen, home):
    told = yimen("catalogue", "lint", "--json").json
    assert (told["items"], told["complete"], told["skeletons"], told["faults"]) == (1817, 90, 1727, [])
    assert sum(one["items"] for one in told["by_class"].values()) == 1817
    lines = yimen("catalogue", "lint").out
    assert "编目完整 complete 90" in lines
    broken = written(home, ROW, ROW | {"code": "441900-civil-x", "materials": "identity; nothing_such"})
    done = yimen("catalogue", "lint", broken)
    assert done.code == 1
    assert "第 3 行 line 3 [materials]" in done.out


def test_a_file_of_ones_own_takes_two_officers(started, home):
    roster = home / "officers.csv"
    roster.write_text("部门,登录名,姓名,角色\ndg-civil,jia,甲,发证人员\ndg-civil,yi,乙,复核人员\n")
    civil = (
        "department",
        "add",
        "dg-civil",
        "--uscc",
        credit(9),
        "--name-zh",
        "民政局",
        "--name-en",
        "Civil Affairs",
    )
    assert started(*civil).code == 0
    assert started("officer", "import", str(roster)).code == 0
    same = started("catalogue", "diff", "--json").json
    assert (same["new"], same["raised"], same["changed"], same["missing"]) == ([], [], [], [])
    path = written(home, ROW)
    assert started("catalogue", "diff", path, "--json").json["raised"] == [ROW["code"]]
    assert started("catalogue", "load", path, "--dry-run", "--json").json["published"] == [ROW["code"]]
    assert "catalogue.two_officers" in started("catalogue", "load", path).err
    alone = ("--made-by", "dg-civil/jia", "--approved-by", "dg-civil/jia")
    assert "catalogue.not_owner" in started("catalogue", "load", path, *alone).err
    both = ("--made-by", "dg-civil/jia", "--approved-by", "dg-civil/yi")
    assert started("catalogue", "load", path, *both, "--json").json["published"] == [ROW["code"]]
    assert started("catalogue", "load", path, *both, "--json").json["published"] == []
    changed = written(home, ROW | {"intro_zh": "不同。"})
    again = started("catalogue", "diff", changed, "--json")
    assert (again.code, again.json["changed"]) == (1, [ROW["code"]])
