"""Every RPC is sent valid, nearly valid and hostile messages: a defect of ours is never an answer.

UNKNOWN, INTERNAL and UNAVAILABLE fail it, and so does an RPC of which fewer than a tenth of the
calls are OK: then the messages mean nothing to it. After merchants' and operators' RPCs the books
are right; of the mesh's own the callers invent what no trade knows.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from random import Random
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from payments.clearing.v1 import books_service_pb2, ledger_service_pb2
from payments.gateway.v1 import channel_service_pb2
from payments.pay.v1 import beneficiary_service_pb2, payment_service_pb2
from payments.trade.v1 import merchant_service_pb2, trade_pb2, trade_service_pb2
from psycopg.conninfo import conninfo_to_dict

from paymesh.channel import DIRECT
from paymesh.context import Context
from paymesh.server import CONTEXT_METADATA
from paymesh.wire import context_to
from paymesh_ops.check import check
from paymesh_ops.clients.shop import Shop
from paymesh_ops.clients.wallet import Wallet
from paymesh_ops.inproc import whole_mesh
from paymesh_ops.launch.mesh import MeshPlan
from tests.databases import Databases
from tests.mesh.conftest import Sandboxed, shop_of
from tests.mesh.fuzzing import FIRST_DAY, Maker, Pool
from tests.mesh.fuzzing_shapes import SHAPES

pytestmark = pytest.mark.slow

MODULES = {
    "trade": (merchant_service_pb2, trade_service_pb2),
    "pay": (beneficiary_service_pb2, payment_service_pb2),
    "gateway": (channel_service_pb2,),
    "clearing": (ledger_service_pb2, books_service_pb2),
}
METHODS = [
    (name, method)
    for name, modules in MODULES.items()
    for module in modules
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
INSIDE = re.compile("PaymentService|ChannelService|LedgerService.*(Hold|BookEvent)")
"""The mesh's own RPCs: their callers say what is true, and a fuzzer does not."""
EXCUSED = {5, 6, 8, 12, 13, 14, 15, 16, 18, 20, 21}
"""What is not right where payments, orders, holds and events are of no trade."""
DEFECTS = {"UNKNOWN", "INTERNAL", "UNAVAILABLE"}
NO_DEFECT = {"NOT_BOOKED_YET"}
"""Ask again: the journal that was named is not there yet."""
AT_ONCE = 16
MANY = 1000
"""Of fewer messages the tenth that must be OK may be missed by chance."""
STREAMS_AT_ONCE = 128
"""They wait for what comes."""
METADATA = [(CONTEXT_METADATA, context_to(Context("biz_fuzz"), caller="fuzz").SerializeToString())]
EDGE = re.compile("TradeService|MerchantService|BeneficiaryService")
"""There one begins a chain, or goes on with an own one."""
CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@pytest.fixture
def plan(sandboxed: Sandboxed, databases: Databases) -> Iterator[MeshPlan]:
    """Its own, with days to close: what it leaves behind is nobody's."""
    with sandboxed("fuzz") as plan:
        name = conninfo_to_dict(plan.reader_urls["clearing"])["dbname"]
        with psycopg.connect(databases.admin_url, dbname=name) as connection:
            connection.execute("UPDATE books SET first_day = %s", [FIRST_DAY])
        yield plan


@pytest.fixture
async def shop(plan: MeshPlan) -> AsyncIterator[Shop]:
    async with whole_mesh(plan), shop_of(plan) as shop:
        await shop.faults({})
        yield shop


async def filled(shop: Shop) -> Pool:
    """A shop that has sold, users that have money, trades that wait."""
    pool = Pool()
    pool.ids["mer"].append(shop.merchant_id)
    pool.codes.append((shop.merchant_id, shop.order_type, shop.sub_type, shop.pay_org_no))
    for user in pool.users[:3]:
        wallet = Wallet(shop, user=user)
        pool.learn(await wallet.top_up(1_000_000))
        beneficiary_id = await wallet.beneficiary()
        named = beneficiary_service_pb2.GetBeneficiaryRequest(
            beneficiary_id=beneficiary_id, merchant_id=shop.merchant_id
        )
        pool.learn((await shop.beneficiaries.GetBeneficiary(named)).beneficiary)
    pool.owners[:3] = [Wallet(shop, user=user).owner for user in pool.users[:3]]
    for _ in range(8):
        trade = await shop.purchase(100_000)
        pool.learn(await shop.reaches(trade, trade_pb2.TRADE_STATE_PAID))
        pool.ids["purchase"].append(trade.trade_id)
        pool.ids["collected"].extend(shop.request_nos[trade.trade_id])
        pool.learn(await shop.order(100))
    return pool


async def called(channel: grpc.aio.Channel, method: Any, request: Any, pool: Pool) -> Sequence[str]:
    """Each verdict of the answer, OK or code and reason: one, or one an item."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    kinds: dict[str, Any] = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    edge = EDGE.search(method.full_name)
    asked: dict[str, Any] = {"metadata": [] if edge else METADATA, "timeout": 30}
    try:
        if method.server_streaming:
            stream = channel.unary_stream(path, **kinds)(request, **asked)
            response = await stream.read()
            stream.cancel()
        else:
            response = await channel.unary_unary(path, **kinds)(request, **asked)
    except grpc.aio.AioRpcError as error:
        return [_verdict(error.code().name, rpc_status.from_call(error))]
    if hasattr(response, "results"):
        sent = request.items if hasattr(request, "items") else request.journals
        verdicts = [
            _verdict(CODES[result.error.code], result.error) if result.HasField("error") else "OK"
            for result in response.results
        ]
        pairs = zip(sent, response.results, verdicts, strict=True)
        learned = [(item, result) for item, result, verdict in pairs if verdict == "OK"]
    else:
        verdicts = ["OK"]
        learned = [(request, response)] if response is not grpc.aio.EOF else []
    for message in (message for pair in learned for message in pair):
        if isinstance(message, Message):  # of some batches items are ids
            pool.learn(message)
    return verdicts


def _verdict(code: str, status: Any) -> str:
    info = ErrorInfo()
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
    return f"{code} {info.reason}"


async def fuzzed(
    target: str, method: Any, pool: Pool, count: int, seed: int
) -> tuple[Counter[str], list[str]]:
    """How often each verdict, and what was wrong."""
    maker = Maker(Random(f"{seed} {method.full_name}"), pool, SHAPES)
    verdicts: Counter[str] = Counter()
    answered: Counter[bool] = Counter()
    """Calls, by whether anything of them is OK."""
    wrong: list[str] = []
    room = asyncio.Semaphore(STREAMS_AT_ONCE if method.server_streaming else AT_ONCE)
    async with grpc.aio.insecure_channel(target, options=[DIRECT]) as channel:

        async def one() -> None:
            async with room:
                request = maker.make(method.input_type)
                told = await called(channel, method, request, pool)
                answered["OK" in told] += 1
                for verdict in told:
                    verdicts[verdict] += 1
                    code, _, reason = verdict.partition(" ")
                    if code in DEFECTS and reason not in NO_DEFECT:
                        wrong.append(f"{method.name}: {verdict}\n{request}"[:2000])

        for begun in range(0, count, 500):  # tasks of one gather are all made at once
            await asyncio.gather(*(one() for _ in range(min(500, count - begun))))
    if answered[True] < (count / 10 if count >= MANY else 1):
        wrong.append(f"{method.name}: fewer than a tenth are OK: {dict(verdicts.most_common(8))}")
    print(f"{method.name}: {dict(verdicts.most_common(8))}", flush=True)
    return verdicts, wrong[:5]


async def fuzz(shop: Shop, plan: MeshPlan, count: int, seed: int, *, inside: bool) -> Counter[str]:
    """All RPCs of a kind, one after the other, and then the check."""
    pool = await filled(shop)
    verdicts: Counter[str] = Counter()
    wrong: list[str] = []
    for name, method in METHODS:
        if bool(INSIDE.search(method.full_name)) == inside:
            seen, amiss = await fuzzed(plan.target(name), method, pool, count, seed)
            verdicts.update(seen)
            wrong.extend(amiss)
    report = await check(plan.reader_urls, grace_s=30, sandbox_book=await shop.book())
    excused = EXCUSED if inside else set()
    wrong.extend(
        f"invariant {result.number}: {result.findings[:3]}"
        for result in report.results
        if result.findings and result.number not in excused
    )
    assert not wrong, "\n".join(wrong)
    return verdicts


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("hypothesis_seed") or 0)


PART = pytest.mark.parametrize("inside", [False, True], ids=["edge", "inside"])


@PART
async def test_no_message_is_answered_by_a_defect(
    shop: Shop, plan: MeshPlan, seed: int, *, inside: bool
) -> None:
    await fuzz(shop, plan, 40, seed, inside=inside)


@pytest.mark.prove
@PART
async def test_no_message_of_thousands_is_answered_by_a_defect(
    shop: Shop,
    plan: MeshPlan,
    seed: int,
    record_property: Callable[[str, object], None],
    *,
    inside: bool,
) -> None:
    verdicts = await fuzz(shop, plan, 2000, seed, inside=inside)
    record_property("proved", {"answers": verdicts.total(), "answers OK": verdicts["OK"]})
