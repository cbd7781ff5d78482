"""The ledger's configuration files, read strictly: a mistake stops the start, not a booking."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from clearing_svc.ledger import amounts
from clearing_svc.ledger.chart import Chart, OwnerKind, Side, Subject, SubjectClass
from clearing_svc.ledger.fees import Fees
from clearing_svc.ledger.templates import ANY, EntryTemplate, Template, Templates

T = TypeVar("T")
HERE = Path(__file__).parent


class ConfigInvalid(ValueError):
    """A file of the ledger's configuration is not usable; says which and why."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    chart: Chart
    templates: Templates


def load(directory: Path = HERE) -> LedgerConfig:
    """chart.yaml, fees.yaml and templates.yaml of a folder. Raises ConfigInvalid."""
    chart = load_chart(directory / "chart.yaml")
    fees = load_fees(directory / "fees.yaml")
    return LedgerConfig(chart, load_templates(directory / "templates.yaml", chart, fees))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Subject(_Strict):
    subject_class: SubjectClass = Field(alias="class")
    owner: OwnerKind
    minimum: Annotated[int | None, Field(strict=True)]
    maximum: Annotated[int | None, Field(strict=True)] = None
    reference: Annotated[bool, Field(strict=True)]

    @model_validator(mode="after")
    def zero_is_allowed(self) -> _Subject:
        if not (self.minimum or 0) <= 0 <= (self.maximum or 0):
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
    journals: dict[str, list[_Entry]] = {}


_TEMPLATES = TypeAdapter(list[_Template])


def load_chart(path: Path) -> Chart:
    return {
        name: Subject(
            name=name,
            subject_class=subject.subject_class,
            owner=subject.owner,
            minimum_minor=subject.minimum,
            maximum_minor=subject.maximum,
            needs_reference=subject.reference,
        )
        for name, subject in _read(path, _CHART).items()
    }


def load_fees(path: Path) -> Fees:
    return Fees({product: Decimal(rate) for product, rate in _read(path, _FEES).items()})


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
