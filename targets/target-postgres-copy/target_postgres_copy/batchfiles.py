"""Batch files as streams of bytes: opened, unpacked, cleaned of NUL; CSV with its header told apart.

Whatever is large stays a stream: a file of any size costs a few hundred KB here.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from isal import isal_zlib
from singer_sdk.helpers._batch import StorageTarget

from target_postgres_copy import batchfolder
from target_postgres_copy.errors import DamagedBatchError, MessageError

_MISPLACED: Final = "The tap's batch_config.storage.root must be the loader's."
_UNREADABLE: Final = "Run tap and loader as one user."
_READ: Final = 1 << 17
_UNPACKED: Final = 1 << 18  # at most so much from one step, however well it was packed
_HEADER: Final = 1 << 20
_NotGzipError: Final[type[Exception]] = isal_zlib.error  # type: ignore[assignment]  # a class, whatever its stub says
_BOM: Final = b"\xef\xbb\xbf"
csv.field_size_limit(sys.maxsize)


@dataclass(slots=True)
class Nuls:
    """How many NUL characters were taken out: Postgres has no way to store them."""

    count: int = 0

    def strip(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same without them."""
        for chunk in chunks:
            if b"\0" in chunk:
                self.count += chunk.count(b"\0")
                yield chunk.replace(b"\0", b"")
            else:
                yield chunk


def local(url: str) -> Path | None:
    """The file on this machine that a manifest names, or None if it is elsewhere."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _no_batch_file(url) from None
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(url)


def delete(url: str, *, within: str | None) -> None:
    """Remove a batch file of this machine, if it is a plain file in the folder `within` (None: in any).

    A manifest may name anything, and we may run as root: no link is followed, no device is touched.
    """
    path, root = local(url), None if within is None else local(within)
    if path is not None and (within is None or root is not None):
        batchfolder.remove(path, within=root)


def size(urls: Iterable[str]) -> int:
    """Bytes of batch files of this machine, as they are; 0 for one that is elsewhere or missing."""
    total = 0
    for path in filter(None, map(local, urls)):
        with suppress(OSError, ValueError):
            total += path.stat().st_size
    return total


@contextmanager
def opened(url: str, *, within: str | None) -> Iterator[IO[bytes]]:
    """The file, for reading. within: the folder or address that it has to be below; None: it may be anywhere.

    Raises DamagedBatchError where there is none, and for something that never ends or lies elsewhere.
    """
    path, root = local(url), None if within is None else local(within)
    if within is not None and (path is None or root is None) and not _is_below(url, within):
        raise _no_batch_file(url)
    try:
        if path is None:
            head, tail = StorageTarget.split_url(url)
            with StorageTarget.from_url(head).open(tail, mode="rb") as remote:
                yield remote
        else:
            with (
                batchfolder.opened(path, within=root) as number,
                open(number, "rb", buffering=0, closefd=False) as file,
            ):
                yield file
    except FileNotFoundError as error:
        raise DamagedBatchError(f"The batch file {url} does not exist.") from error
    except PermissionError as error:
        raise DamagedBatchError(f"The batch file {url} may not be read.", hint=_UNREADABLE) from error
    except batchfolder.NoBatchFileError:
        raise _no_batch_file(url) from None


def _is_below(url: str, address: str) -> bool:
    return url.startswith(f"{address.rstrip('/')}/") and ".." not in unquote(urlsplit(url).path).split("/")


def _no_batch_file(url: str) -> DamagedBatchError:
    return DamagedBatchError(f"The batch file {url} is no plain file in the folder of batch files.", hint=_MISPLACED)


def unpacked(file: IO[bytes], compression: str | None) -> Iterator[bytes]:
    """The content, piece by piece. Raises DamagedBatchError where gzip ends early or is none."""
    raw = iter(lambda: file.read(_READ), b"")
    if compression in {None, "none"}:
        return raw
    if compression != "gzip":
        raise MessageError(f"Batch files cannot be packed with {compression}.", hint="Use gzip or none.")
    return _gunzipped(raw)


def _gunzipped(raw: Iterable[bytes]) -> Iterator[bytes]:
    unpack = isal_zlib.decompressobj(wbits=31)
    try:
        for packed in raw:
            rest = packed
            while rest:
                if unpack.eof:  # a file may be several members, one after the other
                    unpack = isal_zlib.decompressobj(wbits=31)
                yield unpack.decompress(rest, _UNPACKED)
                rest = unpack.unconsumed_tail or unpack.unused_data
    except _NotGzipError as error:
        raise DamagedBatchError(f"A batch file is not valid gzip ({error}).") from error
    if not unpack.eof:
        raise DamagedBatchError("A batch file ends in the middle: its gzip stream is cut off.")


def split_header(chunks: Iterator[bytes]) -> tuple[list[str], Iterator[bytes]]:
    r"""The names in the first row, and all of the file, that row included; no names for an empty file.

    A file of one column is written anew with quotes: a lone `\.` on a line would end the COPY there.
    """
    start = b""
    for chunk in chunks:
        start = (start + chunk).removeprefix(_BOM)
        end = _end_of_row(start)
        if end is not None:
            break
        if len(start) > _HEADER:
            raise DamagedBatchError("A batch file of CSV has no header row.")
    else:
        end = len(start)
    try:
        fields = next(csv.reader([start[:end].decode().strip("\r\n")], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise DamagedBatchError("The header row of a batch file cannot be read as CSV.") from error
    whole = chain((start,), chunks)
    return fields, (_quoted(whole) if len(fields) == 1 else whole)


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines with their ends."""
    left = b""
    for chunk in chunks:
        *whole, left = (left + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if left:
        yield left


def _end_of_row(text: bytes) -> int | None:
    at = text.find(b"\n")
    while at >= 0:
        if text.count(b'"', 0, at) % 2 == 0:
            return at + 1
        at = text.find(b"\n", at + 1)
    return None


def _quoted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        for row in csv.reader((line.decode() for line in lines(chunks)), strict=True):
            value = row[0] if row else ""
            more = "," if len(row) > 1 else ""  # Postgres then says what is wrong with the row
            yield b'"%s"%s\n' % (value.replace('"', '""').encode(), more.encode())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DamagedBatchError(f"A batch file cannot be read as CSV: {error}.") from error
