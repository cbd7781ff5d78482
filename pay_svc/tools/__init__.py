"""Payment tools: one declaration each. A new one is a file of its own, named here."""

from __future__ import annotations

from collections.abc import Mapping

from pay_svc.tools.balance import BALANCE
from pay_svc.tools.channel import CHANNEL
from pay_svc.tools.tool import PaymentTool
from paymesh.tools import ToolKind

TOOLS: Mapping[ToolKind, PaymentTool] = {tool.kind: tool for tool in (BALANCE, CHANNEL)}
"""In the order in which their steps stand in a plan that brings money in."""
