"""Values of the catalog: a connector, its form, its sign-in ways, its checks and the plugins that do its work."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import SecretStr


class Kind(StrEnum):
    """Where a connector stands in a pipeline."""

    SOURCE = "source"
    DESTINATION = "destination"


class Status(StrEnum):
    """How far a connector is; only `coming_soon` can't be added."""

    AVAILABLE = "available"
    BETA = "beta"
    COMING_SOON = "coming_soon"
    DEPRECATED = "deprecated"


class PluginType(StrEnum):
    """Meltano's word for it; the folder below plugins/ is its plural."""

    EXTRACTOR = "extractor"
    LOADER = "loader"


class FieldKind(StrEnum):
    """How a form asks for a value."""

    TEXT = "text"
    MULTILINE = "multiline"
    SECRET = "secret"  # noqa: S105 - a kind of value, not one
    MULTILINE_SECRET = "multiline_secret"  # noqa: S105 - a kind of value, not one
    CHOICE = "choice"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    DATE = "date"
    LIST = "list"
    OBJECT = "object"


class FilledBy(StrEnum):
    """Who fills a field that no person is asked for."""

    OAUTH_APP = "oauth-app"
    OAUTH_CALLBACK = "oauth-callback"


class Grant(StrEnum):
    """How an access token is asked for."""

    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a kind of value, not one
    CLIENT_CREDENTIALS = "client_credentials"
    JWT_BEARER = "jwt_bearer"
    PASSWORD = "password"  # noqa: S105 - a kind of value, not one


class CheckKind(StrEnum):
    """What a named check does: call a URL, open a connection, get a fresh token, sign in to a database."""

    HTTP = "http"
    TCP = "tcp"
    TOKEN = "token"  # noqa: S105 - a kind of value, not one
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """Where and how an access token comes from; URLs are templates for `rules.filled`.

    rotates:            each refresh answers with a new refresh token and ends the old one
    instance_url_from:  key of the token answer that says where the API is
    lifetime_s:         how long an access token is good for where the answer doesn't say
    audience:           `aud` of a JWT; audience_by_host overrides it by host of the template's address
    soap_url:           where a username and password without an OAuth app sign in
    """

    grant: Grant
    url: str
    rotates: bool = False
    instance_url_from: str | None = None
    lifetime_s: int = 1800
    audience: str | None = None
    audience_by_host: Mapping[str, str] = field(default_factory=dict)
    soap_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthFacts:
    """How a person authorises us in a browser; URLs are templates for `rules.filled`."""

    provider: str
    flow: str
    scopes: tuple[str, ...]
    authorize_url: str
    pkce: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """One way to sign in: a branch of the form's `auth`."""

    auth_type: str
    title: str
    description: str
    token: TokenFacts | None
    oauth: OAuthFacts | None
    variants: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A named check of a connection test; starting the plugin itself always comes last and is not listed.

    url, host, port:  templates for `rules.filled`
    token_field:      dotted path of the secret sent as bearer token
    session:          send the session's access token as bearer token
    accepts:          HTTP statuses that pass: `answer.status in check.accepts`
    hint:             what to do when it fails
    """

    name: str
    title: str
    kind: CheckKind
    url: str | None = None
    host: str | None = None
    port: str | None = None
    session: bool = False
    token_field: str | None = None
    accepts: Collection[int] = (200,)
    hint: str = ""


class WindowSettings(NamedTuple):
    """The settings by which a plugin reads only what changed at or after one time, and before another (ISO 8601)."""

    since: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A Singer plugin that can do the connector's work.

    lock:               stem of its file in plugins/extractors or plugins/loaders
    session_setting:    the setting that takes our session instead of the sign-in fields; None: it signs in by itself
    settings:           settings that are always these
    operator_settings:  setting > name of the operator's fact it is filled from (see `rules.plugin_settings`)
    counts:             whether it reports how many records it reads or writes, as METRIC lines
    batch:              encodings of BATCH messages it writes or reads, the best first; empty: RECORD messages only
    tombstones:         whether it announces, or understands, that a record is gone at the source
    continues:          whether a loader is told which streams go on from earlier rows, and makes no table anew for them
                        and no column that it has noted
    claims:             whether a loader is told who alone loads into its schema, and leaves one of another's alone
    window:             how it is told to read a window of time; None: it knows no end
    cuts_names_at:      bytes after which a loader cuts a table's name; None: it tells long names apart
    address_variable:   environment variable that says which address its host has, so that it resolves nothing itself
    """

    name: str
    title: str
    description: str
    plugin_type: PluginType
    plugin: str
    lock: str
    namespace: str
    session_setting: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    operator_settings: Mapping[str, str] = field(default_factory=dict)
    counts: bool = True
    batch: tuple[str, ...] = ()
    tombstones: bool = False
    continues: bool = False
    claims: bool = False
    window: WindowSettings | None = None
    cuts_names_at: int | None = None
    address_variable: str | None = None

    @property
    def uses_session(self) -> bool:
        """Whether the orchestrator signs in for it."""
        return self.session_setting is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """An entry of the catalog, as its file describes it.

    schema:      the whole file: JSON Schema 2020-12 of the configuration, with our `x-` keywords
    hosts:       where its addresses may point, such as `*.salesforce.com`; empty: anywhere the operator allows
    sha256:      of the file
    """

    name: str
    kind: Kind
    title: str
    publisher: str
    category: str
    description: str
    status: Status
    plan: str
    capabilities: tuple[str, ...]
    docs_url: str
    icon: str
    schema: Mapping[str, Any] = field(repr=False)
    variants: Mapping[str, Variant] = field(repr=False)
    default_variant: str
    checks: tuple[Check, ...] = field(repr=False)
    sign_ins: Mapping[str, SignIn] = field(repr=False)
    hosts: tuple[str, ...]
    sha256: str = field(repr=False)

    @property
    def variant(self) -> Variant:
        """The plugin used where nobody chose another."""
        return self.variants[self.default_variant]

    @property
    def namespace(self) -> str:
        """Meltano's namespace of the default plugin."""
        return self.variant.namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenFile:
    """A connector file that can't be used, and why: each reason a JSON pointer and a sentence."""

    file: str
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The connector it would describe."""
        return self.file.removesuffix(".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A connector on offer here: its card, and the operator's own `available` and `plan`."""

    name: str
    kind: Kind
    title: str
    publisher: str
    category: str
    description: str
    status: Status
    plan: str
    available: bool
    capabilities: tuple[str, ...]
    variants: tuple[str, ...]
    docs_url: str
    icon: str

    @property
    def can_be_added(self) -> bool:
        """Whether a new integration or destination may use it."""
        return self.available and self.status is not Status.COMING_SOON


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer of a choice; `value` is what is stored."""

    value: str
    label: str
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """One question of a connector's form, in the order people are asked.

    path:       where the value stands in the configuration: ("auth", "client_id")
    group:      title of its part of the form; advanced: that part starts folded
    filled_by:  not asked: the registered OAuth app or the sign-in fills it
    schema:     the field's own piece of the connector file
    """

    path: tuple[str, ...]
    title: str
    kind: FieldKind
    required: bool
    help: str = ""
    placeholder: str = ""
    default: Any = None
    choices: tuple[Choice, ...] = ()
    group: str = ""
    advanced: bool = False
    filled_by: FilledBy | None = None
    schema: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The path with dots: `auth.client_id`."""
        return ".".join(self.path)

    @property
    def secret(self) -> bool:
        """Whether the value is encrypted, and never shown again."""
        return self.kind in {FieldKind.SECRET, FieldKind.MULTILINE_SECRET}


class Dialled(NamedTuple):
    """A host of a configuration that a plugin connects to."""

    host: str
    port: int


class Problem(NamedTuple):
    """A wrong field: its dotted path, and a sentence for people. Never holds a secret's value."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A signed-in state at a provider, as a plugin gets it.

    token_socket:  path of the unix socket where it asks for a fresh token after a 401
    """

    access_token: SecretStr
    instance_url: str
    token_socket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """What one plugin is configured with, in its own words.

    values:   settings in the clear, as they are handed to the plugin; kept out of repr
    secrets:  each value within `values` that must be redacted wherever it turns up
    """

    values: Mapping[str, Any] = field(repr=False)
    secrets: tuple[SecretStr, ...]
