"""Take secrets out of text: exact values, and the forms they take inside JSON, URLs, Python and base64.

Built once per run; secrets that rotate during the run are added while lines flow. Values shorter than SHORTEST are
left alone, because taking "abc" out of every line would destroy the log and hide nothing; `too_short` counts them.
"""

import base64
import html
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from orchestrator.drivers.meltano.output import visible

SHORTEST: Final = 6  # characters
MASK: Final = "•••"
_URL_PASSWORD = re.compile(r"://[^:/@]*:([^@]*)@")  # as database libraries read it; source: sqlalchemy.engine.url
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|signature", re.IGNORECASE)
_SHORTEST_LINE = 8  # of a secret with several lines, such as a PEM key
_ANCHOR = 4  # characters looked for first
_MUCH = 500_000  # characters of forms, whose patterns take a second to make: before anybody waits for lines to be read
_COMMON = frozenset('etaoinsrhldcu 0123456789.:/-"')  # of log lines: bad characters to look for


class Redactor:
    """Replaces every known secret by MASK. Safe to use from several threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: frozenset[str] = frozenset()
        self._patterns: tuple[re.Pattern[str], re.Pattern[str]] | None = None
        self.too_short = 0
        self.longest = 0
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Know more secrets from now on."""
        with self._lock:
            forms = set(self._forms)
            for part in {part for secret in secrets for part in (secret, *_inside(secret))}:
                if len(part) < SHORTEST:
                    self.too_short += bool(part)
                    continue
                forms.update(_forms(part))
            if forms == self._forms:
                return
            self._forms = frozenset(forms)
            self.longest = max(map(len, forms))
            self._patterns = _patterns(forms) if sum(map(len, forms)) > _MUCH else None

    def __call__(self, text: str) -> str:
        """The text with MASK wherever a secret was."""
        if not self._forms:
            return text
        anchor, whole = self._patterns or self._made()
        return whole.sub(MASK, text) if anchor.search(text) else text

    def _made(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        """The patterns, made when the first text comes: by then the processes that say it have been started."""
        with self._lock:
            self._patterns = _patterns(self._forms)
            return self._patterns


def _patterns(forms: Iterable[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Finds a text that may hold a form; finds the forms."""
    return re.compile(_trie(_anchors(forms))), re.compile(_trie(forms))


def _inside(secret: str) -> Iterator[str]:
    """The secrets in a secret that is an address: whoever uses it says its password alone, as it is or decoded."""
    if "://" not in secret:
        return
    found = set(_URL_PASSWORD.findall(secret))
    with suppress(ValueError):  # not an address after all
        parts = urlsplit(secret)
        found.add(parts.password or "")
        found.update(value for name, value in parse_qsl(parts.query) if _SECRET_NAME.search(name))
    for password in found:
        yield from {password, unquote(password)}


def _forms(secret: str) -> Iterator[str]:
    """Every way the secret may be written that can be foreseen, each at least SHORTEST long."""
    parts = [line.strip() for line in secret.splitlines()] if "\n" in secret else []
    for value in (secret, visible(secret), secret.strip(), *(part for part in parts if len(part) >= _SHORTEST_LINE)):
        yield from (form for form in _written(value) if len(form) >= SHORTEST)


def _written(value: str) -> Iterator[str]:
    data = value.encode("utf-8", errors="surrogatepass")
    yield value
    for dumped in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield dumped
        yield json.dumps(dumped)[1:-1]  # JSON inside JSON: a log line about a request
        yield dumped.replace("/", "\\/")
    yield repr(value)[1:-1]
    yield repr(data)[2:-1]
    yield html.escape(value)
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield quoted
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    for escape in (r"%{:02x}", r"%{:02X}", r"\x{:02x}", r"\u{:04x}"):  # every byte escaped, needed or not
        yield "".join(map(escape.format, data))
    yield data.hex()
    yield data.hex().upper()
    yield base64.b32encode(data).decode()[: len(data) * 8 // 5]
    yield from _base64(data)


def _base64(data: bytes) -> Iterator[str]:
    """The characters of base64 that depend on nothing but data, for each place it can start at."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            text = encode(b"\0" * before + data).decode().rstrip("=")
            first = -(-before * 4 // 3)  # the first characters mix in what stands before
            last = len(text) if (before + len(data)) % 3 == 0 else -1
            yield text[first:last]
        yield encode(data).decode().rstrip("=")


def _anchors(forms: Iterable[str]) -> Iterator[str]:
    """A few characters out of every form, all beginning with one of few and rare characters.

    A text without any of them holds no form, and looking for them is ten times as fast as looking for the forms.
    """
    left = set(forms)
    while left:
        counts = Counter(character for form in left for character in set(form[: 1 - _ANCHOR]))
        best = max(counts, key=lambda character: (counts[character] / (8 if character in _COMMON else 1), character))
        found = {form for form in left if best in form[: 1 - _ANCHOR]}
        for form in found:
            start = form.index(best)
            yield form[start : start + _ANCHOR]
        left -= found


def _trie(forms: Iterable[str]) -> str:
    """One pattern for all forms that branches as they do, longest first: many alternatives in a row are slow."""
    root: dict[str, dict] = {}  # type: ignore[type-arg] # a tree has no finite type
    for form in forms:
        node = root
        for character in form:
            node = node.setdefault(character, {})
        node[""] = {}
    return _branch(root)


def _branch(node: dict[str, dict]) -> str:  # type: ignore[type-arg] # as above
    text = []
    while len(node) == 1 and "" not in node:  # a run without branches
        [(character, node)] = node.items()
        text.append(re.escape(character))
    ends = "" in node
    branches = [re.escape(character) + _branch(child) for character, child in sorted(node.items()) if character]
    if not branches:
        return "".join(text)
    tail = branches[0] if len(branches) == 1 and not ends else f"(?:{'|'.join(branches)})"
    return "".join(text) + tail + ("?" if ends else "")
