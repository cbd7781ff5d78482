"""How long it pays to wait for company before a batch begins."""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 50
"""More do not make a batch noticeably cheaper for each."""


@dataclass(slots=True)
class Linger:
    """Nothing if the last batch held one, or this one has enough; else as long as that one took.

    So who is alone never waits, and who waits does so in proportion: little where work is quick,
    more where it is slow because there is much of it, and there a larger batch makes it less.
    """

    most_s: float
    _items: int = 1
    _took_s: float = 0.0

    def seconds(self, waiting: int) -> float:
        """How long a batch that has so many already is to wait."""
        if self._items <= 1 or waiting >= ENOUGH:
            return 0.0
        return min(self.most_s, self._took_s)

    def began(self, items: int) -> None:
        """A batch of so many began."""
        self._items = items

    def ended(self, took_s: float) -> None:
        """A batch ended after so many seconds."""
        self._took_s = took_s
