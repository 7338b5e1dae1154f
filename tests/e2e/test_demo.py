"""`orchestrator demo`: the main job from nothing."""

from tests.e2e.installation import Installation


def test_the_demo_moves_everything_and_then_only_what_changed(installation: Installation) -> None:
    done = installation.run("demo", "--json")
    assert done.code == 0, done.err
    first = {row["stream"]: row for row in done.json["streams"] if row["sync"] == "first sync"}
    second = {row["stream"]: row for row in done.json["streams"] if row["sync"] == "second sync"}
    assert sum(row["read"] for row in first.values()) > 10_000
    assert all(row["read"] == row["written"] for row in (*first.values(), *second.values()))
    assert {name: row["read"] for name, row in second.items()} == {
        "Account": 55,
        "Contact": 250,
        "Lead": 0,
        "Opportunity": 65,
        "User": 0,
    }
    assert {name: row["deleted"] for name, row in second.items() if row["deleted"]} == {
        "Account": 10,
        "Contact": 30,
        "Opportunity": 5,
    }
    deleted = {"Account": 20, "Contact": 80, "Lead": 25, "Opportunity": 25, "User": 0}
    rows = {"Account": 1_005, "Contact": 5_020, "Lead": 2_500, "Opportunity": 2_000, "User": 50}
    assert done.json["tables"] == {name: {"rows": rows[name], "deleted": deleted[name]} for name in rows}
