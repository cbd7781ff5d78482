"""The invariants as a program: each is a query that finds nothing while the books are right."""

from paymesh_ops.check.model import Finding, Invariant, Report, Result
from paymesh_ops.check.printing import print_findings
from paymesh_ops.check.runner import INVARIANTS, check
from paymesh_ops.check.snapshots import DatabaseUnreadable

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
