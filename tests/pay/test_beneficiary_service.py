"""Beneficiaries: registered, listed, deleted; their account numbers are never seen again."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Any

import pytest
from payments.pay.v1 import beneficiary_pb2, beneficiary_service_pb2

from paymesh.errors import Code
from paymesh.ids import bucket_of, new_id, shard_of
from paymesh.secretbox import SecretBox
from tests.pay.pay_world import MERCHANT, RPC_TIMEOUT_S, Caller, World, refusal, request_id

SECRET = "DE0031415926"

m = beneficiary_service_pb2


@pytest.fixture
async def user(world: World) -> Caller:
    return await world.start("serve")


async def page(user: Caller, owner_id: str, **changes: Any) -> Any:
    request = m.ListBeneficiariesRequest(merchant_id=MERCHANT, owner_id=owner_id, **changes)
    return await user.beneficiaries.ListBeneficiaries(request, timeout=RPC_TIMEOUT_S)


async def test_a_beneficiary_is_shown_with_its_number_hidden(user: Caller) -> None:
    """As it was created, and each time it is read."""
    made = await user.beneficiary(account_no=SECRET)
    assert made.masked_account_no == "********5926"
    assert (made.owner_id, made.channel, made.account_name) == ("ann", "sandbox", "Ann")
    assert (made.state, made.version) == (beneficiary_pb2.BENEFICIARY_STATE_ACTIVE, 1)
    assert shard_of(made.beneficiary_id) == bucket_of("ann")
    assert made.usable_time == made.create_time
    request = m.GetBeneficiaryRequest(merchant_id=MERCHANT, beneficiary_id=made.beneficiary_id)
    assert (
        await user.beneficiaries.GetBeneficiary(request, timeout=RPC_TIMEOUT_S)
    ).beneficiary == made


async def test_the_account_number_is_nowhere_readable(world: World, user: Caller) -> None:
    """Sealed in its row, and not to be found by trying numbers on the request's hash."""
    request = user.beneficiary_request(account_no=SECRET)
    made = await user.sends_beneficiary(request)
    for table in ("beneficiary", "request_answer", "outbox"):
        for (row,) in world.database.query(f"SELECT t::text FROM {table} t"):
            assert SECRET not in row
            assert SECRET.encode().hex() not in row
    [(sealed,)] = world.database.query("SELECT sealed_account_no FROM beneficiary")
    box = SecretBox(world.secret_key_file)
    assert box.open(bytes(sealed), belongs_to=made.beneficiary_id) == SECRET.encode()
    [(kept,)] = world.database.query("SELECT request_hash FROM request_answer")
    plain = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    assert bytes(kept) != plain


async def test_the_same_request_makes_one_beneficiary(user: Caller) -> None:
    """Five at once and one later; another number under the same id is refused."""
    owner = f"user-{secrets.token_hex(4)}"
    request = user.beneficiary_request(owner_id=owner)
    made = await asyncio.gather(*(user.sends_beneficiary(request) for _ in range(5)))
    made.append(await user.sends_beneficiary(request))
    assert len({it.beneficiary_id for it in made}) == 1
    assert len((await page(user, owner)).beneficiaries) == 1
    request.account_no = "DE0012345679"
    error = await refusal(user.sends_beneficiary(request))
    assert error.reason == "REQUEST_ID_REUSED"


async def test_a_deleted_beneficiary_is_known_but_no_longer_listed(user: Caller) -> None:
    """Deleting twice is the same."""
    owner = f"user-{secrets.token_hex(4)}"
    made = await user.beneficiary(owner_id=owner)
    for _ in range(2):
        gone = await user.deletes(made)
        assert (gone.state, gone.version) == (beneficiary_pb2.BENEFICIARY_STATE_DELETED, 2)
    request = m.GetBeneficiaryRequest(merchant_id=MERCHANT, beneficiary_id=made.beneficiary_id)
    assert (
        await user.beneficiaries.GetBeneficiary(request, timeout=RPC_TIMEOUT_S)
    ).beneficiary == gone
    assert list((await page(user, owner)).beneficiaries) == []


async def test_lists_come_in_pages_oldest_first(user: Caller) -> None:
    """Each owner's own; what was deleted is left out; a page token leads on."""
    owner, other = (f"user-{secrets.token_hex(4)}" for _ in range(2))
    made = [await user.beneficiary(owner_id=owner) for _ in range(5)]
    await user.beneficiary(owner_id=other)
    await user.deletes(made.pop(1))
    assert list((await page(user, owner)).beneficiaries) == made
    found, token, pages = [], "", 0
    while True:
        answer = await page(user, owner, page_size=2, page_token=token)
        assert len(answer.beneficiaries) <= 2
        found += answer.beneficiaries
        pages, token = pages + 1, answer.next_page_token
        if not token:
            break
    assert (found, pages) == (made, 2)
    assert (await page(user, f"user-{secrets.token_hex(4)}")).beneficiaries == []


async def test_a_page_token_of_somebody_else_is_refused(user: Caller) -> None:
    owner = f"user-{secrets.token_hex(4)}"
    bobs = await user.beneficiary(owner_id="bob")
    strangers = (bobs.beneficiary_id, new_id("ben", bucket=7), "ben_x", "\u00e9", "a" * 256)
    for token in strangers:
        error = await refusal(page(user, owner, page_token=token))
        assert error.code is Code.INVALID_ARGUMENT
        assert [violation.field for violation in error.fields] == ["page_token"]


async def test_a_card_number_is_refused_and_not_kept(world: World, user: Caller) -> None:
    """Nothing is written, and the refusal does not repeat it."""
    error = await refusal(user.beneficiary(account_no="4111111111111111"))
    assert error.code is Code.INVALID_ARGUMENT
    assert [violation.field for violation in error.fields] == ["account_no"]
    assert "looks like a card number" in error.message
    assert "4111" not in str(error.message)
    for table in ("beneficiary", "request_answer", "outbox"):
        assert world.database.query(f"SELECT count(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account_no": "123"}, "account_no"),
        ({"account_no": "DE00 1234"}, "account_no"),
        ({"account_no": "1" * 65}, "account_no"),
        ({"account_name": ""}, "account_name"),
        ({"account_name": "a\0b"}, "account_name"),
        ({"account_name": "Ann\u202e"}, "account_name"),
        ({"account_name": "a" * 65}, "account_name"),
        ({"account_name": "Ann\u3000Lee"}, "account_name"),
        ({"account_no": "1" * 35}, "account_no"),
        ({"owner_id": " ann"}, "owner_id"),
        ({"owner_id": ""}, "owner_id"),
        ({"channel": "Bank!"}, "channel"),
        ({"request_id": "x"}, "request_id"),
    ],
)
async def test_bad_input_is_refused_by_field(
    user: Caller, changes: dict[str, str], field: str
) -> None:
    error = await refusal(user.beneficiary(**changes))
    assert error.code is Code.INVALID_ARGUMENT
    assert [violation.field for violation in error.fields] == [field]


async def test_what_does_not_exist_is_not_found(user: Caller) -> None:
    unknown = new_id("ben", bucket=7)
    read = m.GetBeneficiaryRequest(merchant_id=MERCHANT, beneficiary_id=unknown)
    delete = m.DeleteBeneficiaryRequest(
        merchant_id=MERCHANT, request_id=request_id(), beneficiary_id=unknown
    )
    for call in (
        user.beneficiaries.GetBeneficiary(read, timeout=RPC_TIMEOUT_S),
        user.beneficiaries.DeleteBeneficiary(delete, timeout=RPC_TIMEOUT_S),
    ):
        error = await refusal(call)
        assert (error.code, error.metadata["field"]) == (Code.NOT_FOUND, "beneficiary_id")
