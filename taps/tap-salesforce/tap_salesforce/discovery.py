"""What an org holds: its objects, their fields, and the JSON schema each becomes."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tap_salesforce.client import Client
from tap_salesforce.errors import AccessError, AnswerError, ConfigError
from tap_salesforce.exclusions import excluded

log = logging.getLogger("tap-salesforce")

DELETED_AT = "_sdc_deleted_at"
# Best first; CreatedDate only where nothing better exists: such objects (histories, shares) are never updated.
REPLICATION_KEYS = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")
_DELETION_STAMPS = ("SystemModstamp", "LastModifiedDate")  # deleting a record moves them
_COMPOUND = frozenset({"address", "location"})  # their components are fields of their own
_BINARY = frozenset({"base64"})
_TYPES: dict[str, dict[str, str]] = {
    "boolean": {"type": "boolean"},
    "int": {"type": "integer"},
    "long": {"type": "integer"},
    "double": {"type": "number"},
    "currency": {"type": "number"},
    "percent": {"type": "number"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
}
_TEXT = {"type": "string"}  # id, reference, picklists, textarea, phone, url, email, anyType, …


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesforceObject:
    """One described object as a stream.

    schema:          JSON schema of a record, in the order of the describe answer
    replication_key: None for objects that can only be read whole
    deleted_stamp:   the field that tells when a deleted record was deleted; None where nothing tells, or
                     where deleted records are not wanted
    log_of_deletions: whether Salesforce tells which records were removed for good, and that is wanted
    formulas:        calculated fields
    """

    name: str
    schema: dict[str, Any]
    primary_key: tuple[str, ...]
    replication_key: str | None
    deleted_stamp: str | None
    log_of_deletions: bool
    formulas: frozenset[str]


def find_objects(
    client: Client, names: Iterable[str], *, max_workers: int, include_deleted: bool, hard_deletes: bool = False
) -> list[SalesforceObject]:
    """The named objects, or all that can be queried if none is named, ordered by name.

    A named object that is missing is an error; of the others, one that cannot be described is left out.
    """
    asked = tuple(names)
    wanted = asked or _queryable(client)
    with ThreadPoolExecutor(max_workers=max_workers) as pool:
        answers = [pool.submit(_describe, client, name, required=bool(asked)) for name in wanted]
        try:
            described = [answer.result() for answer in answers]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    found = {facts["name"]: facts for facts in described if facts}
    wanted_deletions = {"include_deleted": include_deleted, "hard_deletes": hard_deletes}
    return [as_object(found[name], **wanted_deletions) for name in sorted(found)]


def _queryable(client: Client) -> tuple[str, ...]:
    listed = client.json("GET", "sobjects")["sobjects"]
    names = [str(facts["name"]) for facts in listed if facts.get("queryable") and not facts.get("deprecatedAndHidden")]
    kept = tuple(name for name in names if not excluded(name))
    log.info(
        "Found %d objects that can be queried; %d need a filter and are left out.", len(kept), len(names) - len(kept)
    )
    return kept


def _describe(client: Client, name: str, *, required: bool) -> Mapping[str, Any] | None:
    try:
        facts: Mapping[str, Any] = client.json("GET", f"sobjects/{_checked(name)}/describe")
    except (AnswerError, AccessError) as refused:
        if not required:
            log.warning("%s is left out: %s", name, refused.message)
            return None
        if isinstance(refused, AnswerError) and refused.status == 404:  # noqa: PLR2004 - HTTP's own number
            raise _unknown(client, name) from refused
        raise
    if required and not facts.get("queryable"):
        raise ConfigError(f"Salesforce does not let {name} be queried.", hint="Take it out of the streams.")
    return facts


def _checked(name: str) -> str:
    if not name.isascii() or not name.replace("_", "a").isalnum():
        raise ConfigError(f"{name!r} is not the API name of an object.", hint="Use names such as Account or Order__c.")
    return name


def _unknown(client: Client, name: str) -> ConfigError:
    import difflib  # late: few runs need it, and every start would pay

    names = [str(facts["name"]) for facts in client.json("GET", "sobjects")["sobjects"]]
    near = difflib.get_close_matches(name, names, n=1)
    also = f" Did you mean {near[0]}?" if near else ""
    return ConfigError(
        f"The org has no object {name}, or this user may not see it.{also}",
        hint="Correct or deselect it, or have an administrator grant access to it.",
    )


def as_object(facts: Mapping[str, Any], *, include_deleted: bool, hard_deletes: bool = False) -> SalesforceObject:
    """A describe answer as a stream."""
    name = str(facts["name"])
    properties: dict[str, Any] = {}
    binary = []
    for field in facts["fields"]:
        if field["type"] in _BINARY:
            binary.append(str(field["name"]))
        elif field["type"] not in _COMPOUND:
            properties[str(field["name"])] = _property(field)
    if binary:
        log.info("%s of %s is left out: binary contents are not synced.", ", ".join(binary), name)
    stamp = next((key for key in _DELETION_STAMPS if key in properties), None)
    deleted_stamp = stamp if (include_deleted or hard_deletes) and "IsDeleted" in properties else None
    log_of_deletions = hard_deletes and bool(facts.get("replicateable")) and "Id" in properties
    if deleted_stamp or log_of_deletions:
        properties[DELETED_AT] = {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the record was deleted; null while it exists.",
        }
    return SalesforceObject(
        name=name,
        schema={"type": "object", "properties": properties},
        primary_key=("Id",) if "Id" in properties else (),
        replication_key=_replication_key(facts["fields"]),
        deleted_stamp=deleted_stamp,
        log_of_deletions=log_of_deletions,
        formulas=frozenset(str(field["name"]) for field in facts["fields"] if field.get("calculated")),
    )


def _property(field: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = dict(_TYPES.get(field["type"], _TEXT))
    if not _never_null(field):
        facts["type"] = [facts["type"], "null"]
    if field.get("label"):
        facts["description"] = str(field["label"])
    return facts


def _never_null(field: Mapping[str, Any]) -> bool:
    """Whether Salesforce itself fills the field; a merely required one can still arrive empty."""
    if field.get("nillable", True):
        return False
    return field["type"] in ("id", "boolean") or field["name"] in REPLICATION_KEYS


def _replication_key(fields: Iterable[Mapping[str, Any]]) -> str | None:
    stamps = {f["name"]: f for f in fields if f["type"] == "datetime"}
    usable = {name for name, f in stamps.items() if f.get("filterable", True) and not _can_lack(f)}
    best = next((key for key in REPLICATION_KEYS if key in usable), None)
    return None if best == "CreatedDate" and "LastModifiedDate" in stamps else best  # what changes would not come


def _can_lack(field: Mapping[str, Any]) -> bool:
    """Whether a stamp may be empty: no span of time holds such a record. Some are there, whatever is said."""
    return bool(field.get("nillable")) and field["name"] not in {"SystemModstamp", "LoginTime"}
