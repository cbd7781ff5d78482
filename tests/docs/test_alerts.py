"""Alerts are rules that Prometheus can load, about metrics that we have."""

from __future__ import annotations

import re

import yaml

from paymesh.db.migrate import ROOT

ALERTS = ROOT / "monitoring" / "alerts.yaml"


def test_alerts_are_about_metrics_that_there_are_and_say_what_to_do() -> None:
    source = (ROOT / "paymesh" / "metrics.py").read_text()
    ours = set(re.findall(r'"(payments_[a-z_]+)"', source))
    labels = set(re.findall(r'"([a-z]+)"', source))
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        [metric] = re.findall(r"payments_[a-z_]+", rule["expr"])
        assert metric.removesuffix("_total") in ours
        grouped = re.findall(r"by \((\w+)\)", rule["expr"])
        assert set(grouped) <= labels
        used = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert set(used) <= set(grouped)
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["action"]


def test_every_alert_of_the_operators_page_is_a_rule() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    told = {
        line.split("`")[1]
        for line in page.splitlines()
        if line.startswith("| `payments_") and "**alert**" in line
    }
    ruled = set(re.findall(r"payments_[a-z_]+", ALERTS.read_text()))
    assert told - ruled == set()
