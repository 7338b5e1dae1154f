"""`python -m sandboxes.salesforce`: an org until SIGTERM or SIGINT."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from .errors import SandboxError
from .org import LocalOrg


def _count(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not name or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not OBJECT=NUMBER")
    return name, int(number)


def parser(program: str = "python -m sandboxes.salesforce") -> argparse.ArgumentParser:
    """The command's options. program: how it was called."""
    made = argparse.ArgumentParser(prog=program, description="A local Salesforce org, until Ctrl-C or SIGTERM.")
    made.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    made.add_argument("--port", type=int, default=9001, help="0 takes a free one (default: %(default)s)")
    made.add_argument("--seed", type=int, default=1, help="decides data and credentials (default: %(default)s)")
    made.add_argument("--random-credentials", action="store_true", help="credentials not from the seed")
    made.add_argument(
        "--count", type=_count, action="append", default=[], metavar="OBJECT=N", help="records; repeatable"
    )
    made.add_argument("--rotate-refresh-tokens", action="store_true", help="each refresh token works once")
    made.add_argument("--token-lifetime", type=float, default=7200, metavar="SECONDS", help="of access tokens")
    made.add_argument("--daily-limit", type=int, default=100_000, metavar="N", help="API requests a day")
    made.add_argument("--job-seconds", type=float, default=0.0, metavar="SECONDS", help="least time of a Bulk job")
    made.add_argument("--bulk-page-rows", type=int, default=50_000, metavar="N", help="rows of a Bulk result page")
    made.add_argument("--rows-per-second", type=float, default=0.0, metavar="N", help="throttle; 0 for none")
    made.add_argument("--auto-approve", action="store_true", help="skip the consent page")
    made.add_argument("--wide-fields", type=int, default=400, metavar="N", help="fields of Wide__c")
    made.add_argument("--wide-text", type=int, default=0, metavar="N", help="length of its long texts")
    made.add_argument("--cache-dir", type=Path, metavar="DIR", help="keeps generated data for the next start")
    made.add_argument("--jwt-key-file", type=Path, metavar="PATH", help="private key for JWT sign-in, made if missing")
    made.add_argument(
        "--redirect-uri", action="append", default=[], metavar="URI", help="allowed besides loopback ones"
    )
    made.add_argument("--ready-file", type=Path, metavar="PATH", help="gets the same JSON as stdout, 0600")
    made.add_argument(
        "--connector-config", type=Path, metavar="PATH", help="gets what a Salesforce connector asks for, 0600"
    )
    made.add_argument("--until-stdin-closes", action="store_true", help="end with the process that holds our stdin")
    return made


def main(argv: Sequence[str] | None = None, *, program: str = "python -m sandboxes.salesforce") -> int:
    """Run the org; 0 after a signal, 2 for options that make no sense. program: how it was called."""
    options = parser(program).parse_args(argv)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if options.until_stdin_closes:
        threading.Thread(target=_await_stdin, args=(ended,), daemon=True).start()
    try:
        org = LocalOrg(
            seed=options.seed, counts=dict(options.count), host=options.host, port=options.port,
            token_lifetime=options.token_lifetime, rotate_refresh_tokens=options.rotate_refresh_tokens,
            daily_limit=options.daily_limit, job_seconds=options.job_seconds, bulk_page_rows=options.bulk_page_rows,
            rows_per_second=options.rows_per_second, auto_approve=options.auto_approve,
            wide_fields=options.wide_fields, wide_text=options.wide_text, cache_dir=options.cache_dir,
            jwt_key_file=options.jwt_key_file, redirect_uris=options.redirect_uri,
            random_credentials=options.random_credentials,
        )  # fmt: skip
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with org:
        ready = json.dumps({"url": org.url, **org.app.credentials()})
        if options.ready_file:
            _write_private(options.ready_file, ready + "\n")
        if options.connector_config:
            _write_private(options.connector_config, json.dumps(_connector_config(org), indent=2) + "\n")
        sys.stdout.write(ready + "\n")
        sys.stdout.flush()
        sys.stderr.write(f"Local Salesforce org at {org.url}: made-up data, seed {options.seed}. Ctrl-C stops it.\n")
        ended.wait()
    return 0


def _connector_config(org: LocalOrg) -> dict[str, object]:
    """The answers to a connector's form that lead to this org."""
    app = org.app.credentials()
    names = ("client_id", "client_secret", "refresh_token")
    auth = {"auth_type": "oauth_refresh", **{name: app[name] for name in names}}
    return {"auth": auth, "domain": org.url, "start_date": "2000-01-01"}


def _await_stdin(ended: threading.Event) -> None:
    """A pipe closes when its other end dies, however it dies."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    ended.set()


def _write_private(path: Path, text: str) -> None:
    """All of the text or none of it, readable by the owner only."""
    aside = path.with_name(f".{path.name}.part")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
