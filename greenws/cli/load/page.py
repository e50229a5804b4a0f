"""The report of a load run as one page of HTML: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from ..streams import escape_line
from ..units import format_duration, format_size
from .charts import (
    build_count_scale,
    build_time_plot,
    build_time_scale,
    draw_histogram,
    draw_percentiles,
    format_count,
    format_milliseconds,
)
from .comparison import compare, find_other_options, format_began

# The reasons of failures that the page lists.
_MAX_REASONS = 50

_STYLE = """
:root { color-scheme: light dark;
  --back: #ffffff; --panel: #f6f8fa; --text: #1f2328; --quiet: #59636e; --line: #d1d9e0;
  --a: #0969da; --b: #bc4c00; --c: #1a7f37; --bad: #cf222e; --old: #6e7781 }
@media (prefers-color-scheme: dark) { :root {
  --back: #0d1117; --panel: #161b22; --text: #e6edf3; --quiet: #9198a1; --line: #30363d;
  --a: #58a6ff; --b: #f0883e; --c: #56d364; --bad: #ff7b72; --old: #8b949e } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 20px 16px 40px; max-width: 1180px; background: var(--back);
  color: var(--text); font: 15px/1.45 system-ui, "DejaVu Sans", Verdana, sans-serif }
h1 { font-size: 22px; margin: 0 0 2px } h2 { font-size: 16px; margin: 0 0 8px }
p { margin: 0 0 8px; overflow-wrap: anywhere } .quiet, figcaption { color: var(--quiet) }
.tiles { display: grid; gap: 10px; margin: 16px 0;
  grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)) }
.tiles div, .panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 12px }
.tiles span { display: block; color: var(--quiet); font-size: 13px }
.tiles b { font-size: 18px; white-space: nowrap }
.panels { display: grid; gap: 14px; grid-template-columns: repeat(2, minmax(0, 1fr));
  margin-bottom: 14px }
.panel { margin: 0; min-width: 0 } .wide { grid-column: 1 / -1 }
@media (max-width: 760px) { .panels { grid-template-columns: minmax(0, 1fr) }
  table { font-size: 13px } td, th { padding: 4px 4px } }
svg { display: block; width: 100%; height: auto }
svg text { font: 13px system-ui, "DejaVu Sans", Verdana, sans-serif; fill: var(--quiet) }
svg .label { fill: var(--text) }
.grid { stroke: var(--line) } .axis { stroke: var(--quiet) } path { fill: none }
.line { stroke-width: 1.8; stroke-linejoin: round } .area { opacity: .22; stroke: none }
.line.a, .mark.a { stroke: var(--a) } .area.a, .bar.a { fill: var(--a) }
.line.b, .mark.b { stroke: var(--b) } .area.b, .bar.b { fill: var(--b) }
.line.c { stroke: var(--c) } .bar.bad { fill: var(--bad) }
.line.old { stroke: var(--old); stroke-dasharray: 5 4 } .mark { stroke-dasharray: 3 3 }
figcaption { font-size: 13px; margin-top: 4px }
figcaption i { display: inline-block; width: 14px; height: 3px; vertical-align: middle;
  margin: 0 4px 0 10px } figcaption i:first-child { margin-left: 0 }
i.a { background: var(--a) } i.b { background: var(--b) } i.c { background: var(--c) }
i.bad { background: var(--bad) } i.old { background: var(--old) }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
td, th { text-align: right; padding: 4px 8px; border-bottom: 1px solid var(--line);
  font-variant-numeric: tabular-nums; white-space: nowrap }
th { color: var(--quiet); font-weight: normal }
td:first-child, th:first-child, .words td:last-child { text-align: left }
td.long { white-space: normal; overflow-wrap: anywhere; text-align: left }
.bad-text { color: var(--bad) } .good-text { color: var(--c) }
"""


def to_html(report: dict[str, Any], earlier: dict[str, Any] | None) -> str:
    """Return the page of a report.

    :param report: what :func:`.report.build_report` has made.
    :param earlier: the report of an earlier run to compare with; None: there is none.
    """
    panels = [
        *_draw_durations(report, earlier),
        *_draw_times(report),
    ]
    if earlier is not None:
        panels.append(_list_differences(earlier, report))
    panels += [_list_percentiles(report), _list_options(report)]
    title = f"Load test of {_clean(report['url'])}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n"
        f'<p class="quiet">{_clean(format_began(report))}, {_describe(report)}</p>\n'
        f"{_list_tiles(report)}\n"
        f'<div class="panels">\n{"".join(panels)}</div>\n'
        f'<p class="quiet">{_explain(report)}</p>\n'
        f'<p class="quiet">Made by greenws {_clean(report["version"])}.</p>\n'
        "</body>\n</html>\n"
    )


def _clean(text: object) -> str:
    """Escape a text of anybody's, for the page."""
    return escape(escape_line(str(text)))


def _ms(milliseconds: float) -> str:
    return format_duration(milliseconds / 1000)


def _describe(report: dict[str, Any]) -> str:
    options = report["options"]
    text = f"{options['connections']:,} connections, {report['about']}"
    if options["processes"] > 1:
        text += f", {options['processes']} processes"
    if report["interrupted"]:
        text += "; interrupted"
    return _clean(text)


def _explain(report: dict[str, Any]) -> str:
    if report["latency_ms"] is None:
        return "An opening lasts from the name lookup until the connection is ready."
    if report["options"]["message_rate"] is not None:
        return (
            "A latency counts from when its message was due by the message rate, whether or not it "
            "could be sent then, until its reply. So messages that had to wait for a server that "
            "stalled count in full (no coordinated omission). Percentiles are exact to 0.8 %."
        )
    return (
        "A latency counts from the sending of a message until its reply, and a connection sends "
        "its next message after the reply. So a server that stalls stops the messages as well, and "
        "the latencies lack those that users would have sent meanwhile (coordinated omission); "
        "--message-rate counts them. Percentiles are exact to 0.8 %."
    )


def _list_tiles(report: dict[str, Any]) -> str:
    connections, messages = report["connections"], report["messages"]
    tiles = [
        ("connected", f"{connections['connected']:,} of {connections['wanted']:,}"),
        ("failed", f"{connections['failed']:,}"),
    ]
    if report["opening_ms"] is not None:
        tiles.append(("opening p50", _ms(report["opening_ms"]["p50"])))
    if messages["sent"]:
        count = messages["replies"] if report["options"]["expect"] != "none" else messages["sent"]
        tiles.append(("messages", f"{count:,}"))
        tiles.append(("messages/s", f"{messages['per_second']:,.0f}"))
    if report["latency_ms"] is not None:
        for name in ("p50", "p99", "p99.9"):
            tiles.append((f"latency {name}", _ms(report["latency_ms"][name])))
    sent, received = report["bytes"]["sent"], report["bytes"]["received"]
    tiles.append(("sent", format_size(sent)))
    tiles.append(("received", format_size(received)))
    items = "".join(f"<div><span>{name}</span><b>{text}</b></div>" for name, text in tiles)
    return f'<div class="tiles">{items}</div>'


def _panel(title: str, content: str, is_wide: bool = False) -> str:
    kind = "panel wide" if is_wide else "panel"
    return f'<section class="{kind}"><h2>{title}</h2>{content}</section>\n'


def _figure(title: str, picture: str, legend: Iterable[tuple[str, str]]) -> str:
    words = "".join(f'<i class="{kind}"></i>{text}' for kind, text in legend)
    caption = f"<figcaption>{words}</figcaption>"
    return f'<figure class="panel"><h2>{title}</h2>{picture}{caption}</figure>\n'


def _draw_durations(report: dict[str, Any], earlier: dict[str, Any] | None) -> list[str]:
    """Draw the histogram and the percentiles: of latencies, or else of openings."""
    for what, words in (("latency", "Latencies"), ("opening", "Openings")):
        ranges, values = report[f"{what}_histogram_ms"], report[f"{what}_ms"]
        if values is None:
            continue
        marks = [(name, values[name]) for name in ("p50", "p99")]
        old = [] if earlier is None else earlier[f"{what}_histogram_ms"]
        unit = "messages" if what == "latency" else "connections"
        legend = [("a", f"{words.lower()} by percentile")]
        if earlier is not None and old:
            legend.append(("old", f"the run of {_clean(format_began(earlier))}"))
        return [
            _figure(
                f"{words}, how many of which length",
                draw_histogram(f"Histogram of {words.lower()}", ranges, marks, _ms),
                [("a", unit), ("b", "p50 and p99")],
            ),
            _figure(
                f"{words}, by percentile",
                draw_percentiles(f"Percentiles of {words.lower()}", ranges, old),
                legend,
            ),
        ]
    return []


def _draw_times(report: dict[str, Any]) -> list[str]:
    """Draw what happened when."""
    series, seconds = report["series"], max(report["seconds"], 0.001)
    if not series:
        return []

    def steps(read: Callable[[dict[str, Any]], float]) -> list[tuple[float, float, float]]:
        return [(item["second"], _find_end(item, seconds), read(item)) for item in series]

    def rates(name: str) -> list[tuple[float, float, float]]:
        return steps(lambda item: item[name] / max(_find_end(item, seconds) - item["second"], 0.1))

    drawn = []
    if report["messages"]["sent"]:
        sent, replies = rates("sent"), rates("replies")
        scale = build_count_scale(max(value for _low, _high, value in [*sent, *replies]))
        plot = build_time_plot("Messages a second over time", seconds, scale, format_count)
        legend = [("b", "sent")]
        if report["messages"]["replies"]:
            plot.add_steps("a", replies, is_filled=True)
            legend.insert(0, ("a", "replies"))
        plot.add_steps("b", sent)
        drawn.append(_figure("Messages a second", plot.to_svg(), legend))
    timed = [item for item in series if "latency_ms" in item]
    if timed:
        drawn.append(_draw_latencies(timed, seconds))
    scale = build_count_scale(max(item["open"] for item in series))
    plot = build_time_plot("Open connections over time", seconds, scale, format_count)
    plot.add_steps("c", steps(lambda item: item["open"]))
    drawn.append(_figure("Connections", plot.to_svg(), [("c", "open")]))
    return [*drawn, _draw_failures(report, seconds), _list_failures(report)]


def _draw_failures(report: dict[str, Any], seconds: float) -> str:
    if not report["failures"]:
        return _panel("Failures", "<p>No connection has failed.</p>")
    series = report["series"]
    scale = build_count_scale(max(item["failed"] for item in series))
    plot = build_time_plot("Failed connections over time", seconds, scale, format_count)
    for item in series:
        if item["failed"]:
            words = f"second {item['second']}: {item['failed']:,} failed"
            end = _find_end(item, seconds)
            plot.add_bar("bad", item["second"], end, item["failed"], words)
    return _figure("Failures", plot.to_svg(), [("bad", "connections that failed")])


def _find_end(item: dict[str, Any], seconds: float) -> float:
    """Return the time at which a point of the series ends: the last one ends with the run."""
    return float(min(item["second"] + item["seconds"], seconds))


def _draw_latencies(timed: Sequence[dict[str, Any]], seconds: float) -> str:
    kinds = (("c", "max"), ("b", "p99"), ("a", "p50"))
    values = [item["latency_ms"][name] for item in timed for _kind, name in kinds]
    title = "Latencies over time"
    plot = build_time_plot(title, seconds, build_time_scale(values), format_milliseconds)
    for kind, name in kinds:
        plot.add_steps(
            kind,
            [
                (item["second"], _find_end(item, seconds), item["latency_ms"][name])
                for item in timed
            ],
        )
    return _figure(title, plot.to_svg(), reversed(kinds))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Make a table of texts that are escaped already."""
    heads = "".join(f"<th>{text}</th>" for text in head)
    lines = "".join(
        "<tr>"
        + "".join(text if text[:3] == "<td" else f"<td>{text}</td>" for text in row)
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _list_failures(report: dict[str, Any]) -> str:
    failures = report["failures"]
    if not failures:
        return ""
    rows = [
        (f"{item['count']:,}", f'<td class="long">{_clean(item["reason"])}</td>')
        for item in failures[:_MAX_REASONS]
    ]
    if rest := sum(item["count"] for item in failures[_MAX_REASONS:]):
        rows.append((f"{rest:,}", '<td class="long">other causes</td>'))
    return _panel("Failures by cause", _table(("connections", ""), rows), is_wide=True)


def _list_percentiles(report: dict[str, Any]) -> str:
    names = ("min", "mean", "p50", "p90", "p99", "p99.9", "max")
    kinds = (
        ("opening", "opening_ms"),
        ("latency", "latency_ms"),
        ("sent late by", "sent_late_ms"),
    )
    rows = [
        (what, *(_ms(report[key][name]) for name in names))
        for what, key in kinds
        if report[key] is not None
    ]
    if not rows:
        return ""
    return _panel("Percentiles", _table(("", *names), rows), is_wide=True)


def _list_differences(earlier: dict[str, Any], report: dict[str, Any]) -> str:
    styles = {"better": ' class="good-text"', "worse": ' class="bad-text"', "": ""}
    rows = [
        (
            item.name,
            item.format(item.before),
            item.format(item.now),
            f"<td{styles[item.verdict]}>{item.describe()}</td>",
        )
        for item in compare(earlier, report)
    ]
    others = [
        (_clean(name), _clean(before), _clean(now), "another option")
        for name, before, now in find_other_options(earlier, report)
    ]
    title = f"Compared with the run of {_clean(format_began(earlier))}"
    table = _table(("", "before", "now", ""), [*rows, *others], "words")
    return _panel(title, table, is_wide=True)


def _list_options(report: dict[str, Any]) -> str:
    rows = [
        (_clean(name.replace("_", " ")), f'<td class="long">{_clean(value)}</td>')
        for name, value in report["options"].items()
        if value not in (None, False)
    ]
    return _panel("Options", _table(("", ""), rows), is_wide=True)
