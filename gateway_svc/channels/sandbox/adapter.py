"""The adapter to the sandbox channel (paymesh_ops.sandbox), over its signed HTTP API."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from urllib.parse import quote

import aiohttp
from yarl import URL

from gateway_svc.channels.port import (
    Callback,
    ChannelResult,
    PayoutOrder,
    PrepayOrder,
    PrepayResult,
    RefundOrder,
    Verb,
)
from gateway_svc.channels.sandbox.states import (
    Json,
    parse_object,
    read_answer,
    read_callback,
    refusal,
    unknown,
)
from gateway_svc.orders.model import ReportedState
from paymesh.channel_texts import CHANNEL_TEXTS
from paymesh.signing import SignatureError, Signer, Verifier

ANSWER_BYTES_MAX = 64 * 1024
TEXTS = CHANNEL_TEXTS["sandbox"]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A signed answer: 200 with a body, or a refusal with its code."""

    body: Json
    refused_code: str | None


class _NoAnswer(Exception):
    """Nothing that can be believed came back; whether it was done is not known."""


class SandboxChannel:
    """Implements `Channel`. One HTTP session, opened by `start`."""

    verbs = frozenset(Verb)

    def __init__(
        self,
        base_url: str,
        *,
        signer: Signer,
        verifier: Verifier,
        budget_s: float,
        connections_max: int = 100,
        name: str = "sandbox",
        now_s: Callable[[], float] = time.time,
        new_nonce: Callable[[], str] = secrets.token_hex,
    ) -> None:
        """`signer` is ours, `verifier` has the channel's keys; a verb takes at most `budget_s`."""
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._signer = signer
        self._verifier = verifier
        self._budget_s = budget_s
        self._connections_max = connections_max
        self._now_s = now_s
        self._new_nonce = new_nonce
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._budget_s),
            connector=aiohttp.TCPConnector(limit=self._connections_max),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The signature is over the bytes as they came, and a bomb stays packed.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "Accept": "application/json"},
            trust_env=False,  # no proxy: the sandbox is beside us
        )

    async def stop(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def prepay(self, order: PrepayOrder) -> PrepayResult:
        expires_at = order.expires_at.astimezone(UTC).isoformat(timespec="milliseconds")
        body = {
            "out_trade_no": order.request_no,
            "amount": order.amount_minor,
            "currency": order.currency,
            "subject": TEXTS.fitted(order.subject),
            "time_expire": expires_at,
            "notify_url": order.notify_url,
        }
        try:
            answer = await self._call("POST", "/v1/orders", body)
        except _NoAnswer as error:
            return PrepayResult(state=ReportedState.UNKNOWN, reason=str(error))
        if answer.refused_code is not None:
            refused = refusal(Verb.PREPAY, answer.refused_code)
            return PrepayResult(state=refused.state, reason=refused.reason)
        credential = {name: answer.body.get(name) for name in ("prepay_id", "pay_url")}
        mine = answer.body.get("out_trade_no") == order.request_no
        texts = {name: text for name, text in credential.items() if isinstance(text, str)}
        if not mine or texts.keys() != credential.keys():
            return PrepayResult(state=ReportedState.UNKNOWN, reason="OTHER_NUMBER_OR_INCOMPLETE")
        return PrepayResult(state=ReportedState.AWAITING_PAYER, channel_credential=texts)

    async def query(self, request_no: str) -> ChannelResult:
        path = f"/v1/orders/{quote(request_no, safe='')}"
        return await self._ask(Verb.QUERY, "GET", path, None, {"out_trade_no": request_no})

    async def close(self, request_no: str) -> ChannelResult:
        path = f"/v1/orders/{quote(request_no, safe='')}/close"
        numbers = {"out_trade_no": request_no}
        try:
            # Two calls at most, within the one budget.
            async with asyncio.timeout(self._budget_s):
                result = await self._ask(Verb.CLOSE, "POST", path, {}, numbers)
                if result.reason == "ORDER_PAID":
                    return await self.query(request_no)
                return result
        except TimeoutError:
            return unknown("TIMEOUT")

    async def refund(self, order: RefundOrder) -> ChannelResult:
        numbers = {"out_refund_no": order.refund_no, "out_trade_no": order.request_no}
        body = {**numbers, "amount": order.amount_minor}
        return await self._ask(Verb.REFUND, "POST", "/v1/refunds", body, numbers)

    async def query_refund(self, refund_no: str, request_no: str) -> ChannelResult:
        numbers = {"out_refund_no": refund_no, "out_trade_no": request_no}
        path = f"/v1/refunds/{quote(refund_no, safe='')}"
        return await self._ask(Verb.QUERY_REFUND, "GET", path, None, numbers)

    async def payout(self, order: PayoutOrder) -> ChannelResult:
        numbers = {"out_payout_no": order.payout_no}
        body = {
            **numbers,
            "amount": order.amount_minor,
            "currency": order.currency,
            "account": order.account_no,
            "name": order.account_name,
            "notify_url": order.notify_url,
        }
        return await self._ask(Verb.PAYOUT, "POST", "/v1/payouts", body, numbers)

    async def query_payout(self, payout_no: str) -> ChannelResult:
        path = f"/v1/payouts/{quote(payout_no, safe='')}"
        return await self._ask(Verb.QUERY_PAYOUT, "GET", path, None, {"out_payout_no": payout_no})

    def verify_callback(self, raw: bytes, headers: Mapping[str, str], now_s: int) -> Callback:
        self._verifier.verify_message(headers, raw, now_s=now_s)
        return read_callback(raw)

    async def _ask(
        self, verb: Verb, method: str, path: str, body: Json | None, numbers: Mapping[str, str]
    ) -> ChannelResult:
        try:
            answer = await self._call(method, path, body)
        except _NoAnswer as error:
            return unknown(str(error))
        if answer.refused_code is not None:
            return refusal(verb, answer.refused_code)
        return read_answer(verb, answer.body, numbers)

    async def _call(self, method: str, path: str, body: Json | None) -> _Answer:
        """One signed request, one verified answer. Raises _NoAnswer for everything else."""
        if self._session is None:
            raise RuntimeError("the channel is not started")
        raw = b"" if body is None else json.dumps(body).encode()
        url = URL(self._base_url + path, encoded=True)
        headers = self._signer.sign_request(
            method=method,
            path=url.raw_path_qs,
            timestamp=int(self._now_s()),
            nonce=self._new_nonce(),
            body=raw,
        )
        if raw:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, url, data=raw or None, headers=headers, allow_redirects=False
            ) as response:
                answer_raw = await _read_bounded(response)
        except TimeoutError as error:
            raise _NoAnswer("TIMEOUT") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _NoAnswer(f"CONNECTION_{type(error).__name__}"[:100]) from error
        return self._believe(response, answer_raw)

    def _believe(self, response: aiohttp.ClientResponse, raw: bytes) -> _Answer:
        status = response.status
        # A 5xx may come from a proxy, unsigned; it means the same either way.
        if status != 200 and not 400 <= status < 500:
            raise _NoAnswer(f"HTTP_{status}")
        try:
            self._verifier.verify_message(response.headers, raw, now_s=int(self._now_s()))
        except SignatureError as error:
            raise _NoAnswer(f"ANSWER_{type(error).__name__}") from error
        body = parse_object(raw)
        if body is None:
            raise _NoAnswer("ANSWER_NOT_JSON")
        if status == 200:
            return _Answer(body, None)
        code = body.get("code")
        return _Answer(body, code[:100] if isinstance(code, str) else "")


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The whole body. Raises _NoAnswer past ANSWER_BYTES_MAX."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in response.content.iter_any():
        size_bytes += len(chunk)
        if size_bytes > ANSWER_BYTES_MAX:
            raise _NoAnswer("ANSWER_TOO_LARGE")
        chunks.append(chunk)
    return b"".join(chunks)
