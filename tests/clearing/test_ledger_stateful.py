"""The ledger against a model of it, whatever is asked of it and whenever its connections break."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from payments.clearing.v1 import ledger_pb2

from clearing_svc.ledger.drafts import account_id_of
from clearing_svc.posting import batches as posting
from paymesh import failpoint
from paymesh.ids import derived_id
from tests.clearing.conftest import Database
from tests.clearing.model import (
    FAULTS,
    CloseDay,
    Command,
    Create,
    Line,
    Message,
    Model,
    Name,
    Place,
    Post,
    Release,
    Reverse,
    SetMode,
    SetStatus,
    Take,
    available,
    possible,
)
from tests.clearing.stateful_world import (
    ACCOUNTS,
    ENTRIES,
    TRIES_MAX,
    Unheard,
    World,
    real_key,
    running,
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


class Ledger(RuleBasedStateMachine):
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

    @initialize(
        buffered=st.sets(st.sampled_from([PENDING, RECEIVABLE, CHANNEL, PAYOUT, BOB])),
        limit=st.sampled_from([None, 500]),
        minor=st.sampled_from([100, 30, 0]),
    )
    def begins(self, buffered: set[int], limit: int | None, minor: int) -> None:
        """Some accounts are opened with terms of their own, and ann and the merchant have money."""
        for number in sorted(buffered):
            name = self.names[number]
            self.does(Create(name, "BUFFERED", None, None, self.request_id()))
        if limit is not None:
            self.does(Create(self.names[YEN], "DIRECT", None, limit, self.request_id()))
        for number in (ANN, PENDING):
            if minor:
                lines = self.lines(self.names[CHANNEL], self.names[number], None, minor)
                self.does(Message((Post("test", self.key(), lines),)))

    # Journals

    @rule(posts=POSTS)
    def posts_by_name(self, posts: list[Any]) -> None:
        self.does(self.message(posts, named=False))

    @rule(posts=POSTS)
    def posts_by_request_id(self, posts: list[Any]) -> None:
        self.does(self.message(posts, named=True))

    @rule(posts=POSTS, named=st.booleans(), fault=st.sampled_from(FAULT), when=ANY)
    def posts_and_is_not_answered(
        self, posts: list[Any], named: bool, fault: str, when: int
    ) -> None:
        self.does(self.message(posts, named=named), fault, when)

    @rule(first=POSTS, second=POSTS, named=st.sampled_from([0, 1, 2, 3]))
    def posts_two_messages_at_once(self, first: list[Any], second: list[Any], named: int) -> None:
        """Either may have been first."""
        one = self.message(first, named=bool(named & 1))
        self.do_at_once(one, self.message(second, named=bool(named & 2)))

    @rule(posts=POSTS, named=st.booleans(), pick=ANY, mode=st.sampled_from(["BUFFERED", "DIRECT"]))
    def posts_while_a_mode_changes(
        self, posts: list[Any], named: bool, pick: int, mode: str
    ) -> None:
        message = self.message(posts, named=named)
        used = [name for post in message.posts for name, _, _ in post.lines]
        change = SetMode(used[pick % len(used)], mode, self.request_id())
        self.do_at_once(message, change, self.world.drained())

    @rule(posts=POSTS, named=st.booleans(), pick=ANY, all_=st.booleans())
    def posts_while_a_hold_is_taken(
        self, posts: list[Any], named: bool, pick: int, all_: bool
    ) -> None:
        if not self.model.holds and pick % 20:
            return  # seldom one that is not there
        hold_id, sources, left = self.held(pick)
        to, minor = self.names[PENDING], left if all_ else left // 2
        take = Take(hold_id, max(1, minor), sources, to, self.key(), self.request_id())
        self.do_at_once(self.message(posts, named=named), take)

    @rule(pick=ANY, why=st.sampled_from(["mistake", "other"]), day=st.sampled_from(DAYS),
          fault=st.sampled_from(FAULT), when=ANY)  # fmt: skip
    def reverses(self, pick: int, why: str, day: str, fault: str, when: int) -> None:
        names = [*self.model.journals, ("test", "never posted")]
        event_type, key = names[pick % len(names)]
        original = self.model.journals.get((event_type, key))
        if day == "today" and original is not None and original.day is None:
            day = ""  # of what named no day, which one it is of is not known at midnight
        command = Reverse(event_type, key, why, self.request_id(), self.day(day))
        self.does(command, fault, when)

    # Holds

    @rule(minor=st.sampled_from(AMOUNTS), pick=ANY, sources=st.sampled_from(SOURCES),
          fault=st.sampled_from(FAULT), when=ANY)  # fmt: skip
    def places(
        self, minor: int | str, pick: int, sources: tuple[int, ...], fault: str, when: int
    ) -> None:
        hold_id = derived_id("hld", bucket=7, key=f"{self.tag} {pick % 50}")
        names = tuple(self.names[number] for number in sources)
        minor = self.amount(minor, names[0])
        self.does(Place(hold_id, minor, names, self.request_id()), fault, when)

    @rule(pick=ANY, minor=st.sampled_from(LIMITS), named=st.booleans())
    def debits_beside_a_hold(self, pick: int, minor: str, named: bool) -> None:
        """What is held cannot be had otherwise."""
        held = [name for name, account in self.model.accounts.items() if account.held]
        debit = held[pick % len(held)] if held else self.names[BOB]
        credit = self.names[CHANNEL if debit[2] == "CNY" else CHANNEL_YEN]
        lines = self.lines(debit, credit, None, self.amount(minor, debit))
        request_id = self.request_id() if named else ""
        self.does(Message((Post("test", self.key(), lines, request_id),)))

    @rule(pick=ANY, part=st.sampled_from([1, 2, 3, 0, 1000]), to=st.sampled_from(CNY),
          used=st.booleans(), fault=st.sampled_from(FAULT), when=ANY)  # fmt: skip
    def takes(self, pick: int, part: int, to: int, used: bool, fault: str, when: int) -> None:
        """A part of what is left, all of it, or more than that."""
        if not self.model.holds and pick % 20:
            return  # seldom one that is not there
        hold_id, sources, left = self.held(pick)
        minor = min(left + 1, 2**62) if part == 1000 else left // part if part else left
        key = f"{self.tag}/{pick % 2}" if used else self.key()
        request_id = self.request_id()
        command = Take(hold_id, max(1, minor), sources, self.names[to], key, request_id)
        self.does(command, fault, when)

    @rule(pick=ANY, fault=st.sampled_from(FAULT), when=ANY)
    def releases(self, pick: int, fault: str, when: int) -> None:
        if not self.model.holds and pick % 20:
            return  # seldom one that is not there
        hold_id, sources, _ = self.held(pick)
        self.does(Release(hold_id, sources, self.request_id()), fault, when)

    # Accounts and days

    @rule(pick=ANY, fault=st.sampled_from(FAULT), when=ANY,
          status=st.sampled_from(["OPEN", "FROZEN_IN", "FROZEN_OUT", "CLOSED"]))  # fmt: skip
    def sets_a_status(self, pick: int, status: str, fault: str, when: int) -> None:
        name = self.there(pick)
        self.does(SetStatus(name, status, self.request_id()), fault, when)

    @rule(pick=ANY, status=st.sampled_from(["FROZEN_IN", "FROZEN_OUT", "CLOSED"]),
          named=st.booleans(), inwards=st.booleans())  # fmt: skip
    def posts_on_what_is_not_open(self, pick: int, status: str, named: bool, inwards: bool) -> None:
        direct = [name for name, a in self.model.accounts.items() if a.mode == "DIRECT"]
        if not direct:
            return
        name = direct[pick % len(direct)]
        if self.model.accounts[name].status == "OPEN":
            self.does(SetStatus(name, status, self.request_id()))
        other = self.names[CHANNEL if name[2] == "CNY" else CHANNEL_YEN]
        lines = self.lines(*((other, name) if inwards else (name, other)), None, 1)
        request_id = self.request_id() if named else ""
        self.does(Message((Post("test", self.key(), lines, request_id),)))

    @rule()
    def opens_what_is_not_open(self) -> None:
        for name, account in list(self.model.accounts.items()):
            if account.status != "OPEN":
                self.does(SetStatus(name, "OPEN", self.request_id()))

    @rule(pick=ANY, mode=st.sampled_from(["BUFFERED", "DIRECT"]), fault=st.sampled_from(FAULT),
          when=ANY)  # fmt: skip
    def sets_a_mode(self, pick: int, mode: str, fault: str, when: int) -> None:
        self.does(SetMode(self.there(pick), mode, self.request_id()), fault, when)

    @rule()
    def draining_ends(self) -> None:
        for _ in range(TRIES_MAX):
            if all(account.mode != "DRAINING" for account in self.model.accounts.values()):
                return
            self.world.run(self.world.drained())
            self.looks()
        raise AssertionError("an account does not become DIRECT")

    @rule(number=st.sampled_from(range(9)), mode=st.sampled_from(["DIRECT", "BUFFERED"]),
          minimum=st.sampled_from([None, None, 0, -50, 1]), fault=st.sampled_from(FAULT),
          maximum=st.sampled_from([None, None, 500, 100_001, -1]), when=ANY)  # fmt: skip
    def creates_an_account(
        self, number: int, mode: str, minimum: int | None, maximum: int | None, fault: str,
        when: int,
    ) -> None:  # fmt: skip
        command = Create(self.names[number], mode, minimum, maximum, self.request_id())
        self.does(command, fault, when)

    @rule(days=st.sampled_from([1, 1, 1, 0, 2, 40_000]), fault=st.sampled_from(FAULT), when=ANY)
    def closes_a_day(self, days: int, fault: str, when: int) -> None:
        """The next one, or one that it is not the turn of."""
        self.does(CloseDay(self.model.last_closed + timedelta(days=days)), fault, when)

    # Whatever

    @rule(pick=ANY, fault=st.sampled_from(FAULT), when=ANY)
    def asks_again(self, pick: int, fault: str, when: int) -> None:
        """The very same request, whenever it was asked first."""
        if self.asked:
            self.does(self.asked[pick % len(self.asked)], fault, when)

    @rule(pick=ANY)
    def connections_break(self, pick: int) -> None:
        if pick % 3 == 0:  # it takes long
            self.world.run(self.world.cut())

    # How

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


SEEN = [
    "Message OK", "Message AGAIN", "Message JOURNAL_KEY_REUSED", "Message REQUEST_ID_REUSED",
    "Message INSUFFICIENT_FUNDS", "Message ACCOUNT_NOT_OPEN", "Message UNBALANCED",
    "Message INVALID_FIELD", "Message CURRENCY_MISMATCH", "Message DAY_CLOSED", "Place OK",
    "Place INSUFFICIENT_FUNDS", "Place ACCOUNT_NOT_OPEN", "Place INVALID_FIELD", "Take OK",
    "Take HOLD_ENDED", "Release OK", "Reverse OK", "Reverse INSUFFICIENT_FUNDS",
    "Reverse ALREADY_REVERSED", "Create OK", "Create ACCOUNT_EXISTS", "Create INVALID_FIELD",
    "SetStatus OK", "SetStatus ILLEGAL_MOVE",
    "SetMode OK", "CloseDay OK", "CloseDay INVALID_FIELD", "unheard by before", "unheard by after",
]  # fmt: skip
"""What has happened in many runs; else the machine would prove less than it seems to."""


@pytest.mark.parametrize(
    "runs",
    [pytest.param(25, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.prove)],
)
def test_the_ledger_is_as_its_model_says(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    runs: int,
    record_property: Callable[[str, object], None],
) -> None:
    """Whatever is asked of it, in any order, twice, by two at once, while connections break and
    answers are lost: each request is carried out once, and every balance is what it should be."""
    # So that accounts are soon booked on without their lock again.
    monkeypatch.setattr(posting, "FOLD_AHEAD_S", 0.01)
    # So that each batch is tried in one round trip first, also after one that could not be.
    monkeypatch.setattr(posting, "CAREFUL_S", 0.0)
    limits = settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with running(database) as world:
        run_state_machine_as_test(partial(Ledger, world), settings=limits)
        assert database.books_are_true()
        histories = next(world.examples) - 1
        answers = sum(times for what, times in world.seen.items() if what[0].isupper())
        record_property("proved", {"histories": histories, "answers as the model says": answers})
        unseen = [what for what in SEEN if not world.seen[what]]
        assert not unseen or runs < 300, f"never happened: {unseen}"
