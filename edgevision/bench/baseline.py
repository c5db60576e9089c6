"""The foundation model that ``edgevision bench`` compares with where none was named, or what is known of others."""

from __future__ import annotations

from edgevision.bench.contender import ContenderSpec
from edgevision.bench.decide.evidence import rate, reference
from edgevision.detectors.foundation import PREFIX, RANDOM
from edgevision.detectors.foundation.at_hand import OPEN_VOCABULARY, cached_weights, installed


def default_baseline() -> ContenderSpec | None:
    """The fastest open-vocabulary detector whose weights are at hand; with random weights where none has them, for its
    latency alone; None where the extra is not installed. Nothing is downloaded."""
    if not installed():
        return None
    for name, hub_id in OPEN_VOCABULARY.items():
        folder = cached_weights(hub_id)
        if folder is not None:
            return ContenderSpec(PREFIX + name, weights=str(folder))
    return ContenderSpec(PREFIX + next(iter(OPEN_VOCABULARY)), weights=RANDOM)


def reference_notes() -> list[str]:
    """What foundation models did on another machine, and how to measure them on this one."""
    known = reference()
    machines = sorted({one.machine for one in known.measured})
    rows = [one for one in known.measured if one.kind == "foundation"]
    figures = ", ".join(f"{one.model.removeprefix(PREFIX)} {rate(one.fps)} ({one.ms:,.0f} ms)" for one in rows)
    return [
        f"No foundation model was measured: the extra `foundation` is not installed. On another machine "
        f"({', '.join(machines)}; {known.source}): {figures}.",
        "To measure one here: pip install 'edgevision[foundation]', then edgevision bench --baseline owlvit",
    ]
