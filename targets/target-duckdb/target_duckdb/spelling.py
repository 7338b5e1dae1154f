"""How values are written. DuckDB reads more than is meant: `0x10`, `1_000`, the year 26, an offset of 99 hours."""

from typing import Final

from target_duckdb.kinds import Kind
from target_duckdb.names import literal

_PLAIN: Final = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_DAY: Final = r"\d{4,6}(-\d{1,2}-|/\d{1,2}/)\d{1,2}"
_OFFSET: Final = r"[Zz]|[+-](0\d|1[0-5])(:?[0-5]\d(:[0-5]\d)?)?"  # as far as Postgres goes
_CLOCK: Final = rf"\d{{1,2}}:\d{{2}}(:\d{{2}}(\.\d*)?)?\s?({_OFFSET}|[A-Za-z][\w+/-]*)?"
_MIDNIGHT: Final = rf"00:00(:00(\.0*)?)?({_OFFSET})?"
_EVER: Final = "-?infinity"
_SPELT: Final = {
    Kind.BIGINT: _PLAIN,
    "HUGEINT": _PLAIN,
    Kind.DECIMAL: _PLAIN,
    Kind.DOUBLE: rf"{_PLAIN}|[+-]?(?i:inf|infinity|nan)",
    "FLOAT": rf"{_PLAIN}|[+-]?(?i:inf|infinity|nan)",
    Kind.DATE: rf"{_DAY}([T ]{_MIDNIGHT})?|{_EVER}",
    Kind.TIMESTAMP: rf"{_DAY}([T ]{_CLOCK})?|{_EVER}",
    "TIMESTAMP": rf"{_DAY}([T ]{_CLOCK})?|{_EVER}",
}
# Told at a fraction of the price: what DuckDB reads of this kind is what it says.
_NUMBER: Final = "length({0}) < 300 AND regexp_full_match({0}, '[0-9.-]+')"
_MOMENT: Final = "({0} LIKE '____-__-__T__:__:__%Z' OR {0} LIKE '____-__-__T__:__:__%+00:00') AND {0} >= '0001'"
_CHEAP: Final = {
    Kind.DATE: "{0} LIKE '____-__-__' AND {0} >= '0001'",
    Kind.TIMESTAMP: _MOMENT,
    "TIMESTAMP": _MOMENT,
}
_DATES: Final = frozenset({Kind.DATE, Kind.TIMESTAMP, "TIMESTAMP"})
_FLOATS: Final = frozenset({Kind.DOUBLE, "FLOAT"})


def misread(type_: str, text: str) -> str | None:
    """A condition that is true where DuckDB would read this text as something else, or guess; None if never.

    A number beyond DOUBLE would be infinite there, or nothing; there is no year 0.
    """
    spelt = _SPELT.get(type_)
    if spelt is None:
        return None
    pattern = literal(rf"\s*({spelt})\s*")
    wrong = [f"NOT regexp_full_match({text}, {pattern})"]
    if type_ in _DATES:
        wrong.append(f"regexp_matches({text}, '^\\s*0000[-/]')")
    else:
        double = f"TRY_CAST({text} AS DOUBLE)"
        wrong.append(rf"({text} ILIKE '%e-%' AND {double} = 0 AND regexp_matches({text}, '^[^eE]*[1-9]'))")
    if type_ in _FLOATS:
        wrong.append(f"(isinf({double}) AND {text} NOT ILIKE '%inf%')")
    plainly = _CHEAP.get(type_, _NUMBER).format(text)
    return f"CASE WHEN {plainly} THEN false ELSE {' OR '.join(wrong)} END"
