"""What to do when Salesforce cannot run a query as it is: too long, too slow, too complicated, out of date."""

import re
from collections.abc import Sequence
from itertools import accumulate

from tap_salesforce.errors import ConfigError

# source: SOAP API Developer Guide, "ExceptionCode"; SOQL guide, "SOQL and SOSL Limits"
_HINTS = {
    "QUERY_TOO_COMPLICATED": "Deselect some of the object's formula fields: Salesforce puts their formulas together, "
    "and the sum is too large.",
    "QUERY_TIMEOUT": "Lower window_rows, or deselect long text and formula fields; a custom index on the object's "
    "stamp, by Salesforce support, helps for good.",
    "OPERATION_TOO_LARGE": "Give the user the permission 'View All Data', or lower window_rows.",
    "INVALID_FIELD": "A selected field is gone, or hidden from this user: run discovery again, or deselect it.",
    "INVALID_TYPE": "The object is gone, or hidden from this user: deselect it, or grant access to it.",
}
# Another try would end the same way, whatever the HTTP status.
POINTLESS_TO_REPEAT = frozenset({"QUERY_TOO_COMPLICATED", "QUERY_TIMEOUT", "OPERATION_TOO_LARGE"})
_CODE = re.compile("|".join(_HINTS))
_NAMED = 5  # fields in a sentence


def hint(reason: str, otherwise: str) -> str:
    """What to do about Salesforce's reason (which begins with or holds its code)."""
    found = _CODE.search(reason)
    return _HINTS[found[0]] if found else otherwise


def too_long(
    fields: Sequence[str], *, length: int, limit: int, way: str, comma: int = 1, otherwise: str = ""
) -> ConfigError:
    """A query that does not fit: how many fields to deselect, and which help most.

    way: who limits it; comma: how long a comma is there
    """
    longest = sorted(fields, key=lambda name: (-len(name), name))
    saved = accumulate(len(name) + comma for name in longest)
    spare = next((number for number, size in enumerate(saved, 1) if length - size <= limit), len(fields))
    return ConfigError(
        f"The query for {len(fields):,} fields has {length:,} characters; {way} takes {limit:,}.",
        hint=f"Deselect at least {spare:,} fields, those with long names first "
        f"({', '.join(longest[:_NAMED])}…){otherwise}.",
    )
