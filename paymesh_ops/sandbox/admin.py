"""What tests and people may see and turn. Not signed, so only from this machine.

GET  /admin/book                         the whole truth: id, orders, refunds, payouts, callbacks
GET  /admin/faults                       the knobs, and how often each fault has fired
PUT  /admin/faults                       all knobs anew (see faults.py); {} heals everything
POST /admin/callbacks/{number}/replay    the last callback of an order, refund or payout, once, now
GET  /health                             200 once the program serves
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from paymesh_ops.sandbox.domain import Refusal
from paymesh_ops.sandbox.faults import UnknownKnob
from paymesh_ops.sandbox.requests import parse_object, read_body
from paymesh_ops.sandbox.rows import Entity, Json, to_row
from paymesh_ops.sandbox.service import Sandbox

ROWS_PER_CHUNK = 500

Endpoint = Callable[[Request], Awaitable[Response]]


def admin_routes(sandbox: Sandbox) -> list[Route]:
    """The routes of /admin and /health for one sandbox."""

    async def book(request: Request) -> Response:
        rows = sandbox.rows()
        head = {"id": sandbox.book_id, "callbacks": sandbox.callback_counts()}
        await sandbox.durable()
        return StreamingResponse(_book_json(head, rows), media_type="application/json")

    async def get_faults(request: Request) -> Response:
        faults = sandbox.faults
        return JSONResponse({"faults": faults.document(), "fired": dict(faults.fired)})

    async def put_faults(request: Request) -> Response:
        try:
            sandbox.faults.replace(parse_object(await read_body(request)))
        except UnknownKnob as error:
            return JSONResponse({"code": "INVALID_REQUEST", "message": str(error)}, 400)
        return await get_faults(request)

    async def replay(request: Request) -> Response:
        notice, status = await sandbox.replay_callback(request.path_params["number"])
        return JSONResponse({"id": notice.id, "status": status})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return [
        Route("/admin/book", _local(book), methods=["GET"]),
        Route("/admin/faults", _local(get_faults), methods=["GET"]),
        Route("/admin/faults", _local(put_faults), methods=["PUT"]),
        Route("/admin/callbacks/{number:str}/replay", _local(replay), methods=["POST"]),
        Route("/health", health, methods=["GET"]),
    ]


def _local(endpoint: Endpoint) -> Endpoint:
    """Only from loopback, even where the API itself is bound to the world."""

    async def guarded(request: Request) -> Response:
        host = request.client.host if request.client else ""
        try:
            if not host or not ip_address(host).is_loopback:
                return JSONResponse({"code": "FORBIDDEN", "message": "only from loopback"}, 403)
            return await endpoint(request)
        except Refusal as refusal:
            error = {"code": refusal.code, "message": refusal.message}
            return JSONResponse(error, refusal.status)

    return guarded


async def _book_json(head: Json, rows: dict[str, list[Entity]]) -> AsyncIterator[str]:
    """One JSON object, written in pieces, so a big book does not stop the channel."""
    yield json.dumps(head)[:-1]
    for name, entities in rows.items():
        yield f', "{name}": ['
        for start in range(0, len(entities), ROWS_PER_CHUNK):
            texts = [json.dumps(to_row(e)) for e in entities[start : start + ROWS_PER_CHUNK]]
            yield (", " if start else "") + ", ".join(texts)
            await asyncio.sleep(0)
        yield "]"
    yield "}"
