"""HTTP in front of the channel: the merchant's signed API and the payer's page.

    POST /v1/orders                       POST /v1/refunds           POST /v1/payouts
    GET  /v1/orders/{out_trade_no}        GET  /v1/refunds/{no}      GET  /v1/payouts/{no}
    POST /v1/orders/{out_trade_no}/close
    GET, POST /pay/{prepay_id}            the payer's phone: not signed
    /admin/…, /health                     see admin.py

Every request under /v1 is verified, and every answer under /v1 signed, errors too. An error is
`{"code": "ORDER_PAID", "message": …}`. A body has at most 64 KiB.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from paymesh.signing import SignatureError, Signer, Verifier
from paymesh_ops.sandbox import page
from paymesh_ops.sandbox.admin import admin_routes
from paymesh_ops.sandbox.book import BookFailed
from paymesh_ops.sandbox.domain import Order, Refusal
from paymesh_ops.sandbox.requests import parse_order, parse_payout, parse_refund, read_body
from paymesh_ops.sandbox.rows import Json
from paymesh_ops.sandbox.service import Sandbox, utc_now
from paymesh_ops.sandbox.views import order_view, payout_view, refund_view

HOLD_S_MAX = 60.0
"""How long an answer that never comes is held, if the caller does not hang up before."""

Operation = Callable[[Request, bytes], Json]
Endpoint = Callable[[Request], Awaitable[Response]]


class SandboxApp:
    """The Starlette application of one sandbox: `asgi` is what a server runs."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        signer: Signer,
        verifier: Verifier,
        public_url: str,
        on_failure: Callable[[], None],
    ) -> None:
        """`public_url` has no slash at its end; `on_failure` is told when the book has failed."""
        self._sandbox = sandbox
        self._signer = signer
        self._verifier = verifier
        self._public_url = public_url
        self._on_failure = on_failure
        self.stopping = asyncio.Event()
        """Set it before a graceful stop: answers that are held back are let go."""
        number = "{number:str}"
        self.asgi = Starlette(
            routes=[
                Route("/v1/orders", self._api("prepay", self._create_order), methods=["POST"]),
                Route(f"/v1/orders/{number}", self._api("query", self._get_order)),
                Route(
                    f"/v1/orders/{number}/close",
                    self._api("close", self._close_order),
                    methods=["POST"],
                ),
                Route("/v1/refunds", self._api("refund", self._create_refund), methods=["POST"]),
                Route(f"/v1/refunds/{number}", self._api("query_refund", self._get_refund)),
                Route("/v1/payouts", self._api("payout", self._create_payout), methods=["POST"]),
                Route(f"/v1/payouts/{number}", self._api("query_payout", self._get_payout)),
                Route("/pay/{prepay_id:str}", self._show_order, methods=["GET"]),
                Route("/pay/{prepay_id:str}", self._pay, methods=["POST"]),
                *admin_routes(sandbox),
            ],
            exception_handlers={HTTPException: self._no_route, Exception: self._broken},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        await self._sandbox.start()
        yield
        await self._sandbox.stop()

    def _create_order(self, request: Request, raw: bytes) -> Json:
        order = self._sandbox.create_order(parse_order(raw))
        return {
            "out_trade_no": order.params.out_trade_no,
            "prepay_id": order.prepay_id,
            "pay_url": f"{self._public_url}/pay/{order.prepay_id}",
        }

    def _get_order(self, request: Request, raw: bytes) -> Json:
        return order_view(self._sandbox.get_order(request.path_params["number"]))

    def _close_order(self, request: Request, raw: bytes) -> Json:
        return order_view(self._sandbox.close_order(request.path_params["number"]))

    def _create_refund(self, request: Request, raw: bytes) -> Json:
        return refund_view(self._sandbox.create_refund(parse_refund(raw)))

    def _get_refund(self, request: Request, raw: bytes) -> Json:
        return refund_view(self._sandbox.get_refund(request.path_params["number"]))

    def _create_payout(self, request: Request, raw: bytes) -> Json:
        return payout_view(self._sandbox.create_payout(parse_payout(raw)))

    def _get_payout(self, request: Request, raw: bytes) -> Json:
        return payout_view(self._sandbox.get_payout(request.path_params["number"]))

    def _api(self, verb: str, operation: Operation) -> Endpoint:
        """An endpoint that verifies, does it with the verb's faults, makes it durable, signs."""

        async def endpoint(request: Request) -> Response:
            try:
                raw = await read_body(request)
                self._verify(request, raw)
                if await self._fails_before(verb):
                    return self._signed(500, _error("SYSTEM_ERROR", "nothing was done"))
                answer = 200, operation(request, raw)
            except Refusal as refusal:
                answer = refusal.status, _error(refusal.code, refusal.message)
            # Even a refusal tells what is: it may rest on rows that are not on disk yet.
            await self._sandbox.durable()
            if await self._fails_after(verb, request):
                answer = 500, _error("SYSTEM_ERROR", "something may have been done")
            return self._signed(*answer, wrongly=self._fires(verb, "bad_signature"))

        return endpoint

    async def _show_order(self, request: Request) -> Response:
        try:
            order = self._sandbox.order_to_pay(request.path_params["prepay_id"])
        except Refusal as refusal:
            return _page(refusal)
        await self._sandbox.durable()
        return HTMLResponse(page.pay_page(order), headers=page.HEADERS)

    async def _pay(self, request: Request) -> Response:
        """HTML for a form, JSON for whoever accepts JSON (the tests' and benchmarks' payers)."""
        as_json = "application/json" in request.headers.get("accept", "")
        if await self._fails_before("pay"):
            return Response("nothing was done", status_code=500)
        result: Order | Refusal
        try:
            result = self._sandbox.pay(request.path_params["prepay_id"])
        except Refusal as refusal:
            result = refusal
        await self._sandbox.durable()
        if await self._fails_after("pay", request):
            return Response("something may have been done", status_code=500)
        if isinstance(result, Refusal):
            if not as_json:
                return _page(result)
            return _json(result.status, _error(result.code, result.message))
        if as_json:
            return _json(200, order_view(result))
        return HTMLResponse(page.pay_page(result), headers=page.HEADERS)

    def _verify(self, request: Request, raw: bytes) -> None:
        path = request.scope["raw_path"].decode("latin-1")
        if request.scope["query_string"]:
            path += "?" + request.scope["query_string"].decode("latin-1")
        now_s = int(utc_now().timestamp())
        try:
            self._verifier.verify_request(request.method, path, request.headers, raw, now_s=now_s)
        except SignatureError as error:
            raise Refusal(401, "SIGN_ERROR", f"{type(error).__name__}: {error}") from error

    def _fires(self, verb: str, fault: str) -> bool:
        return self._sandbox.faults.fires(verb, fault)

    async def _fails_before(self, verb: str) -> bool:
        await asyncio.sleep(self._sandbox.faults.seconds(verb, "latency_ms"))
        return self._fires(verb, "error")

    async def _fails_after(self, verb: str, request: Request) -> bool:
        await asyncio.sleep(self._sandbox.faults.seconds(verb, "answer_latency_ms"))
        if self._fires(verb, "timeout"):
            await self._hold(request)
            return True
        return self._fires(verb, "lost_answer")

    async def _hold(self, request: Request) -> None:
        """Say nothing until the caller hangs up, the program stops, or HOLD_S_MAX is over."""
        waits = {
            asyncio.ensure_future(_hung_up(request)),
            asyncio.ensure_future(self.stopping.wait()),
        }
        await asyncio.wait(waits, timeout=HOLD_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _signed(self, status: int, body: Json, *, wrongly: bool = False) -> Response:
        raw = json.dumps(body).encode()
        headers = self._signer.sign_message(
            timestamp=int(utc_now().timestamp()),
            nonce=secrets.token_hex(16),
            body=raw + b" " if wrongly else raw,
        )
        return Response(raw, status, headers, media_type="application/json")

    async def _no_route(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._signed(error.status_code, _error("NO_SUCH_API", error.detail))

    async def _broken(self, request: Request, error: Exception) -> Response:
        # Starlette raises the error again after this answer, so the server logs it.
        if isinstance(error, BookFailed):
            self._on_failure()
        return self._signed(500, _error("SYSTEM_ERROR", "the sandbox is broken"))


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _error(code: str, message: str) -> Json:
    return {"code": code, "message": message}


def _json(status: int, body: Json) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")


def _page(refusal: Refusal) -> Response:
    html = page.message_page("This did not work", refusal.message)
    return HTMLResponse(html, refusal.status, page.HEADERS)
