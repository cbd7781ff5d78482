"""Guards at the doors: addresses, names, texts, scopes, days, and what is refused or parked."""

from __future__ import annotations

from tests.sabotage.guard import Guard
from tests.sabotage.places import Edit

DOORS = (
    Guard(
        "public addresses",
        "a merchant's URL makes us call inside our network",
        "test_private_and_special_addresses_are_refused",
        (Edit("trade_svc:require_public", "not ip.is_global", "False"),),
    ),
    Guard(
        "public addresses, by name",
        "a name makes us call inside our network",
        "test_a_name_that_leads_inside_is_refused_when_it_is_resolved",
        (Edit("trade_svc:PublicResolver.resolve", 'require_public(host, result["host"])'),),
    ),
    Guard(
        "public addresses, by number",
        "an address in a URL, which nothing resolves, makes us call inside our network",
        "test_nothing_is_sent_to_a_url_that_leads_inside[https://127.0.0.1/notify]",
        (Edit("trade_svc:Delivery._post", "self._require_safe(url)"),),
    ),
    Guard(
        "names of events",
        "a caller's journal takes a business event's name, and its money is in no book",
        "test_the_names_of_what_the_ledger_books_of_itself_are_kept",
        (
            Edit(
                "clearing_svc.ledger:require_callers_own",
                "if is_reserved(event_type):",
                "if False:",
            ),
        ),
    ),
    Guard(
        "diversion",
        "what comes to an account that is closed is paid, told as paid, and in no book",
        "test_what_comes_to_an_account_that_takes_nothing_is_kept_and_moves_on[top-up-CLOSED]",
        (Edit("clearing_svc.ledger:_book", "if way is None:", "if True:"),),
    ),
    Guard(
        "diversion, whose it is",
        "what was kept for a shut account is its owner's no more",
        "test_what_comes_to_an_account_that_takes_nothing_is_kept_and_moves_on[purchase-CLOSED]",
        (
            Edit(
                "clearing_svc.ledger:post_journals",
                "_lay(now, state, [draft for draft, _ in drafts], shut, at, chart)",
            ),
        ),
    ),
    Guard(
        "payees",
        "a transfer is taken from its payer for somebody who takes nothing",
        "test_nothing_is_held_for_who_takes_nothing[CLOSED]",
        (Edit("clearing_svc.ledger:place_hold", "_require_takers(command, view)"),),
    ),
    Guard(
        "text",
        "what a stranger types moves a terminal's cursor, or is another name than it seems",
        "test_fields_are_told_wherever_they_stand",
        (Edit("paymesh:require_texts", 'tuple(_wrong_texts(request, ""))', "()"),),
    ),
    Guard(
        "no card numbers",
        "a card number that somebody typed is kept, and the check is red for ever",
        "test_a_card_number_is_taken_only_where_it_may_be_something_else",
        (Edit("paymesh:problem", "if not of_cards and card_numbers(text):", "if False:"),),
    ),
    Guard(
        "holds' names",
        "a caller's entry is taken for what was taken of a hold",
        "test_a_text_that_acts_and_a_name_that_opens_an_account_unseen_are_refused[changes5-entries[1].reference-True]",
        (
            Edit(
                "clearing_svc.ledger:problem_of_reference",
                "if text.startswith(OF_HOLDS):",
                "if False:",
            ),
        ),
    ),
    Guard(
        "the books' first day",
        "what is booked by mistake to a day long ago keeps every day from being closed",
        "test_nothing_is_booked_or_closed_before_the_books_first_day",
        (Edit("clearing_svc.ledger:booking_day", "if asked < first_open:", "if False:"),),
    ),
    Guard(
        "merchant scope",
        "who knows a trade's id pays, closes or refunds it, whosever it is",
        "test_another_merchants_trade_is_as_none",
        (
            Edit(
                "trade_svc:TradeView.of_merchant",
                "self.trade.context.merchant_id != merchant_id",
                "False",
            ),
        ),
    ),
    Guard(
        "merchant scope, chains",
        "another merchant's orders are told in one's own story",
        "test_a_chain_is_gone_on_with_by_its_own_merchant_only",
        (
            Edit(
                "paymesh:require_own_chain",
                "not await look(context.business_id, merchant_id)",
                "False",
            ),
        ),
    ),
    Guard(
        "merchant scope, beneficiaries",
        "a payer withdraws to an account that was typed in at another merchant",
        "test_a_beneficiary_that_cannot_be_paid_is_refused_for_good[another merchant's]",
        (
            Edit(
                "pay_svc:usable",
                "(beneficiary.context.merchant_id, beneficiary.owner_id) != owner",
                "beneficiary.owner_id != by",
            ),
        ),
    ),
    Guard(
        "wallet scope",
        '"tom" of one merchant spends the money of another\'s "tom"',
        "test_two_payers_have_one_wallet_only_if_they_are_one",
        (Edit("paymesh:wallet_id", "scope == SHARED or not payer_id", "True"),),
    ),
    Guard(
        "refunds that come back",
        "a refund that came back is said to have failed, or is the payer's and the merchant's",
        "test_what_came_back_can_be_refunded_again",
        (Edit("trade_svc:OUTCOMES", "PaymentOutcome.RETURNED: RefundState.RETURNED,", ""),),
    ),
    Guard(
        "the past",
        "what is dated back spends what was not there on the days between",
        "test_no_day_between_is_overdrawn[by name]",
        (Edit("clearing_svc.migrations:upgrade", "NEW.template_version = 0", "false"),),
    ),
    Guard(
        "days that are over",
        "a day is closed while it goes on, and the rest of it belongs to another",
        "test_only_days_of_the_books_that_are_over_are_closed",
        (Edit("clearing_svc:require_over", "if day == calendar.today:", "if False:"),),
    ),
    Guard(
        "reversals",
        "a payment's journal is taken back, and the payment knows nothing of it",
        "test_what_books_a_business_event_is_undone_by_its_own_event_only",
        (Edit("clearing_svc:reverse_journal", "if original.template_version:", "if False:"),),
    ),
    Guard(
        "the ledger's own accounts",
        "a caller's entry lies among those of payments, which come out even no more",
        "test_accounts_that_the_ledger_works_on_take_no_callers_entries[PAYER_TRANSIT:platform-through_the_core]",
        (Edit("clearing_svc:require_callers_own", "chart[line.subject].is_system", "False"),),
    ),
    Guard(
        "limits by currency",
        "a purchase in one currency can be refunded in full, and in another never",
        "test_amounts_are_units_of_their_currency_and_zero_in_others",
        (
            Edit(
                "clearing_svc:Subject.maximum_in",
                "dict(self.maxima).get(currency, self.maximum_minor)",
                "self.maximum_minor",
            ),
        ),
    ),
    Guard(
        "fees that nobody takes",
        "a rate under a misspelt name is loaded, and the fee is lost for good",
        "test_a_fee_that_no_template_books_is_refused",
        (
            Edit(
                "clearing_svc:_require_booked",
                'raise TemplateInvalid(f"no template books the fee of {product}{meant}")',
            ),
        ),
    ),
    Guard(
        "holds, looked for twice",
        "who places a hold a second time is told that its money is gone, and gives the order up",
        "test_a_hold_that_two_place_at_once_is_answered_held_to_both",
        (
            Edit(
                "paymesh.store:PostgresTransaction.read",
                "states=await states_of(members, later)",
                "states=await states_of(members)",
            ),
        ),
    ),
    Guard(
        "request ids, however written",
        "a request that is sent again in upper case is carried out twice",
        "test_a_request_id_is_one_however_it_is_written",
        (Edit("paymesh:claim", "lower = request_id.lower()", "lower = request_id"),),
    ),
    Guard(
        "names without blanks",
        '"tom " has another wallet than "tom"',
        "test_a_name_has_no_blanks_around_it",
        (Edit("paymesh:problem", "if names and text != text.strip():", "if False:"),),
    ),
    Guard(
        "text, shown",
        "an old row, or a stranger's server, moves the cursor of who reads of it",
        "test_what_is_shown_does_nothing",
        (Edit("paymesh:_visible", "if _acts(character):", "if False:"),),
    ),
    Guard(
        "text, at the channel",
        "an order whose subject a channel does not take can never be paid",
        "test_as_little_as_possible_is_changed",
        (Edit("paymesh:ChannelTexts.fitted", "if len(text) > self.subject:", "if False:"),),
    ),
    Guard(
        "names, at the channel",
        "a beneficiary is taken that no payout can ever reach",
        "test_whom_it_would_not_pay_is_told_by_field",
        (Edit("paymesh:ChannelTexts.refusals", "if len(value) > limit:", "if False:"),),
    ),
    Guard(
        "refusals that fit",
        "a refusal of many fields is too long for its trailers, and reaches nobody",
        "test_a_refusal_of_many_fields_tells_the_first",
        (Edit("paymesh:InvalidFields.__init__", "fields[:FIELDS_TOLD_MAX]", "fields"),),
    ),
    Guard(
        "shut merchants",
        "a merchant sells whose account takes nothing in",
        "test_a_merchant_that_is_shut_sells_nothing",
        (
            Edit(
                "trade_svc:_require_open",
                "declared.purpose is Purpose.PURCHASE and (merchant_id, currency) in shut",
                "False",
            ),
        ),
    ),
    Guard(
        "deleted beneficiaries",
        "a withdrawal is ordered to whom its owner has deleted",
        "test_nobody_withdraws_to_a_deleted_beneficiary",
        (
            Edit(
                "trade_svc:Beneficiaries.refusal",
                "response.beneficiary.state == beneficiary_pb2.BENEFICIARY_STATE_DELETED",
                "False",
            ),
        ),
    ),
    Guard(
        "suspended attempts",
        "a payer whose money was another amount can never pay the order",
        "test_other_money_than_asked_for_is_a_persons_and_the_trade_can_be_paid_anew",
        (
            Edit(
                "trade_svc:attempt_moved",
                "return _suspended(state, attempt, command)",
                "return state, []",
            ),
        ),
    ),
    Guard(
        "refunds that must wait",
        "a refund for which there is no money is answered as accepted",
        "test_that_the_merchants_money_does_not_suffice_is_in_the_answer",
        (
            Edit(
                "trade_svc:TradeServicer.RefundTrade",
                "return await self._refund(done.state, done.reply.refund.payment_id, call)",
                "return done.reply",
            ),
        ),
    ),
    Guard(
        "notifications, cancelled",
        "what nobody was told counts as delivered",
        "test_what_waits_for_an_endpoint_that_is_taken_away_is_cancelled",
        (
            Edit(
                "trade_svc:Delivery.send",
                "return Result(CancelNotifications(effect.stream_id, effect.context, reason))",
                'return _sent(effect, "")',
            ),
        ),
    ),
    Guard(
        "endpoints",
        "a merchant enters what nothing can be sent to, and learns it a day later",
        "test_an_endpoint_that_cannot_be_is_refused_with_the_field",
        (
            Edit(
                "trade_svc:require_endpoint",
                "if url and (why := _unreachable(url)):",
                'if (why := "") != "":',
            ),
        ),
    ),
    Guard(
        "parked, dropped",
        "what a person dropped is gone, and nobody knows why",
        "test_what_is_dropped_is_kept_with_its_reason_and_counts_as_taken",
        (Edit("paymesh_ops.dlq:_drop", "keep(urls[service_of(taken.letter)], taken.letter, why)"),),
    ),
    Guard(
        "parked, lost",
        "an event whose dead letter was lost is booked nowhere for good",
        "test_what_reached_nobody_and_is_parked_nowhere_is_sent_again",
        (
            Edit(
                "paymesh_ops.dlq:send_again",
                "await PostgresStore(engine).publish_again(sorted(event_ids))",
                "len(event_ids)",
            ),
        ),
    ),
    Guard(
        "outbox, old and due",
        "an event that is not sent yet goes with the old ones",
        "test_what_is_old_in_the_default_partition_goes_unless_it_is_still_due",
        (
            Edit(
                "paymesh.db.versions:upgrade",
                "AND NOT EXISTS (SELECT FROM outbox_due d "
                "WHERE (d.shard_key, d.event_id) = (o.shard_key, o.event_id))",
                "",
            ),
        ),
    ),
    Guard(
        "no SHADOW",
        "load-test traffic moves live money",
        "test_shadow_traffic_is_parked_with_the_reason",
        (Edit("paymesh:context_of", "if message.traffic not in LIVE_TRAFFIC:", "if False:"),),
    ),
    Guard(
        "no redirects",
        "a merchant's server sends us on into our network",
        "test_a_redirect_of_a_notification_is_not_followed",
        (Edit("trade_svc:Delivery._post", "allow_redirects=False", "allow_redirects=True"),),
    ),
)
