"""The page in a browser: it is drawn, fits wide and narrow windows, and nothing goes wrong."""

import io
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image

from pipeline.batch.batch import Reject
from pipeline.releases.candidate import Candidate, ReleaseEvent
from pipeline.report.statistics import run as run_statistics
from tests.support.browser import Browser
from tests.support.report_samples import HOSTILE, RELEASES, STARTED, batch, page, run

LONG = "x" * 300
BLUE, WHITE = (0x00, 0x72, 0xB2), (255, 255, 255)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    return Browser(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def source():
    """A page with all that a page may hold, and names too long for any window."""
    dead = [
        Reject(text.encode(), text, "inference", "model_error", text, "left", RELEASES[0])
        for text in (HOSTILE, LONG)
    ]
    event = ReleaseEvent(
        "rejected", STARTED + timedelta(seconds=3), Candidate(LONG, LONG, 1), None, LONG
    )
    statistics = run(
        batch(50, RELEASES[0], 1, dead=dead, words=(HOSTILE, LONG, "no"), streaming=True),
        *(batch(50, RELEASES[0], t, streaming=True) for t in (2, 3)),
        *(batch(50, RELEASES[1], t, streaming=True) for t in (4, 5, 6)),
        run_statistics.from_event(event),
    )
    given = (("ensemble_spec", f"gs://{LONG}/e.yaml"),)
    return page(statistics, streaming=True, given=given)


@pytest.mark.parametrize("width", [1280, 400])
def test_page_fits_the_window_and_no_section_is_empty(browser, source, width):
    found = browser.measure(source, width)
    assert found["width"] == width
    assert found["scroll_width"] <= width
    assert len(found["sections"]) == 8
    for section in found["sections"]:
        assert section["text"], section["title"]
        assert section["height"] > 60
    assert len(found["drawings"]) >= 3
    assert min(found["drawings"]) > 100
    assert found["letter_px"] >= 12.5


def test_browser_has_nothing_to_complain_of(browser, source):
    assert browser.complaints(source) == []


def test_complaints_would_be_noticed(browser, source):
    """And a script, had one got through, would not run."""
    broken = source.replace("</main>", "<script>console.error('ran')</script></main>")
    (complaint,) = browser.complaints(broken)
    assert "Content Security Policy" in complaint


def test_page_is_drawn_in_its_colours(browser, source, tmp_path):
    browser.screenshot(source, 1280, 1400, tmp_path / "page.png")
    picture = Image.open(io.BytesIO((tmp_path / "page.png").read_bytes())).convert("RGB")
    assert picture.size == (1280, 1400)
    pixels = np.asarray(picture).reshape(-1, 3)
    shares = {colour: (pixels == colour).all(axis=1).mean() for colour in (BLUE, WHITE)}
    assert shares[WHITE] > 0.5
    assert shares[BLUE] > 0.001
    assert len(np.unique(pixels, axis=0)) > 50
