import pytest

from orchestrator.drivers.meltano.sieve import LONGEST, Sieve


def told(*parts):
    """What passes of these chunks, said at once, with what follows at the end."""
    sieve = Sieve()
    return b"".join([*(sieve.feed(part, 0.0) for part in parts), sieve.end()])


@pytest.mark.parametrize(
    "chunks",
    [[b"one\ntwo\n"], [b"o", b"ne\ntw", b"o\n"], [b"one\n", b"two"], [b"\n\none\n\ntwo\n"]],
    ids=["at once", "in pieces", "without an end", "empty lines"],
)
def test_what_is_said_at_a_bearable_rate_passes_unchanged(chunks):
    assert told(*chunks) == b"".join(chunks).removesuffix(b"\n") + b"\n"


def test_a_flood_is_counted_and_its_last_words_are_kept():
    lines = [f"line {number}\n".encode() for number in range(1_000_000)]
    passed = told(*(b"".join(lines[start : start + 10_000]) for start in range(0, 1_000_000, 10_000))).splitlines()

    assert passed[0] == b"line 0"
    assert len(passed) < 11_000
    assert passed[-1] == b"line 999999"
    [note] = [line for line in passed if b"left out" in line]
    said, kept = int(note.split()[1].replace(b",", b"")), len(passed) - 1
    assert said + kept == 1_000_000 + 50, "the last 50 are left out, counted, and told all the same"


@pytest.mark.parametrize(
    "line", [b'METRIC: {"value": 1}', b"psycopg.OperationalError: gone", b'{"level": "error"}', b"ERROR no"]
)
def test_what_matters_passes_in_the_middle_of_a_flood(line):
    flood = b"noise\n" * 200_000
    assert line + b"\n" in told(flood, flood, line + b"\n", flood)


def test_errors_without_end_are_a_flood_too():
    passed = told(*([b"ERROR no\n" * 10_000] * 50))
    assert passed.count(b"\n") < 3_000
    assert b"498,000 lines (4.0 MB) left out" in passed


def test_a_long_line_is_cut_and_never_held():
    sieve = Sieve()
    for _ in range(100):
        assert sieve.feed(b"x" * 1_000_000, 0.0) == b""
    assert len(sieve._held) == LONGEST

    passed = sieve.feed(b"\nnext\n", 0.0)

    assert passed.endswith(b"bytes cut]\nnext\n")
    assert len(passed) < LONGEST + 100


def test_after_a_pause_lines_pass_again_and_what_was_left_out_is_said_first():
    sieve = Sieve()
    sieve.feed(b"noise\n" * 200_000, 0.0)

    assert sieve.feed(b"too soon\n", 0.5) == b""
    assert sieve.feed(b"quiet\n", 2.0).splitlines()[0].startswith("… 190,001 lines".encode())
    assert sieve.feed(b"and on\n", 2.0) == b"and on\n"
