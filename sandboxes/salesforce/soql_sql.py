"""Turns a parsed query into SQL over our tables, checking fields and types as Salesforce does.

Comparisons have two outcomes, as in SOQL: a null compares as unequal, never as unknown. Text compares
without case, ids with case and in their 15- or 18-character form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from . import ids
from .errors import ApiError
from .schema import COMPOUNDS, NUMBERS, TEXTS, Field, SObject
from .soql import Aggregate, Comparison, Condition, Junction, Literal, Name, Not, Query, refusal

MAX_OFFSET = 2_000
MAX_FIELDS_ALL = 200
_HINT = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_ACCEPTS = {
    "boolean": {"boolean"},
    "int": {"number"},
    "date": {"date", "relative"},
    "datetime": {"datetime", "relative"},
    "time": {"time"},
    **{kind: {"number"} for kind in NUMBERS},
}
_SHOWN = {"datetime": "dateTime", "int": "int", "boolean": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: `SELECT … FROM "object" t WHERE where ORDER BY order LIMIT …` with params.

    aggregates:  (alias, SQL) if the query has aggregates with a field
    """

    sobject: SObject
    fields: tuple[Field, ...]
    where: str
    params: tuple[str | int | float, ...]
    order: str
    tail: str
    counts: bool = False
    aggregates: tuple[tuple[str, str], ...] = ()

    def sql(self, expression: str) -> str:
        """A statement that selects `expression` from the matching rows."""
        name = self.sobject.name
        return f'SELECT {expression} FROM "{name}" t WHERE {self.where}{self.order}{self.tail}'  # noqa: S608 - names are ours, values are parameters


def stamp(moment: datetime) -> str:
    """A datetime as the API writes it: UTC, whole seconds, `.000+0000`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def read_datetime(text: str) -> str:
    """A datetime literal in the form we store, its milliseconds kept for comparing."""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}+0000"


def find_sobject(query: Query, sobjects: Mapping[str, SObject]) -> SObject:
    """The object a query is from, whatever its capitals, or INVALID_TYPE."""
    name = query.sobject.text
    found = next((s for s in sobjects.values() if s.name.lower() == name.lower() and s.queryable), None)
    if found is None:
        message = (
            f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
            "the '__c' after the entity name. "
            "Please reference your WSDL or the describe call for the appropriate names."
        )
        raise refusal(query.text, query.sobject.at, message, "INVALID_TYPE")
    return found


def find_field(query: Query, sobject: SObject, name: Name) -> Field:
    """The field of that name (`Contact.Name` works as `Name`), or INVALID_FIELD."""
    text = name.text
    head, dot, rest = text.partition(".")
    if dot and head.lower() == sobject.name.lower():
        text = rest
    found = sobject.find(text)
    if found is None:
        if "." in text:
            message = f"Didn't understand relationship '{head}' in field path. {_HINT}"
        else:
            message = f"No such column '{text}' on entity '{sobject.name}'. {_HINT}"
        raise refusal(query.text, name.at, message, "INVALID_FIELD")
    return found


def plan(query: Query, sobject: SObject, *, deleted: bool, now: datetime) -> Plan:
    """The SQL for a query. deleted: as queryAll, with the rows in the recycle bin, and activities that are archived."""
    compiler = _Compiler(query, sobject, now)
    aggregates = tuple(compiler.aggregate(f) for f in query.fields if isinstance(f, Aggregate) and f.field)
    if aggregates and len(aggregates) != len(query.fields):
        loose = next((f for f in query.fields if isinstance(f, Name)), query.sobject)
        message = f"Field must be grouped or aggregated: {loose.text}"
        raise refusal(query.text, loose.at, message)
    where = compiler.condition(query.where) if query.where else "1"
    for flag in () if deleted else ("IsDeleted", "IsArchived"):
        if sobject.has(flag):
            where = f'({where}) AND t."{flag}" = 0'
    return Plan(
        sobject=sobject,
        fields=tuple(compiler.selected()),
        where=where,
        params=tuple(compiler.params),
        order=compiler.order(),
        tail=compiler.tail(),
        counts=query.counts,
        aggregates=aggregates,
    )


class _Compiler:
    def __init__(self, query: Query, sobject: SObject, now: datetime) -> None:
        self.query, self.sobject, self.now = query, sobject, now
        self.params: list[str | int | float] = []

    def wrong(self, at: int, message: str, code: str = "INVALID_FIELD") -> ApiError:
        return refusal(self.query.text, at, message, code)

    def selected(self) -> Sequence[Field]:
        if self.query.group:
            return self.grouped()
        fields = [find_field(self.query, self.sobject, f) for f in self.query.fields if isinstance(f, Name)]
        seen: set[str] = set()
        for f, name in zip(fields, self.query.fields, strict=False):
            if f.name in seen:
                at = name.at if isinstance(name, Name) else 0
                raise self.wrong(at, f"duplicate field selected: {f.name}", "MALFORMED_QUERY")
            seen.add(f.name)
        return fields

    def grouped(self) -> Sequence[Field]:
        if self.query.group != "STANDARD" and (self.query.limit or MAX_FIELDS_ALL + 1) > MAX_FIELDS_ALL:
            message = "The SOQL FIELDS function must have a LIMIT of at most 200"
            raise self.wrong(0, message, "MALFORMED_QUERY")
        custom = {"ALL": (True, False), "STANDARD": (False,), "CUSTOM": (True,)}[self.query.group]
        return [f for f in self.sobject.fields if f.custom in custom]

    def aggregate(self, item: Aggregate) -> tuple[str, str]:
        if item.field is None:
            raise self.wrong(0, "COUNT() must stand alone", "MALFORMED_QUERY")
        found = find_field(self.query, self.sobject, item.field)
        sql = f"CAST({found.sql} AS REAL)" if found.type in NUMBERS else found.sql
        call = {"COUNT": "COUNT({})", "COUNT_DISTINCT": "COUNT(DISTINCT {})"}.get(item.function, item.function + "({})")
        return item.alias, call.format(sql)

    def order(self) -> str:
        keys = []
        for key in self.query.order:
            found = self.filterable(key.field)
            sql = f"CAST({found.sql} AS REAL)" if found.type in NUMBERS else found.sql
            collate = " COLLATE NOCASE" if found.type in TEXTS else ""
            keys.append(
                f"{sql}{collate} {'DESC' if key.descending else 'ASC'} NULLS {'LAST' if key.nulls_last else 'FIRST'}"
            )
        return f" ORDER BY {', '.join(keys)}" if keys else ""

    def tail(self) -> str:
        limit, offset = self.query.limit, self.query.offset
        if offset is not None and offset > MAX_OFFSET:
            raise self.wrong(0, f"Maximum SOQL offset allowed is {MAX_OFFSET}", "NUMBER_OUTSIDE_VALID_RANGE")
        return f" LIMIT {-1 if limit is None else limit} OFFSET {offset or 0}" if limit is not None or offset else ""

    def filterable(self, name: Name) -> Field:
        found = find_field(self.query, self.sobject, name)
        if not found.filterable:
            raise self.wrong(name.at, f"field '{found.name}' can not be filtered in a query call")
        return found

    def condition(self, condition: Condition) -> str:
        if isinstance(condition, Not):
            return f"NOT ({self.condition(condition.inner)})"
        if isinstance(condition, Junction):
            return "(" + f" {condition.operator} ".join(self.condition(p) for p in condition.parts) + ")"
        return self.comparison(condition)

    def comparison(self, c: Comparison) -> str:
        found = self.filterable(c.field)
        sql = f"CAST({found.sql} AS REAL)" if found.type in NUMBERS else found.sql
        compare: dict[str, Callable[[Field, str, Comparison], str]] = {
            "IN": self.membership, "NOT IN": self.membership, "LIKE": self.like,
            "INCLUDES": self.includes, "EXCLUDES": self.includes,
        }  # fmt: skip
        return compare.get(c.operator, self.relation)(found, sql, c)

    def relation(self, found: Field, sql: str, c: Comparison) -> str:
        collate = " COLLATE NOCASE" if found.type in TEXTS else ""
        marker = self.value(found, c.values[0])
        if c.operator in {"=", "!="}:
            return f"{sql} {'IS NOT' if c.operator == '!=' else 'IS'} {marker}{collate}"
        if found.type == "boolean":
            raise self.wrong(c.field.at, f"invalid operator on {found.type} field")
        plain = f"{sql} {c.operator} {marker}{collate}"
        return plain if not found.nillable else f"COALESCE({plain}, 0)"  # bare, so that an index can be used

    def membership(self, found: Field, sql: str, c: Comparison) -> str:
        collate = " COLLATE NOCASE" if found.type in TEXTS else ""
        parts = [f"{sql} IS {self.value(found, v)}{collate}" for v in c.values if v.kind == "null"]
        listed = [self.value(found, v) for v in c.values if v.kind != "null"]
        if listed:
            parts.append(f"COALESCE({sql}{collate} IN ({', '.join(listed)}), 0)")
        inside = f"({' OR '.join(parts)})"
        return f"NOT {inside}" if c.operator == "NOT IN" else inside

    def like(self, found: Field, sql: str, c: Comparison) -> str:
        if found.type not in TEXTS:
            raise self.wrong(c.field.at, f"invalid operator on {found.type} field")
        return f"COALESCE({sql} LIKE {self.value(found, c.values[0])} ESCAPE '\\', 0)"

    def includes(self, found: Field, sql: str, c: Comparison) -> str:
        if found.type != "multipicklist":
            raise self.wrong(c.field.at, f"invalid operator on {found.type} field")
        choices = []
        for value in c.values:
            wanted = [self.value(found, Literal("string", v, value.at)) for v in value.text.split(";")]
            choices.append(" AND ".join(f"instr(';' || {sql} || ';', ';' || {w} || ';') > 0" for w in wanted))
        inside = "COALESCE(" + " OR ".join(f"({c})" for c in choices) + ", 0)"
        return f"NOT {inside}" if c.operator == "EXCLUDES" else inside

    def value(self, found: Field, literal: Literal) -> str:
        """A parameter (its marker) for a literal of the right kind; INVALID_FIELD for a wrong one."""
        if literal.kind == "null":
            return "NULL"
        accepted = _ACCEPTS.get(found.type, {"string"})
        if literal.kind not in accepted:
            quoted = "" if "string" in accepted else " and should not be enclosed in quotes"
            shown = _SHOWN.get(found.type, found.type)
            message = f"value of filter criterion for field '{found.name}' must be of type {shown}{quoted}"
            raise self.wrong(literal.at, message)
        self.params.append(self.convert(found, literal))
        return "?"

    def convert(self, found: Field, literal: Literal) -> str | int | float:
        text = literal.text
        if literal.kind == "relative":
            return self.relative(found, text)
        readers: dict[str, Callable[[str], str | int | float]] = {
            "boolean": lambda t: int(t == "true"),
            "number": float,
            "datetime": read_datetime,
            "date": lambda t: datetime.fromisoformat(t).date().isoformat(),
            "time": lambda t: t.rstrip("Z").partition(".")[0] + ".000Z",
        }
        as_text: Callable[[str], str] = ids.widen if found.type in {"id", "reference"} else str
        try:
            return readers.get(literal.kind, as_text)(text)
        except ValueError as error:
            raise self.wrong(literal.at, f"invalid {literal.kind}: {text} ({error})", "MALFORMED_QUERY") from error

    def relative(self, found: Field, text: str) -> str:
        days = {"TODAY": 0, "YESTERDAY": 1}.get(text)
        day = self.now.astimezone(UTC) - timedelta(days=int(text.partition(":")[2]) if days is None else days)
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        return stamp(midnight) if found.type == "datetime" else midnight.date().isoformat()


def bulk_refusal(query: Query, planned: Plan) -> ApiError | None:
    """Why Bulk API 2.0 does not run a query that REST would.

    source: Bulk API 2.0 guide, "SOQL Considerations"; messages as reported by its users.
    """
    if not planned.sobject.bulk:
        return ApiError(400, "INVALIDENTITY", f"{planned.sobject.name} is not supported by the Bulk API")
    if any(f.type in COMPOUNDS for f in planned.fields):
        return ApiError(400, "API_ERROR", "Selecting compound data not supported in Bulk Query")
    if any(f.type == "base64" for f in planned.fields):
        return ApiError(400, "FEATURENOTENABLED", "Binary field not supported")
    if planned.counts or planned.aggregates:
        return ApiError(400, "FEATURENOTENABLED", "Aggregate queries are not supported in Bulk Query")
    if query.offset is not None or query.group:
        return ApiError(400, "FEATURENOTENABLED", "OFFSET and FIELDS() are not supported in Bulk Query")
    return None
