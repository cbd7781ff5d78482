"""What a guard is: a rule that keeps money whole, the harm without it, and who must notice."""

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
