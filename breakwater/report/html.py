"""The parts that pages are made of: a figure, a table, a picture, the frame with its style.

Owns all markup and the style sheet. A page is one file: nothing in it is fetched, and it has no
script, so there is nothing that could fail offline. Each figure of a result stands in a <data>
element with its path, so that whoever has the page and result.json can compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from breakwater import expect, units
from breakwater.report.plots import COLOURS, Plot

LIGHTS: Final = 5
WIDE: Final = 10
"""Columns above which a table is printed smaller."""


def figure(result: Mapping[str, Any], path: str) -> str:
    """The value at a path of a result, exact, with thousands separators. Raises KeyError."""
    value = expect.find(path, result)
    if value is expect.MISSING:
        raise KeyError(f"there is no {path} in the result")
    return marked(path, value)


def marked(path: str, value: Any) -> str:
    """A value that stands at `path`; None is shown as a dash."""
    if value is None:
        return f'<data value="" data-path="{escape(path)}">&ndash;</data>'
    text = str(value)
    shown = escape(units.grouped(text))
    return f'<data value="{escape(text)}" data-path="{escape(path)}">{shown}</data>'


def percent(text: str | None) -> str:
    """A share as a percentage, exact."""
    if text is None:
        return "&ndash;"
    scaled = units.format_scaled(units.usdc(text) * 100, 6)
    return f"{units.grouped(scaled)}%"


def lights(count: int) -> str:
    """Five lights, so many of them on; the words are for who cannot see them."""
    dots = "●" * count + "○" * (LIGHTS - count)
    return f'<span class="lights" role="img" aria-label="{count} of {LIGHTS} lights">{dots}</span>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    words: Iterable[int] = (0,),
    note: str = "",
) -> str:
    """A table of finished cells; columns are numbers but those in `words`."""
    left = set(words)

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="w">{cell}</{tag}>' if i in left else f'<{tag} class="n">{cell}</{tag}>'
            for i, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    top = f"<thead><tr>{cells('th', [escape(h) for h in head])}</tr></thead>"
    kind = ' class="wide"' if len(head) > WIDE else ""
    return f'<div class="scroll"><table{kind}>{top}<tbody>{body}</tbody></table></div>{below}'


def picture(plot: Plot, caption: str = "") -> str:
    """A drawing with its title and, below it, what it says in words."""
    below = f'<p class="note">{caption}</p>' if caption else ""
    return f"<figure><figcaption>{escape(plot.title)}</figcaption>{plot.svg()}{below}</figure>"


def section(identifier: str, title: str, *parts: str) -> str:
    """A part of a page, with a heading that can be linked to."""
    return f'<section id="{identifier}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def folded(title: str, *parts: str) -> str:
    """What is there on demand; a printed page shows it as it was left."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def page(title: str, *parts: str) -> str:
    """The whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        # Without it a browser asks the server, or the disk, for an icon.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_style()}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _style() -> str:
    light = "".join(f"--{name}:{colour};" for name, (colour, _) in COLOURS.items())
    dark = "".join(f"--{name}:{colour};" for name, (_, colour) in COLOURS.items())
    return (
        f":root{{{light}--paper:#ffffff;--card:#f5f7f9;--bad:#be123c;--good:#0f766e;"
        "--shade:rgba(0,0,0,.2)}"
        "@media screen and (prefers-color-scheme:dark){"
        f":root{{{dark}--paper:#14181c;--card:#1d2329;--bad:#ff7a93;--good:#4fd1c0;"
        f"--shade:rgba(255,255,255,.16)}}}}{_RULES}"
    )


_RULES: Final = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:1.25rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 .3rem}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
p{margin:.5rem 0;max-width:70ch}
.kind{color:var(--muted);font-size:.9rem}
.story{font-size:1.08rem}
.note,figcaption{color:var(--muted);font-size:.88rem}
.note{margin:.35rem 0 0}
data{font-variant-numeric:tabular-nums}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:.6rem;
margin:1rem 0;padding:0;list-style:none}
.tiles li{background:var(--card);border-radius:8px;padding:.6rem .75rem}
.tiles b{display:block;font-size:1.05rem;font-weight:600;overflow-wrap:anywhere}
.tiles .long b{font-size:.8rem;line-height:1.9}
.tiles span{color:var(--muted);font-size:.82rem}
.tiles .good b{color:var(--good)}
.tiles .bad b{color:var(--bad)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));
gap:1.4rem 1.6rem;align-items:start}
figure{margin:0;min-width:0}
figcaption{margin-bottom:.2rem;color:var(--ink);font-weight:600}
svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;margin:.5rem 0;
background:linear-gradient(90deg,var(--paper) 40%,transparent) left/2.5rem 100% no-repeat local,
linear-gradient(270deg,var(--paper) 40%,transparent) right/2.5rem 100% no-repeat local,
radial-gradient(farthest-side at 0 50%,var(--shade),transparent) left/.8rem 100% no-repeat,
radial-gradient(farthest-side at 100% 50%,var(--shade),transparent) right/.8rem 100% no-repeat}
table{border-collapse:collapse;font-size:.86rem;min-width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--muted);font-weight:500;vertical-align:bottom;white-space:normal}
th.w{min-width:4rem}
.n{text-align:right;font-variant-numeric:tabular-nums}
td.w{white-space:normal;min-width:5.5rem}
td.w:last-child{min-width:12rem}
.policies td.w:first-child{min-width:15rem}
tr.hit td{background:var(--card)}
.lights{letter-spacing:.05em;color:var(--c2);white-space:nowrap}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--c1)}
ol.steps li{margin:.5rem 0}
ol.steps ul{margin:.2rem 0;padding-left:1.1rem;color:var(--muted);font-size:.88rem}
code{font-size:.9em;overflow-wrap:anywhere}
@media (max-width:520px){main{padding:.8rem .75rem 3rem}h1{font-size:1.35rem}
th,td{padding:.28rem .4rem}td.w{min-width:4.2rem}td.w:last-child{min-width:8.5rem}
.policies td.w:first-child{min-width:9rem;max-width:9rem;position:sticky;left:0;
background:var(--paper)}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}
h2,figure,tr,.tiles li{break-inside:avoid}h2{break-after:avoid}
.scroll{overflow:visible;background:none}table{font-size:7.5pt}table.wide{font-size:5.4pt}
.grid table{font-size:6.2pt}
th,td,td.w,td.w:last-child,.policies td.w:first-child{padding:1.5pt 3pt;min-width:0}
td.w,th,table.wide td{white-space:normal}td.w,table.wide td,table.wide th{overflow-wrap:anywhere}
.grid{grid-template-columns:1fr 1fr}.tiles li{border:1px solid var(--grid)}}
""".replace("\n", "")
