"""The objects every local org has: a small sales org with one of each kind of field that hurts.

source: Object reference for Salesforce, "Account", "Contact", "Lead", "Opportunity", "User", "Attachment",
"CaseStatus", "AccountHistory". Fields of features that are off by default are left out.
"""

from .schema import Field, SObject, address, field

INDUSTRIES = ("Agriculture", "Banking", "Chemicals", "Education", "Energy", "Finance", "Retail", "Technology", "NA")
RATINGS = ("Hot", "Warm", "Cold")
SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", "Negotiation/Review", "Closed Won", "Closed Lost")
INTERESTS = ("Analytics", "Data", "Marketing", "Sales", "Support")
OWNERS = ("Group", "User")


def _system(*, viewed: bool = False) -> list[Field]:
    """The audit fields every object with a SystemModstamp has."""
    stamp = {"nillable": False, "system": True}
    fields = [
        field("CreatedDate", "datetime", **stamp),
        field("CreatedById", "reference", refers_to=("User",), **stamp),
        field("LastModifiedDate", "datetime", **stamp),
        field("LastModifiedById", "reference", refers_to=("User",), **stamp),
        field("SystemModstamp", "datetime", **stamp),
    ]
    if viewed:
        fields += [field(n, "datetime", system=True) for n in ("LastViewedDate", "LastReferencedDate")]
    return fields


def _id(label: str) -> Field:
    return field("Id", "id", label=f"{label} ID", nillable=False, system=True)


def _deleted() -> Field:
    """One of the first fields of every object whose records go to the recycle bin."""
    return field("IsDeleted", "boolean", nillable=False, system=True)


def _person_name(*, last_required: bool = True) -> list[Field]:
    whole = "TRIM(COALESCE(t.\"FirstName\" || ' ', '') || COALESCE(t.\"LastName\", ''))"
    return [
        field("LastName", "string", 80, nillable=not last_required, compound="Name"),
        field("FirstName", "string", 40, compound="Name"),
        field("Salutation", "picklist", 40, picklist=("Mr.", "Ms.", "Dr.", "Prof."), compound="Name"),
        field("Name", "string", 121, formula=whole, nillable=False, name_field=True, compound="Name"),
    ]


ACCOUNT = SObject(
    name="Account",
    prefix="001",
    fields=(
        _id("Account"),
        _deleted(),
        field("Name", "string", 255, nillable=False, name_field=True),
        field("Type", "picklist", picklist=("Prospect", "Customer - Direct", "Partner", "Other")),
        field("ParentId", "reference", refers_to=("Account",)),
        *address("Billing"),
        *address("Shipping"),
        field("Phone", "phone"),
        field("Fax", "phone"),
        field("AccountNumber", "string", 40),
        field("Website", "url"),
        field("Industry", "picklist", picklist=INDUSTRIES),
        field("AnnualRevenue", "currency", scale=0),
        field("NumberOfEmployees", "int"),
        field("Ownership", "picklist", picklist=("Public", "Private", "Subsidiary")),
        field("Description", "textarea", 32000),
        field("Rating", "picklist", picklist=RATINGS),
        field("OwnerId", "reference", refers_to=("User",), nillable=False),
        field("AccountSource", "picklist", picklist=SOURCES),
        field("SicDesc", "string", 80),
        field("Active__c", "boolean", nillable=False),
        field("SLA_Expires__c", "date"),
        field(
            "Revenue_Per_Employee__c",
            "double",
            scale=2,
            formula='ROUND(CAST(t."AnnualRevenue" AS REAL) / NULLIF(t."NumberOfEmployees", 0), 2)',
            formula_text="AnnualRevenue / NumberOfEmployees",
        ),
        *_system(viewed=True),
    ),
)

CONTACT = SObject(
    name="Contact",
    prefix="003",
    fields=(
        _id("Contact"),
        _deleted(),
        field("AccountId", "reference", refers_to=("Account",)),
        *_person_name(),
        *address("Mailing"),
        field("Phone", "phone"),
        field("Fax", "phone"),
        field("MobilePhone", "phone"),
        field("ReportsToId", "reference", refers_to=("Contact",)),
        field("Email", "email"),
        field("Title", "string", 128),
        field("Department", "string", 80),
        field("LeadSource", "picklist", picklist=SOURCES),
        field("Birthdate", "date"),
        field("Description", "textarea", 32000),
        field("OwnerId", "reference", refers_to=("User",), nillable=False),
        field("HasOptedOutOfEmail", "boolean", nillable=False),
        field("DoNotCall", "boolean", nillable=False),
        field("EmailBouncedReason", "string", 255),
        field("EmailBouncedDate", "datetime"),
        field("Legacy_Number__c", "string", 20, external_id=True),
        field("Level__c", "picklist", picklist=("Primary", "Secondary", "NA")),
        field("Interests__c", "multipicklist", 4099, picklist=INTERESTS),
        field("Call_Time__c", "time"),
        field("Credit_Limit__c", "currency"),
        field("Discount__c", "percent", precision=5, scale=2),
        field("Score__c", "double", scale=4),
        field(
            "Account_Rating__c",
            "string",
            1300,
            formula='SELECT a."Rating" FROM "Account" a WHERE a."Id" = t."AccountId"',
            formula_text="TEXT(Account.Rating)",
        ),
        *_system(viewed=True),
    ),
)

LEAD = SObject(
    name="Lead",
    prefix="00Q",
    fields=(
        _id("Lead"),
        _deleted(),
        *_person_name(),
        field("Title", "string", 128),
        field("Company", "string", 255, nillable=False),
        *address(""),
        field("Phone", "phone"),
        field("MobilePhone", "phone"),
        field("Email", "email"),
        field("Website", "url"),
        field("Description", "textarea", 32000),
        field("LeadSource", "picklist", picklist=SOURCES),
        field("Status", "picklist", nillable=False, picklist=("Open", "Contacted", "Qualified", "Unqualified")),
        field("Industry", "picklist", picklist=INDUSTRIES),
        field("Rating", "picklist", picklist=RATINGS),
        field("AnnualRevenue", "currency", scale=0),
        field("NumberOfEmployees", "int"),
        field("OwnerId", "reference", refers_to=OWNERS, nillable=False),
        field("IsConverted", "boolean", nillable=False),
        field("ConvertedDate", "date"),
        field("ConvertedAccountId", "reference", refers_to=("Account",)),
        *_system(),
    ),
)

OPPORTUNITY = SObject(
    name="Opportunity",
    prefix="006",
    plural="Opportunities",
    fields=(
        _id("Opportunity"),
        _deleted(),
        field("AccountId", "reference", refers_to=("Account",)),
        field("IsPrivate", "boolean", nillable=False),
        field("Name", "string", 120, nillable=False, name_field=True),
        field("Description", "textarea", 32000),
        field("StageName", "picklist", nillable=False, picklist=STAGES),
        field("Amount", "currency"),
        field("Probability", "percent", precision=3),
        field(
            "ExpectedRevenue",
            "currency",
            formula='ROUND(CAST(t."Amount" AS REAL) * CAST(t."Probability" AS REAL) / 100, 2)',
        ),
        field("TotalOpportunityQuantity", "double", scale=2),
        field("CloseDate", "date", nillable=False),
        field("Type", "picklist", picklist=("Existing Business", "New Business")),
        field("NextStep", "string", 255),
        field("LeadSource", "picklist", picklist=SOURCES),
        field("IsClosed", "boolean", nillable=False, formula="t.\"StageName\" LIKE 'Closed%'"),
        field("IsWon", "boolean", nillable=False, formula="t.\"StageName\" = 'Closed Won'"),
        field("OwnerId", "reference", refers_to=("User",), nillable=False),
        field("ContactId", "reference", refers_to=("Contact",)),
        *_system(),
    ),
)

USER = SObject(
    name="User",
    prefix="005",
    fields=(
        _id("User"),
        field("Username", "string", 80, nillable=False),
        *_person_name(),
        field("CompanyName", "string", 80),
        field("Title", "string", 80),
        *address(""),
        field("Email", "email", nillable=False),
        field("Phone", "phone"),
        field("Alias", "string", 8, nillable=False),
        field("IsActive", "boolean", nillable=False),
        field("TimeZoneSidKey", "picklist", 40, nillable=False, picklist=("Europe/Berlin", "America/New_York")),
        field("LocaleSidKey", "picklist", 40, nillable=False, picklist=("de_DE", "en_US")),
        field("ManagerId", "reference", refers_to=("User",)),
        field("LastLoginDate", "datetime", system=True),
        *_system(),
    ),
)

INVOICE = SObject(
    name="Invoice__c",
    prefix="a00",
    label="Invoice",
    fields=(
        _id("Record"),
        field("OwnerId", "reference", refers_to=OWNERS, nillable=False),
        _deleted(),
        field("Name", "string", 80, name_field=True),
        field("Account__c", "reference", refers_to=("Account",)),
        field("Number__c", "string", 20, external_id=True),
        field("Amount__c", "currency"),
        field("Tax__c", "percent", precision=5, scale=3),
        field("Exact__c", "double", scale=8),
        field("Due__c", "date"),
        field("Paid_At__c", "datetime"),
        field("Cutoff__c", "time"),
        field("Paid__c", "boolean", nillable=False),
        field("Note__c", "textarea", 131072),
        field("Delivery__Latitude__s", "double", scale=6, compound="Delivery__c"),
        field("Delivery__Longitude__s", "double", scale=6, compound="Delivery__c"),
        field(
            "Delivery__c",
            "location",
            parts=(("latitude", "Delivery__Latitude__s"), ("longitude", "Delivery__Longitude__s")),
        ),
        *_system(viewed=True),
    ),
)

ATTACHMENT = SObject(
    name="Attachment",
    prefix="00P",
    fields=(
        _id("Attachment"),
        _deleted(),
        field("ParentId", "reference", refers_to=("Account", "Contact", "Lead", "Opportunity"), nillable=False),
        field("Name", "string", 255, nillable=False, name_field=True),
        field("IsPrivate", "boolean", nillable=False),
        field("ContentType", "string", 120),
        field("BodyLength", "int", system=True, formula='LENGTH(t."Body")'),
        field("Body", "base64", nillable=False),
        field("OwnerId", "reference", refers_to=OWNERS, nillable=False),
        *_system(),
    ),
)

CASE_STATUS = SObject(
    name="CaseStatus",
    prefix="01J",
    plural="Case Status Values",
    bulk=False,
    fields=(
        _id("Case Status"),
        field("MasterLabel", "string", 255, nillable=False),
        field("ApiName", "string", 255, nillable=False, name_field=True),
        field("SortOrder", "int"),
        field("IsDefault", "boolean", nillable=False),
        field("IsClosed", "boolean", nillable=False),
        *_system(),
    ),
)

ACCOUNT_HISTORY = SObject(
    name="AccountHistory",
    prefix="017",
    plural="Account History",
    fields=(
        _id("Account History"),
        _deleted(),
        field("AccountId", "reference", refers_to=("Account",), nillable=False, system=True),
        field("CreatedById", "reference", refers_to=("User",), nillable=False, system=True),
        field("CreatedDate", "datetime", nillable=False, system=True),
        field("Field", "picklist", nillable=False, picklist=("Name", "Owner", "created"), system=True),
        field("DataType", "picklist", 40, picklist=("Text", "EntityId"), system=True),
        field("OldValue", "anyType", 255, system=True),
        field("NewValue", "anyType", 255, system=True),
    ),
)

ACTIVITY_HISTORY = SObject(
    name="ActivityHistory",
    prefix="0AH",
    plural="Activity History",
    queryable=False,
    bulk=False,
    fields=(_id("Activity"), _deleted(), field("Subject", "string", 255), *_system()),
)

STANDARD = (
    ACCOUNT,
    CONTACT,
    LEAD,
    OPPORTUNITY,
    USER,
    INVOICE,
    ATTACHMENT,
    CASE_STATUS,
    ACCOUNT_HISTORY,
    ACTIVITY_HISTORY,
)
DEFAULT_COUNTS = {
    "User": 50,
    "Account": 1_000,
    "Contact": 6_000,
    "Lead": 3_000,
    "Opportunity": 2_000,
    "Invoice__c": 500,
    "Attachment": 20,
    "CaseStatus": 4,
    "AccountHistory": 300,
}


def wide(fields: int, text: int) -> SObject:
    """`Wide__c`: an object of `fields` custom fields, its text values about `text` characters long."""
    kinds = ("string", "currency", "date", "boolean", "picklist", "double", "datetime", "textarea")
    columns = []
    for n in range(fields):
        kind = kinds[n % len(kinds)]
        picked = {"picklist": RATINGS} if kind == "picklist" else {}
        length = max(text, 255) if kind == "textarea" else 0
        nillable = kind != "boolean"
        columns.append(field(f"F{n:04d}__c", kind, length, nillable=nillable, **picked))
    return SObject(
        name="Wide__c",
        prefix="a01",
        label="Wide",
        fields=(
            _id("Record"),
            field("OwnerId", "reference", refers_to=OWNERS, nillable=False),
            _deleted(),
            field("Name", "string", 80, name_field=True),
            *columns,
            *_system(),
        ),
    )
