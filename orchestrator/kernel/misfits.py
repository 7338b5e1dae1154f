"""What doesn't fit a setting or an option, in plain words: pydantic's are for programmers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WHOLE, _SIZE = "must be a whole number", "must be a size such as 512 MiB or 4 GiB"
# source: pydantic documentation, "Validation Errors"
_WORDS = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": "is too long a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "byte_size": _SIZE,
    "byte_size_unit": _SIZE,
}


def plain(problem: "ErrorDetails") -> str:
    """One problem of a ValidationError, to be said after the name of what doesn't fit; without the value."""
    words = _WORDS.get(problem["type"])
    if words is None:
        return problem["msg"].removeprefix("Value error, ")
    return words.format(**{name: _spoken(bound) for name, bound in problem.get("ctx", {}).items()})


def _spoken(bound: object) -> object:
    """A bound as people write it; sizes with their units."""
    readable = getattr(bound, "human_readable", None)
    return bound if readable is None else readable(separator=" ").replace(".0", "")
