"""Made-up data: the same for one seed, consistent, and nasty. (modules: generate, store)"""

import csv
import sqlite3
from collections import Counter
from contextlib import closing
from decimal import Decimal

import pytest

from sandboxes.salesforce import LocalOrg
from sandboxes.salesforce.generate import decimal_text


def content(org):
    return [org.store.rows(f'SELECT * FROM "{name}" ORDER BY _row') for name in sorted(org.store.sobjects)]


def test_one_seed_always_gives_the_same_records(fresh):
    one, same, other = (fresh(seed=seed).org for seed in (3, 3, 4))
    assert content(one) == content(same) != content(other)


def test_references_lead_to_records_that_exist(org):
    for sobject in org.store.sobjects.values():
        for f in (f for f in sobject.columns if f.refers_to and sobject.queryable):
            named = {i for (i,) in org.store.rows(f'SELECT DISTINCT "{f.name}" FROM "{sobject.name}"') if i}
            known = {
                i for target in f.refers_to if target in org.store.sobjects
                for (i,) in org.store.rows(f'SELECT "Id" FROM "{target}"')
            }  # fmt: skip
            assert named <= known, f"{sobject.name}.{f.name}"


def test_values_are_nasty_but_never_where_they_must_not_be(org):
    rows = [r for (r,) in org.store.rows('SELECT "Title" FROM "Contact"')]
    seen = set(rows)
    assert {None, "NA", "null", "007", "=1+1", 'He said "yes"', "first line\r\nsecond line", "\\N"} <= seen
    assert "" not in seen
    long = max(len(r or "") for (r,) in org.store.rows('SELECT "Description" FROM "Contact"'))
    assert 1_000 < long <= 32_000
    for f in org.store.sobjects["Contact"].columns:
        nulls = org.store.rows(f'SELECT COUNT(*) FROM "Contact" WHERE "{f.name}" IS NULL')[0][0]
        assert f.nillable or nulls == 0, f.name


def test_one_record_in_a_hundred_is_deleted(org):
    count = org.count("Contact")
    assert count["deleted"] == pytest.approx(sum(count.values()) / 100, abs=1)


def test_moments_of_change_spread_over_years_and_one_is_shared(org):
    stamps = [s for (s,) in org.store.rows('SELECT "SystemModstamp" FROM "Contact" ORDER BY _row')]
    assert {s[:4] for s in stamps} == {"2020", "2021", "2022", "2023", "2024", "2025"}
    assert stamps != sorted(stamps)
    ((_, most),) = Counter(stamps).most_common(1)
    assert most >= len(stamps) // 100
    late = org.store.rows('SELECT COUNT(*) FROM "Contact" WHERE "CreatedDate" > "SystemModstamp"')
    assert late == [(0,)]


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("15000", "15000.0"), ("0", "0.0"), ("-3.50", "-3.5"), ("0042.10", "42.1"), ("350000000", "3.5E8"),
        ("10000000", "1.0E7"), ("-12345678.9", "-1.23456789E7"), ("12345678901234.56", "12345678901234.56"),
        ("9999999999999999.99", "9999999999999999.99"),
    ],
)  # fmt: skip
def test_decimals_are_written_as_java_does_and_lose_nothing(digits, shown):
    assert decimal_text(digits) == shown
    assert Decimal(shown) == Decimal(digits)


def test_some_decimals_have_more_digits_than_a_double_holds(org):
    values = [v for (v,) in org.store.rows('SELECT "Credit_Limit__c" FROM "Contact"') if v]
    assert any(Decimal(v) != Decimal(float(v)).quantize(Decimal("0.01")) for v in values)


def test_a_cache_gives_the_same_org_without_making_it_again(fresh, tmp_path, monkeypatch):
    first = content(fresh(cache_dir=tmp_path).org)
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr("sandboxes.salesforce.generate.fill", None)
    again = fresh(cache_dir=tmp_path).org
    assert content(again) == first
    again.churn("Contact", delete=5)  # the kept file is not touched
    with pytest.raises(TypeError):
        fresh(cache_dir=tmp_path, seed=99)
    with closing(sqlite3.connect(kept)) as db:
        assert db.execute('SELECT SUM("IsDeleted") FROM "Contact"').fetchone() == (1,)


def test_an_unknown_object_or_count_is_refused():
    for counts in ({"Kontact": 5}, {"Contact": -1}, {"User": 0}, {"ActivityHistory": 1}):
        with pytest.raises(Exception, match=r"no object|no number"):
            LocalOrg(counts=counts)


def test_the_csv_module_reads_every_record_back(org, client):
    job = client.finished("SELECT Id, Title, Department, LastName FROM Contact")
    page = client.get(f"/jobs/query/{job}/results").body.decode()
    rows = list(csv.reader(page.splitlines(keepends=True)))
    assert {len(r) for r in rows} == {4}
    stored = {i: t or "" for i, t in org.store.rows('SELECT "Id", "Title" FROM "Contact"')}
    assert {r[0]: r[1] for r in rows[1:]} == stored
