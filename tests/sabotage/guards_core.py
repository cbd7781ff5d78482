"""Guards of batches, the bus, callbacks, balances and journals."""

from __future__ import annotations

from tests.sabotage.guard import Guard
from tests.sabotage.places import Edit

CORE = (
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
                "paymesh.bus:RabbitConsumer._finish",
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
        (Edit("trade_svc:begun", "command.amount.minor > trade.refundable_minor", "False"),),
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
                "pay_svc.purposes.withdrawal:_plan",
                "((hold,), (taking_step(hold, PAYOUT, kind, payment.amount, channel=channel),))",
                "((hold, taking_step(hold, PAYOUT, kind, payment.amount, channel=channel)),)",
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
        (Edit("gateway_svc:_is_doubtful", "command.moved != order.amount", "False"),),
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
        (Edit("clearing_svc:WorkingBalance.balance_after", "self.least <= after", "True"),),
    ),
    Guard(
        "overdraft, at once",
        "a balance is spent before its money comes in, in a batch of one round trip",
        "test_what_is_not_so_plain_is_decided_journal_by_journal[too early in the batch]",
        (
            Edit(
                "clearing_svc:CHANGE_WITHIN_LIMITS",
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
)
