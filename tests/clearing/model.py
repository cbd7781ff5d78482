"""The ledger in a few dictionaries, told anew: what test_ledger_stateful compares the real one to.

It shares no code with the rules under test. Commands go in, one call at a time; each has a verdict:
"OK", "AGAIN" (a journal that was posted before) or the reason of a refusal. Where the contract
leaves open which of several reasons is told, any of them is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from tests.clearing.model_parts import (
    CHART,
    FAULTS,
    GREATEST,
    PAST,
    TOO_LARGE,
    UNDECIDED,
    Account,
    CloseDay,
    Command,
    Create,
    Hold,
    Journal,
    Line,
    Message,
    Name,
    Part,
    Place,
    Post,
    Release,
    Reverse,
    SetMode,
    SetStatus,
    Take,
    available,
    body_of,
    fits,
    net_of,
    new_account,
    refusal_of,
    takes_debits,
    told_as,
)

# Commands


# What there is


@dataclass
class Model:
    today: date
    last_closed: date
    accounts: dict[Name, Account] = field(default_factory=dict)
    journals: dict[tuple[str, str], Journal] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[object, str]] = field(default_factory=dict)
    """By kind of command and request_id: what was asked, and the verdict."""
    booked: frozenset[date] = frozenset()
    """Days that had journals before."""

    def copy(self) -> Model:
        """What never changes is shared."""
        return Model(
            self.today,
            self.last_closed,
            {name: replace(account) for name, account in self.accounts.items()},
            dict(self.journals),
            {
                id_: Hold(hold.asked, [replace(part) for part in hold.parts], hold.state)
                for id_, hold in self.holds.items()
            },
            dict(self.answers),
            self.booked,
        )

    def does(self, command: Command, heard: Sequence[str] | None) -> bool:
        """Carries the command out; whether the verdicts heard are right.

        None: nobody heard any. Then of several right ones the most likely is taken.
        """
        if isinstance(command, Message):
            heard = heard or [""] * len(command.posts)
            verdicts = zip(command.posts, heard, strict=True)
            return all(self._posts(post, told) for post, told in verdicts)
        [told] = heard or [""]
        if isinstance(command, CloseDay):
            return told in {"", self._closes(command.day)}
        asked = (type(command).__name__, command.request_id)
        if asked in self.answers:
            return self._answered_before(asked, command, told)
        reasons = self._decided(command, told)
        return self._tells(asked, command, reasons, told)

    # Verdicts

    def _posts(self, post: Post, told: str) -> bool:
        if post.fault:
            return told in {"", FAULTS[post.fault]}
        asked = ("Message", post.request_id)
        if post.request_id and asked in self.answers:
            return self._answered_before(asked, post, told)
        reasons = self._refusals(post)
        name = post.event_type, post.key
        if not reasons and name in self.journals:
            reasons = ["AGAIN"]
        elif not reasons:
            reasons = self._dated(name, Journal(body_of(post), post.lines, post.day), told)
        return self._tells(asked if post.request_id else None, post, reasons, told)

    def _answered_before(self, asked: tuple[str, str], command: object, told: str) -> bool:
        body, verdict = self.answers[asked]
        if body != command:
            return told in {"", "REQUEST_ID_REUSED"}
        return told in {"", "AGAIN" if verdict == "OK" and asked[0] == "Message" else verdict}

    def _tells(
        self, asked: tuple[str, str] | None, command: object, reasons: list[str], told: str
    ) -> bool:
        """Keeps the verdict under the request_id, if it is one to keep."""
        right = [reason for reason in reasons if told in {"", told_as(reason)}]
        if not right:
            return False
        if asked is not None and right[0] not in UNDECIDED:
            self.answers[asked] = command, told_as(right[0])
        return True

    def _decided(self, command: Command, told: str) -> list[str]:
        """Carries it out, or says why not."""
        match command:
            case Place():
                return self._places(command)
            case Take():
                return self._takes(command)
            case Release():
                return self._releases(command)
            case Reverse():
                return self._reverses(command, told)
            case Create():
                return self._creates(command)
            case SetStatus():
                return self._sets_status(command, told)
            case SetMode():
                return self._sets_mode(command)
        raise TypeError(command)

    # Journals

    def _refusals(self, post: Post) -> list[str]:
        """Why not; what is looked at first comes first."""
        before = self.journals.get((post.event_type, post.key))
        if before is not None:
            return ["JOURNAL_KEY_REUSED"] if before.asked != body_of(post) else []
        return self._refusals_of_day(post.day) or self._refusals_of(post.lines, {})

    def _refusals_of_day(self, day: date | None) -> list[str]:
        if day is None:
            return []
        if day <= self.last_closed:
            return ["DAY_CLOSED"]
        return ["INVALID_FIELD"] if day > self.today else []

    def _refusals_of(self, lines: Sequence[Line], drawn: dict[Name, int]) -> list[str]:
        """Why the accounts do not take it; `drawn`: what of the debits holds had reserved."""
        reasons = []
        for name, debits in net_of(lines).items():
            account = self.accounts.get(name) or new_account(name)
            reason = refusal_of(name, account, debits, drawn.get(name, 0))
            if reason:
                reasons.append(reason)
        return reasons

    def _book(
        self, event_type: str, key: str, journal: Journal, drawn: dict[Name, int] | None = None
    ) -> None:
        for name, debits in net_of(journal.lines).items():
            account = self.accounts.setdefault(name, new_account(name))
            account.balance += -debits if CHART[name[0]].grows_by_credit else debits
            account.held -= (drawn or {}).get(name, 0)
        self.journals[event_type, key] = journal

    def _reverses(self, command: Reverse, told: str) -> list[str]:
        original = self.journals.get((command.event_type, command.key))
        if original is None:
            return ["NOT_FOUND"]
        if original.is_reversal:
            return ["ILLEGAL_MOVE"]
        name = ("ledger.reversal", f"{command.event_type} {command.key}")
        asked = (command.why, command.day)
        if name in self.journals:
            return ["ALREADY_REVERSED"]  # the same request has its answer already
        other = {"DEBIT": "CREDIT", "CREDIT": "DEBIT"}
        lines = tuple((account, other[side], minor) for account, side, minor in original.lines)
        reasons = self._refusals_of_day(command.day)
        if command.day is not None and command.day < (original.day or self.today):
            reasons.append("INVALID_FIELD")
        reasons += self._refusals_of(lines, {})
        reversal = Journal(asked, lines, command.day, is_reversal=True)
        return reasons or self._dated(name, reversal, told)

    def _dated(self, name: tuple[str, str], journal: Journal, told: str) -> list[str]:
        """Books it, unless a day between would be beyond a limit: that may be told."""
        fits = self.past_is_within_limits(journal)
        if fits or told == "OK":
            self._book(*name, journal)
        return ["OK"] if fits else [PAST, "OK"]

    def past_is_within_limits(self, *more: Journal) -> bool:
        """At the end of each day before today, on each account."""
        moves: dict[Name, dict[date, int]] = {}
        for journal in (*self.journals.values(), *more):
            for name, debits in net_of(journal.lines).items():
                of = moves.setdefault(name, {})
                day = journal.day or self.today
                growth = -debits if CHART[name[0]].grows_by_credit else debits
                of[day] = of.get(day, 0) + growth
        for name, of in moves.items():
            account, balance = self.accounts.get(name) or new_account(name), 0
            least = -GREATEST if account.minimum is None else account.minimum
            greatest = GREATEST if account.maximum is None else account.maximum
            for day in sorted(of):
                balance += of[day]
                if day < self.today and not least <= balance <= greatest:
                    return False
        return True

    # Holds

    def _places(self, command: Place) -> list[str]:
        asked = (command.minor, command.sources)
        if any(CHART[subject].referenced for subject, _, _ in command.sources):
            return ["INVALID_FIELD"]
        if command.hold_id in self.holds:
            return ["OK"] if self.holds[command.hold_id].asked == asked else ["REQUEST_ID_KEPT"]
        missing, parts = command.minor, []
        for name in command.sources:
            account = self.accounts.get(name) or new_account(name)
            room = available(name, account)
            minor = missing if room is None else min(missing, room)
            if minor:
                parts.append(Part(name, minor))
                missing -= minor
                if not fits(name, replace(account, held=account.held + minor)):
                    return [TOO_LARGE]
        if missing:
            return ["ACCOUNT_NOT_OPEN" if self._shut(command.sources) else "INSUFFICIENT_FUNDS"]
        for part in parts:
            self.accounts.setdefault(part.account, new_account(part.account)).held += part.held
        self.holds[command.hold_id] = Hold(asked, parts)
        return ["OK"]

    def _shut(self, sources: Sequence[Name]) -> bool:
        """Whether one of them is closed, or frozen in this direction."""
        found = ((name, self.accounts.get(name)) for name in sources)
        return any(account and not takes_debits(name, account) for name, account in found)

    def _takes(self, command: Take) -> list[str]:
        body = (command.hold_id, command.minor, command.to)
        name = ("test/take", command.key)
        if name in self.journals:
            return ["OK"] if self.journals[name].asked == body else ["JOURNAL_KEY_REUSED"]
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return ["NOT_FOUND"]
        if hold.state != "HELD" or command.minor > hold.left:
            return ["HOLD_ENDED"]
        missing, drawn = command.minor, dict[Name, int]()
        for part in hold.parts:
            if minor := min(missing, part.left):
                drawn[part.account] = minor
                missing -= minor
        lines = tuple((account, "DEBIT", minor) for account, minor in drawn.items())
        lines += ((command.to, "CREDIT", command.minor),)
        if reasons := self._refusals_of(lines, drawn):
            return reasons
        self._book(*name, Journal(body, lines, None), drawn)
        for part in hold.parts:
            part.posted += drawn.get(part.account, 0)
        hold.state = "HELD" if hold.left else "POSTED"
        return ["OK"]

    def _releases(self, command: Release) -> list[str]:
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return ["NOT_FOUND"]
        if hold.state == "HELD":
            for part in hold.parts:
                self.accounts[part.account].held -= part.left
                part.released += part.left
            hold.state = "RELEASED"
        return ["OK"]

    # Accounts and days

    def _creates(self, command: Create) -> list[str]:
        chart = CHART[command.account[0]]
        least = -GREATEST if chart.minimum is None else chart.minimum
        greatest = GREATEST if chart.maximum is None else chart.maximum
        minimum, maximum = chart.minimum, chart.maximum
        if command.minimum is not None:
            minimum = command.minimum
            if not least <= minimum <= 0:
                return ["INVALID_FIELD"]
        if command.maximum is not None:
            maximum = command.maximum
            if not 0 <= maximum <= greatest:
                return ["INVALID_FIELD"]
        there = self.accounts.get(command.account)
        if there is None:
            self.accounts[command.account] = Account(minimum, maximum, mode=command.mode)
            return ["OK"]
        same = (there.minimum, there.maximum) == (minimum, maximum)
        buffered = there.mode == "BUFFERED"
        return ["OK"] if same and buffered == (command.mode == "BUFFERED") else ["ACCOUNT_EXISTS"]

    def _sets_status(self, command: SetStatus, told: str) -> list[str]:
        account = self.accounts.get(command.account)
        if account is None:
            return ["NOT_FOUND"]
        if account.status == command.status:
            return ["OK"]
        if account.status == "CLOSED" and command.status != "OPEN":
            return ["ILLEGAL_MOVE"]
        if account.mode == "DRAINING" and told == "OK":  # that has ended meanwhile
            account.mode = "DIRECT"
        if account.mode != "DIRECT":
            return ["ILLEGAL_MOVE"]
        if command.status == "CLOSED" and (account.balance or account.held):
            return ["ILLEGAL_MOVE"]
        account.status = command.status
        return ["OK"]

    def _sets_mode(self, command: SetMode) -> list[str]:
        account = self.accounts.get(command.account)
        if account is None:
            return ["NOT_FOUND"]
        if command.mode == "DIRECT":
            account.mode = "DIRECT" if account.mode == "DIRECT" else "DRAINING"
        elif account.mode != "BUFFERED":
            if account.status != "OPEN":
                return ["ILLEGAL_MOVE"]
            account.mode = "BUFFERED"
        return ["OK"]

    def _closes(self, day: date) -> str:
        """Days with journals are closed in order, and none that is not over."""
        if day <= self.last_closed:
            return "OK"
        booked = {*self.booked, *(journal.day for journal in self.journals.values())}
        between = (other for other in booked if other and self.last_closed < other < day)
        if day >= self.today or any(between):
            return "INVALID_FIELD"
        self.last_closed = day
        return "OK"


def possible(
    models: Sequence[Model], command: Command, heard: Sequence[str], lost: int
) -> list[Model]:
    """What there may be after verdicts were heard, if the command was carried out up to `lost`
    times before of which nobody heard."""
    found: list[Model] = []
    for model in models:
        before = model
        for _ in range(lost + 1):
            after = before.copy()
            if after.does(command, heard) and after not in found:
                found.append(after)
            before = before.copy()
            before.does(command, None)
    return found
