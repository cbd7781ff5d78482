"""Merchants and their business codes over real calls; what a merchant hears of its trades."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from payments.trade.v1 import merchant_service_pb2

from tests.trade.trade_world import (
    RPC_TIMEOUT_S,
    Database,
    Refusal,
    Shop,
    Trades,
    refusal,
    request_id,
    rotate,
    update,
)

m = merchant_service_pb2
INVALID = "INVALID_ARGUMENT"
UNKNOWN = "mer_" + "a" * 28
NOT_FOUND = Refusal("NOT_FOUND", "NOT_FOUND")


async def read(shop: Shop) -> Any:
    request = m.GetMerchantRequest(merchant_id=shop.merchant_id)
    return (await shop.merchants.GetMerchant(request, timeout=RPC_TIMEOUT_S)).merchant


# Changing a merchant


async def test_only_what_is_set_is_changed(shop: Shop) -> None:
    """Each change is a version; an empty URL means that none is wanted any more."""
    url = "https://shop.example/notify"
    changed = await update(shop, notify_url=url)
    found = (changed.display_name, changed.notify_url, changed.version)
    assert found == ("Corner Bookshop", url, 2)
    changed = await update(shop, display_name="Bücher & mehr")
    found = (changed.display_name, changed.notify_url, changed.version)
    assert found == ("Bücher & mehr", url, 3)
    changed = await update(shop, notify_url="")
    assert (changed.notify_url, changed.version) == ("", 4)
    assert await read(shop) == changed


async def test_a_change_of_nothing_is_no_version(shop: Shop) -> None:
    assert (await update(shop)).version == 1


async def test_the_same_change_asked_twice_is_one_version(shop: Shop) -> None:
    """Also when another change came between: the first answer is repeated."""
    id_ = request_id()
    first = await update(shop, request_id=id_, display_name="One")
    await update(shop, display_name="Two")
    assert await update(shop, request_id=id_, display_name="One") == first
    assert (await read(shop)).display_name == "Two"
    found = await refusal(update(shop, request_id=id_, display_name="Three"))
    assert found == Refusal(INVALID, "REQUEST_ID_REUSED", ("request_id",))


async def test_changes_are_in_the_history(shop: Shop, database: Database) -> None:
    """Every version has its event; none is published, and no secret is in them."""
    await update(shop, display_name="One")
    await rotate(shop, secrets.token_bytes(32))
    found = database.query(
        "SELECT type, sequence, state, published, length(payload) FROM outbox "
        "WHERE aggregate_id = %s ORDER BY sequence",
        shop.merchant_id,
    )
    assert found == [
        ("trade.merchant.created", 1, "ACTIVE", False, 0),
        ("trade.merchant.updated", 2, "ACTIVE", False, 0),
        ("trade.merchant.secret_rotated", 3, "ACTIVE", False, 0),
    ]


BAD_UPDATES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("no request_id", {"request_id": ""}, ("request_id",)),
    ("no merchant", {"merchant_id": "shop"}, ("merchant_id",)),
    ("no name", {"display_name": ""}, ("display_name",)),
    ("a long name", {"display_name": "a" * 129}, ("display_name",)),
    ("no URL", {"notify_url": "shop.example"}, ("notify_url",)),
    ("NUL in the URL", {"notify_url": "https://shop\0.example"}, ("notify_url",)),
]
NOWHERE = [
    "https://.example/hook",
    "https://shop..example/hook",
    "https:///hook",
    "https://?hook",
    "https://[::1/hook",
    "https://shop.example:0/hook",
    "https://shop.example:99999/hook",
    "https://shop.example:port/hook",
    "https://-shop.example/hook",
    "https://256.1.1.1/hook",
    "https://1.2.3.4.5/hook",
    "https://shop%2eexample/hook",
    "https://shop\\example/hook",
    "https://shop\u2024.example/hook",
    f"https://{'a' * 64}.example/hook",
    f"https://{'.'.join(['a' * 60] * 5)}/hook",
    "https://shop:password@shop.example/hook",
]
"""Notification endpoints that no try would ever reach."""


@pytest.mark.parametrize(("changes", "fields"), [case[1:] for case in BAD_UPDATES],
                         ids=[case[0] for case in BAD_UPDATES])  # fmt: skip
async def test_a_bad_change_is_refused_with_the_field(
    changes: dict[str, Any], fields: tuple[str, ...], shop: Shop
) -> None:
    assert await refusal(update(shop, **changes)) == Refusal(INVALID, "INVALID_FIELD", fields)
    assert (await read(shop)).version == 1


@pytest.mark.parametrize("url", NOWHERE)
async def test_an_endpoint_that_cannot_be_is_refused_with_the_field(
    url: str, shop: Shop, database: Database
) -> None:
    """When a merchant is made and when it is changed; nothing is written."""
    before = database.counts()
    wanted = Refusal(INVALID, "INVALID_FIELD", ("notify_url",))
    another = m.CreateMerchantRequest(
        request_id=request_id(), display_name="Two", notify_url=url, notify_secret=bytes(32)
    )
    assert await refusal(shop.merchants.CreateMerchant(another, timeout=RPC_TIMEOUT_S)) == wanted
    assert await refusal(update(shop, notify_url=url)) == wanted
    assert database.counts() == before


@pytest.mark.parametrize(
    "url",
    ["https://bücher.example/hook", "https://a_b.example.:8443/", "https://[2606:4700::1111]/", ""],
)
async def test_other_endpoints_are_taken(url: str, shop: Shop) -> None:
    assert (await update(shop, notify_url=url)).notify_url == url


@pytest.mark.parametrize("size", [0, 31, 33])
async def test_a_secret_has_32_bytes(size: int, shop: Shop) -> None:
    wanted = Refusal(INVALID, "INVALID_FIELD", ("notify_secret",))
    assert await refusal(rotate(shop, bytes(size))) == wanted


async def test_an_unknown_merchant_is_not_found(shop: Shop, database: Database) -> None:
    before = database.counts()
    for call in (
        update(shop, merchant_id=UNKNOWN, display_name="One"),
        rotate(shop, bytes(32), merchant_id=UNKNOWN),
        shop.registers(merchant_id=UNKNOWN),
        codes(shop, merchant_id=UNKNOWN),
    ):
        assert await refusal(call) == NOT_FOUND
    assert database.counts() == before


# Business codes


async def codes(shop: Shop, **changes: Any) -> Any:
    request = m.ListBusinessCodesRequest(**{"merchant_id": shop.merchant_id, **changes})
    return await shop.merchants.ListBusinessCodes(request, timeout=RPC_TIMEOUT_S)


async def test_registering_twice_is_the_same(shop: Shop, database: Database) -> None:
    """Ten times at once, and later with other words: one code, as it was first registered."""
    changes = {"sub_type": "shoes", "pay_org_no": "2088"}
    found = await asyncio.gather(
        *(shop.registers("app", description="Shoes", **changes) for _ in range(10))
    )
    found.append(await shop.registers("app", description="Boots", **changes))
    assert all(code == found[0] for code in found)
    assert found[0].description == "Shoes"
    rows = database.query("SELECT count(*) FROM business_code WHERE order_type = 'app'")
    assert rows == [(1,)]


async def test_business_codes_are_listed_page_by_page(shop: Shop, trades: Trades) -> None:
    """By order_type, sub_type, pay_org_no; those of other merchants are not among them."""
    other = await Shop.opened(trades.caller(await trades.start("serve")))
    await other.registers("other")
    wanted = [
        ("app", "", ""),
        ("app", "a", "1"),
        ("app", "a", "2"),
        ("app", "b", ""),
        ("web", "", ""),
    ]
    for order_type, sub_type, pay_org_no in reversed(wanted[:-1]):
        await shop.registers(order_type, sub_type=sub_type, pay_org_no=pay_org_no)
    found, token = [], ""
    for size in (2, 2, 1):
        page = await codes(shop, page_size=2, page_token=token)
        assert len(page.business_codes) == size
        found += [(c.order_type, c.sub_type, c.pay_org_no) for c in page.business_codes]
        token = page.next_page_token
    assert (found, token) == (wanted, "")
    assert len((await codes(shop)).business_codes) == 5
    exactly = await codes(shop, page_size=5)
    assert (len(exactly.business_codes), exactly.next_page_token) == (5, "")


@pytest.mark.parametrize("token", ["x", "!!!", "bnVsbA==", "WyJhIiwgImIiXQ==", "WyJhIiwiYiIsMV0=",
                                   "WyJhIiwiYiIsIlx1MDAwMCJd", "ü"])  # fmt: skip
async def test_a_page_token_that_is_not_ours_is_refused(token: str, shop: Shop) -> None:
    wanted = Refusal(INVALID, "INVALID_FIELD", ("page_token",))
    assert await refusal(codes(shop, page_token=token)) == wanted


BAD_CODES: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("no order_type", {"order_type": ""}, ("order_type",)),
    ("a space", {"order_type": "a b"}, ("order_type",)),
    ("a long order_type", {"order_type": "a" * 33}, ("order_type",)),
    ("a separator", {"sub_type": "a\x1fb"}, ("sub_type",)),
    ("a long pay_org_no", {"pay_org_no": "1" * 65}, ("pay_org_no",)),
    ("NUL in words", {"description": "\0"}, ("description",)),
]


@pytest.mark.parametrize(("changes", "fields"), [case[1:] for case in BAD_CODES],
                         ids=[case[0] for case in BAD_CODES])  # fmt: skip
async def test_a_bad_business_code_is_refused_with_the_field(
    changes: dict[str, Any], fields: tuple[str, ...], shop: Shop, database: Database
) -> None:
    before = database.counts()
    assert await refusal(shop.registers(**changes)) == Refusal(INVALID, "INVALID_FIELD", fields)
    assert database.counts() == before
