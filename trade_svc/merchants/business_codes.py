"""Business codes: the four elements under which a merchant may trade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from paymesh.context import Context
from paymesh.core import Decision, View
from paymesh.ids import bucket_of, derived_id


@dataclass(frozen=True, slots=True)
class BusinessCode:
    """Registered once and for all; the four elements are those of its context."""

    id: str
    context: Context
    version: int
    description: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class BusinessCodeView:
    code: BusinessCode | None


def business_code_id_of(context: Context) -> str:
    """The id that follows from the four elements."""
    four = (context.merchant_id, context.order_type, context.sub_type, context.pay_org_no)
    return derived_id("bcd", bucket=bucket_of(context.merchant_id), key="\x1f".join(four))


@dataclass(frozen=True, slots=True)
class RegisterBusinessCode:
    context: Context
    description: str

    @property
    def key(self) -> str:
        return business_code_id_of(self.context)


def register_business_code(
    state: BusinessCodeView, command: RegisterBusinessCode, at: datetime, view: View
) -> Decision[BusinessCodeView]:
    """Registered already: it stays as it is."""
    code = state.code or BusinessCode(
        id=command.key,
        context=command.context,
        version=1,
        description=command.description,
        created_at=at,
    )
    return Decision(state=BusinessCodeView(code), answer=code)
