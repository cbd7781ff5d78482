"""What the four databases hold. Amounts are in minor units; each row knows when it was made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from sqlalchemy import BigInteger, DateTime, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

Key = Annotated[str, mapped_column(primary_key=True)]
Later = Annotated[str, mapped_column(default="")]


class Base(DeclarativeBase):
    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}

    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))

    @declared_attr.directive
    def __tablename__(cls) -> str:
        return cls.__name__.lower()


class Inbox(Base):
    """A message that was counted; in every database."""

    message_id: Mapped[Key]


class Trade(Base):
    id: Mapped[Key]
    merchant_id: Mapped[str]
    order_type: Mapped[str]
    sub_type: Mapped[str]
    pay_org_no: Mapped[str]
    merchant_order_no: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    subject: Mapped[str]
    payer_id: Mapped[str]
    state: Mapped[str] = mapped_column(default="NEW")
    paid_payment_id: Mapped[Later]


class Request(Base):
    """A CreateTrade that was answered, and with which trade."""

    request_id: Mapped[Key]
    trade_id: Mapped[str]


class Attempt(Base):
    payment_id: Mapped[Key]
    trade_id: Mapped[str] = mapped_column(ForeignKey("trade.id"))
    state: Mapped[str] = mapped_column(default="PROCESSING")
    credential_id: Mapped[Later]


class Payment(Base):
    id: Mapped[Key]
    trade_id: Mapped[str]
    pay_org_no: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    state: Mapped[str] = mapped_column(default="PROCESSING")
    credential_id: Mapped[Later]
    instructions: Mapped[list[Instruction]] = relationship()


class Instruction(Base):
    request_no: Mapped[Key]
    payment_id: Mapped[str] = mapped_column(ForeignKey("payment.id"))
    channel: Mapped[str]
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(default="PROCESSING")


class Order(Base):
    """An order at the channel."""

    __tablename__ = "channel_order"
    request_no: Mapped[Key]
    reference: Mapped[str]
    channel: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    state: Mapped[str] = mapped_column(default="PENDING")


class Callback(Base):
    id: Mapped[Key]
    request_no: Mapped[str]
    outcome: Mapped[str]


class Account(Base):
    """One subject of one owner. Its balance is the sum of its entries: debits less credits."""

    id: Mapped[Key]
    balance: Mapped[int] = mapped_column(default=0)


class Journal(Base):
    """`id` is its kind and the payment, so each is booked once."""

    id: Mapped[Key]
    kind: Mapped[str]
    payment_id: Mapped[str]
    entries: Mapped[list[Entry]] = relationship()


class Entry(Base):
    """`amount` is greater than zero for a debit, less for a credit."""

    journal_id: Mapped[str] = mapped_column(ForeignKey("journal.id"), primary_key=True)
    account_id: Mapped[Key]
    amount: Mapped[int]


TABLES = {
    "trade": ("trade", "request", "attempt", "inbox"),
    "pay": ("payment", "instruction", "inbox"),
    "gateway": ("channel_order", "callback"),
    "clearing": ("account", "journal", "entry", "inbox"),
}
"""Which service's database has which."""
