"""Remove a run's directory whatever plugins did to it; standard library only, for the supervisor."""

import os
from collections.abc import Callable


def remove(path: str) -> None:
    """Remove the whole tree, whatever modes and depth plugins gave it; what is gone already is fine."""
    if os.path.islink(path):
        _done(os.unlink, path)
        return
    import shutil

    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        _flatten(path)


def _flatten(top: str) -> None:
    """Remove level by level: what is in a directory moves up, so that none is too deep, and all are writable first.

    Goes on where something does not go away, until nothing does.
    """
    goes_on = True
    while goes_on:
        goes_on = False
        for name in _names(top):
            goes_on |= _gone(top, f"{top}/{name}")
    if os.path.lexists(top):
        _done(os.rmdir, top)


def _gone(top: str, path: str) -> bool:
    if os.path.islink(path) or not os.path.isdir(path):
        return _done(os.unlink, path)
    for name in _names(path):
        inner = f"{path}/{name}"
        if os.path.isdir(inner) and not os.path.islink(inner):
            _done(os.chmod, inner, 0o700)  # a directory that moves is written to
        _done(os.rename, inner, f"{top}/{os.urandom(16).hex()}")
    return _done(os.rmdir, path)


def _names(directory: str) -> list[str]:
    _done(os.chmod, directory, 0o700)
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _done(step: Callable[..., object], *arguments: object) -> bool:
    try:
        step(*arguments)
    except OSError:
        return False
    return True
