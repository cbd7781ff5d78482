"""The ledger's configuration files, read strictly: a mistake stops the start, not a booking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from clearing_svc.ledger import amounts
from clearing_svc.ledger.chart import (
    RETURNS,
    ByCurrency,
    Chart,
    OwnerKind,
    Side,
    Subject,
    SubjectClass,
)
from clearing_svc.ledger.fees import Fees
from clearing_svc.ledger.finance import Finance, GeneralAccount
from clearing_svc.ledger.templates import ANY, EntryTemplate, Template, Templates
from paymesh.money import EXPONENTS

T = TypeVar("T")
HERE = Path(__file__).parent


class ConfigInvalid(ValueError):
    """A file of the ledger's configuration is not usable; says which and why."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    chart: Chart
    templates: Templates
    finance: Finance


def load(directory: Path = HERE) -> LedgerConfig:
    """chart.yaml, fees.yaml, templates.yaml and finance.yaml of a folder. Raises ConfigInvalid."""
    chart = load_chart(directory / "chart.yaml")
    fees = load_fees(directory / "fees.yaml")
    templates = load_templates(directory / "templates.yaml", chart, fees)
    return LedgerConfig(chart, templates, load_finance(directory / "finance.yaml", chart))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Units = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,4})?$")]
_Limit = Annotated[int, Field(strict=True)] | dict[str, _Units] | None
"""Minor units of any currency; or by currency in units of each, "1000.00", and zero in others."""


def _limits(limit: int | Mapping[str, str] | None) -> tuple[int | None, ByCurrency]:
    """In minor units: of any currency, and of those that are named. Raises ValueError."""
    if not isinstance(limit, Mapping):
        return limit, ()
    named = []
    for currency, units in limit.items():
        if currency not in EXPONENTS:
            near = get_close_matches(currency, EXPONENTS, n=1)
            meant = f": is {near[0]} meant?" if near else ""
            raise ValueError(f"{currency} is not a currency of ISO 4217{meant}")
        minor = Decimal(units).scaleb(EXPONENTS[currency])
        if minor != minor.to_integral_value():
            raise ValueError(f"{units} {currency} is no whole number of its minor units")
        named.append((currency, int(minor)))
    return 0, tuple(named)


class _Subject(_Strict):
    subject_class: SubjectClass = Field(alias="class")
    owner: OwnerKind
    minimum: _Limit
    maximum: _Limit = None
    reference: Annotated[bool, Field(strict=True)]
    exchange: Annotated[bool, Field(strict=True)] = False
    system: Annotated[bool, Field(strict=True)] = False
    purpose: str = Field(alias="for", min_length=1)

    @model_validator(mode="after")
    def zero_is_allowed(self) -> _Subject:
        low, minima = _limits(self.minimum)
        high, maxima = _limits(self.maximum)
        least = max([low or 0, *(minor for _, minor in minima)])
        greatest = min([high or 0, *(minor for _, minor in maxima)])
        if not least <= 0 <= greatest:
            raise ValueError("an account opens at zero, which must be within its limits")
        return self


_SubjectName = Annotated[str, Field(pattern=r"^[A-Z][A-Z_]{0,63}$")]
_CHART = TypeAdapter(dict[_SubjectName, _Subject])

_Rate = Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$")]
_FEES = TypeAdapter(dict[str, _Rate])


class _Entry(_Strict):
    debit: str = ""
    credit: str = ""
    owner: str = ""
    amount: str
    reference: str = ""

    @model_validator(mode="after")
    def one_side(self) -> _Entry:
        if bool(self.debit) == bool(self.credit):
            raise ValueError("an entry is a debit or a credit")
        return self


class _Template(_Strict):
    event: str
    kind: str = ANY
    product: str = ANY
    nothing: Annotated[bool, Field(strict=True)] = False
    version: Annotated[int, Field(strict=True, ge=1)] = 1
    valid_from: Annotated[AwareDatetime, Field(strict=True)] | None = None
    journals: dict[str, list[_Entry]] = {}

    @field_validator("valid_from")
    @classmethod
    def in_utc(cls, at: datetime | None) -> datetime | None:
        if at is not None and at.utcoffset() != timedelta(0):
            raise ValueError("a time is in UTC: 2027-01-01T00:00:00Z")
        return at


_TEMPLATES = TypeAdapter(list[_Template])


class _GeneralAccount(_Strict):
    number: str = Field(alias="account", pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,31}$")
    name: str = Field(pattern=r"^[^\x00-\x1f]{1,64}$")


_FINANCE = TypeAdapter(dict[_SubjectName, _GeneralAccount])


def load_chart(path: Path) -> Chart:
    chart = {
        name: Subject(
            name=name,
            subject_class=subject.subject_class,
            owner=subject.owner,
            minimum_minor=_limits(subject.minimum)[0],
            maximum_minor=_limits(subject.maximum)[0],
            needs_reference=subject.reference,
            exchanges=subject.exchange,
            is_system=subject.system,
            minima=_limits(subject.minimum)[1],
            maxima=_limits(subject.maximum)[1],
        )
        for name, subject in _read(path, _CHART).items()
    }
    _require_returns(path, chart)
    return chart


def _require_returns(path: Path, chart: Chart) -> None:
    """Whoever can have an account that is closed has one for what comes to it all the same."""
    for owner, name in RETURNS.items():
        subject = chart.get(name)
        if subject is None:
            if any(of_chart.owner is owner for of_chart in chart.values()):
                raise ConfigInvalid(
                    f"{path}: {name} is missing: what comes to an account of a {owner} that is "
                    "closed or frozen is kept there"
                )
        elif subject != Subject(
            name,
            SubjectClass.LIABILITY,
            owner,
            minimum_minor=0,
            maximum_minor=None,
            needs_reference=False,
            is_system=True,
        ):
            raise ConfigInvalid(
                f"{path}: {name} must be a liability of a {owner}, minimum: 0, reference: false, "
                "system: true, and nothing else: it takes whatever comes"
            )


def load_purposes(path: Path) -> Mapping[str, str]:
    """What each subject of a chart is for, in words."""
    return {name: subject.purpose for name, subject in _read(path, _CHART).items()}


def load_fees(path: Path) -> Fees:
    return Fees({product: Decimal(rate) for product, rate in _read(path, _FEES).items()})


def load_finance(path: Path, chart: Chart) -> Finance:
    """Every subject of the chart, and no other, has an account in the general ledger."""
    finance = {
        subject: GeneralAccount(account.number, account.name)
        for subject, account in _read(path, _FINANCE).items()
    }
    if missing := sorted(chart.keys() - finance.keys()):
        raise ConfigInvalid(f"{path}: no account of the general ledger for {', '.join(missing)}")
    if unknown := sorted(finance.keys() - chart.keys()):
        raise ConfigInvalid(f"{path}: not in the chart: {', '.join(unknown)}")
    names: dict[str, str] = {}
    for account in finance.values():
        if names.setdefault(account.number, account.name) != account.name:
            raise ConfigInvalid(f"{path}: account {account.number} has two names")
    return finance


def load_templates(path: Path, chart: Chart, fees: Fees) -> Templates:
    shapes = _read(path, _TEMPLATES)
    try:
        templates = [
            Template(
                event=shape.event,
                kind=shape.kind,
                product=shape.product,
                journals={
                    name: tuple(map(_entry, entries)) for name, entries in shape.journals.items()
                },
                nothing=shape.nothing,
                version=shape.version,
                valid_from=shape.valid_from,
            )
            for shape in shapes
        ]
        return Templates(templates, chart=chart, fees=fees)
    except ValueError as error:  # TemplateInvalid, NotLinear
        raise ConfigInvalid(f"{path}: {error}") from error


def _entry(shape: _Entry) -> EntryTemplate:
    return EntryTemplate(
        side=Side.DEBIT if shape.debit else Side.CREDIT,
        subject=shape.debit or shape.credit,
        owner=shape.owner,
        amount=amounts.parse(shape.amount),
        reference=shape.reference,
    )


def _read(path: Path, shape: TypeAdapter[T]) -> T:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
        return shape.validate_python(document)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigInvalid(f"{path}: {error}") from error


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that comes twice is a mistake; by itself it takes the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"{sorted(twice)} comes twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
