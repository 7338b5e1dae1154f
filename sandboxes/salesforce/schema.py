"""Objects and their fields: what they are called, how they are stored, and what describe says of them.

Storage: one SQLite table per object, one column per stored field, all values as the API shows them
(datetimes as `2024-01-01T00:00:00.000+0000`, decimals as their digits, booleans as 0/1).
source: REST API developer guide, "sObject Describe"; SOAP API guide, "DescribeSObjectResult" and "Field"
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country", "Latitude", "Longitude", "GeocodeAccuracy")
NUMBERS = frozenset({"double", "currency", "percent"})
COMPOUNDS = frozenset({"address", "location"})
TEXTS = frozenset(
    {
        "string",
        "textarea",
        "email",
        "phone",
        "url",
        "picklist",
        "multipicklist",
        "combobox",
        "anyType",
        "encryptedstring",
    }
)
_SOAP = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
    "time": "xsd:time",
    "base64": "xsd:base64Binary",
    "address": "urn:address",
    "location": "urn:location",
    "anyType": "xsd:anyType",
}
_LENGTHS = {"id": 18, "reference": 18, "string": 255, "email": 80, "phone": 40, "url": 255, "picklist": 255}
FILTERABLE_TEXT = 255  # longer text areas can be neither filtered nor sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of an object.

    formula:   SQL over the object's row (alias `t`) if the value is calculated, else empty
    parts:     of an address or location: the stored components, in the order of the JSON keys
    compound:  of a component: the field it belongs to
    """

    name: str
    type: str
    label: str = ""
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    formula: str = ""
    formula_text: str = ""
    compound: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    refers_to: tuple[str, ...] = ()
    picklist: tuple[str, ...] = ()
    system: bool = False
    name_field: bool = False
    external_id: bool = False

    @property
    def custom(self) -> bool:
        """Made by the org's administrator rather than by Salesforce."""
        return self.name.endswith(("__c", "__s"))

    @property
    def stored(self) -> bool:
        """Has a column of its own."""
        return not self.formula and self.type not in COMPOUNDS

    @property
    def filterable(self) -> bool:
        """May stand in WHERE and ORDER BY."""
        return self.type not in COMPOUNDS | {"base64"} and not (
            self.type == "textarea" and self.length > FILTERABLE_TEXT
        )

    @property
    def sql(self) -> str:
        """The value as SQL over alias `t`."""
        return f"({self.formula})" if self.formula else f't."{self.name}"'

    def describe(self) -> dict[str, Any]:
        """The field as describe shows it."""
        writable = not (self.system or self.formula or self.type in COMPOUNDS)
        length = self.length if self.type in TEXTS | {"id", "reference", "base64"} else 0
        relationship = self.name.removesuffix("Id") if self.name.endswith("Id") else self.name.replace("__c", "__r")
        return {
            "aggregatable": self.filterable,
            "aiPredictionField": False,
            "autoNumber": False,
            "byteLength": length * 3 if self.type in TEXTS else length,
            "calculated": bool(self.formula) and self.custom,
            "calculatedFormula": self.formula_text or None,
            "cascadeDelete": False,
            "caseSensitive": False,
            "compoundFieldName": self.compound or None,
            "controllerName": None,
            "createable": writable,
            "custom": self.custom,
            "defaultValue": False if self.type == "boolean" else None,
            "defaultValueFormula": None,
            "defaultedOnCreate": self.type == "boolean" or self.name == "OwnerId",
            "dependentPicklist": False,
            "deprecatedAndHidden": False,
            "digits": self.precision if self.type == "int" else 0,
            "displayLocationInDecimal": self.type == "location",
            "encrypted": self.type == "encryptedstring",
            "externalId": self.external_id,
            "extraTypeInfo": _extra_type(self),
            "filterable": self.filterable,
            "filteredLookupInfo": None,
            "formulaTreatNullNumberAsZero": False,
            "groupable": self.filterable and self.type not in NUMBERS | {"datetime", "time", "multipicklist"},
            "highScaleNumber": False,
            "htmlFormatted": False,
            "idLookup": self.type == "id" or self.external_id,
            "inlineHelpText": None,
            "label": self.label or _label(self.name),
            "length": length,
            "mask": None,
            "maskType": None,
            "name": self.name,
            "nameField": self.name_field,
            "namePointing": len(self.refers_to) > 1,
            "nillable": self.nillable,
            "permissionable": self.custom,
            "picklistValues": [
                {"active": True, "defaultValue": False, "label": v, "validFor": None, "value": v} for v in self.picklist
            ],
            "polymorphicForeignKey": len(self.refers_to) > 1,
            "precision": self.precision if self.type in NUMBERS else 0,
            "queryByDistance": self.type in COMPOUNDS,
            "referenceTargetField": None,
            "referenceTo": list(self.refers_to),
            "relationshipName": relationship if self.refers_to else None,
            "relationshipOrder": None,
            "restrictedDelete": False,
            "restrictedPicklist": False,
            "scale": self.scale if self.type in NUMBERS else 0,
            "searchPrefilterable": bool(self.refers_to),
            "soapType": _SOAP.get(self.type, "xsd:string"),
            "sortable": self.filterable and self.type != "multipicklist",
            "type": self.type,
            "unique": self.external_id,
            "updateable": writable and self.type != "id",
            "writeRequiresMasterRead": False,
        }


def field(name: str, type_: str = "string", length: int = 0, **more: Any) -> Field:
    """A field with the usual length and precision of its type."""
    if type_ in NUMBERS:
        more = {"precision": 18, "scale": 2 if type_ == "currency" else 0, **more}
    if type_ == "int":
        more = {"precision": 8, **more}
    return Field(name=name, type=type_, length=length or _LENGTHS.get(type_, 0), **more)


def address(prefix: str) -> list[Field]:
    """An address: the compound field and its eight components."""
    compound = f"{prefix}Address" if prefix else "Address"
    parts = []
    for part in ADDRESS_PARTS:
        if part in {"Latitude", "Longitude"}:
            parts.append(field(prefix + part, "double", scale=15, compound=compound))
        elif part == "GeocodeAccuracy":
            parts.append(field(prefix + part, "picklist", 40, picklist=("Address", "Street", "Zip"), compound=compound))
        else:
            kind = "textarea" if part == "Street" else "string"
            length = {"Street": 255, "City": 40, "PostalCode": 20}.get(part, 80)
            parts.append(field(prefix + part, kind, length, compound=compound))
    keys = tuple((part.name.removeprefix(prefix), part.name) for part in parts)
    json_keys = tuple((key[0].lower() + key[1:], column) for key, column in keys)
    return [*parts, field(compound, "address", parts=tuple(sorted(json_keys)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class SObject:
    """One object of the org.

    prefix:  the first three characters of its records' ids
    bulk:    False if Bulk API 2.0 refuses it
    replicateable:  False if getDeleted refuses it
    """

    name: str
    prefix: str
    fields: tuple[Field, ...]
    label: str = ""
    plural: str = ""
    bulk: bool = True
    queryable: bool = True
    replicateable: bool = True

    def __post_init__(self) -> None:
        names = [f.name.lower() for f in self.fields]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name} has two fields of one name")

    @property
    def columns(self) -> list[Field]:
        """The stored fields, in order."""
        return [f for f in self.fields if f.stored]

    def find(self, name: str) -> Field | None:
        """The field of that name, whatever its capitals."""
        wanted = name.lower()
        return next((f for f in self.fields if f.name.lower() == wanted), None)

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return self.find(name) is not None

    def with_fields(self, fields: Sequence[Field]) -> "SObject":
        """The same object with other fields."""
        return replace(self, fields=tuple(fields))

    def summary(self, base: str) -> dict[str, Any]:
        """The object as the list of sobjects shows it. base: `/services/data/vNN.N`."""
        urls = {"sobject": f"{base}/sobjects/{self.name}"}
        urls["describe"] = f"{urls['sobject']}/describe"
        urls["rowTemplate"] = f"{urls['sobject']}/{{ID}}"
        writable = self.queryable and self.prefix != "017"
        return {
            "activateable": False,
            "associateEntityType": None,
            "associateParentEntity": None,
            "createable": writable,
            "custom": self.name.endswith("__c"),
            "customSetting": False,
            "deepCloneable": False,
            "deletable": writable,
            "deprecatedAndHidden": False,
            "feedEnabled": False,
            "hasSubtypes": False,
            "isInterface": False,
            "isSubtype": False,
            "keyPrefix": self.prefix if self.queryable else None,
            "label": self.label or _label(self.name),
            "labelPlural": self.plural or f"{self.label or _label(self.name)}s",
            "layoutable": True,
            "mergeable": self.name in {"Account", "Contact", "Lead"},
            "mruEnabled": True,
            "name": self.name,
            "queryable": self.queryable,
            "replicateable": self.queryable and self.replicateable,
            "retrieveable": self.queryable,
            "searchable": self.queryable,
            "triggerable": writable,
            "undeletable": writable and self.name != "User",
            "updateable": writable,
            "urls": urls,
        }

    def describe(self, base: str) -> dict[str, Any]:
        """All that describe says of the object."""
        return {
            "actionOverrides": [],
            "childRelationships": [],
            "compactLayoutable": True,
            "defaultImplementation": None,
            "extendedBy": None,
            "extendsInterfaces": None,
            "fields": [f.describe() for f in self.fields],
            "implementedBy": None,
            "implementsInterfaces": None,
            "listviewable": None,
            "lookupLayoutable": None,
            "namedLayoutInfos": [],
            "networkScopeFieldName": None,
            "recordTypeInfos": [],
            "searchLayoutable": self.queryable,
            "sobjectDescribeOption": "FULL",
            "supportedScopes": [{"label": "All records", "name": "everything"}],
            **self.summary(base),
        }


def _label(name: str) -> str:
    words = ""
    for before, c in zip(" " + name, name, strict=False):
        words += f" {c}" if c.isupper() and before.islower() else c
    return words.removesuffix("__c").replace("__", " ").replace("_", " ").replace(" Id", " ID").strip()


def _extra_type(f: Field) -> str | None:
    if f.compound == "Name":
        return "personname"
    if f.type == "textarea":
        return "plaintextarea"
    return None
