"""Asks whoever started the tap for a fresh access token, over a unix socket.

Its address is the path, or `PATH#NONCE` with 32 hex digits that are then the first line said, so that the other side
knows who asks. One line out, `{"rejected_sha256": …}`, one line back, `{"access_token", "instance_url"}` or
`{"error": {"code", "message"}}`; UTF-8 JSON, at most 64 KiB a line. The refused token itself never
travels: its SHA-256 tells the other side whether it already has a newer one.
"""

import hashlib
import json
import re
import socket

from tap_salesforce.errors import SignInError

_WITH_NONCE = re.compile(r"(.*)#([0-9a-f]{32})", re.DOTALL)
_LONGEST_LINE = 64 * 1024
_WAIT_SECONDS = 60.0
_SIGN_IN_AGAIN = "Sign in to Salesforce again."


def ask_for_token(address: str, rejected: str) -> tuple[str, str]:
    """(access token, instance URL) to go on with; SignInError when there is none."""
    question = {"rejected_sha256": hashlib.sha256(rejected.encode()).hexdigest()}
    found = _WITH_NONCE.fullmatch(address)
    path, introduction = (found[1], f"{found[2]}\n") if found else (address, "")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(_WAIT_SECONDS)
            line.connect(path)
            line.sendall(f"{introduction}{json.dumps(question)}\n".encode())
            answer = _read_line(line)
    except OSError as lost:
        raise SignInError(
            f"Salesforce ended the session, and the token socket did not answer ({lost.strerror or 'time-out'}).",
            hint="Start the run again.",
        ) from lost
    return _parsed(answer)


def _read_line(line: socket.socket) -> bytes:
    got = b""
    while b"\n" not in got and len(got) <= _LONGEST_LINE:
        part = line.recv(4096)
        if not part:
            break
        got += part
    return got.partition(b"\n")[0]


def _parsed(answer: bytes) -> tuple[str, str]:
    try:
        facts = json.loads(answer)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise SignInError(
            "Salesforce ended the session, and the token socket gave an unreadable answer.",
            hint="Start the run again.",
        )
    error = facts.get("error")
    if isinstance(error, dict):
        said = str(error.get("message") or error.get("code") or "no reason given").rstrip(".")
        raise SignInError(f"Salesforce ended the session and it could not be renewed: {said}.", hint=_SIGN_IN_AGAIN)
    token, url = facts.get("access_token"), facts.get("instance_url")
    if not isinstance(token, str) or not isinstance(url, str) or not token:
        raise SignInError("Salesforce ended the session, and no fresh token was handed out.", hint=_SIGN_IN_AGAIN)
    return token, url
