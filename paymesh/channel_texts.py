"""What text a channel takes: declared once, asked where it comes in, and where it goes out.

A text that is only shown is fitted; a name that must be right is refused where somebody can still
correct it, as the channel would refuse it for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from paymesh.errors import FieldViolation

WITHOUT_SUBJECT = "Payment"


@dataclass(frozen=True, slots=True)
class ChannelTexts:
    """Limits in characters, and in bytes of UTF-8 where the channel counts those."""

    subject: int
    account_no: int
    account_name: int
    subject_bytes: int | None = None

    def fitted(self, subject: str) -> str:
        """A subject as the channel shows it: printable, not empty, not too long."""
        text = "".join(c if c.isprintable() else " " for c in subject).strip() or WITHOUT_SUBJECT
        if len(text) > self.subject:
            text = text[: self.subject - 1] + "…"
        limit = self.subject_bytes
        if limit is not None and len(text.encode()) > limit:
            kept = text.encode()[: limit - len("…".encode())]
            text = kept.decode(errors="ignore") + "…"
        return text

    def refusals(self, *, account_no: str, account_name: str) -> Iterator[FieldViolation]:
        """What it would not pay out to."""
        for field, value, limit in (
            ("account_no", account_no, self.account_no),
            ("account_name", account_name, self.account_name),
        ):
            if len(value) > limit:
                why = f"has {len(value)} characters; the channel takes at most {limit}"
                yield FieldViolation(field, why)
        if not account_name.isprintable():
            yield FieldViolation("account_name", "has characters that the channel does not take")


CHANNEL_TEXTS: Mapping[str, ChannelTexts] = {
    "sandbox": ChannelTexts(subject=127, account_no=34, account_name=64),
}
"""By the channel's name. A channel that is not here takes what the contracts allow."""
