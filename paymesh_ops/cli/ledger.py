"""`paymesh ledger`: the books for people. Reads with the role that can only read; only close-day
asks the ledger's service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from google.type.date_pb2 import Date
from payments.clearing.v1 import books_service_pb2, books_service_pb2_grpc
from rich.table import Table

from clearing_svc.books.balances import (
    BooksDisagree,
    Connection,
    TrialBalance,
    rows,
    trial_balance,
)
from clearing_svc.books.days import calendar_of
from clearing_svc.books.export import WRITERS, NoParquet, documents, replacing
from clearing_svc.books.statements import Holder, NotClosed, statement
from clearing_svc.books.verify import Damage, verify
from clearing_svc.ledger.chart import Side
from clearing_svc.ledger.finance import Finance
from clearing_svc.ledger.loading import HERE, ConfigInvalid, LedgerConfig, load
from clearing_svc.settings import ClearingSettings
from paymesh.channel import invoke, open_channel
from paymesh.context import Context
from paymesh.errors import TRANSIENT, PaymentError
from paymesh.ids import bucket_of, new_id
from paymesh.money import Money
from paymesh.server import CONTEXT_METADATA
from paymesh.text import escape
from paymesh.wire import context_to, time_of
from paymesh_ops.check.ledger import BALANCES
from paymesh_ops.check.snapshots import DatabaseUnreadable, Snapshots, connected
from paymesh_ops.cli.returns import Kept, fill, kept
from paymesh_ops.cli.running import console, fail, plan_of_running
from paymesh_ops.clients.requests import RPC_TIMEOUT_S
from paymesh_ops.explain.accounts import UnknownAccount, account_named
from paymesh_ops.launch.mesh import MeshPlan

T = TypeVar("T")
app = typer.Typer(help="The books: accounts, days, statements, exports.", no_args_is_help=True)

REFUSALS = (
    BooksDisagree,
    ConfigInvalid,
    DatabaseUnreadable,
    NoParquet,
    NotClosed,
    PaymentError,
    UnknownAccount,
)
Account = Annotated[str, typer.Argument(help="acc_…, SUBJECT:OWNER:CURRENCY, or SUBJECT:CURRENCY.")]
DAMAGES_MAX = 10


@app.command()
def accounts(
    subject: Annotated[str, typer.Option(help="Only of this subject of the chart.")] = "",
    owner: Annotated[str, typer.Option(help="Only of this owner.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many are shown.")] = 50,
) -> None:
    """Accounts with their balances as they are now."""
    config = _config()
    if subject and subject not in config.chart:
        raise fail(f"{escape(subject)} is not in the chart: {', '.join(config.chart)}")
    order = list(config.chart)

    async def read(connection: Connection) -> list[tuple[Any, ...]]:
        return await rows(
            connection, _ACCOUNTS, subject=subject, owner=owner, order=order, limit=limit
        )

    found = _answer(_reading(plan_of_running(), read))
    if not found:
        which = escape(
            " ".join(filter(None, [subject and f"of {subject}", owner and f"of {owner}"]))
        )
        raise fail(f"there is no account {which}; it opens with its first entry or hold")
    table = _table()
    table.add_column("account", overflow="fold")
    table.add_column("status")
    for title in ("balance", "held"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, of, currency, status, mode, balance, held, _ in found:
        kept = status if mode == "DIRECT" else f"{status} {mode}"
        table.add_row(
            f"[cyan]{escape(f'{name}:{of}:{currency}')}[/]",
            f"[dim]{kept}[/]" if kept == "OPEN" else kept,
            str(Money(currency, int(balance))),
            str(Money(currency, held)) if held else "",
        )
    console.print(table)
    if (whole := found[0][-1]) > len(found):
        console.print(f"[dim]… and {whole - len(found):,} more; --limit shows more[/]")


@app.command("returns")
def returns_(
    owner: Annotated[str, typer.Option(help="Only of this owner.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="So many are shown.")] = 50,
) -> None:
    """What came to closed and frozen accounts: it is kept, and moves on once they are open."""

    async def read(connection: Connection) -> tuple[Sequence[Kept], int]:
        return await kept(connection, owner, limit)

    found, whole = _answer(_reading(plan_of_running(), read))
    if not found:
        console.print("[green]✓[/green] nothing waits for an account to be opened")
        return
    console.print(fill(_table(), found))
    if whole > len(found):
        console.print(f"[dim]… and {whole - len(found):,} more; --limit shows more[/]")


@app.command("statement")
def statement_(
    account: Account,
    from_: Annotated[str, typer.Option("--from", help="First day; default: --to.")] = "",
    to: Annotated[str, typer.Option(help="Last day; default: the last closed one.")] = "",
    output: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
) -> None:
    """An account over closed days: printed again, it is the same to the byte."""
    first, last = _day(from_, "--from"), _day(to, "--to")

    async def text(connection: Connection) -> AsyncIterator[str]:
        found = await account_named(Snapshots({"clearing": connection}, {}), account)
        holder = Holder(
            found.id, found.subject, found.owner, found.balance.currency, Side(found.normal_side)
        )
        until = last or (await calendar_of(connection)).last_closed
        if until is None:
            raise NotClosed("no day is closed yet; `paymesh ledger close-day` closes one")
        async for line in statement(connection, holder, first or until, until):
            yield line

    async def to_screen(connection: Connection) -> None:
        async for line in text(connection):
            typer.echo(line, nl=False)

    async def to_file(connection: Connection) -> None:
        assert output is not None
        lines = 0
        with console.status(escape(account)) as status, replacing(output) as file:
            async for line in text(connection):
                file.write(line.encode())
                lines += 1
                if lines % 10_000 == 0:
                    status.update(f"{escape(account)}  {lines:,} lines")
        console.print(f"[green]✓[/green] {escape(str(output))}: {lines:,} lines", soft_wrap=True)

    _answer(_reading(plan_of_running(), to_file if output else to_screen))


@app.command("trial-balance")
def trial_balance_(
    day: Annotated[str, typer.Argument(help="At the end of this day; default: today.")] = "",
) -> None:
    """Every subject in every currency, with its account in the general ledger."""
    asked, config = _day(day, "the day"), _config()

    async def read(connection: Connection) -> TrialBalance:
        at = asked or (await calendar_of(connection)).today
        return await trial_balance(connection, config.chart, at)

    with console.status("trial balance …"):
        found = _answer(_reading(plan_of_running(), read))
    _print_trial_balance(found, config)


def _print_trial_balance(found: TrialBalance, config: LedgerConfig) -> None:
    state = "closed: it stays so" if found.closed else "open: as far as it has come"
    console.print(f"[bold]{found.day}[/]  [dim]{state}[/]")
    for currency in sorted({total.currency for total in found.totals}):
        of = [total for total in found.totals if total.currency == currency]
        table = _table(show_footer=True)
        debits = Money(currency, sum(total.sums.debits for total in of))
        table.add_column("GL", "", style="dim")
        table.add_column("subject", f"{currency}")
        table.add_column("accounts", justify="right")
        table.add_column("debits", _plain(debits), justify="right", no_wrap=True)
        table.add_column("credits", _plain(debits), justify="right", no_wrap=True)
        table.add_column("balance", "[green]even[/]", justify="right", no_wrap=True)
        for total in of:
            subject, sums = config.chart.get(total.subject), total.sums
            side = Side.DEBIT if subject is None else subject.normal_side
            mark = "Dr" if side is Side.DEBIT else "Cr"
            table.add_row(
                _number(config.finance, total.subject),
                total.subject,
                f"{total.accounts:,}",
                _plain(Money(currency, sums.debits)),
                _plain(Money(currency, sums.credits)),
                f"{_plain(Money(currency, sums.balance(side)))} [dim]{mark}[/]",
            )
        console.print()
        console.print(table)
    if not found.totals:
        console.print("[dim]nothing was booked until then[/]")


@app.command("verify")
def verify_() -> None:
    """Recompute the hash chain that seals the journals; exit 1 if a block does not match."""

    async def read(connection: Connection) -> tuple[list[Damage], tuple[Any, ...]]:
        with console.status("reading the chain …") as status:
            found = [damage async for damage in verify(connection, status.update)]
        [head] = await rows(connection, _HEAD)
        return found, head

    damages, (blocks, journals, hash_, days) = _answer(_reading(plan_of_running(), read))
    for damage in damages[:DAMAGES_MAX]:
        console.print(f"[red]✗[/red] [bold]{escape(damage.title)}[/]", soft_wrap=True)
        for name, value in damage.facts.items():
            console.print(f"    [dim]{escape(name)}[/] {escape(str(value))}", soft_wrap=True)
        console.print(f"    → {escape(damage.what_to_do)}")
    if damages:
        more = len(damages) - DAMAGES_MAX
        said = f"; {more:,} more are not shown" if more > 0 else ""
        raise fail(f"the chain is damaged: {_count(len(damages), 'finding')}{said}")
    sealed = f"{_count(blocks, 'block')} with {_count(journals, 'journal')}"
    console.print(f"[green]✓[/green] the chain is whole: {sealed}, {_count(days, 'closed day')}")
    if blocks:
        console.print(f"  [dim]the last block's hash is[/] {hash_.hex()}", soft_wrap=True)


@app.command("export")
def export_(
    day: Annotated[str, typer.Argument(help="A closed day; default: the last one.")] = "",
    format_: Annotated[
        Literal["csv", "parquet"], typer.Option("--format", help="Parquet: paymesh[finance].")
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option(help="The file; default: paymesh-<day>.<format> here.")
    ] = None,
) -> None:
    """A closed day for the general ledger: a document a currency, sums by account and side."""
    asked, config = _day(day, "the day"), _config()

    async def make(connection: Connection) -> None:
        at = asked or (await calendar_of(connection)).last_closed
        if at is None:
            raise NotClosed("no day is closed yet; `paymesh ledger close-day` closes one")
        found = await documents(connection, config.finance, at)
        file = output or Path(f"paymesh-{at}.{format_}")
        WRITERS[format_](found, file)
        console.print(f"[green]✓[/green] {escape(str(file))}", soft_wrap=True)
        for document in sorted({row.document for row in found}):
            of = [row for row in found if row.document == document]
            total = sum(row.amount_minor for row in of if row.side is Side.DEBIT)
            amount = Money(of[0].currency, total)
            text = f"{document}  {_count(len(of), 'row')}, debits and credits {amount}"
            console.print(f"  {text}", soft_wrap=True)
        if not found:
            console.print(f"  [dim]nothing was booked on {at}[/]")

    with console.status("export …"):
        _answer(_reading(plan_of_running(), make))


@app.command("close-day")
def close_day(
    day: Annotated[str, typer.Argument(help="The first open day; default: it, once over.")] = "",
) -> None:
    """Close an accounting day for ever; what comes later belongs to the next one."""
    asked, plan = _day(day, "the day"), plan_of_running()
    chosen = asked or _answer(_reading(plan, _day_to_close))
    with console.status(f"{chosen} …"):
        closed = _answer(_close(plan, chosen))
    at = f"{time_of(closed.close_time).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    console.print(f"[green]✓[/green] {chosen} is closed, since {at}; block {closed.block:,}")
    console.print(f"  [dim]now: `paymesh ledger export {chosen}`, `paymesh ledger statement …`[/]")


async def _day_to_close(connection: Connection) -> date:
    calendar = await calendar_of(connection)
    if calendar.first_open >= calendar.today:
        raise NotClosed(f"the first open day is {calendar.first_open}, which is not over (UTC)")
    return calendar.first_open


async def _close(plan: MeshPlan, day: date) -> books_service_pb2.AccountingDay:
    context = Context(new_id("biz", bucket=bucket_of("books")))
    metadata = ((CONTEXT_METADATA, context_to(context, caller="paymesh").SerializeToString()),)
    request = books_service_pb2.CloseDayRequest(
        accounting_date=Date(year=day.year, month=day.month, day=day.day)
    )
    target = plan.target("clearing")
    async with open_channel(target) as channel:
        stub: Any = books_service_pb2_grpc.BooksServiceStub(channel)
        try:
            response = await invoke(
                partial(stub.CloseDay, metadata=metadata), request, RPC_TIMEOUT_S
            )
        except PaymentError as error:
            if error.code not in TRANSIENT:
                raise
            raise NotClosed(
                f"{error.message} (clearing at {target}). `paymesh up` starts the mesh; "
                "the same command again does no harm"
            ) from error
    closed: books_service_pb2.AccountingDay = response.day
    return closed


# What the commands share


def _config() -> LedgerConfig:
    try:
        return load(ClearingSettings().ledger_config or HERE)
    except ConfigInvalid as error:
        raise fail(escape(str(error))) from error


def _day(text: str, what: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise fail(escape(f"{what}: {text!r} is no day; one is 2026-11-22")) from error


@asynccontextmanager
async def _books(plan: MeshPlan) -> AsyncIterator[Connection]:
    """One snapshot of the ledger. Raises DatabaseUnreadable."""
    connection = await connected("clearing", plan.reader_urls["clearing"])
    try:
        yield connection
    finally:
        await connection.close()


async def _reading(plan: MeshPlan, read: Any) -> Any:
    async with _books(plan) as connection:
        return await read(connection)


def _answer(question: Coroutine[Any, Any, T]) -> T:
    """The answer, or the command fails and says why."""
    try:
        return asyncio.run(question)
    except REFUSALS as error:
        raise fail(escape(str(error))) from error
    except OSError as error:  # of a file that is written
        raise fail(escape(f"{error.filename or 'the file'}: {error.strerror}")) from error


def _table(**options: Any) -> Table:
    return Table(box=None, pad_edge=False, header_style="dim", **options)


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def _plain(money: Money) -> str:
    """Without its currency."""
    return str(money).partition(" ")[2]


def _number(finance: Finance, subject: str) -> str:
    return finance[subject].number if subject in finance else "?"


_ACCOUNTS = f"""
    SELECT subject, owner, balance_currency, status, mode, balance, held_minor, count(*) OVER ()
    FROM ({BALANCES}) a
    WHERE (%(subject)s = '' OR subject = %(subject)s) AND (%(owner)s = '' OR owner = %(owner)s)
    ORDER BY array_position(%(order)s::text[], subject), owner COLLATE "C", balance_currency
    LIMIT %(limit)s
"""
_HEAD = """
    SELECT count(*), coalesce(sum(journals), 0),
        (SELECT hash FROM block ORDER BY number DESC LIMIT 1), (SELECT count(*) FROM accounting_day)
    FROM block
"""
