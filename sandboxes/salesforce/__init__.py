"""A small Salesforce org on this computer, for demos, tests and benchmarks."""

from .errors import SandboxError
from .faults import Fault
from .org import LocalOrg
from .schema import Field, SObject, field

__all__ = ["Fault", "Field", "LocalOrg", "SObject", "SandboxError", "field"]
