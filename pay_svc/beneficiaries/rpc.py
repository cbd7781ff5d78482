"""BeneficiaryService: message ↔ command, nothing more. No answer ever has an account number."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from payments.pay.v1 import beneficiary_service_pb2, beneficiary_service_pb2_grpc

from pay_svc.beneficiaries.domain import (
    Beneficiary,
    BeneficiaryView,
    CreateBeneficiary,
    DeleteBeneficiary,
    looks_like_a_card,
    masked,
)
from pay_svc.queries import Beneficiaries
from pay_svc.wire import beneficiary_to
from paymesh.app import Core
from paymesh.chains import Look
from paymesh.channel_texts import CHANNEL_TEXTS
from paymesh.errors import InvalidField, InvalidFields
from paymesh.ids import bucket_of, new_id
from paymesh.items import RequestClaim
from paymesh.rpc import M, RpcContext, claim, current_call, run, started
from paymesh.secretbox import SecretBox

PAGE_DEFAULT = 50
BENEFICIARY_ID = re.compile(r"ben_[a-z2-7]{28}")


class BeneficiaryServicer(beneficiary_service_pb2_grpc.BeneficiaryServiceServicer):
    def __init__(
        self,
        core: Core[BeneficiaryView],
        beneficiaries: Beneficiaries,
        box: SecretBox,
        *,
        chains: Look,
    ) -> None:
        self._core, self._beneficiaries, self._box = core, beneficiaries, box
        self._chains = chains

    async def CreateBeneficiary(
        self, request: beneficiary_service_pb2.CreateBeneficiaryRequest, context: RpcContext
    ) -> beneficiary_service_pb2.CreateBeneficiaryResponse:
        if looks_like_a_card(request.account_no):
            raise InvalidField(
                "account_no", "looks like a card number; give a bank account or a wallet instead"
            )
        texts = CHANNEL_TEXTS.get(request.channel)
        if texts is not None:
            refused = tuple(
                texts.refusals(account_no=request.account_no, account_name=request.account_name)
            )
            if refused:
                raise InvalidFields(refused)
        beneficiary_id = new_id("ben", bucket=bucket_of(request.owner_id))
        call = await started(current_call.get(), self._chains, merchant_id=request.merchant_id)
        response = beneficiary_service_pb2.CreateBeneficiaryResponse
        command = CreateBeneficiary(
            beneficiary_id=beneficiary_id,
            context=call.context,
            owner_id=request.owner_id,
            channel=request.channel,
            sealed_account_no=self._box.seal(
                request.account_no.encode(), belongs_to=beneficiary_id
            ),
            masked_account_no=masked(request.account_no),
            account_name=request.account_name,
        )
        done = await run(
            self._core.submit, command, call, self._claim(request), _reply(response), response
        )
        return done.reply

    async def GetBeneficiary(
        self, request: beneficiary_service_pb2.GetBeneficiaryRequest, context: RpcContext
    ) -> beneficiary_service_pb2.GetBeneficiaryResponse:
        view = await self._core.load(request.beneficiary_id)
        beneficiary = view.of_merchant(request.beneficiary_id, request.merchant_id)
        return _reply(beneficiary_service_pb2.GetBeneficiaryResponse)(beneficiary)

    async def ListBeneficiaries(
        self, request: beneficiary_service_pb2.ListBeneficiariesRequest, context: RpcContext
    ) -> beneficiary_service_pb2.ListBeneficiariesResponse:
        size = request.page_size or PAGE_DEFAULT
        after = await self._place(request) if request.page_token else None
        found = await self._beneficiaries.of_owner(
            request.owner_id, merchant_id=request.merchant_id, after=after, limit=size + 1
        )
        page = found[:size]
        return beneficiary_service_pb2.ListBeneficiariesResponse(
            beneficiaries=[beneficiary_to(beneficiary) for beneficiary in page],
            next_page_token=page[-1].id if len(found) > size else "",
        )

    async def DeleteBeneficiary(
        self, request: beneficiary_service_pb2.DeleteBeneficiaryRequest, context: RpcContext
    ) -> beneficiary_service_pb2.DeleteBeneficiaryResponse:
        response = beneficiary_service_pb2.DeleteBeneficiaryResponse
        done = await run(
            self._core.submit,
            DeleteBeneficiary(request.beneficiary_id, request.merchant_id),
            current_call.get(),
            claim(
                "DeleteBeneficiary",
                f"{request.beneficiary_id} {request.merchant_id}",
                request,
                request.request_id,
            ),
            _reply(response),
            response,
        )
        return done.reply

    async def _place(self, request: Any) -> tuple[datetime, str]:
        """Where the last page ended: its token is the last one's id. Raises InvalidField."""
        view = BeneficiaryView(None)
        if BENEFICIARY_ID.fullmatch(request.page_token):
            view = await self._core.load(request.page_token)
        last = view.beneficiary
        asked = (request.merchant_id, request.owner_id)
        if last is None or (last.context.merchant_id, last.owner_id) != asked:
            raise InvalidField("page_token", "is not from this owner's ListBeneficiaries")
        return last.created_at, last.id

    def _claim(self, request: Any) -> RequestClaim:
        """Over a keyed fingerprint: on a plain hash one could try all account numbers."""
        hashed = type(request)()
        hashed.CopyFrom(request)
        hashed.account_no = self._box.fingerprint(
            request.account_no.encode(), belongs_to=request.owner_id
        )
        return claim(
            "CreateBeneficiary",
            f"{request.owner_id} {request.merchant_id}",
            hashed,
            request.request_id,
        )


def _reply(response: Callable[..., M]) -> Callable[[Beneficiary], M]:
    return lambda beneficiary: response(beneficiary=beneficiary_to(beneficiary))
