"""Does it work: named checks, cheap ones first, then the plugin itself; and what there is to read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from time import monotonic
from typing import Any

from pydantic import SecretStr

from orchestrator.domains.catalog import rules as forms
from orchestrator.domains.catalog.types import Check, CheckKind, Session
from orchestrator.domains.integrations import queries, rules
from orchestrator.domains.integrations.errors import CheckFailedError, SignInRefusedError
from orchestrator.domains.integrations.events import IntegrationTested
from orchestrator.domains.integrations.service.health import note_checks
from orchestrator.domains.integrations.service.opening import Opened, hosts, opened
from orchestrator.domains.integrations.service.planning import loading
from orchestrator.domains.integrations.types import CheckResult, Integration, Stream, StreamChange, Verdict
from orchestrator.domains.oauth.errors import ReauthNeededError
from orchestrator.drivers.bundle import Drivers
from orchestrator.drivers.http import Response
from orchestrator.drivers.meltano.output import Output
from orchestrator.drivers.meltano.values import Project
from orchestrator.kernel.db import Role
from orchestrator.kernel.errors import OrchestratorError
from orchestrator.kernel.events import emit
from orchestrator.kernel.printable import cleaned

OnCheck = Callable[[CheckResult], None]
OnOutput = Callable[[Output], None]

_PLUGIN_CHECK = "first_record"
_Check = tuple[str, str, str, Callable[[], str]]  # name, title, hint, what to call
_MOST_PASSED_OVER = 1_000  # disabled ones and the like; the rest is for the next call
_UNAUTHORIZED = 401
_TRIED_STREAMS = 3  # enough to find a record, few enough to stay cheap


def ignore(_: object) -> None:
    """Follow nothing."""


def test(
    drivers: Drivers,
    integration: Integration,
    *,
    on_check: OnCheck = ignore,  # noqa: PT028 - no pytest test
    on_output: OnOutput = ignore,  # noqa: PT028 - no test, though it is called so
) -> tuple[CheckResult, ...]:
    """Run every check until one fails; the rest is skipped. The last starts the plugin through Meltano.

    An empty source passes with a note. Raises only what prevents checking at all (no master key, no database).
    """
    source = opened(drivers, integration)
    results = _made([*_named_checks(source, try_again=True), _plugin_check(source, on_output)], on_check)
    failed = any(one.verdict is Verdict.FAILED for one in results)
    with drivers.db.transaction(integration.org_id) as tx:
        note_checks(tx, integration, results, signs_in=False)  # `verify` says so, of drafts too
        queries.note_tested(tx, integration.id)
        emit(tx, IntegrationTested(org_id=integration.org_id, integration_id=integration.id, passed=not failed))
    return results


def claim_check(drivers: Drivers, *, after: str) -> Integration | None:
    """Claim the next check that is due; None where none is. Any number of workers may call it.

    One that isn't made within ten minutes, by `look_in`, is due again.
    A sync is a check as well and puts the next one off, so these fill the gaps.

    after: the organization that had its turn, as others with checks that are due come first; empty for none
    """
    every = drivers.settings.health.check_every
    for _ in range(_MOST_PASSED_OVER):
        with drivers.db.anonymous(role=Role.WORKER) as tx:
            claimed = queries.claim_due_check(tx, every=every, after=after)
        if claimed is None:
            return None
        after, integration_id, wanted = claimed
        with drivers.db.transaction(after) as tx:
            integration = queries.integration(tx, integration_id) if wanted else None
        if integration is not None:
            return integration
    return None


def look_in(drivers: Drivers, integration: Integration) -> tuple[CheckResult, ...]:
    """Check a connection by the named checks, which cost a request or two; no plugin starts.

    Where the provider has refused us it is not asked again until somebody signs in. Raises only what prevents checking
    at all (no master key, no database).
    """
    source = opened(drivers, integration)
    signs_in = any(
        check.kind is CheckKind.TOKEN or check.session or check.token_field for check in source.connector.checks
    )
    results = _made(_named_checks(source, try_again=False), ignore)
    with drivers.db.transaction(integration.org_id) as tx:
        note_checks(tx, integration, results, signs_in=signs_in)
        queries.note_looked_in(tx, integration.id, check_every=drivers.settings.health.check_every)
    return results


def _made(checks: Sequence[_Check], on_check: OnCheck) -> tuple[CheckResult, ...]:
    """Make checks until one fails; the rest is skipped."""
    results: list[CheckResult] = []
    failed = False
    for name, title, hint, check in checks:
        if failed:
            result = CheckResult(name=name, title=title, verdict=Verdict.SKIPPED)
        else:
            result = _timed(CheckResult(name=name, title=title, verdict=Verdict.PASSED, hint=hint), check)
        failed = failed or result.verdict is Verdict.FAILED
        results.append(result)
        on_check(result)
    return tuple(results)


def _named_checks(source: Opened, *, try_again: bool) -> list[_Check]:
    return [
        (check.name, check.title, check.hint, _named(source, check, try_again=try_again))
        for check in source.connector.checks
    ]


def _plugin_check(source: Opened, on_output: OnOutput) -> _Check:
    title = f"Read a first record with {source.variant.plugin}"
    hint = f"See what {source.variant.plugin} needs: {source.connector.docs_url}"
    return _PLUGIN_CHECK, title, hint, lambda: _first_record(source, on_output)


def _timed(result: CheckResult, check: Callable[[], str]) -> CheckResult:
    started = monotonic()
    refused = False
    try:
        message, verdict, hint = check(), Verdict.PASSED, ""
    except OrchestratorError as error:
        message, verdict, hint = error.message, Verdict.FAILED, error.hint or result.hint
        refused = isinstance(error, ReauthNeededError | SignInRefusedError)
    seconds = monotonic() - started
    return replace(result, message=message, verdict=verdict, hint=hint, seconds=seconds, needs_sign_in=refused)


def _named(source: Opened, check: Check, *, try_again: bool) -> Callable[[], str]:
    ways: dict[CheckKind, Callable[[], str]] = {
        CheckKind.HTTP: lambda: _call(source, check),
        CheckKind.TCP: lambda: _reach(source, check),
        CheckKind.TOKEN: lambda: _sign_in(source, try_again=try_again),
    }
    return ways[check.kind]


def _call(source: Opened, check: Check) -> str:
    session = source.session() if check.session else None
    token = session.access_token if session else source.secrets.get(check.token_field or "")
    answer = _called(source, check, session, token)
    if answer.status == _UNAUTHORIZED and session and token:  # ended before its time; only a new one tells more
        session = source.session(rejected_sha256=sha256(token.get_secret_value().encode()).hexdigest())
        answer = _called(source, check, session, session.access_token)
    if answer.status == _UNAUTHORIZED and token and answer.status not in check.accepts:
        raise SignInRefusedError(_refusal(answer.status, answer.body), check.hint)
    if answer.status not in check.accepts:
        raise CheckFailedError(_refusal(answer.status, answer.body), check.hint)
    return ""


def _called(source: Opened, check: Check, session: Session | None, token: SecretStr | None) -> Response:
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    url = forms.filled(check.url or "", source.integration.config, session)
    return source.drivers.http.request(
        "GET", url, headers={"Accept": "application/json", **headers}, allowed_hosts=hosts(source.connector)
    )


def _refusal(status: int, body: bytes) -> str:
    """The provider's own words where it answers in JSON, else the status."""
    said = rules.reason_in(body)
    return f"It answered {status}: {said}" if said else f"It answered with status {status}."


def _reach(source: Opened, check: Check) -> str:
    host = forms.filled(check.host or "", source.integration.config)
    port = forms.filled(check.port or "", source.integration.config)
    source.drivers.http.tcp_reach(host, int(port))
    return ""


def _sign_in(source: Opened, *, try_again: bool) -> str:
    session = source.session(try_again=try_again)
    return f"Signed in at {session.instance_url}." if session.instance_url else "Signed in."


def _first_record(source: Opened, on_output: OnOutput) -> str:
    """Start the plugin with a few streams and wait for a record; what discovery finds on the way is kept."""
    drivers, integration = source.drivers, source.integration
    with drivers.db.transaction(integration.org_id) as tx:
        known = [stream for stream in queries.streams(tx, integration.id) if stream.gone_at is None]
    if not known:
        found = _discovered(source, on_output)
        _save(drivers, integration, source, found)
        with drivers.db.transaction(integration.org_id) as tx:
            known = queries.streams(tx, integration.id)
    if not known:
        return "Signed in, but there is nothing to read: no stream was found."
    tried = _tried(known)
    outcome = drivers.meltano.read_first_record(
        Project(extractor=source.extractor(), catalog=rules.run_catalog(tried)),
        on_output=on_output,
        fresh_token=source.fresh_token(),
        timeout=drivers.settings.runs.test_timeout,
    )
    if outcome.stream is not None:
        return f"Read a record of {outcome.stream}."
    if outcome.exit.stopped is not None and outcome.exit.error is None:
        raise CheckFailedError(f"No record came within {drivers.settings.runs.test_timeout}.", "Try it again later.")
    if outcome.exit.code != 0:
        said = outcome.exit.error or f"{source.variant.plugin} ended with status {outcome.exit.code}."
        raise CheckFailedError(said, "")
    return f"It works, and {', '.join(stream.name for stream in tried)} had no record to read yet."


def _tried(known: list[Stream]) -> list[Stream]:
    chosen = [stream for stream in known if stream.selected] or known
    return chosen[:_TRIED_STREAMS]


def discover(drivers: Drivers, integration: Integration, *, on_output: OnOutput = ignore) -> StreamChange:
    """Ask the source what there is to read, and keep it; choices made before stay.

    Raises DiscoveryError with the plugin's own words.
    """
    source = opened(drivers, integration)
    return _save(drivers, integration, source, _discovered(source, on_output))


def _discovered(source: Opened, on_output: OnOutput) -> dict[str, Any]:
    with source.drivers.db.transaction(source.integration.org_id) as tx:
        destination = queries.destination(tx, source.integration.destination_id)
    return source.drivers.meltano.discover(
        source.extractor(forms.deletion_settings(source.variant, loading(destination))),
        on_output=on_output,
        fresh_token=source.fresh_token(),
        timeout=source.drivers.settings.runs.discover_timeout,
    )


def _save(drivers: Drivers, integration: Integration, source: Opened, catalog: dict[str, Any]) -> StreamChange:
    problems = {rules.entry_key(entry): rules.entry_problem(entry) for entry in catalog["streams"]}
    entries = {rules.entry_key(entry): entry for entry in catalog["streams"] if rules.entry_problem(entry) is None}
    with drivers.db.transaction(integration.org_id) as tx:
        before = {stream.name for stream in queries.streams(tx, integration.id) if stream.gone_at is None}
        wanted = set() if before else set(_wanted(source))
        found = {name: (rules.entry_mode(entry), entry, name in wanted) for name, entry in entries.items()}
        queries.save_streams(tx, integration.org_id, integration.id, found)
        queries.note_discovered(tx, integration.id)
    return StreamChange(
        added=tuple(sorted(entries.keys() - before)),
        gone=tuple(sorted(before - entries.keys())),
        total=len(entries),
        left_out=tuple(f"{cleaned(name)}: {problem}" for name, problem in problems.items() if problem),
    )


def _wanted(source: Opened) -> list[str]:
    """What is selected at the first discovery: the streams the form names, or those the connector suggests."""
    named = source.integration.config.get("streams")
    return list(named or source.connector.schema["x-catalog"].get("streams", []))
