"""What keeps money whole, and the test that must notice when it is gone.

A guard is taken away by an edit or two (see places.py). Its test is named without its file, which
is found. Where two guards stand behind each other, each has a test of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.sabotage.places import Edit


@dataclass(frozen=True, slots=True)
class Guard:
    name: str
    harm: str
    """What happens without it."""
    test: str
    """As pytest names it, without the file: with its class, or its parameters, where needed."""
    edits: tuple[Edit, ...]

    @property
    def row(self) -> str:
        """In the table of docs/RELIABILITY.md."""
        function = self.test.partition("[")[0].rpartition("::")[2]
        return f"| {self.name} | {self.harm} | `{function}` |"


GUARDS = (
    Guard(
        "inbox",
        "an event that comes again counts again",
        "test_a_message_counts_once_whatever_it_says",
        (Edit("paymesh:_Batch._see", "self.writes.messages.append(claim)"),),
    ),
    Guard(
        "inbox, read first",
        "an event that comes again fails, for ever, instead of being done",
        "test_an_event_is_handled_and_its_duplicate_changes_nothing[memory]",
        (Edit("paymesh:_Batch._decide", "claim in self.seen", "False"),),
    ),
    Guard(
        "state and version",
        "an update overwrites what another process has decided meanwhile",
        "TestPostgresStore::test_an_update_of_another_version_conflicts_and_writes_nothing",
        (Edit("paymesh.store:update", "AND t.version = v.expected_version", ""),),
    ),
    Guard(
        "ack after commit",
        "a consumer that fails has lost its messages",
        "test_handler_that_raises_gets_its_batch_again[rabbit]",
        (
            Edit(
                "paymesh.bus:RabbitConsumer._feed",
                "started = time.monotonic()",
                "started = time.monotonic(); "
                "_acknowledge(channel.raw, [tag for tag, _ in batch], set())",
            ),
            Edit(
                "paymesh.bus:RabbitConsumer._settle",
                "_acknowledge(channel.raw, [tag for tag, _delivery in batch], unstored)",
            ),
        ),
    ),
    Guard(
        "confirms",
        "an event that the broker did not take counts as published",
        "test_nack_is_a_failure",
        (Edit("paymesh.bus:Publisher.publish", "await self._confirmed(part)"),),
    ),
    Guard(
        "outbox",
        "an event that the bus did not take is never sent again",
        "test_what_the_bus_does_not_take_stays_due",
        (Edit("paymesh.outbox:publish", "if failure is None:", "if True:"),),
    ),
    Guard(
        "mandatory",
        "an event that no queue takes is dropped by the broker, and counts as published",
        "test_unroutable_message_fails_alone[rabbit]",
        (Edit("paymesh.bus:Publisher._hand_over", "mandatory=True", "mandatory=False"),),
    ),
    Guard(
        "returns",
        "an event that the broker gave back counts as published",
        "test_same_id_twice_in_one_call_has_two_outcomes[rabbit]",
        (Edit("paymesh.bus:Publisher._on_confirm", "message.key in self._returned", "False"),),
    ),
    Guard(
        "stored refusals",
        "a request that was refused is carried out when it is sent again",
        "test_a_refusal_is_kept_for_its_request_id",
        (
            Edit(
                "paymesh:_Batch._decide",
                "self._keep(claim, ok=False, body=to_status(refusal))",
            ),
        ),
    ),
    Guard(
        "refund sum",
        "more is given back than was paid",
        "test_of_several_at_once_only_those_begin_that_fit",
        (Edit("trade_svc:begun", "c.amount.minor > trade.refundable_minor", "False"),),
    ),
    Guard(
        "refund sum, CHECK",
        "a defect in the rule gives back more than was paid",
        "test_the_table_itself_refuses_what_must_not_be[refunding_minor = 10001-trade_refunds_fit]",
        (
            Edit(
                "trade_svc.migrations:trade_refunds_fit",
                "refunded_minor + refunding_minor <= amount_minor",
                "true",
            ),
        ),
    ),
    Guard(
        "hold before payout",
        "a payout is sent before its money is held, and the balance is spent twice",
        "test_a_withdrawal_is_held_and_then_paid_out_by_the_beneficiarys_channel",
        (
            Edit(
                "pay_svc:_withdrawal",
                "((hold,), (_taking(hold, PAYOUT, kind, payment.amount, channel=channel),))",
                "((hold, _taking(hold, PAYOUT, kind, payment.amount, channel=channel)),)",
            ),
        ),
    ),
    Guard(
        "amount, in the payment core",
        "a payer who pays a cent gets the goods",
        "test_other_money_than_asked_for_is_suspended",
        (Edit("pay_svc:_result", "moved != instruction.amount", "False"),),
    ),
    Guard(
        "amount, in the gateway",
        "a callback is believed whose money is not what was ordered",
        "test_a_callback_with_another_amount_is_not_believed",
        (Edit("gateway_svc:_is_doubtful", "c.moved != order.amount", "False"),),
    ),
    Guard(
        "callback signature",
        "anybody says that an order is paid",
        "test_a_forged_callback_is_401_and_nothing_is_written",
        (
            Edit(
                "gateway_svc.channels:SandboxChannel.verify_callback",
                "self._verifier.verify_message(headers, raw, now_s=now_s)",
            ),
        ),
    ),
    Guard(
        "callback age",
        "an old callback is played again",
        "test_a_message_from_too_long_ago_or_ahead_is_stale",
        (Edit("paymesh:_check_skew", "abs(now_s - timestamp) > max_skew_s", "False"),),
    ),
    Guard(
        "overdraft",
        "a balance is spent that is not there",
        "test_nobody_spends_what_he_does_not_have",
        (Edit("clearing_svc:_admitted", "least < minimum", "False"),),
    ),
    Guard(
        "overdraft, by columns",
        "a balance is spent that is not there, where journals are posted by the thousand",
        "test_overdraft_is_exact_inside_one_batch",
        (Edit("clearing_svc:Running.settled", "self.least <= after", "True"),),
    ),
    Guard(
        "overdraft, at once",
        "a balance is spent before its money comes in, in a batch of one round trip",
        "test_what_is_not_so_plain_is_decided_journal_by_journal[too early in the batch]",
        (
            Edit(
                "clearing_svc:_SWING_ACCOUNTS",
                "AND t.balance_minor + v.lowest >=",
                "AND t.balance_minor >=",
            ),
        ),
    ),
    Guard(
        "overdraft, CHECK",
        "a defect in the rules spends what is not there",
        "test_the_database_itself_refuses_an_account_that_cannot_be[balance_minor = -1]",
        (Edit("clearing_svc.migrations:account_above_minimum", ">= minimum_minor", "IS NOT NULL"),),
    ),
    Guard(
        "one journal an event",
        "an event that is told again is booked again",
        "test_the_same_journal_again_is_answered_and_not_booked",
        (
            Edit(
                "clearing_svc:post_journals",
                "any(guard in view.taken for guard in guards)",
                "False",
            ),
        ),
    ),
    Guard(
        "one journal an event, key",
        "an event is booked twice by two processes, or in one round trip",
        "test_the_database_itself_keeps_one_journal_an_event",
        (
            Edit(
                "clearing_svc.migrations:_journals",
                '_posting(), sa.PrimaryKeyConstraint("id", "shard_key"),',
                "_posting(),",
            ),
        ),
    ),
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
        (Edit("clearing_svc.ledger:place_hold", "_require_takers(c, view)"),),
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
