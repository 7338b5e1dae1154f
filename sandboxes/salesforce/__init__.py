"""A small Salesforce org on this computer, for demos, tests and benchmarks: real protocols, made-up data.

It speaks OAuth 2.0, REST and Bulk API 2.0 and 1.0 over HTTP on loopback as documented by Salesforce (API versions 47
to 66).
In-process: `with LocalOrg(counts={"Contact": 10_000}) as org: …`. As a process: `python -m sandboxes.salesforce`,
`orchestrator sandbox salesforce`, or `with RemoteOrg(…) as org: …`. Everything under `/sandbox/…` is ours, not
Salesforce's (see `control`). A client that only knows login.salesforce.com takes the org for its HTTPS proxy
(`HTTPS_PROXY`) and trusts `authority()`: the org then is every host of Salesforce's.

What differs from Salesforce
- HTTP instead of HTTPS; one address is login host, My Domain and instance. One user, one connected app, no
  permissions: every object and field is visible. Redirect URIs on loopback need not be registered.
- Objects, fields and describe: ten objects with most of their standard fields; describe has every key, but
  childRelationships, recordTypeInfos and the like are empty. All versions show the same fields.
- SOQL: no relationships, sub-queries, GROUP BY, TYPEOF, date functions, geolocation, currency literals; MIN, MAX and
  COUNT without GROUP BY. Of relative dates only TODAY, YESTERDAY and LAST_N_DAYS:n, as midnight UTC. Text is compared
  without case for ASCII letters only. OFFSET to 2,000 rows and length to 100,000 characters, as documented.
- Error codes and texts follow the documentation and what users report; where Salesforce documents none (an expired
  JWT, a wrong Bulk locator, an API version that is not the job's), they are ours. Positions in MALFORMED_QUERY are
  exact, the words after them a subset of Salesforce's.
- REST queries fix which records they hand out when they are opened, and read the values page by page. The order
  without ORDER BY is that of creation. Pages have 2,000 records whatever their width.
- Bulk: a result page has 50,000 rows unless maxRecords says less; a job runs at once, `job_seconds` holds it up.
  Results of an unchanged query on unchanged data are kept. No ingest jobs, no limit on size, no 7-day expiry.
- Bulk 1.0: only query and queryAll, CSV and JSON; a result file has up to 250,000 rows, not 1 GB; PK chunking is
  ignored. JSON has date-times in milliseconds, dates as text. Error texts are ours.
- Numbers: decimals of up to 18 digits are exact, in the scientific form from ten million up (`3.5E8`) as Salesforce's
  JSON has it; in CSV this form is assumed. A number of more than 15 digits is always written out.
- SystemModstamp has whole seconds, as at Salesforce. Seeded records lie between 2020 and 2026; formula fields never
  move it. Nothing happens to children when a parent is deleted. Seeded deletions are older than the log of
  getDeleted.
- Strings may hold NUL if a test puts one there; Salesforce would refuse it. Validation of written records is limited
  to unknown, read-only, missing and too long fields.
- Limits: API requests are counted from the start, not over 24 hours; the Bulk allowances are shown, never exhausted.
- Refresh-token rotation is as documented for external client apps: a second use of a token ends its whole grant.
  Scopes are kept and shown, not enforced.
- SOAP: only login(), for clients without a connected app. Who came through the proxy is led to a My Domain there;
  OAuth leads everybody to this address.
"""

from .errors import SandboxError
from .faults import Fault
from .org import LocalOrg
from .remote import OrgControl, RemoteOrg
from .schema import Field, SObject, field

__all__ = ["Fault", "Field", "LocalOrg", "OrgControl", "RemoteOrg", "SObject", "SandboxError", "field"]
