"""The foundation model that bench compares with where none is named."""

from __future__ import annotations

import pytest

from edgevision.bench import baseline
from edgevision.bench.contender import ContenderSpec
from edgevision.cli.bench_contenders import contenders_of
from edgevision.cli.bench_options import BenchOptions


def foundation(options):
    found, notes = contenders_of(options)
    return [spec for spec in found if spec.model.startswith("foundation:")], notes


@pytest.fixture
def here(monkeypatch):
    """Say what is installed, and whose weights are in the cache."""

    def set_up(installed, *cached):
        monkeypatch.setattr(baseline, "installed", lambda: installed)
        monkeypatch.setattr(baseline, "cached_weights", lambda hub_id: f"/cache/{hub_id}" if hub_id in cached else None)

    return set_up


def test_the_fastest_whose_weights_are_at_hand(here):
    here(True, "google/owlv2-base-patch16-ensemble", "IDEA-Research/grounding-dino-tiny")
    found, _ = foundation(BenchOptions())
    assert found == [ContenderSpec("foundation:owlv2", weights="/cache/google/owlv2-base-patch16-ensemble")]


def test_random_weights_where_none_are_at_hand(here):
    here(True)
    assert foundation(BenchOptions())[0] == [ContenderSpec("foundation:owlvit", weights="random")]


def test_without_the_extra_another_machines_figures_and_the_commands(here):
    here(False)
    found, notes = foundation(BenchOptions())
    assert found == []
    assert "On another machine (x86-64" in notes[-2]
    assert "owlvit" in notes[-2]
    assert "pip install 'edgevision[foundation]', then edgevision bench --baseline" in notes[-1]


@pytest.mark.parametrize(
    "options", [BenchOptions(baseline=["none"]), BenchOptions(model=["person"]), BenchOptions(glass=True)]
)
def test_no_default_where_it_was_not_asked_for(here, options):
    here(True)
    assert foundation(options)[0] == []


def test_named_ones_are_repeated_or_with_commas():
    found, _ = foundation(BenchOptions(baseline=["owlv2,yoloe", "foundation:clip"], threads="1,2"))
    assert [(spec.model, spec.threads) for spec in found] == [
        (f"foundation:{name}", count) for name in ("owlv2", "yoloe", "clip") for count in (1, 2)
    ]
