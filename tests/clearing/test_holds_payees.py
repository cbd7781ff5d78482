"""Nothing is held for who takes nothing: it could be refused still, so it is."""

from __future__ import annotations

import grpc
import pytest

from tests.clearing.accounts_world import Client, field_of, ref, refusal, uid
from tests.clearing.conftest import Database, Stub
from tests.clearing.ledger_messages import fields_of
from tests.clearing.ledger_world import top_up

BOB = "USER_BALANCE:bob"


@pytest.fixture
async def client(stub: Stub) -> Client:
    """ann has 500, bob has 1."""
    client = Client(stub)
    drafts = [top_up("ann", 500, key="a"), top_up("bob", 1, key="b")]
    assert await client.post(*drafts, with_id=False) == ["OK", "OK"]
    return client


@pytest.mark.parametrize("status", ["FROZEN_IN", "CLOSED"])
async def test_nothing_is_held_for_who_takes_nothing(
    client: Client, database: Database, status: str
) -> None:
    await client.create("USER_BALANCE:eve")
    await client.status("USER_BALANCE:eve", status)
    payees = [ref(BOB), ref("USER_BALANCE:eve")]
    code, reason, why = await refusal(client.place("h", 500, payees=payees))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_NOT_OPEN")
    assert fields_of(why) == ["payees[1]"]
    assert database.query("SELECT count(*) FROM hold") == [(0,)]
    await client.status("USER_BALANCE:eve", "OPEN")
    assert (await client.place("h", 500, payees=payees)).parts[0].held.minor_units == 500


async def test_who_only_gives_nothing_out_or_has_no_account_yet_is_a_payee(client: Client) -> None:
    await client.status(BOB, "FROZEN_OUT")
    await client.place("h", 1, payees=[ref(BOB), ref("USER_BALANCE:new")])


async def test_payees_are_no_part_of_what_the_hold_is(client: Client) -> None:
    """Who asks again with a newer version of the caller gets the answer that there is."""
    request_id = uid()
    first = await client.place("h", 5, request_id=request_id)
    assert await client.place("h", 5, request_id=request_id, payees=[ref(BOB)]) == first
    await client.status(BOB, "FROZEN_IN")
    assert await client.place("h", 5, payees=[ref(BOB)]) == first


async def test_a_payee_that_no_account_can_have_is_refused_with_the_field(client: Client) -> None:
    assert await field_of(client.place("h", 1, payees=[ref("DREAMS:bob")])) == "payees[0].subject"
    assert await field_of(client.place("h", 1, payees=[ref(BOB)] * 5)) == "payees"
