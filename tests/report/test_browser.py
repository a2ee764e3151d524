"""report.html in a real browser: nothing in the console, nothing asked of the network, and the
figures in its document equal to result.json.

Owns a few lines of the browser's DevTools protocol. Where no Chromium is installed these tests say
so and are skipped; the same figures are then read by a parser in test_page.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from breakwater.report import compare as compare_page
from breakwater.report import page
from tests.report.reading import MAIN, Figures, wrong

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FOUND = next((path for path in map(shutil.which, BROWSERS) if path), None)

pytestmark = pytest.mark.skipif(
    FOUND is None,
    reason="no Chromium on PATH (Debian: apt-get install chromium): the page was read by a parser",
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


class Tab:
    """One page of a browser: commands are answered, what it reports meanwhile is kept."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._last = 0
        self.heard: list[dict[str, Any]] = []

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.heard.append(answer)

    def open(self, where: Path | str, width: int, scheme: str = "light") -> None:
        """Loads a file or an address at a width in CSS pixels; waits until it is drawn."""
        url = where if isinstance(where, str) else where.as_uri()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.do("Emulation.setEmulatedMedia", features=[feature])
        self.do("Page.navigate", url=url)
        deadline = time.monotonic() + 30
        while not (
            self.value("document.readyState") == "complete" and self.value("location.href") == url
        ):
            assert time.monotonic() < deadline, "the page was not loaded in 30 s"
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """What is in the console, and every request but the one for the file itself."""
        out = []
        for event in self.heard:
            params = event.get("params", {})
            if event["method"] == "Log.entryAdded":
                out.append(params["entry"]["text"])
            elif event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                out.append(str(params))
            elif event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.endswith(".html") and not url.startswith("data:,"):
                    out.append(f"asks for {url}")
        return out


@contextlib.contextmanager
def browser() -> Iterator[Tab]:
    assert FOUND is not None
    # Its profile may still be written to while the browser ends.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [FOUND, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "no_proxy": "*"},
        )
        try:
            port = _port(Path(profile) / "DevToolsActivePort", process)
            yield from _tab(port)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the browser ended at once"
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not come up in 60 s")


def _tab(port: int) -> Iterator[Tab]:
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
        target = next(one for one in json.load(answer) if one["type"] == "page")
    url = target["webSocketDebuggerUrl"]
    with connect(url, max_size=2**26, proxy=None, open_timeout=30) as socket:
        yield Tab(socket)


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as found:
        yield found


@pytest.fixture
def report(crashed: Any, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    result = crashed("atom_flash")[1]
    path = tmp_path / "report.html"
    path.write_text(page.of_run(result))
    return path, result


def test_the_browser_shows_the_figures_of_the_result(
    tab: Tab, report: tuple[Path, dict[str, Any]]
) -> None:
    path, result = report
    tab.heard.clear()
    tab.open(path, 1200)
    read = Figures(tab.value("document.documentElement.outerHTML"))
    assert wrong(read.figures, result) == []
    assert {*MAIN} <= {path for path, _, _ in read.figures}
    shown = tab.value("[...document.querySelectorAll('#story data')].map(e => e.innerText)")
    assert "6,510.334299" in shown
    assert tab.complaints() == []


@pytest.mark.parametrize("width", [360, 768, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_in_light_and_dark(
    tab: Tab, report: tuple[Path, dict[str, Any]], width: int, scheme: str
) -> None:
    tab.heard.clear()
    tab.open(report[0], width, scheme)
    assert tab.value("document.documentElement.scrollWidth") <= width
    # Every picture is drawn, in full width, and none is cut off.
    sizes = tab.value(
        "[...document.querySelectorAll('figure svg')].map(e => {"
        "const r = e.getBoundingClientRect(); return [r.left, r.right, r.height]})"
    )
    assert len(sizes) == 5
    assert all(left >= 0 and right <= width and height > 100 for left, right, height in sizes)
    paper, ink = tab.value(
        "(() => {const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]})()"
    )
    dark = scheme == "dark"
    assert (_luminance(paper) < 60) is dark and (_luminance(ink) > 190) is dark
    # A line of a drawing has the colour of the scheme too.
    line = tab.value("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert abs(_luminance(line) - _luminance(paper)) > 60
    assert tab.complaints() == []


def test_it_prints(tab: Tab, report: tuple[Path, dict[str, Any]]) -> None:
    tab.open(report[0], 1200, "dark")
    printed = tab.do("Page.printToPDF", printBackground=False)["data"]
    assert printed.startswith("JVBER")
    assert len(printed) > 20_000
    tab.do("Emulation.setEmulatedMedia", media="print")
    assert _luminance(tab.value("getComputedStyle(document.body).color")) < 60
    # On A4 (794 pixels at 96 dpi, margins not counted) no table is wider than the paper.
    tab.open(report[0], 794)
    tab.do("Emulation.setEmulatedMedia", media="print")
    assert tab.value("document.documentElement.scrollWidth") <= 794
    tab.do("Emulation.setEmulatedMedia", media="")


def test_the_comparison_page_is_as_clean(tab: Tab, tmp_path: Path, compared: Any) -> None:
    rows, results = compared
    path = tmp_path / "compare.html"
    path.write_text(compare_page.of_rows(rows, results))
    tab.heard.clear()
    tab.open(path, 360)
    read = Figures(tab.value("document.documentElement.outerHTML"))
    assert read.figures
    for where, value, _ in read.figures:
        place, key = int(where[1 : where.index("]")]), where.rpartition(".")[2]
        true = rows[place][key]
        assert value == ("" if true is None else str(true))
    assert tab.value("document.documentElement.scrollWidth") <= 360
    assert tab.complaints() == []


def test_a_complaint_would_be_heard(tab: Tab, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text("<script>console.error('bad')</script><img src='missing.png'>")
    tab.heard.clear()
    tab.open(path, 800)
    time.sleep(0.2)
    tab.value("1")
    said = " ".join(tab.complaints())
    assert "bad" in said and "missing.png" in said
    tab.heard.clear()


def _luminance(colour: str) -> float:
    red, green, blue = (float(x) for x in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue
