"""Text from outside on its way to a terminal or a name: characters that would steer the one or fake the other.

Taken out are control characters (escape sequences begin with one), line and paragraph separators, lone surrogates,
and the marks that turn the direction of writing, with which a name can look like another one.
source: Unicode Standard, general categories Cc, Cs, Zl, Zp; UAX #9 for the marks of direction
"""

import re

_LINES = "\t\n"
_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_STEERING = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_TURNING}]")
_BLANKS = re.compile("[\t\n\v\f\r\u2028\u2029]+")


def is_plain(text: str) -> bool:
    """Whether the text is one line of visible characters."""
    return _STEERING.search(text) is None


def cleaned(text: str, *, lines: bool = False) -> str:
    """The text without those characters; line breaks and tabs become a blank, or stay where `lines` are wanted."""
    if lines:
        return _STEERING.sub(lambda found: found[0] if found[0] in _LINES else "", text)
    return _STEERING.sub("", _BLANKS.sub(" ", text)) if _STEERING.search(text) else text


def escaped_json(document: str) -> str:
    """A JSON document with those characters of its texts written as escapes: it means the same."""
    return _STEERING.sub(lambda found: found[0] if found[0] in _LINES else f"\\u{ord(found[0]):04x}", document)
