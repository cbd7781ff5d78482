"""The machine of test_ledger_stateful: it asks the ledger and its model the same, and compares."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import date, timedelta
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
)
from payments.clearing.v1 import ledger_pb2

from clearing_svc.ledger.drafts import account_id_of
from paymesh import failpoint
from paymesh.ids import derived_id
from tests.clearing.model import Model, possible
from tests.clearing.model_parts import (
    FAULTS,
    Command,
    Line,
    Message,
    Name,
    Post,
    SetStatus,
    available,
)
from tests.clearing.stateful_world import (
    ACCOUNTS,
    ENTRIES,
    TRIES_MAX,
    Unheard,
    World,
    real_key,
)

STEPS = 40
LOST_MAX = 3
"""How often a request may have been carried out before it was answered."""

# What is drawn: short lists of numbers, which are quick to draw and to shrink

ANN, BOB, PENDING, RECEIVABLE, CHANNEL, PAYOUT, ESCROW, YEN, CHANNEL_YEN = range(9)
CNY = range(YEN)
PAIRS = [
    (CHANNEL, ANN), (CHANNEL, PENDING), (ANN, BOB), (RECEIVABLE, CHANNEL), (ANN, PAYOUT),
    (CHANNEL, BOB), (PENDING, ANN), (PENDING, CHANNEL), (CHANNEL, RECEIVABLE), (BOB, ANN),
    (CHANNEL_YEN, YEN), (YEN, CHANNEL_YEN), (RECEIVABLE, PENDING), (CHANNEL, ESCROW),
    (ESCROW, PENDING), (PAYOUT, CHANNEL), (ANN, ANN), (PENDING, RECEIVABLE), (BOB, PENDING),
]  # fmt: skip
"""Debit and credit."""
LIMITS = ["all", "more", "held too"]
AMOUNTS = [*range(1, 31), 500, 100_000, 2**41, 2**62, *LIMITS * 4]
"""Minor units; or all that can be debited of the first account, one more, or all that is on it."""
SOURCES = [
    (ANN,), (PENDING,), (PENDING, RECEIVABLE), (ANN, PENDING), (PENDING, BOB, RECEIVABLE),
    (RECEIVABLE,), (CHANNEL,), (ESCROW,),
]  # fmt: skip
"""Where holds lie; not on ESCROW, which needs references."""
HOW = [*["new"] * 8, "again", "another request", "another body", "another body, same request"]
DAYS = [*[""] * 8, "closed", "first open", "today", "tomorrow"]
FAULT = [*[""] * 24, "before", "before", "after", "after", "cut"]
ANY = st.integers(0, 999)
POST = st.tuples(
    st.sampled_from(HOW),
    st.sampled_from(PAIRS),
    st.sampled_from([None, None, None, *CNY]),
    st.sampled_from(AMOUNTS),
    st.sampled_from(DAYS),
    st.sampled_from([*[""] * 40, *FAULTS]),
    ANY,
)
POSTS = st.lists(POST, min_size=1, max_size=4)


class Compared(RuleBasedStateMachine):
    """One example: accounts of its own on the ledger of all.

    Rules have no preconditions: what there is may depend on who was first, and then the same
    example, run again, would be another one.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.tag, self.numbers = world, f"{next(world.examples)}", count(1)
        owners = [f"ann-{self.tag}", f"bob-{self.tag}", f"mer-{self.tag}", f"sandbox:{self.tag}"]
        ann, bob, mer, channel = owners
        self.names: list[Name] = [
            ("USER_BALANCE", ann, "CNY"),
            ("USER_BALANCE", bob, "CNY"),
            ("MERCHANT_PENDING", mer, "CNY"),
            ("MERCHANT_RECEIVABLE", mer, "CNY"),
            ("CHANNEL_RECEIVABLE", channel, "CNY"),
            ("PAYOUT_TRANSIT", channel, "CNY"),
            ("ESCROW", mer, "CNY"),
            ("USER_BALANCE", ann, "JPY"),
            ("CHANNEL_RECEIVABLE", channel, "JPY"),
        ]
        self.ids = {account_id_of(*name): name for name in self.names}
        booked = world.booked_days()
        self.models = [Model(world.today(), world.last_closed, booked=booked)]
        self.posts: list[Post] = []
        self.asked: list[Command] = []
        self.rows: dict[Name, tuple[Any, ...]] = {}
        self.whole = True

    @property
    def model(self) -> Model:
        return self.models[0]

    # How it is asked

    def does(self, command: Command, fault: str = "", when: int = 0) -> None:
        """Asks until it is answered, and compares."""
        if isinstance(command, SetStatus):
            account = self.model.accounts.get(command.account)
            if account is not None and account.mode == "DRAINING":
                fault = ""  # when that ends, nobody knows: so it matters which try was the first
        self.whole = False
        self.asked.append(command)
        heard, lost = self.world.run(self._heard(command, fault, when))
        found = possible(self.models, command, heard, lost)
        self.hears(found, [command], [heard])

    def do_at_once(self, one: Command, other: Command, *also: Coroutine[Any, Any, None]) -> None:
        """Asks both; either may have been first."""
        self.whole = False

        async def both() -> Any:
            return await asyncio.gather(self.world.send(one), self.world.send(other), *also)

        heard, heard_other, *_ = self.world.run(both())
        one_first = possible(possible(self.models, one, heard, 0), other, heard_other, 0)
        other_first = possible(possible(self.models, other, heard_other, 0), one, heard, 0)
        found = one_first + [model for model in other_first if model not in one_first]
        self.hears(found, [one, other], [heard, heard_other])

    async def _heard(self, command: Command, fault: str, when: int) -> tuple[list[str], int]:
        """The verdicts; how often at most the command was carried out before."""
        world = self.world
        if fault in {"before", "after"}:
            failpoint.arm(f"shell.{fault}_commit:1:error")
        cutting = asyncio.create_task(world.cut(when % 40 / 10_000)) if fault == "cut" else None
        try:
            for tries in range(TRIES_MAX):
                try:
                    heard = await world.send(command)
                except Unheard:
                    if not fault:
                        raise
                    world.seen[f"unheard by {fault}"] += 1
                else:
                    world.seen[f"fault {fault}"] += tries
                    return heard, LOST_MAX if fault else 0
        finally:
            failpoint.arm("")
            if cutting is not None:
                await cutting
        raise AssertionError(f"{command} is never answered")

    def hears(
        self, found: list[Model], commands: Sequence[Command], heard: Sequence[list[str]]
    ) -> None:
        for command, verdicts in zip(commands, heard, strict=True):
            self.world.seen.update(f"{type(command).__name__} {verdict}" for verdict in verdicts)
        about = "; ".join(f"{c} was answered {v}" for c, v in zip(commands, heard, strict=True))
        assert found, f"{about}: the model says otherwise, having {self.model.accounts}"
        self.models = [model for model in found if model.past_is_within_limits()]
        assert self.models, f"{about}: some day is beyond a limit"
        self.looks(about)
        self.world.last_closed = self.model.last_closed
        self.whole = True

    def looks(self, about: str = "") -> None:
        """Compares all accounts, keeps the models that agree, and looks that versions grow."""
        rows = {
            self.ids[id_]: tuple(row) for id_, *row in self.world.query(ACCOUNTS, list(self.ids))
        }
        agree = [model for model in self.models if _agrees(model, rows)]
        assert agree, f"{about}: {_differences(self.models[0], rows)}"
        self.models = agree
        for name, row in rows.items():
            balance, held, status, mode, version = row
            before = self.rows.get(name)
            if before is not None and row != before:
                counted = before[1:4] != (held, status, mode) or (
                    mode == "DIRECT" and before[0] != balance
                )
                assert version > before[4] if counted else version >= before[4], (
                    f"{about}: {name} went from {before} to {row}"
                )
            elif before is None:
                assert version >= 1
        self.rows = rows
        number = next(self.numbers)
        if number % 5 == 0:
            self.world.run(self.reads(self.names[number // 5 % len(self.names)], about))

    async def reads(self, name: Name, about: str = "") -> None:
        """Compares what GetAccount tells."""
        told, account = await self.world.account(name), self.model.accounts.get(name)
        if told is None or account is None:
            assert told is account, f"{about}: GetAccount of {name} tells {told}"
            return
        room = told.available.minor_units if told.HasField("available") else None
        status = ledger_pb2.AccountStatus.Name(told.status).removeprefix("ACCOUNT_STATUS_")
        found = (told.balance.minor_units, told.held.minor_units, room, status)
        wanted = (account.balance, account.held, available(name, account), account.status)
        assert found == wanted, f"{about}: {name} is told as {found}, should be {wanted}"

    def teardown(self) -> None:
        if self.whole:
            self.world.run(self.ends())
        if int(self.tag) % 50 == 0:
            assert self.world.database.books_are_true()

    async def ends(self) -> None:
        """Everything, entry by entry."""
        for name in self.names:
            await self.reads(name)
        for hold_id, hold in self.model.holds.items():
            told = await self.world.hold(hold_id)
            assert told is not None
            parts = [
                (p.held.minor_units, p.posted.minor_units, p.released.minor_units)
                for p in told.parts
            ]
            assert parts == [(part.held, part.posted, part.released) for part in hold.parts]
            assert ledger_pb2.HoldState.Name(told.state) == f"HOLD_STATE_{hold.state}"
        rows = self.world.query(ENTRIES, list(self.ids))
        booked = Counter(
            (event, key, self.ids[id_], side, minor) for event, key, id_, side, minor, _ in rows
        )
        assert booked == Counter(
            (event, real_key(event, key), *line)
            for (event, key), journal in self.model.journals.items()
            for line in journal.lines
        )
        days = {(event, key): day for event, key, *_, day in rows}
        for (event, key), journal in self.model.journals.items():
            day = days[event, real_key(event, key)]
            assert day == journal.day if journal.day else day >= self.model.today

    # What is asked, from what was drawn

    def message(self, drawn: list[Any], *, named: bool) -> Message:
        """`named`: by request_ids."""
        message = Message(tuple(self.post(named, *each) for each in drawn))
        self.posts += message.posts
        return message

    def post(
        self, named: bool, how: str, pair: tuple[int, int], third: int | None, minor: int | str,
        day: str, fault: str, pick: int,
    ) -> Post:  # fmt: skip
        request_id = self.request_id() if named else ""
        debit, credit = (self.names[number] for number in pair)
        rest = None if third is None or pair[0] not in CNY else self.names[third]
        lines = self.lines(debit, credit, rest, self.amount(minor, debit))
        if how == "new" or not self.posts:
            return Post("test", self.key(), lines, request_id, self.day(day), fault)
        old = self.posts[pick % len(self.posts)]
        match how:
            case "again":
                return old
            case "another request":
                return Post(old.event_type, old.key, old.lines, request_id, old.day, old.fault)
            case "another body":
                return Post(old.event_type, old.key, lines, request_id, self.day(day), fault)
            case _:
                return Post("test", self.key(), lines, old.request_id, self.day(day), fault)

    def amount(self, drawn: int | str, debited: Name) -> int:
        """What was drawn, in minor units."""
        if isinstance(drawn, int):
            return drawn
        account = self.model.accounts.get(debited)
        room = account and available(debited, account)
        if account is None or room is None:
            return 7
        minor = {"all": room, "more": room + 1, "held too": abs(account.balance)}[drawn]
        return min(max(1, minor), 2**62)

    @staticmethod
    def lines(debit: Name, credit: Name, rest: Name | None, minor: int) -> tuple[Line, ...]:
        if rest is None or minor == 1:
            return (debit, "DEBIT", minor), (credit, "CREDIT", minor)
        return (debit, "DEBIT", minor), (credit, "CREDIT", minor - 1), (rest, "CREDIT", 1)

    def there(self, pick: int) -> Name:
        """An account that is there; seldom one that may not be."""
        accounts = [*self.model.accounts, self.names[pick % len(self.names)]]
        return accounts[pick % len(accounts)]

    def held(self, pick: int) -> tuple[str, tuple[Name, ...], int]:
        """A hold's id, its sources, and what is left of it."""
        holds = list(self.model.holds.items())
        if not holds:
            return derived_id("hld", bucket=7, key=f"{self.tag} none"), (self.names[ANN],), 0
        hold_id, hold = holds[pick % len(holds)]
        return hold_id, hold.asked[1], hold.left

    def day(self, which: str) -> date | None:
        return {
            "": None,
            "closed": self.model.last_closed,
            "first open": self.model.last_closed + timedelta(days=1),
            "today": self.model.today,
            "tomorrow": self.model.today + timedelta(days=2),
        }[which]

    def key(self) -> str:
        return f"{self.tag}/n{next(self.numbers)}"

    def request_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.tag} {next(self.numbers)}"))


def _agrees(model: Model, rows: dict[Name, tuple[Any, ...]]) -> bool:
    """Whether the accounts are as they should be; what has drained is DIRECT from now on."""
    if model.accounts.keys() != rows.keys():
        return False
    for name, (balance, held, status, mode, _) in rows.items():
        account = model.accounts[name]
        if account.mode == "DRAINING" and mode == "DIRECT":
            account.mode = mode
        if (account.balance, account.held, account.status, account.mode) != (
            balance, held, status, mode,
        ):  # fmt: skip
            return False
    return True


def _differences(model: Model, rows: dict[Name, tuple[Any, ...]]) -> str:
    return "; ".join(
        f"{name} should be {model.accounts.get(name)}, is {rows.get(name)}"
        for name in model.accounts.keys() | rows.keys()
        if not _agrees(Model(model.today, model.last_closed, {
            key: account for key, account in model.accounts.items() if key == name
        }), {key: row for key, row in rows.items() if key == name})
    )  # fmt: skip
