"""Custom, foundation or both: a decision from a few answers and from what was measured.

    from edgevision.bench.decide import Answers, decide, reference

    print(decide(Answers(fps=30, device="phone"), reference()).sentence)

`rules` is the judgement, `answers` what it asks, `evidence` what was measured, `costs` the sums, `chart` the picture.
"""

from __future__ import annotations

from edgevision.bench.decide.answers import Answers, question, read_answers
from edgevision.bench.decide.chart import chart
from edgevision.bench.decide.costs import Cost, Prices, costs
from edgevision.bench.decide.decision import Decision, Step, decide
from edgevision.bench.decide.evidence import Evidence, from_runs, reference
from edgevision.bench.decide.patterns import MEANING, Pattern

__all__ = [
    "MEANING", "Answers", "Cost", "Decision", "Evidence", "Pattern", "Prices", "Step",
    "chart", "costs", "decide", "from_runs", "question", "read_answers", "reference",
]  # fmt: skip
