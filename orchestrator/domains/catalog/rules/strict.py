"""JSON Schema with one difference: a pattern must fit the whole text.

`$` of Python's expressions also fits before a line break at the end, so that a folder, a host or a name could carry
one on to a plugin. Our meta-schema wants every pattern to be written from `^` to `$`.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator


@cache
def validator() -> "type[Validator]":
    """The class to check values and connector files with."""
    from jsonschema import Draft202012Validator  # takes a tenth of a second; only commands that save need it
    from jsonschema.validators import extend

    made: type[Validator] = extend(  # type: ignore[no-untyped-call]  # jsonschema leaves it without types
        Draft202012Validator, {"pattern": _whole}
    )
    return made


def _whole(validator: "Validator", pattern: str, value: Any, _schema: Any) -> "Iterator[ValidationError]":
    from jsonschema import ValidationError

    if validator.is_type(value, "string") and not re.fullmatch(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")
