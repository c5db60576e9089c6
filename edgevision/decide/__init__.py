"""Custom, foundation or both: a decision from a few answers and from what was measured.

    from edgevision.decide import Answers, decide, reference

    print(decide(Answers(fps=30, device="phone"), reference()).sentence)

`rules` is the judgement, `answers` what it asks, `evidence` what was measured, `costs` the sums, `chart` the picture.
"""

from __future__ import annotations

from edgevision.decide.answers import Answers, question, read_answers
from edgevision.decide.chart import chart
from edgevision.decide.costs import Cost, Prices, costs
from edgevision.decide.decision import Decision, Step, decide
from edgevision.decide.evidence import Evidence, from_runs, reference
from edgevision.decide.patterns import MEANING, Pattern

__all__ = [
    "MEANING", "Answers", "Cost", "Decision", "Evidence", "Pattern", "Prices", "Step",
    "chart", "costs", "decide", "from_runs", "question", "read_answers", "reference",
]  # fmt: skip
