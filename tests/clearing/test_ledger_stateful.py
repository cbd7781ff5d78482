"""The ledger against a model of it, whatever is asked of it and whenever its connections break."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    rule,
    run_state_machine_as_test,
)

from clearing_svc.posting import batches as posting
from paymesh.ids import derived_id
from tests.clearing.conftest import Database
from tests.clearing.model_parts import (
    CloseDay,
    Create,
    Message,
    Place,
    Post,
    Release,
    Reverse,
    SetMode,
    SetStatus,
    Take,
)
from tests.clearing.stateful_machine import (
    AMOUNTS,
    ANN,
    ANY,
    BOB,
    CHANNEL,
    CHANNEL_YEN,
    CNY,
    DAYS,
    FAULT,
    LIMITS,
    PAYOUT,
    PENDING,
    POSTS,
    RECEIVABLE,
    SOURCES,
    STEPS,
    YEN,
    Compared,
)
from tests.clearing.stateful_world import (
    TRIES_MAX,
    running,
)


class Ledger(Compared):
    """Whatever may be asked, in any order."""

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
