import asyncio, os
import psycopg
from sqlalchemy import make_url
from rich.console import Console
from paymesh.check import check, print_findings
from paymesh.explain import explain
from paymesh.explain.printing import print_explanation
from clearing_svc.ledger.loading import HERE, load_chart
from tests.mesh.conftest import shop_of
from tests.mesh.flows import FLOWS

async def test_x(real_mesh, real_plan):
    c = Console(width=110, highlight=False, force_terminal=False, file=open("/tmp/zz_out.txt","w"))
    loop = asyncio.get_running_loop()
    until = loop.time() + float(os.environ.get("BUSY", 60))
    n = 0; errs = []
    async with shop_of(real_plan) as shop:
        await shop.faults({"seed": 5, "*": {"error_rate": 0.05, "lost_answer_rate": 0.05},
          "pay": {"wrong_amount_rate": 0.1, "partial_rate": 0.05, "late_success_rate": 1},
          "refund": {"bounce_rate": 0.3, "decline_rate": 0.1, "short_rate": 0.1},
          "payout": {"bounce_rate": 0.2, "decline_rate": 0.1, "short_rate": 0.1},
          "callback": {"lost_rate": 0.1, "duplicate_times": 1, "reorder_rate": 0.3}})
    async def customer(k):
        nonlocal n
        async with shop_of(real_plan, patience_s=6) as shop:
            while loop.time() < until:
                try:
                    await FLOWS[k % len(FLOWS)](shop); n += 1
                except Exception as e:
                    errs.append(type(e).__name__)
                k += 1
    ts = [asyncio.create_task(customer(2*i)) for i in range(6)]
    await asyncio.gather(*ts)
    async with shop_of(real_plan) as shop:
        await shop.faults({})
        await asyncio.sleep(60)
        r = await check(real_plan.reader_urls, grace_s=3, sandbox_book=await shop.book())
    print_findings(c, r)
    chart = load_chart(HERE/"chart.yaml")
    url = make_url(real_plan.reader_urls["clearing"]).set(drivername="postgresql").render_as_string(hide_password=False)
    db = psycopg.connect(url)
    ids = [i for (i,) in db.execute("select id from account").fetchall()]
    bad = 0
    for i in ids:
        t = await explain(real_plan.reader_urls, i, chart=chart)
        if t.unexplained.minor or t.account.subject == "SUSPENSE": print_explanation(c, t, limit=6); bad += bool(t.unexplained.minor)
    from paymesh.trace import story, print_story
    for f in [f for x in r for f in x.findings][:6]:
        t = await story(real_plan.reader_urls, f.business_id)
        for m in t.moments: c.print(str(m.at)[11:23], m.service, m.event, m.state, m.id[:12])
        url2 = make_url(real_plan.reader_urls["gateway"]).set(drivername="postgresql").render_as_string(hide_password=False)
        for row in psycopg.connect(url2).execute("select kind, state, failure_reason, channel_txn_id from channel_order where business_id=%s", [f.business_id]).fetchall(): c.print(str(row))
        c.print(str(f.rows[-1])); c.print()
    c.print(f"done {n} errs {len(errs)} accounts {len(ids)} bad {bad}")
    url = make_url(real_plan.reader_urls["pay"]).set(drivername="postgresql").render_as_string(hide_password=False)
    for row in psycopg.connect(url).execute("select purpose, state, count(*) from payment group by 1,2 order by 1,2").fetchall(): c.print(str(row))
    for row in psycopg.connect(url).execute("select kind, state, count(*) from instruction group by 1,2 order by 1,2").fetchall(): c.print(str(row))
    for row in db.execute("select state, count(*) from hold group by 1").fetchall(): c.print(str(row))
    c.file.flush()
