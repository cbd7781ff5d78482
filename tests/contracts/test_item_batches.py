"""An item of a batched call that fails for whatever reason fails alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from google.rpc.code_pb2 import INTERNAL, INVALID_ARGUMENT
from google.rpc.error_details_pb2 import ErrorInfo
from payments.trade.v1 import trade_service_pb2
from payments.type.v1 import context_pb2

from paymesh.context import Call, Context
from paymesh.errors import TrafficMixed
from paymesh.ids import new_id
from paymesh.rpc import batch, current_call

RESULT = trade_service_pb2.BatchPayTradesResult
GOOD, BROKEN = new_id("trd", bucket=1), new_id("trd", bucket=2)


@pytest.fixture(autouse=True)
def _called() -> Iterator[None]:
    token = current_call.set(Call(Context(business_id=""), time.monotonic() + 10))
    yield
    current_call.reset(token)


MERCHANT = "mer_" + "a" * 28


def item(trade_id: str, *, traffic: Any = context_pb2.TRAFFIC_LIVE) -> Any:
    context = context_pb2.Context(business_id=f"biz_{trade_id[4:]}", traffic=traffic)
    return trade_service_pb2.BatchPayTradesItem(
        call_context=context_pb2.CallContext(context=context),
        request=trade_service_pb2.PayTradeRequest(
            request_id=str(uuid.uuid4()), merchant_id=MERCHANT, trade_id=trade_id, tools=[{}]
        ),
    )


async def handler(call: Call, request: Any) -> Any:
    if request.trade_id == BROKEN:
        raise KeyError("something that nobody thought of")
    return trade_service_pb2.PayTradeResponse(payment_id=call.context.business_id)


@pytest.fixture
def valid_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paymesh.rpc.validate", lambda request: None)


@pytest.mark.usefixtures("valid_tools")
async def test_a_defect_in_one_item_is_that_items_own_internal_error() -> None:
    """The neighbours are answered; the log has the defect with the item's business_id."""
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as logs:
        results = await batch([item(GOOD), item(BROKEN), item(GOOD)], handler, RESULT)

    assert [r.WhichOneof("result") for r in results] == ["response", "error", "response"]
    assert results[2].response.payment_id == f"biz_{GOOD[4:]}"
    info = ErrorInfo()
    assert results[1].error.code == INTERNAL
    assert results[1].error.details[0].Unpack(info)
    assert info.reason == "INTERNAL"
    assert "nobody thought of" not in results[1].error.message
    [line] = logs
    assert line["event"] == "item.defect"
    assert line["business_id"] == f"biz_{BROKEN[4:]}"
    assert line["exc_info"]


async def test_a_bad_item_is_refused_alone() -> None:
    """Its id is no id; and an item inside the mesh must have a context."""
    bad, bare = item("trd_no"), item(GOOD)
    bare.ClearField("call_context")
    results = await batch([bad, bare], handler, RESULT)
    assert [r.error.code for r in results] == [INVALID_ARGUMENT] * 2


async def test_live_and_shadow_items_are_not_mixed() -> None:
    """The whole batch is refused before anything is done."""
    shadow = item(GOOD, traffic=context_pb2.TRAFFIC_SHADOW)
    with pytest.raises(TrafficMixed):
        await batch([item(GOOD), shadow], handler, RESULT)
