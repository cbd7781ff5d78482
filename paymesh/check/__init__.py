"""The invariants as a program: each is a query that finds nothing while the books are right."""

from paymesh.check.model import Finding, Invariant, Report, Result
from paymesh.check.printing import print_findings
from paymesh.check.runner import INVARIANTS, check
from paymesh.check.snapshots import DatabaseUnreadable

__all__ = [
    "INVARIANTS",
    "DatabaseUnreadable",
    "Finding",
    "Invariant",
    "Report",
    "Result",
    "check",
    "print_findings",
]
