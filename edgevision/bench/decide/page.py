"""A decision as a page of its own, and as a section of the bench report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from edgevision.bench import BenchRun
from edgevision.bench.decide.answers import Answers
from edgevision.bench.decide.chart import chart
from edgevision.bench.decide.costs import Cost, Prices, costs
from edgevision.bench.decide.decision import Decision, decide
from edgevision.bench.decide.evidence import from_runs, rate
from edgevision.bench.decide.patterns import MEANING


def section(decision: Decision, sums: Sequence[Cost]) -> str:
    """HTML, without a style of its own but the chart's."""
    items = [f"<li>{escape(MEANING[p].what)}</li>" for p in decision.patterns]
    items += [f"<li>{escape(note)}</li>" for note in decision.notes]
    if decision.assumed:
        items.append(f"<li>Not told, and assumed: {escape(', '.join(decision.assumed))}</li>")
    commands = "".join(f"<pre>{escape(c)}</pre>" for c in decision.commands)
    rows = "".join(
        f"<tr><th scope=row>{escape(c.pattern)}</th><td>{c.once:,.0f}</td><td>{c.a_month:,.2f}</td>"
        f"<td>{escape(c.sums)}</td></tr>"
        for c in sums
    )
    measured = "".join(
        f"<tr><th scope=row>{escape(m.model)}</th><td>{rate(m.fps)}</td><td>{m.ms:,.1f}</td>"
        f"<td>{'random weights' if m.random_weights else '' if m.ap50 is None else f'{m.ap50:.3f}'}</td></tr>"
        for m in decision.evidence.measured
    )
    told = ", ".join(f"{k} = {v}" for k, v in decision.answers.told().items()) or "nothing"
    return (
        f"<section><h2>Decision: {escape(' and '.join(decision.patterns))}</h2><p>{escape(decision.sentence)}.</p>"
        f"<ul>{''.join(items)}</ul>{commands}"
        f'<figure style="max-width:46rem">{chart(decision)}<figcaption>Told: {escape(told)}.</figcaption></figure>'
        f"<div class=wide><table><thead><tr><th>way</th><th>once</th><th>a month</th><th>how it comes about</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
        f"<div class=wide><table><thead><tr><th>measured</th><th>rate</th><th>p95 ms</th><th>AP50</th></tr></thead>"
        f"<tbody>{measured}</tbody></table></div><p class=small>Figures {escape(decision.evidence.source)}. Costs in "
        "any one currency; the prices are guesses until you put in your own.</p></section>"
    )


def sections(answers: Answers, runs: Sequence[BenchRun]) -> tuple[str, str]:
    """What to build by these answers and runs, for a report: a section of HTML, and Markdown."""
    evidence = from_runs(runs, "from this report")
    decision = decide(answers, evidence)
    sums = costs(answers, evidence, Prices())
    lines = [f"## Decision: {' and '.join(decision.patterns)}", "", f"{decision.sentence}.", ""]
    lines += [f"- {s.ask} **{'yes' if s.yes else 'no'}**: {s.why or 'not told, assumed'}" for s in decision.steps]
    lines += ["", "| way | once | a month |", "|---|---|---|"]
    lines += [f"| {c.pattern} | {c.once:,.0f} | {c.a_month:,.2f} |" for c in sums]
    lines += ["", *(f"    {command}" for command in decision.commands)]
    return section(decision, sums), "\n".join(lines)


_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:60rem;margin:auto;
padding:1rem}table{border-collapse:collapse;font-size:.85rem;margin:1rem 0}th,td{padding:.3rem .6rem;text-align:left;
border-bottom:1px solid #8884;vertical-align:top}pre{padding:.6rem;background:#8882;overflow-x:auto}
.wide{overflow-x:auto}figure{margin:1rem 0}.small,figcaption{font-size:.8rem;opacity:.8}
"""


def page(decision: Decision, sums: Sequence[Cost]) -> str:
    """A whole HTML document that needs nothing else."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>edgevision decide</title><style>{_STYLE}</style></head><body><main><h1>Custom, foundation, or "
        f"both?</h1>{section(decision, sums)}</main></body></html>\n"
    )
