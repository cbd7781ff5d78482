"""What keeps money whole, and the test that must notice when it is gone.

A guard is taken away by an edit or two (see places.py). Its test is named without its file, which
is found. Where two guards stand behind each other, each has a test of its own.
"""

from __future__ import annotations

from tests.sabotage.guards_core import CORE
from tests.sabotage.guards_doors import DOORS

GUARDS = (*CORE, *DOORS)
