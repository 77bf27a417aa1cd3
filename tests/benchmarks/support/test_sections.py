"""What the benchmarks write into the document, and what they leave."""

import pytest

from benchmarks.support import sections
from benchmarks.support.command_line import parser


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text(
        "above\n| Swap | old | old |\n| Swapping | kept | kept |\n"
        "<!-- swap: figures -->\nold\n<!-- swap: end of figures -->\nbelow\n"
    )
    return path


def test_figures_replace_those_before_and_nothing_else(document):
    before, _, _ = document.read_text().partition("old\n<!--")
    sections.rewrite(document, "swap", "| new |", "python -m benchmarks.swap", "a machine", "Gaps")
    text = document.read_text()
    assert text.startswith(before)
    assert text.endswith("<!-- swap: end of figures -->\nbelow\n")
    assert "| new |" in text
    assert "![Gaps](swap.png)" in text
    assert "\nold\n" not in text


def test_summary_replaces_the_row_of_its_question(document):
    before = document.read_text()
    sections.summarise(document, "Swap", "3 ms", "3,000 ms")
    row = "| Swap | 3 ms | 3,000 ms |"
    assert document.read_text() == before.replace("| Swap | old | old |", row)


def test_unknown_question_is_refused(document):
    with pytest.raises(ValueError, match=r"expected one row '\| Speed \|', found 0"):
        sections.summarise(document, "Speed", "", "")


def test_document_has_a_place_for_everything_that_is_written():
    """So that no run ends in an error after minutes of measuring."""

    text = parser("").parse_args([]).docs.read_text()
    names = ["batch", "start-up", "memory", "stages", "swap", "streaming", "merging"]
    for name in (*names, "sharing", "gpu"):
        assert text.count(f"<!-- {name}: figures -->") == 1
        assert text.count(f"<!-- {name}: end of figures -->") == 1
