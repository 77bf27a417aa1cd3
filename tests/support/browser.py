"""Headless Chromium, as far as tests need it: what a page looks like, measures and complains of."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--enable-logging=stderr"),
)
_MEASURE = """
<!DOCTYPE html><iframe style="width: %dpx; height: 900px; border: 0" srcdoc="%s"></iframe>
<pre id="measured"></pre>
<script>
document.querySelector("iframe").addEventListener("load", event => {
  const page = event.target.contentDocument;
  const seen = element => element.getBoundingClientRect();
  document.getElementById("measured").textContent = JSON.stringify({
    width: event.target.contentWindow.innerWidth,
    scroll_width: page.documentElement.scrollWidth,
    sections: [...page.querySelectorAll("section")].map(section => ({
      title: section.querySelector("h2").textContent,
      text: section.innerText.replace(section.querySelector("h2").innerText, "").trim(),
      height: seen(section).height,
    })),
    drawings: [...page.querySelectorAll("svg")].map(svg => seen(svg).height),
    letter_px: Math.min(...[...page.querySelectorAll("svg text")].map(text => seen(text).height)),
  });
});
</script>
"""


class Browser:
    """Chromium over pages of a folder; each run with a profile of its own.

    Args:
      folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.fail("chromium is missing: `apt-get install chromium`", pytrace=False)
        self._program = program
        self._folder = folder
        self._runs = 0

    def complaints(self, source: str) -> list[str]:
        """What Chromium says of a page on its console."""
        done = self._run(source, "--dump-dom")
        return re.findall(r"CONSOLE[^\"]*\"(.*)\", source", done.stderr)

    def measure(self, source: str, width: int) -> dict[str, Any]:
        """Sizes of a page in a window so wide, in CSS pixels."""
        done = self._run(
            _MEASURE % (width, escape(source)), "--dump-dom", "--window-size=1400,1000"
        )
        found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, flags=re.DOTALL)
        assert found, done.stderr
        sizes: dict[str, Any] = json.loads(unescape(found[1]))
        return sizes

    def screenshot(self, source: str, width: int, height: int, path: Path) -> None:
        """A picture of a page, as PNG."""
        self._run(source, f"--window-size={width},{height}", f"--screenshot={path}")

    def _run(self, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._runs += 1
        page = self._folder / f"{self._runs}.html"
        page.write_text(source)
        profile = f"--user-data-dir={self._folder}/profile-{self._runs}"
        return subprocess.run(
            [self._program, *_FLAGS, profile, *arguments, page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
