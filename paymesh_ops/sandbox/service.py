"""The channel at work: decide, put into the book, owe the callback, let time pass.

Every operation is a plain function on one event loop: it reads the state, decides by `domain`,
appends to the book and changes the state without an await in between, so requests cannot overlap.
Nobody may be answered before `durable()` returned.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from paymesh.signing import Signer
from paymesh_ops.sandbox import domain
from paymesh_ops.sandbox.book import Book, book_id
from paymesh_ops.sandbox.callbacks import CallbackLimits, Courier
from paymesh_ops.sandbox.domain import (
    Fate,
    NewOrder,
    NewPayout,
    NewRefund,
    Order,
    OrderState,
    Payout,
    Refund,
    Refusal,
)
from paymesh_ops.sandbox.faults import Faults
from paymesh_ops.sandbox.rows import Entity, Json
from paymesh_ops.sandbox.state import Notice, Outcome, State, callback_record, row_record
from paymesh_ops.sandbox.views import event_type

_FATES = {"decline": Fate.DECLINE, "stuck": Fate.STUCK, "bounce": Fate.BOUNCE}

AnyEntity = TypeVar("AnyEntity", Order, Refund, Payout)


def utc_now() -> datetime:
    """Now, to the millisecond: what the book can keep."""
    at = datetime.now(UTC)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def new_id(prefix: str) -> str:
    """An id that nobody can guess and that no restart repeats."""
    return prefix + secrets.token_hex(12)


class Sandbox:
    """One channel with one book. `start` it in the loop that serves it, `stop` it there."""

    def __init__(
        self,
        *,
        book_folder: Path,
        signer: Signer,
        faults: Faults,
        limits: CallbackLimits,
        now: Callable[[], datetime] = utc_now,
        new_id: Callable[[str], str] = new_id,
    ) -> None:
        """Opens the book and reads it. Raises BookError."""
        self.state = State()
        self.faults = faults
        self._book = Book.open(book_folder, self.state.apply)
        self.book_id = book_id(book_folder)
        self._now = now
        self._new_id = new_id
        self._stopping = False
        self._courier = Courier(
            signer=signer,
            faults=faults,
            now_s=lambda: now().timestamp(),
            durable=self._book.sync,
            finished=self._callback_finished,
            limits=limits,
        )

    async def start(self) -> None:
        """Go on with what the book says is under way."""
        await self._courier.start()
        for notice in list(self.state.owed.values()):
            self._courier.send(notice)
        for refund in self.state.refunds.values():
            self._finish_later(refund)
        for payout in self.state.payouts.values():
            self._finish_later(payout)

    async def stop(self) -> None:
        """Write what is pending and close the book."""
        self._stopping = True
        await self._courier.stop()
        await self._book.close()

    async def durable(self) -> None:
        """Return when everything decided so far is on disk. Raises BookFailed."""
        await self._book.sync()

    def create_order(self, new: NewOrder) -> Order:
        known = self.state.orders.get(new.out_trade_no)
        order = domain.create_order(known, new, prepay_id=self._new_id("pp_"), now=self._now())
        return self._keep(known, order)

    def get_order(self, out_trade_no: str) -> Order:
        """Raises ORDER_NOT_EXIST. An order whose time is over is closed by being looked at."""
        return self._fresh(self.state.orders.get(out_trade_no))

    def order_to_pay(self, prepay_id: str) -> Order:
        """Raises ORDER_NOT_EXIST."""
        return self._fresh(self.state.order_by_prepay(prepay_id))

    def close_order(self, out_trade_no: str) -> Order:
        order = self.get_order(out_trade_no)
        return self._keep(order, domain.close_order(order, now=self._now()))

    def pay(self, prepay_id: str) -> Order:
        """What the payer does. Raises ORDER_NOT_EXIST, ORDER_CLOSED."""
        order = self.order_to_pay(prepay_id)
        closed = order.state is OrderState.CLOSED
        paid = domain.pay_order(
            order,
            transaction_id=self._new_id("42"),
            paid_amount=order.params.amount,
            late_allowed=closed and self.faults.fires("pay", "late_success"),
            now=self._now(),
        )
        if paid is not order:
            paid = replace(paid, paid_amount=self._amount_paid(order.params.amount))
        return self._keep(order, paid)

    def create_refund(self, new: NewRefund) -> Refund:
        known = self.state.refunds.get(new.out_refund_no)
        if known is None and self.faults.fires("refund", "short"):
            raise domain.not_enough()
        refund = domain.create_refund(
            known,
            new,
            self.state.orders.get(new.out_trade_no),
            self.state.refunds_of(new.out_trade_no),
            refund_id=self._new_id("50"),
            now=self._now(),
        )
        if known is None:
            refund = replace(refund, fate=self._fate("refund", refund.fate))
            if self.faults.fires("refund", "sync"):
                refund = domain.finish_refund(refund, now=self._now())
        return self._keep(known, refund)

    def get_refund(self, out_refund_no: str) -> Refund:
        refund = self.state.refunds.get(out_refund_no)
        if refund is None:
            raise Refusal(404, "REFUND_NOT_EXIST", "no such refund")
        return refund

    def create_payout(self, new: NewPayout) -> Payout:
        known = self.state.payouts.get(new.out_payout_no)
        if known is None and self.faults.fires("payout", "short"):
            raise domain.not_enough()
        payout = domain.create_payout(known, new, payout_id=self._new_id("60"), now=self._now())
        if known is None:
            payout = replace(payout, fate=self._fate("payout", payout.fate))
            if self.faults.fires("payout", "sync"):
                payout = domain.finish_payout(payout, now=self._now())
        return self._keep(known, payout)

    def get_payout(self, out_payout_no: str) -> Payout:
        payout = self.state.payouts.get(out_payout_no)
        if payout is None:
            raise Refusal(404, "PAYOUT_NOT_EXIST", "no such payout")
        return payout

    async def replay_callback(self, number: str) -> tuple[Notice, int | None]:
        """Send the last callback about it once more. Raises CALLBACK_NOT_EXIST."""
        notice = self.state.last_notice(number)
        if notice is None:
            raise Refusal(404, "CALLBACK_NOT_EXIST", "nothing was ever called back for it")
        await self.durable()
        return notice, await self._courier.replay(notice)

    def rows(self) -> dict[str, list[Entity]]:
        """Everything as it is now: rows are frozen, so the lists are a snapshot."""
        now = self._now()
        return {
            "orders": [domain.expire(order, now=now) for order in self.state.orders.values()],
            "refunds": list(self.state.refunds.values()),
            "payouts": list(self.state.payouts.values()),
        }

    def callback_counts(self) -> Json:
        """How many callbacks are owed, and what became of the others."""
        counts = {outcome.value.lower(): self.state.outcomes[outcome] for outcome in Outcome}
        return {"owed": len(self.state.owed), **counts}

    def _fresh(self, order: Order | None) -> Order:
        if order is None:
            raise Refusal(404, "ORDER_NOT_EXIST", "no such order")
        # Written down, so that an answer CLOSED stays true if the clock is set back.
        return self._keep(order, domain.expire(order, now=self._now()))

    def _keep(self, before: AnyEntity | None, after: AnyEntity) -> AnyEntity:
        """Make a decision hold: book first, then memory, then whatever follows from it."""
        if after is before:
            return after
        notice = self._notice(after) if before is None or before.state != after.state else None
        self._book.append(row_record(after, notice))
        self.state.put(after, notice)
        if notice is not None:
            self._courier.send(notice)
        self._finish_later(after)
        return after

    def _notice(self, entity: Entity) -> Notice | None:
        kind = event_type(entity)
        if kind is None:
            return None
        if isinstance(entity, Refund):
            # It has no URL of its own: it is told where its order was told.
            notify_url = self.state.orders[entity.params.out_trade_no].params.notify_url
        else:
            notify_url = entity.params.notify_url
        return Notice(
            id=self._new_id("evt_"),
            event_type=kind,
            create_time=self._now(),
            notify_url=notify_url,
            subject=entity,
        )

    def _callback_finished(self, notice: Notice, outcome: Outcome) -> None:
        self._book.append(callback_record(notice, outcome))
        self.state.finish(notice, outcome)

    def _finish_later(self, entity: Entity) -> None:
        match entity:
            case Refund() if (entity.state, entity.fate) in domain.REFUND_NEXT:
                first = entity.state is domain.RefundState.PROCESSING
                verb, number = "refund", entity.params.out_refund_no
            case Payout() if (entity.state, entity.fate) in domain.PAYOUT_NEXT:
                first = entity.state is domain.PayoutState.PROCESSING
                verb, number = "payout", entity.params.out_payout_no
            case _:
                return
        delay_s = self.faults.seconds(verb, "processing_ms" if first else "bounce_ms")
        asyncio.get_running_loop().call_later(delay_s, self._finish, verb, number)

    def _finish(self, verb: str, number: str) -> None:
        if self._stopping:
            return
        if verb == "refund":
            refund = self.state.refunds[number]
            self._keep(refund, domain.finish_refund(refund, now=self._now()))
        else:
            payout = self.state.payouts[number]
            self._keep(payout, domain.finish_payout(payout, now=self._now()))

    def _fate(self, verb: str, given: Fate) -> Fate:
        if given is not Fate.SUCCEED:
            return given
        fired = (fate for fault, fate in _FATES.items() if self.faults.fires(verb, fault))
        return next(fired, given)

    def _amount_paid(self, asked: int) -> int:
        if self.faults.fires("pay", "wrong_amount"):
            return asked + 1
        if asked > 1 and self.faults.fires("pay", "partial"):
            return asked // 2
        return asked
