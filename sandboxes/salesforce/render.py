"""Writes records as the API shows them, by SQL: SQLite builds each CSV line or JSON object in C.

Decimals stay the digits they were stored as; no value passes through a Python float.
"""

from collections.abc import Sequence

from .schema import NUMBERS, TEXTS, Field
from .soql_sql import Plan

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _joined(pieces: Sequence[str]) -> str:
    """SQL that concatenates the pieces; a balanced tree, since SQLite bounds the depth of an expression."""
    if len(pieces) == 1:
        return pieces[0]
    middle = len(pieces) // 2
    return f"({_joined(pieces[:middle])} || {_joined(pieces[middle:])})"


def _flag(f: Field) -> str:
    return f"CASE WHEN {f.sql} THEN 'true' ELSE 'false' END"


def csv_header(fields: Sequence[Field], delimiter: str, line_ending: str) -> bytes:
    """The first line of a page of results."""
    return (delimiter.join(f'"{f.name}"' for f in fields) + line_ending).encode()


def csv_line(fields: Sequence[Field], delimiter: str, line_ending: str) -> str:
    """SQL for a record as a CSV line in UTF-8, every value quoted, null as `""`.

    source: Bulk API 2.0 guide, "Get Results for a Query Job" (example bodies)
    """
    pieces = [_literal('"')]
    for f in fields:
        pieces += [_csv_cell(f), _literal(f'"{delimiter}"')]
    pieces[-1] = _literal('"' + line_ending)
    return f"CAST({_joined(pieces)} AS BLOB)"


def _csv_cell(f: Field) -> str:
    if f.type == "boolean":
        return _flag(f)
    value = f"COALESCE({f.sql}, '')"
    return f"""REPLACE({value}, '"', '""')""" if f.type in TEXTS else value


def json_object(plan: Plan, base: str, *, epoch: bool = False) -> str:
    """SQL for a record as JSON text with its `attributes`. base: `/services/data/vNN.N`; epoch: as Bulk 1.0 has it.

    Bulk 1.0 gives date-times as milliseconds since 1970; source: simple-salesforce issue 290
    """
    url = f"{base}/sobjects/{plan.sobject.name}/"
    pieces = [_literal(f'{{"attributes":{{"type":"{plan.sobject.name}","url":"{url}'), 't."Id"', _literal('"}')]
    for f in plan.fields:
        value = _milliseconds(f) if epoch and f.type == "datetime" else _json_value(f, plan, url)
        pieces += [_literal(f',"{f.name}":'), value]
    return _joined([*pieces, _literal("}")])


def _milliseconds(f: Field) -> str:
    return f"COALESCE(strftime('%s', substr({f.sql}, 1, 19)) || substr({f.sql}, 21, 3), 'null')"


def _json_value(f: Field, plan: Plan, url: str) -> str:
    if f.type == "boolean":
        return _flag(f)
    if f.type in NUMBERS or f.type == "int":
        return f"COALESCE({f.sql}, 'null')"
    if f.type == "base64":
        return f"""('"{url}' || t."Id" || '/{f.name}"')"""
    if f.parts:
        return _compound(f, plan, url)
    return f"json_quote({f.sql})"


def _compound(f: Field, plan: Plan, url: str) -> str:
    """An address or a location: an object of its parts, or null if all of them are."""
    parts = [(key, plan.sobject.find(column)) for key, column in f.parts]
    present = [(key, part) for key, part in parts if part]
    pieces = []
    for n, (key, part) in enumerate(present):
        pieces += [_literal(f'{"," if n else "{"}"{key}":'), _json_value(part, plan, url)]
    empty = " AND ".join(f"{part.sql} IS NULL" for _, part in present)
    return f"CASE WHEN {empty} THEN 'null' ELSE {_joined([*pieces, _literal('}')])} END"
