"""The ledger through its front door: PostJournals of many transfers, on all accounts or on one."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from payments.clearing.v1 import ledger_pb2, ledger_service_pb2
from payments.type.v1 import context_pb2, money_pb2

from paymesh.channel import open_channel
from paymesh.ids import bucket_of, new_id
from paymesh_ops.bench.books import Books
from paymesh_ops.bench.cpu import Groups
from paymesh_ops.bench.load import RPC_TIMEOUT_S, called, paced
from paymesh_ops.bench.measure import Done

METHOD = "/payments.clearing.v1.LedgerService/PostJournals"
MESSAGE_JOURNALS = 200
CALLERS = 8
PACED_JOURNALS = 50
PACED_A_SECOND = 40
"""Messages of so many journals, so many a second: 2,000 journals a second."""
MERCHANT = "mer_bench"
USERS = 10_000
FUNDED = 10_000_000
CURRENCY = "EUR"

Account = tuple[str, str]
"""Subject and owner."""
BANK: Account = ("BANK", "platform")
HOT: Account = ("USER_BALANCE", "bench-everybodys")


@dataclass
class Transfers:
    """Journals from a random user's balance to another one's, or all to one: a hot account."""

    name: str
    target: str
    groups: Groups
    books: Books
    journals: int
    """So many a turn."""
    event_type: str
    """Of its journals, and of no others."""
    hot: bool = False
    steady: bool = False
    """Messages come when they are due, smaller ones; else 4 callers send without a rest."""
    unit: str = "journals"
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    posted: int = 0
    messages: Sequence[bytes] = ()
    """Of the next turn, serialised."""

    async def open_accounts(self) -> None:
        """Every user's account, with money on it."""
        self.messages = _messages(
            (_journal("bench.funding", BANK, _user(n), FUNDED) for n in range(USERS)),
            MESSAGE_JOURNALS,
        )
        await self._post()

    async def prepare(self) -> None:
        size = PACED_JOURNALS if self.steady else MESSAGE_JOURNALS
        self.messages = _messages((self._transfer() for _ in range(self.journals)), size)

    async def turn(self) -> Done:
        done = await self._post()
        self.posted += done.count
        return done

    def _transfer(self) -> ledger_service_pb2.PostJournalsItem:
        payer, payee = self.dice.sample(range(USERS), 2)
        to = HOT if self.hot else _user(payee)
        return _journal(self.event_type, _user(payer), to, self.dice.randint(1, 1000))

    async def _post(self) -> Done:
        answers: list[bytes] = []
        async with open_channel(self.target) as channel:
            await channel.channel_ready()
            method: Any = channel.unary_unary(METHOD)

            async def post(message: bytes) -> None:
                answers.append(await method(message, timeout=RPC_TIMEOUT_S))

            started = time.perf_counter()
            latencies = await self._sent(post)
            seconds = time.perf_counter() - started
        return Done(_posted(answers), seconds, latencies)

    async def _sent(self, post: Callable[[bytes], Awaitable[None]]) -> list[float]:
        if self.steady:
            return await paced(self.messages, post, a_second=PACED_A_SECOND)
        return await called(self.messages, post, callers=CALLERS)

    async def wrong(self) -> Sequence[str]:
        """Every journal that was answered is there, and all invariants hold."""
        kept = await self.books.number(
            "clearing",
            "SELECT count(*) FROM journal WHERE event_type = %(type)s",
            type=self.event_type,
        )
        lost = [] if kept == self.posted else [f"{self.posted} were posted, {kept} are there"]
        return [*lost, *await self.books.wrong()]


def _posted(answers: Iterable[bytes]) -> int:
    """How many journals were posted. Raises RuntimeError if one was refused."""
    posted = 0
    for answer in answers:
        for result in ledger_service_pb2.PostJournalsResponse.FromString(answer).results:
            if result.WhichOneof("result") != "journal":
                raise RuntimeError(f"a journal was refused: {result.error.message}")
            posted += 1
    return posted


def _messages(items: Iterable[ledger_service_pb2.PostJournalsItem], size: int) -> Sequence[bytes]:
    """One after the other: what is made of a million of them never stands beside them."""
    waiting = iter(items)
    return [
        ledger_service_pb2.PostJournalsRequest(
            items=part, view=ledger_service_pb2.JOURNAL_VIEW_NAME
        ).SerializeToString()
        for part in iter(lambda: list(islice(waiting, size)), [])
    ]


def _user(n: int) -> Account:
    return ("USER_BALANCE", f"bench-user-{n}")


def _journal(
    event_type: str, payer: Account, payee: Account, minor: int
) -> ledger_service_pb2.PostJournalsItem:
    """As a service of ours would send it: ids in the order of time, and the event's own key.

    Without a request_id: the journal's name, event_type and business_key, makes it one journal.
    """
    amount = money_pb2.Money(currency_code=CURRENCY, minor_units=minor)
    business_id = new_id("biz", bucket=bucket_of(MERCHANT))
    return ledger_service_pb2.PostJournalsItem(
        call_context=context_pb2.CallContext(
            context=context_pb2.Context(business_id=business_id, merchant_id=MERCHANT)
        ),
        request=ledger_service_pb2.PostJournal(
            event_type=event_type,
            business_key=new_id("ins", bucket=bucket_of(payer[1])),
            entries=[
                _entry("ENTRY_SIDE_DEBIT", payer, amount),
                _entry("ENTRY_SIDE_CREDIT", payee, amount),
            ],
        ),
    )


def _entry(side: str, account: Account, amount: money_pb2.Money) -> ledger_pb2.Entry:
    subject, owner = account
    return ledger_pb2.Entry(side=side, subject=subject, owner=owner, amount=amount)
