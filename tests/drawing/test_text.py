"""The drawing as text. Who follows its lines finds the graph again."""

import pytest

from pipeline.drawing.text import draw_text
from tests.support.drawings import any_drawing, drawing, model

GLYPHS, READ, ENDS = "○□■◇●", "├└┤┘┼┴", "└┘┴"
TO_THE_LEFT, TO_THE_RIGHT = "┤┘┼┴┐", "├└┼┴"


def test_two_models_are_drawn_like_this():
    pair = drawing(
        [model("linear", ["x"], ["linear_y"], "sklearn"), model("net", ["x"], ["net_y"])],
        combine=[
            {"column": "y", "op": "mean", "of": ["linear_y", "net_y"]},
            {"column": "top", "op": "argmax", "of": "y"},
        ],
        output=["top", "y"],
        types={"y": ("float64", (3,))},
        versions={"linear": "1", "net": "2"},
    )
    assert draw_text(pair).splitlines() == [
        "record   ○                                x float32[4]",
        "         │",
        "models   ├─■  linear  sklearn, version 1  linear_y",
        "         ■ │  net     onnx, version 2     net_y",
        "         │ │",
        "combine  ◇─┘  mean                        y float64[3]",
        "         ├─◇  argmax                      top",
        "         │ │",
        "output   ●─┘                              top, y",
    ]


def test_column_that_nobody_reads_says_so_and_starts_no_line():
    lines = draw_text(drawing([model("a", ["x"], ["p", "q"])], output=["q"])).splitlines()
    assert [line[9:].split() for line in lines[2:4]] == [
        ["■", "a", "onnx", "p", "(read", "by", "nobody)"],
        ["■─┐", "q"],
    ]


def follow(drawn, pitch):
    """For each box the columns of the lines that it reads, found by following them.

    Fails where a line ends in the air, or a box's own horizontal line has a gap.
    """
    rows = [(i, n) for i, box in enumerate(drawn.boxes) for n in range(len(box.bundles) or 1)]
    lines, found = {}, {i: set() for i in range(len(drawn.boxes))}
    for text in draw_text(drawn).splitlines():
        cells = text[9:]
        drawn_part = cells[: next((i for i, c in enumerate(cells) if c.isalnum()), len(cells))]
        at = {i: c for i, c in enumerate(drawn_part[::pitch]) if c != " "}
        assert all(at.get(i, " ") in "│" + READ + GLYPHS for i in lines), text
        box_at = next((i for i, c in at.items() if c in GLYPHS), None)
        if box_at is None:
            assert set(at) == set(lines), text
            continue
        position, number = rows.pop(0)
        read = {i for i, c in at.items() if c in READ}
        touched = [box_at, *read, *(i for i, c in at.items() if c == "┐")]
        first, last = min(touched), max(touched)
        for i in range(first, last + 1):
            assert i not in touched or i == first or at[i] in TO_THE_LEFT + GLYPHS, text
            assert i not in touched or i == last or at[i] in TO_THE_RIGHT + GLYPHS, text
            assert i in touched or at[i] == ("│" if i in lines else "─"), text
            assert pitch == 1 or i == last or drawn_part[pitch * i + 1] == "─", text
        if number == 0:
            read |= {box_at} & set(lines)
        found[position] |= {column for i in read for column in lines[i]}
        ended = {i for i, c in at.items() if c in ENDS} | ({box_at} if number == 0 else set())
        lines = {i: columns for i, columns in lines.items() if i not in ended}
        bundles = drawn.boxes[position].bundles
        if bundles and bundles[number].readers:
            begins = next((i for i, c in at.items() if c == "┐"), box_at)
            assert begins not in lines, text
            lines[begins] = bundles[number].columns
    assert not lines
    assert not rows
    return found


@pytest.mark.parametrize("seed", range(60))
def test_following_the_lines_leads_to_what_each_box_reads(seed):
    drawn = any_drawing(seed)
    assert follow(drawn, pitch=2) == {i: set(box.reads) for i, box in enumerate(drawn.boxes)}


def wide():
    """Twelve models that also read each other's columns: many lines at once, long names."""
    names = [f"the_long_name_{i}" for i in range(12)]
    models = [
        model(
            name,
            ["x", *[f"column_of_{n}" for n in names[max(0, i - 3) : i]]],
            [f"column_of_{name}"],
        )
        for i, name in enumerate(names)
    ]
    return drawing(models, versions=dict.fromkeys(names, "2026.11.22"))


def test_drawing_of_twelve_models_with_long_names_fits_into_100_columns():
    assert max(map(len, draw_text(wide()).splitlines())) <= 100


def test_lines_side_by_side_can_be_followed_too():
    drawn = wide()
    assert follow(drawn, pitch=1) == {i: set(box.reads) for i, box in enumerate(drawn.boxes)}
