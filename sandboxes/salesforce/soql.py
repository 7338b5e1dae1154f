"""Reads the subset of SOQL that data extraction needs into a tree; refuses the rest as Salesforce does.

Grammar: SELECT fields | FIELDS(ALL|STANDARD|CUSTOM) | COUNT() | COUNT(f), COUNT_DISTINCT(f), MIN(f), MAX(f)
FROM object [alias] [WHERE …] [ORDER BY f [ASC|DESC] [NULLS FIRST|LAST], …] [LIMIT n] [OFFSET n] [ALL ROWS].
Conditions: = != <> < <= > >= LIKE IN NOT IN INCLUDES EXCLUDES, AND OR NOT, parentheses; strings, numbers,
booleans, null, dates and datetimes unquoted, TODAY, YESTERDAY and LAST_N_DAYS:n.
source: SOQL and SOSL reference, "SOQL SELECT Syntax", "Quoted String Escape Sequences"
"""

import re
from dataclasses import dataclass

from .errors import ApiError

MAX_LENGTH = 100_000
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'(?:[^'\\]|\\.)*')
      | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
      | (?P<date>\d{4}-\d\d-\d\d)
      | (?P<time>\d\d:\d\d:\d\d(?:\.\d+)?Z?)
      | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z][\w.]*(?::\d+)?)
      | (?P<op><=|>=|!=|<>|=|<|>|\(|\)|,)
      | (?P<bad>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_COMPARISONS = {"=", "!=", "<>", "<", "<=", ">", ">="}
_AGGREGATES = {"COUNT", "COUNT_DISTINCT", "MIN", "MAX"}
_RELATIVE = re.compile(r"(?:TODAY|YESTERDAY|LAST_N_DAYS:\d+)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the query, and where it starts."""

    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The text in capitals if it is a word, else empty."""
        return self.text.upper() if self.kind == "name" else ""


@dataclass(frozen=True, slots=True)
class Name:
    """A field as written, and where."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`function(field) alias`; field is None for COUNT()."""

    function: str
    field: Name | None
    alias: str


@dataclass(frozen=True, slots=True)
class Literal:
    """kind: string, number, boolean, null, date, datetime, time or relative."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field operator values`; one value unless the operator is IN, NOT IN, INCLUDES or EXCLUDES."""

    field: Name
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """NOT condition."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND or OR."""

    operator: str
    parts: tuple["Condition", ...]


Condition = Comparison | Not | Junction


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY; nulls first is Salesforce's default."""

    field: Name
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parsed query; group is ALL, STANDARD or CUSTOM for FIELDS(…)."""

    text: str
    sobject: Name
    fields: tuple[Name | Aggregate, ...]
    group: str = ""
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int | None = None

    @property
    def counts(self) -> bool:
        """SELECT COUNT(): an answer without records."""
        first = self.fields[0] if self.fields else None
        return isinstance(first, Aggregate) and first.field is None


def refusal(text: str, at: int, message: str, code: str = "MALFORMED_QUERY") -> ApiError:
    """Salesforce's error with the place marked: the text around it, a caret, row and column."""
    line_start = text.rfind("\n", 0, at) + 1
    row, column = text.count("\n", 0, at) + 1, at - line_start + 1
    start = max(line_start, at - 40)
    around = text[start : at + 40].split("\n", maxsplit=1)[0]
    return ApiError(400, code, f"\n{around}\n{' ' * (at - start)}^\nERROR at Row:{row}:Column:{column}\n{message}")


def parse(text: str) -> Query:
    """The query, or an ApiError with MALFORMED_QUERY."""
    if len(text) > MAX_LENGTH:
        raise ApiError(400, "QUERY_TOO_COMPLICATED", f"SOQL statement is longer than {MAX_LENGTH} characters")
    return _Parser(text).query()


def unquote(text: str) -> str:
    """The value of a quoted string, its escapes resolved."""
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text[1:-1], flags=re.DOTALL)


class _Parser:
    """Recursive descent, one method per rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [
            Token(m.lastgroup or "", m[0], m.start()) for m in _TOKEN.finditer(text) if m.lastgroup != "space"
        ]
        self.tokens.append(Token("end", "<EOF>", len(text)))
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.at += 1
        return token

    def unexpected(self, token: Token | None = None) -> ApiError:
        token = token or self.token
        if token.kind == "end":
            return refusal(self.text, token.at, "unexpected token: '<EOF>'")
        return refusal(self.text, token.at, f"unexpected token: '{token.text}'")

    def accept(self, *words: str) -> bool:
        """Take these words if they come next."""
        coming = [t.word or t.text for t in self.tokens[self.at : self.at + len(words)]]
        if coming != list(words):
            return False
        self.at += len(words)
        return True

    def expect(self, *words: str) -> None:
        if not self.accept(*words):
            raise self.unexpected()

    def name(self) -> Name:
        token = self.next()
        if token.kind != "name":
            raise self.unexpected(token)
        return Name(token.text, token.at)

    def query(self) -> Query:
        self.expect("SELECT")
        group, fields = self.selection()
        self.expect("FROM")
        sobject = self.name()
        if self.token.kind == "name" and self.token.word not in {"WHERE", "ORDER", "LIMIT", "OFFSET", "ALL", "GROUP"}:
            raise self.unexpected()
        where = self.junction() if self.accept("WHERE") else None
        order = self.order() if self.accept("ORDER", "BY") else ()
        limit = self.integer() if self.accept("LIMIT") else None
        offset = self.integer() if self.accept("OFFSET") else None
        self.accept("ALL", "ROWS")
        if self.token.kind != "end":
            raise self.unexpected()
        return Query(
            text=self.text, sobject=sobject, fields=fields, group=group,
            where=where, order=order, limit=limit, offset=offset,
        )  # fmt: skip

    def selection(self) -> tuple[str, tuple[Name | Aggregate, ...]]:
        if self.accept("FIELDS", "("):
            group = self.name().text.upper()
            if group not in {"ALL", "STANDARD", "CUSTOM"}:
                raise self.unexpected(self.tokens[self.at - 1])
            self.expect(")")
            return group, ()
        fields: list[Name | Aggregate] = [self.selected(0)]
        while self.accept(","):
            fields.append(self.selected(len(fields)))
        return "", tuple(fields)

    def selected(self, position: int) -> Name | Aggregate:
        name = self.name()
        if not self.accept("("):
            return name
        if name.text.upper() not in _AGGREGATES:
            raise self.unexpected(self.tokens[self.at - 1])
        field = None if self.accept(")") else self.name()
        if field:
            self.expect(")")
        elif name.text.upper() != "COUNT":
            raise self.unexpected(self.tokens[self.at - 1])
        alias = f"expr{position}"
        if field and self.token.kind == "name" and self.token.word != "FROM":
            alias = self.next().text
        return Aggregate(name.text.upper(), field, alias)

    def junction(self) -> Condition:
        """Conditions joined by AND or by OR: mixing them needs parentheses."""
        parts = [self.condition()]
        operator = self.token.word if self.token.word in {"AND", "OR"} else ""
        while operator and self.accept(operator):
            parts.append(self.condition())
        if self.token.word in {"AND", "OR"}:
            raise self.unexpected()
        return Junction(operator, tuple(parts)) if operator else parts[0]

    def condition(self) -> Condition:
        if self.accept("NOT"):
            return Not(self.condition())
        if self.accept("("):
            inner = self.junction()
            self.expect(")")
            return inner
        field = self.name()
        operator = self.operator()
        if operator in {"IN", "NOT IN", "INCLUDES", "EXCLUDES"}:
            self.expect("(")
            values = [self.literal()]
            while self.accept(","):
                values.append(self.literal())
            self.expect(")")
            return Comparison(field, operator, tuple(values))
        return Comparison(field, operator, (self.literal(),))

    def operator(self) -> str:
        if self.accept("NOT", "IN"):
            return "NOT IN"
        token = self.next()
        if token.text in _COMPARISONS:
            return "!=" if token.text == "<>" else token.text
        if token.word in {"LIKE", "IN", "INCLUDES", "EXCLUDES"}:
            return token.word
        raise self.unexpected(token)

    def literal(self) -> Literal:
        token = self.next()
        if token.kind == "string":
            return Literal("string", unquote(token.text), token.at)
        if token.kind in {"number", "date", "datetime", "time"}:
            return Literal(token.kind, token.text, token.at)
        if token.word in {"TRUE", "FALSE"}:
            return Literal("boolean", token.word.lower(), token.at)
        if token.word == "NULL":
            return Literal("null", "", token.at)
        if token.kind == "name" and _RELATIVE.match(token.text):
            return Literal("relative", token.text.upper(), token.at)
        raise self.unexpected(token)

    def order(self) -> tuple[Order, ...]:
        keys = [self.order_key()]
        while self.accept(","):
            keys.append(self.order_key())
        return tuple(keys)

    def order_key(self) -> Order:
        name = self.name()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        last = self.accept("NULLS", "LAST")
        if not last:
            self.accept("NULLS", "FIRST")
        return Order(name, descending, last)

    def integer(self) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit():
            raise self.unexpected(token)
        return int(token.text)
