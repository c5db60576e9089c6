"""A decision as an HTML page, and as a section of the bench report."""

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


def section(decision: Decision, sums: Sequence[Cost], prices: Prices) -> str:
    """The section as HTML, without its own style except the chart's."""
    items = [f"<li>{escape(MEANING[p].what)}</li>" for p in decision.patterns]
    items += [f"<li>{escape(note)}</li>" for note in decision.notes]
    if decision.assumed:
        items.append(f"<li>Unknown, assumed: {escape(', '.join(decision.assumed))}</li>")
    commands = "".join(f'<pre class="command">{escape(c)}</pre>' for c in decision.commands)
    unit = escape(prices.currency)
    rows = "".join(
        f"<tr><th scope=row>{escape(c.pattern)}</th><td>{c.once:,.0f}&nbsp;{unit}</td>"
        f"<td>{c.a_month:,.2f}&nbsp;{unit}</td><td>{escape(c.sums)}</td></tr>"
        for c in sums
    )
    measured = "".join(
        f"<tr><th scope=row>{escape(m.model)}</th><td>{rate(m.fps)}</td><td>{m.ms:,.1f}</td>"
        f"<td>{'random weights' if m.random_weights else '' if m.ap50 is None else f'{m.ap50:.3f}'}</td></tr>"
        for m in decision.evidence.measured
    )
    told = ", ".join(f"{k} = {v}" for k, v in decision.answers.told().items()) or "none"
    return (
        f"<section><h2>Decision: {escape(' and '.join(decision.patterns))}</h2><p>{escape(decision.sentence)}.</p>"
        f"<ul>{''.join(items)}</ul>{commands}"
        f'<figure style="max-width:46rem">{chart(decision)}<figcaption>Answers: {escape(told)}.</figcaption></figure>'
        f"<div class=wide><table><thead><tr><th>approach</th><th>once</th><th>per month</th><th>calculation</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
        f"<div class=wide><table><thead><tr><th>measured</th><th>rate</th><th>p95 ms</th><th>AP50</th></tr></thead>"
        f"<tbody>{measured}</tbody></table></div><p class=small>Figures {escape(decision.evidence.source)}. "
        f"Assumed prices: {prices.machine_hour:g} {unit} per machine hour, {prices.person_hour:g} {unit} per hour of "
        f"work, {prices.api_frame:g} {unit} per API answer; set your own with --machine-hour, --person-hour, "
        "--api-frame.</p></section>"
    )


def sections(answers: Answers, runs: Sequence[BenchRun]) -> tuple[str, str]:
    """The decision for a report: a section of HTML, and Markdown."""
    evidence = from_runs(runs, "from this report")
    decision = decide(answers, evidence)
    prices = Prices()
    sums = costs(answers, evidence, prices)
    lines = [f"## Decision: {' and '.join(decision.patterns)}", "", f"{decision.sentence}.", ""]
    lines += [f"- {s.ask} **{'yes' if s.yes else 'no'}**: {s.why or 'unknown, assumed'}" for s in decision.steps]
    lines += ["", f"| approach | once, {prices.currency} | per month, {prices.currency} |", "|---|---|---|"]
    lines += [f"| {c.pattern} | {c.once:,.0f} | {c.a_month:,.2f} |" for c in sums]
    lines += ["", *(f"    {command}" for command in decision.commands)]
    return section(decision, sums, prices), "\n".join(lines)


_STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}main{max-width:60rem;margin:auto;
padding:1rem}table{border-collapse:collapse;font-size:.85rem;margin:1rem 0}th,td{padding:.3rem .6rem;text-align:left;
border-bottom:1px solid #8884;vertical-align:top}
h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.3rem}pre{padding:.6rem;background:#8882;overflow-x:auto}
.command{white-space:pre-wrap;overflow-wrap:anywhere}.wide{overflow-x:auto}figure{margin:1rem 0}
.small,figcaption{font-size:.8rem;opacity:.8}
"""


def page(decision: Decision, sums: Sequence[Cost], prices: Prices | None = None) -> str:
    """A self-contained HTML document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>edgevision decide</title><style>{_STYLE}</style></head><body><main><h1>Custom model, "
        f"foundation model, or both?</h1>{section(decision, sums, prices or Prices())}</main></body></html>\n"
    )
