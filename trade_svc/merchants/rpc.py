"""MerchantService: message ↔ command, nothing more."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from payments.trade.v1 import merchant_service_pb2, merchant_service_pb2_grpc

from paymesh.app import Core
from paymesh.chains import Look
from paymesh.errors import InvalidField
from paymesh.ids import bucket_of, new_id
from paymesh.rpc import M, RpcContext, claim, current_call, run, started
from paymesh.secretbox import SecretBox
from trade_svc.merchants.business_codes import BusinessCodeView, RegisterBusinessCode
from trade_svc.merchants.domain import CreateMerchant, MerchantView, RotateSecret, UpdateMerchant
from trade_svc.merchants.readers import Merchants
from trade_svc.queries import CodeKey, RegisteredCodes, key_of
from trade_svc.wire import business_code_to, merchant_to

PAGE_DEFAULT = 100


class MerchantServicer(merchant_service_pb2_grpc.MerchantServiceServicer):
    def __init__(
        self,
        merchants: Core[MerchantView],
        codes: Core[BusinessCodeView],
        *,
        known: Merchants,
        registered: RegisteredCodes,
        chains: Look,
        box: SecretBox,
    ) -> None:
        self._merchants, self._codes = merchants, codes
        self._known, self._registered, self._box = known, registered, box
        self._chains = chains

    async def CreateMerchant(
        self, request: merchant_service_pb2.CreateMerchantRequest, context: RpcContext
    ) -> merchant_service_pb2.CreateMerchantResponse:
        merchant_id = new_id("mer", bucket=bucket_of(request.request_id))
        scope = merchant_id
        if request.wallet_scope:
            scope = (await self._known.get(request.wallet_scope, "wallet_scope")).wallet_scope
        call = await started(current_call.get(), self._chains, merchant_id=merchant_id)
        response = merchant_service_pb2.CreateMerchantResponse
        command = CreateMerchant(
            merchant_id=merchant_id,
            context=call.context,
            display_name=request.display_name,
            notify_url=request.notify_url,
            sealed_notify_secret=self._box.seal(request.notify_secret, belongs_to=merchant_id),
            wallet_scope=scope,
        )
        done = await run(
            self._merchants.submit,
            command,
            call,
            claim("CreateMerchant", "", request, request.request_id),
            lambda merchant: response(merchant=merchant_to(merchant)),
            response,
        )
        return done.reply

    async def UpdateMerchant(
        self, request: merchant_service_pb2.UpdateMerchantRequest, context: RpcContext
    ) -> merchant_service_pb2.UpdateMerchantResponse:
        command = UpdateMerchant(
            merchant_id=request.merchant_id,
            display_name=request.display_name if request.HasField("display_name") else None,
            notify_url=request.notify_url if request.HasField("notify_url") else None,
        )
        return await self._change(
            command, request, "UpdateMerchant", merchant_service_pb2.UpdateMerchantResponse
        )

    async def RotateSecret(
        self, request: merchant_service_pb2.RotateSecretRequest, context: RpcContext
    ) -> merchant_service_pb2.RotateSecretResponse:
        sealed = self._box.seal(request.notify_secret, belongs_to=request.merchant_id)
        return await self._change(
            RotateSecret(request.merchant_id, sealed),
            request,
            "RotateSecret",
            merchant_service_pb2.RotateSecretResponse,
        )

    async def _change(self, command: Any, request: Any, method: str, response: type[M]) -> M:
        made: Callable[..., M] = response
        done = await run(
            self._merchants.submit,
            command,
            await started(current_call.get(), self._chains, merchant_id=request.merchant_id),
            claim(method, request.merchant_id, request, request.request_id),
            lambda merchant: made(merchant=merchant_to(merchant)),
            response,
        )
        return done.reply

    async def GetMerchant(
        self, request: merchant_service_pb2.GetMerchantRequest, context: RpcContext
    ) -> merchant_service_pb2.GetMerchantResponse:
        merchant = (await self._merchants.load(request.merchant_id)).existing(request.merchant_id)
        return merchant_service_pb2.GetMerchantResponse(merchant=merchant_to(merchant))

    async def RegisterBusinessCode(
        self, request: merchant_service_pb2.RegisterBusinessCodeRequest, context: RpcContext
    ) -> merchant_service_pb2.RegisterBusinessCodeResponse:
        await self._known.get(request.merchant_id)
        call = await started(
            current_call.get(),
            self._chains,
            merchant_id=request.merchant_id,
            order_type=request.order_type,
            sub_type=request.sub_type,
            pay_org_no=request.pay_org_no,
        )
        response = merchant_service_pb2.RegisterBusinessCodeResponse
        done = await run(
            self._codes.submit,
            RegisterBusinessCode(call.context, request.description),
            call,
            claim("RegisterBusinessCode", request.merchant_id, request, request.request_id),
            lambda code: response(business_code=business_code_to(code)),
            response,
        )
        return done.reply

    async def ListBusinessCodes(
        self, request: merchant_service_pb2.ListBusinessCodesRequest, context: RpcContext
    ) -> merchant_service_pb2.ListBusinessCodesResponse:
        await self._known.get(request.merchant_id)
        size = request.page_size or PAGE_DEFAULT
        after = _key_of_token(request.page_token) if request.page_token else None
        found = await self._registered.of_merchant(request.merchant_id, after=after, limit=size + 1)
        page = found[:size]
        return merchant_service_pb2.ListBusinessCodesResponse(
            business_codes=[business_code_to(code) for code in page],
            next_page_token=_page_token(key_of(page[-1])) if len(found) > size else "",
        )


def _page_token(key: CodeKey) -> str:
    return urlsafe_b64encode(json.dumps(key).encode()).decode()


def _key_of_token(token: str) -> CodeKey:
    """Where the last page ended. Raises InvalidField for a token that is not ours."""
    try:
        order_type, sub_type, pay_org_no = json.loads(urlsafe_b64decode(token.encode()))
        key = (order_type, sub_type, pay_org_no)
        if not all(isinstance(part, str) and "\x00" not in part for part in key):
            raise ValueError
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidField("page_token", "is not from a ListBusinessCodes response") from error
    return key
