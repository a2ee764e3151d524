"""The live view of a venue in a browser: one page, served on this machine only.

Owns the page and the little server behind it; what is shown is a `View` of `breakwater.watch`, the
same as in the terminal. Two addresses answer: `/` is the page, `/view` the newest view as JSON,
which the page asks for again and again. Nothing else is fetched, and nothing is written: whoever
reaches the port can look and no more. A request that names another host is refused, so that no
page on the network can read it through the visitor's browser.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from breakwater import watch
from breakwater.report import html
from breakwater.report.record import LIGHTS

HOST: Final = "127.0.0.1"
LEVELS: Final = 10
"""Price levels of a side: more than a terminal has room for."""

POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
)


class PageError(OSError):
    """The page cannot be served; the message says what to do."""


class PageServer:
    """Serves the page on a port of this machine (0: any that is free)."""

    def __init__(self, port: int) -> None:
        self._body = b'{"note": "reading the chain ...", "view": null}'
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(lambda: self._body))
        except OSError as error:
            raise PageError(
                f"port {port} cannot be used ({error.strerror}): another one with --port, or "
                "--port 0 for any that is free"
            ) from None
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"

    def __enter__(self) -> PageServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def show(self, view: watch.View | None, note: str = "") -> None:
        """From now on this is what the page shows."""
        self._body = json.dumps(
            {
                "note": note,
                "doing": watch.doing(view) if view is not None else "",
                "view": asdict(view) if view is not None else None,
            }
        ).encode()


def run(
    watcher: watch.Watcher,
    server: PageServer,
    every: float,
    go_on: Callable[[], bool] = lambda: True,
) -> None:
    """Reads the venue for the page until interrupted."""
    for view, note in watch.views(watcher, every, go_on):
        server.show(view, note)


def _handler(body: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """GET of the two addresses."""

        def do_GET(self) -> None:
            name = self.headers.get("Host", "").rpartition(":")[0]
            if name not in (HOST, "localhost"):
                self.send_error(HTTPStatus.FORBIDDEN, "ask for 127.0.0.1 or localhost")
            elif self.path == "/":
                self._answer(page().encode(), "text/html; charset=utf-8")
            elif self.path == "/view":
                self._answer(body(), "application/json")
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def _answer(self, content: bytes, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal stays readable."""

    return Handler


def page() -> str:
    """The page, as text: it is the same whatever the venue, and asks for the figures."""
    return html.page(
        "Breakwater live",
        f"<style>{_RULES}</style>",
        '<header><h1>Breakwater live</h1><p id="when" class="kind">connecting ...</p>'
        '<p id="note" role="status" hidden></p></header>',
        '<ul class="tiles" id="tiles"></ul>',
        '<p id="round"></p><div class="meter" id="meter" hidden><i></i></div>',
        html.section("markets", "Markets", '<div class="grid" id="books"></div>'),
        html.section("accounts", "Accounts, the weakest first", '<div id="people"></div>'),
        html.section("receipts", "Last ADL receipts", '<div id="fills"></div>'),
        html.section("news", "What just happened", '<ul id="said"></ul>'),
        f"<script>const LIGHTS={LIGHTS};{_SCRIPT}</script>",
    )


_RULES: Final = """
#note{background:var(--card);border-left:4px solid var(--c6);padding:.5rem .75rem}
.away main>*:not(header){opacity:.5}
.meter{height:.5rem;border-radius:4px;background:var(--grid);overflow:hidden}
.meter i{display:block;height:100%;background:var(--c2)}
#books{grid-template-columns:repeat(auto-fill,minmax(min(100%,320px),1fr))}
.book{background:var(--card);border-radius:8px;padding:.7rem .8rem}
.book h3{margin:0 0 .2rem;font-size:1.05rem}
.book h3 .tag,.weak .tag{color:var(--bad);font-size:.8rem;font-weight:500;margin-left:.5rem}
.book dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem .6rem;margin:.3rem 0 .6rem;
font-size:.86rem}
.book dt{color:var(--muted)}.book dd{margin:0;text-align:right}
.level{display:grid;grid-template-columns:1fr 1fr;position:relative;font-size:.88rem;
padding:.06rem .4rem;font-variant-numeric:tabular-nums}
.level b{font-weight:400;text-align:right;position:relative}
.level span{position:relative}
.level i{position:absolute;right:0;top:1px;bottom:1px;opacity:.22;border-radius:3px}
.bid span{color:var(--c3)}.bid i{background:var(--c3)}
.ask span{color:var(--c5)}.ask i{background:var(--c5)}
.mid{border-top:1px solid var(--grid);border-bottom:1px solid var(--grid);margin:.2rem 0;
padding:.15rem .4rem;font-size:.86rem;color:var(--muted)}
.mid data{color:var(--ink);font-weight:600}
tr.weak td{color:var(--bad)}
#said{padding-left:1.1rem}#said li{margin:.15rem 0;font-size:.92rem}
@media (prefers-reduced-motion:no-preference){.new{animation:new 1.6s ease-out}
@keyframes new{from{background:var(--c6);color:var(--paper)}}}
"""

# Text goes in by textContent only: a symbol or a name from the chain is never markup.
_SCRIPT: Final = """
const $ = id => document.getElementById(id);
const known = new Map();
let shown = '', first = true;

function el(tag, kind, ...inside) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside);
  return made;
}
function grouped(text) {
  const [whole, part] = text.split('.');
  return whole.replace(/\\B(?=(\\d{3})+(?!\\d))/g, ',') + (part ? '.' + part : '');
}
function fig(path, value) {
  const text = String(value), made = el('data', '', grouped(text));
  made.value = text;
  made.dataset.path = path;
  if (!first && known.get(path) !== text) made.className = 'new';
  known.set(path, text);
  return made;
}
function tile(path, value, words, kind) {
  return el('li', kind, el('b', '', fig(path, value)), el('span', '', words));
}
function lights(count) {
  const made = el('span', 'lights', '\\u25cf'.repeat(count) + '\\u25cb'.repeat(LIGHTS - count));
  made.setAttribute('role', 'img');
  made.setAttribute('aria-label', count + ' of ' + LIGHTS + ' lights');
  return made;
}
function table(head, words, rows) {
  const kind = at => words.includes(at) ? 'w' : 'n';
  const line = (tag, cells) => cells.map((cell, at) => el(tag, kind(at), ...[cell].flat()));
  const top = el('thead', '', el('tr', '', ...line('th', head)));
  const body = el('tbody', '');
  for (const [look, cells] of rows) body.append(el('tr', look, ...line('td', cells)));
  return el('div', 'scroll', el('table', '', top, body));
}
function level(kind, path, pair, most) {
  const bar = el('i', '');
  bar.style.width = 100 * Number(pair[1]) / most + '%';
  return el('div', 'level ' + kind, bar, el('span', '', fig(path + '[0]', pair[0])),
    el('b', '', fig(path + '[1]', pair[1])));
}
function book(market, at) {
  const path = 'markets[' + at + ']';
  const head = el('h3', '', market.symbol);
  if (!market.fresh) head.append(el('span', 'tag', 'stale price'));
  if (market.frozen) head.append(el('span', 'tag', 'frozen: a round'));
  const facts = el('dl', '');
  for (const [words, key] of [['oracle', 'oracle'], ['previous mark', 'previous_mark'],
      ['open interest', 'open_interest']])
    facts.append(el('dt', '', words), el('dd', '', fig(path + '.' + key, market[key])));
  const most = Math.max(1e-18, ...[...market.bids, ...market.asks].map(pair => Number(pair[1])));
  const side = (kind, pairs) => pairs.map((pair, place) =>
    level(kind, path + '.' + kind + 's[' + place + ']', pair, most));
  return el('div', 'book', head, facts, ...side('ask', market.asks).reverse(),
    el('div', 'mid', market.asks.length ? '' : 'no asks \\u00b7 ', 'mark ',
      fig(path + '.mark', market.mark), market.bids.length ? '' : ' \\u00b7 no bids'),
    ...side('bid', market.bids));
}
function people(view) {
  const rows = view.accounts.map((one, at) => {
    const path = 'accounts[' + at + ']';
    const held = one.positions.flatMap(([symbol, size], place) => [place ? ', ' : '',
      fig(path + '.positions[' + place + '][1]', size), ' ' + symbol]);
    const lit = Object.entries(one.lights).flatMap(([symbol, count]) => [symbol + ' ',
      lights(count), ' ']);
    const who = [(one.account + ' ' + one.name).trim()];
    if (one.weak) who.push(el('span', 'tag', 'liquidatable'));
    const health = one.health === null ? '\\u2013' : fig(path + '.health', one.health);
    return [one.weak ? 'weak' : '', [who, health, fig(path + '.equity', one.equity),
      fig(path + '.cash', one.cash), held, lit]];
  });
  const out = [table(['account', 'health', 'equity', 'cash', 'positions', 'lights'], [0, 4, 5],
    rows)];
  const more = view.more_accounts ? grouped(String(view.more_accounts)) + ' more accounts. ' : '';
  out.push(el('p', 'note', more + 'USDC. Health is equity over maintenance margin: below 1 ' +
    'anyone may liquidate. Lights: place among the winners of the side, five for the first fifth.'
  ));
  return view.accounts.length ? out : [el('p', 'note', 'No account has money or a position yet.')];
}
function fills(view) {
  if (!view.receipts.length) return [el('p', 'note', 'Nobody was deleveraged so far.')];
  const rows = view.receipts.map((one, at) => {
    const path = 'receipts[' + at + ']', word = key => fig(path + '.' + key, one[key]);
    return ['', [word('round'), [word('rank'), one.exact ? '' : ' (not proved)'], one.winner,
      one.bankrupt, [word('size'), ' ' + one.market], word('mark'), word('haircut'),
      word('score')]];
  }).reverse();
  return [table(['round', 'rank', 'winner', 'bankrupt', 'size', 'mark', 'haircut', 'score'],
    [2, 3], rows), el('p', 'note', 'Haircut in USDC against the mark, below zero a gain.')];
}
function show(answer) {
  const view = answer.view, note = $('note');
  note.textContent = answer.note;
  note.hidden = !answer.note;
  document.body.classList.toggle('away', Boolean(answer.note));
  if (!view) return;
  const when = new Date(view.timestamp * 1000).toISOString().replace('T', ' ').slice(0, 19);
  $('when').replaceChildren('block ', fig('block', view.block), ', ' + when + ' UTC, epoch ',
    fig('epoch', view.epoch));
  $('tiles').replaceChildren(
    tile('held', view.held, 'held by the venue, USDC'),
    tile('vault', view.vault, 'insurance vault, USDC'),
    tile('tranche', view.tranche, 'backstop tranche, USDC'),
    tile('uninsured', view.uninsured, 'paid by nobody, USDC', view.uninsured === '0' ? '' : 'bad'));
  $('round').textContent = answer.doing;
  $('meter').hidden = !view.round;
  if (view.round) $('meter').firstChild.style.width =
    100 * Number(view.round.taken) / Number(view.round.needed) + '%';
  $('books').replaceChildren(...view.markets.map(book));
  $('people').replaceChildren(...people(view));
  $('fills').replaceChildren(...fills(view));
  $('said').replaceChildren(...[...view.news].reverse().map(one => el('li', '', one)));
  first = false;
}
async function ask() {
  try {
    const text = await (await fetch('/view', {cache: 'no-store'})).text();
    if (text !== shown) { show(JSON.parse(text)); shown = text; }
  } catch (error) {
    shown = '';
    show({note: 'ape run watch has ended or does not answer: the last it said is below',
      view: null});
  }
  setTimeout(ask, 500);
}
ask();
"""
