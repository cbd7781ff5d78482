"""The knobs: what they take, what they refuse, and that the dice can be thrown again."""

from __future__ import annotations

from typing import Any

import pytest

from paymesh_ops.sandbox.faults import KNOBS, Faults, UnknownKnob


def throws(seed: int, verb: str = "prepay", count: int = 200) -> list[bool]:
    faults = Faults()
    faults.replace({"seed": seed, verb: {"error_rate": 0.3}})
    return [faults.fires(verb, "error") for _ in range(count)]


def test_the_same_seed_gives_the_same_faults() -> None:
    """A storm can be run again; another seed or another verb is another stream."""
    assert throws(1) == throws(1)
    assert throws(1) != throws(2)
    assert throws(1) != throws(1, verb="close")
    assert 30 < sum(throws(1)) < 90


def test_next_n_faults_happen_exactly_n_times() -> None:
    """One-shot faults for deterministic tests, counted when they fire."""
    faults = Faults()
    faults.replace({"next": {"prepay": {"timeout": 2}}})
    assert [faults.fires("prepay", "timeout") for _ in range(4)] == [True, True, False, False]
    assert faults.fired["prepay.timeout"] == 2
    assert faults.document()["next"] == {}


def test_a_verbs_own_knob_wins_over_the_common_one() -> None:
    """ "*" is every HTTP verb, but not the callbacks."""
    faults = Faults()
    faults.replace({"*": {"latency_ms": 20, "error_rate": 1}, "close": {"latency_ms": 5}})
    assert faults.seconds("prepay", "latency_ms") == 0.02
    assert faults.seconds("close", "latency_ms") == 0.005
    assert faults.fires("close", "error")
    assert not faults.fires("callback", "lost")


def test_the_document_can_be_given_back() -> None:
    """What GET shows is what PUT takes."""
    faults = Faults()
    faults.replace({"seed": 3, "pay": {"late_success_rate": 0.5}, "next": {"pay": {"error": 1}}})
    document = faults.document()
    faults.replace({})
    assert faults.document() != document
    faults.replace(document)
    assert faults.document() == document
    assert document.keys() == KNOBS.keys() | {"seed", "next"}


@pytest.mark.parametrize(
    "document",
    [
        {"seed": "x"},
        {"prepai": {}},
        {"prepay": 7},
        {"prepay": {"lost_rate": 1}},
        {"prepay": {"error_rate": 1.5}},
        {"prepay": {"error_rate": True}},
        {"prepay": {"latency_ms": -1}},
        {"prepay": {"latency_ms": 0.5}},
        {"*": {"lost_rate": 1}},
        {"callback": {"duplicate_times": 1000}},
        {"next": {"prepay": {"error_rate": 1}}},
        {"next": {"prepay": {"error": -1}}},
        {"next": {"nobody": {"error": 1}}},
    ],
)
async def test_an_unknown_knob_is_refused_and_changes_nothing(
    world: Any, document: dict[str, Any]
) -> None:
    """A misspelt fault would be a storm that never blew."""
    faults = Faults()
    faults.replace({"seed": 9, "next": {"pay": {"error": 1}}})
    before = faults.document()
    with pytest.raises(UnknownKnob):
        faults.replace(document)
    assert faults.document() == before


async def test_the_knobs_turn_live_and_show_what_fired(world: Any) -> None:
    """GET, PUT, and a counter per fault."""
    await world.faults(query={"error_rate": 1})
    assert (await world.signed("GET", "/v1/orders/unknown1")).status == 500
    await world.faults()
    assert (await world.signed("GET", "/v1/orders/unknown1")).status == 404
    shown = (await world.plain("GET", "/admin/faults")).body
    assert shown["fired"]["query.error"] >= 1
    assert shown["faults"]["query"]["error_rate"] == 0
    refused = await world.plain("PUT", "/admin/faults", b'{"nobody": {}}')
    assert (refused.status, refused.body["code"]) == (400, "INVALID_REQUEST")
    assert (await world.plain("GET", "/health")).body == {"status": "ok"}
