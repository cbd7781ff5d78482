"""What callers may not post: what would stand in the way of what the ledger books of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from payments.clearing.v1 import ledger_pb2, ledger_service_pb2

from clearing_svc.ledger.drafts import drafted
from clearing_svc.ledger.facts import EVENTS
from paymesh.app import App
from paymesh.bus.port import HANDLED
from tests.clearing.accounts_world import METADATA, Client, credit, field_of, holding
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import delivery, fields_of, paid
from tests.clearing.ledger_world import line

Post = Callable[[Client, str, str], Awaitable[str]]
"""Posts 30 of ann's under an event_type onto an account; the field that is refused."""


@pytest.fixture
async def client(stub: Stub) -> Client:
    """ann has 500, of which 100 are held."""
    return await holding(stub)


async def _journal(client: Client, event_type: str, account: str, *, with_id: bool) -> str:
    subject, owner = account.split(":")
    debit = line("DEBIT", "USER_BALANCE", "ann", 30)
    lines = [debit, line("CREDIT", subject, owner, 30, ref="pay_1")]
    [result] = await client.results(drafted(event_type, "1", lines), with_id=with_id)
    [field] = fields_of(result.error)
    return field


async def through_the_core(client: Client, event_type: str, account: str) -> str:
    return await _journal(client, event_type, account, with_id=True)


async def in_bulk(client: Client, event_type: str, account: str) -> str:
    return await _journal(client, event_type, account, with_id=False)


async def of_a_hold(client: Client, event_type: str, account: str) -> str:
    of = [credit(account, 30, reference="pay_1")]
    return await field_of(client.post_hold("h", 30, entries=of, event_type=event_type))


async def split(client: Client, event_type: str, account: str) -> str:
    debit = credit("USER_BALANCE:ann", 30)
    debit.side = ledger_pb2.ENTRY_SIDE_DEBIT
    request = ledger_service_pb2.PostSplitJournalRequest(
        event_type=event_type,
        business_key="1",
        entries=[debit, credit(account, 30, reference="pay_1")],
    )
    return await field_of(client.stub.PostSplitJournal(request, metadata=METADATA, timeout=60))


WAYS = pytest.mark.parametrize("way", [through_the_core, in_bulk, of_a_hold, split])


@WAYS
async def test_the_names_of_what_the_ledger_books_of_itself_are_kept(
    client: Client, database: Database, way: Post
) -> None:
    """Else the true event would be JOURNAL_KEY_REUSED, and its money in no book."""
    names = [f"{event}/{name}" for event in EVENTS for name in ("collected", "any")]
    for name in (*names, *EVENTS, "ledger.reversal", "shop/leg-1", "shop/leg-1/back"):
        assert await way(client, name, "USER_BALANCE:bob") == "event_type"
    assert database.query("SELECT count(*) FROM journal") == [(1,)]


@WAYS
@pytest.mark.parametrize("account", ["PAYER_TRANSIT:platform", "SPLIT_TRANSIT:ann"])
async def test_accounts_that_the_ledger_works_on_take_no_callers_entries(
    client: Client, database: Database, way: Post, account: str
) -> None:
    """What lies there belongs to payments and legs, and comes out even with them."""
    field = await way(client, "shop/sale", account)
    assert field == ("entries[0].subject" if way is of_a_hold else "entries[1].subject")
    assert database.query("SELECT count(*) FROM journal") == [(1,)]


@pytest.mark.parametrize("with_id", [True, False])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"business_key": "a\x1b[31m"}, "business_key"),
        ({"owner": "bob\n"}, "entries[1].owner"),
        ({"owner": "bob "}, "entries[1].owner"),
        ({"owner": "e\u0301ve"}, "entries[1].owner"),
        ({"reference": "a\u202eb"}, "entries[1].reference"),
        ({"reference": "hld_1"}, "entries[1].reference"),
        ({"reference": "4111111111111111"}, "entries[1].reference"),
        ({"business_key": "4111 1111 1111 1111"}, "business_key"),
        ({"event_type": "shop/4111111111111111"}, "event_type"),
    ],
)
async def test_a_text_that_acts_and_a_name_that_opens_an_account_unseen_are_refused(
    client: Client, database: Database, changes: dict[str, str], field: str, with_id: bool
) -> None:
    owner, reference = changes.get("owner", "bob"), changes.get("reference", "")
    lines = [
        line("DEBIT", "USER_BALANCE", "ann", 30),
        line("CREDIT", "USER_BALANCE", owner, 30, ref=reference),
    ]
    draft = drafted(changes.get("event_type", "shop/sale"), changes.get("business_key", "1"), lines)
    [result] = await client.results(draft, with_id=with_id)
    assert fields_of(result.error) == [field]
    assert database.query("SELECT count(*) FROM journal") == [(1,)]
    assert await field_of(client.create("USER_BALANCE:bob ")) == "account.owner"


@pytest.mark.parametrize("with_id", [True, False])
async def test_an_account_that_has_such_a_name_since_ever_works_on(
    client: Client, app: App, with_id: bool
) -> None:
    """It was opened before the rule, or by an event, which is always booked."""
    event = paid(500, product="TOP_UP", payee_id="tom ")
    assert await app.queues[0][1]([delivery(event)]) == [HANDLED]
    lines = [
        line("DEBIT", "USER_BALANCE", "tom ", 30),
        line("CREDIT", "USER_BALANCE", "ann", 30, ref="größer"),
    ]
    assert await client.post(drafted("shop/sale", "一", lines), with_id=with_id) == ["OK"]
