"""The drawing as SVG: one well-formed file, boxes apart from each other, lines clear of boxes."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.drawing.svg import as_svg
from tests.support.drawings import any_drawing, drawing, model

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawn):
    return ElementTree.fromstring(as_svg(drawn))


def boxes(root):
    """(left, top, right, bottom) of each box, in the order of the drawing."""
    found = []
    for group in root.iter(f"{SVG}g"):
        if group.get("class") is None:
            rect = next(group.iter(f"{SVG}rect"))
            x, y, width, height = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def lines(root):
    """(tooltip, points of the line) of each connection."""
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "way":
            path = group.findall(f"{SVG}path")[1].get("d")
            yield group.find(f"{SVG}title").text, curve(path)


def curve(path):
    """Points along a path of one M, one L and any C."""
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", path)]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    along = points[:2]
    for i in range(2, len(points), 3):
        p0, p1, p2, p3 = points[i - 1 : i + 3]
        for t in (step / 20 for step in range(1, 21)):
            weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
            along.append(
                tuple(
                    sum(w * p[k] for w, p in zip(weights, (p0, p1, p2, p3), strict=True))
                    for k in (0, 1)
                )
            )
    return along


@pytest.mark.parametrize("seed", range(30))
def test_boxes_do_not_overlap_and_lie_inside_the_picture(seed):
    root = parsed(any_drawing(seed))
    found = boxes(root)
    width, height = float(root.get("width")), float(root.get("height"))
    for i, (left, top, right, bottom) in enumerate(found):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        for other in found[:i]:
            apart = right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
            assert apart


@pytest.mark.parametrize("seed", range(30))
def test_lines_keep_clear_of_all_boxes_but_those_that_they_connect(seed):
    root = parsed(any_drawing(seed))
    for told, points in lines(root):
        for left, top, right, bottom in boxes(root):
            inside = [
                (x, y) for x, y in points if left + 1 < x < right - 1 and top + 1 < y < bottom - 1
            ]
            assert not inside, told


@pytest.mark.parametrize("seed", range(10))
def test_every_column_has_a_line_to_each_of_its_readers(seed):
    drawn = any_drawing(seed)
    wanted = sorted(
        f"{box.title} to {drawn.boxes[reader].title}: "
        + ", ".join(f"{c} {drawn.typed(c)}".strip() for c in bundle.columns)
        for box in drawn.boxes
        for bundle in box.bundles
        for reader in bundle.readers
    )
    assert sorted(told for told, _ in lines(parsed(drawn))) == wanted


def test_line_leaves_beside_its_column_and_arrives_beside_it_in_the_output():
    models = [model("a", ["x"], ["p", "q"]), model("b", ["x"], ["r"])]
    root = parsed(drawing(models, output=["r", "q", "p"], combine=[]))
    rows = {}
    for text in root.iter(f"{SVG}text"):
        middle = float(text.get("y")) - 4
        rows.setdefault(text.text.strip(), []).append(pytest.approx(middle, abs=1))
    told = dict(lines(root))
    assert told.keys() == {f"record to {m}: x float32[4]" for m in "ab"} | {
        "a to output: p, q",
        "b to output: r",
    }
    from_b = told["b to output: r"]
    assert [from_b[0][1], from_b[-1][1]] == rows["r"]
    assert told["record to a: x float32[4]"][0][1] == rows["x"][0]


def test_columns_with_the_same_readers_share_a_line():
    told = [text for text, _ in lines(parsed(drawing([model("a", ["x"], ["p", "q"])])))]
    assert told == ["record to a: x float32[4]", "a to output: p, q"]


def test_box_names_framework_and_version_and_tells_uri_and_tensors_when_pointed_at():
    drawn = drawing([model("clf", ["x"], ["p"])], versions={"clf": "3"})
    text = as_svg(drawn)
    assert ">clf</text>" in text
    assert ">onnx, version 3</text>" in text
    assert "models/clf/3\ninput in0: x\noutput out0: p\nmakes p</title>" in text


def test_text_that_xml_cannot_hold_does_not_break_the_file():
    drawn = drawing([model("clf", ["x"], ["p"])], versions={"clf": "<v&\"1'\x01\x1b>"})
    assert "version <v&\"1'??>" in "".join(parsed(drawn).itertext())


def test_long_names_are_cut_in_the_middle_and_told_whole_when_pointed_at():
    name = "a" * 30 + "b" * 30
    root = parsed(drawing([model(name, ["x"], ["p"])]))
    left, _, right, _ = boxes(root)[1]
    assert right - left < 400
    assert name in "".join(root.itertext())


def test_record_of_many_fields_is_not_taller_than_a_screen():
    fields = tuple(f"f{i}" for i in range(60))
    root = parsed(drawing([model("a", fields, ["p"])], fields=fields))
    assert "and 47 more" in "".join(root.itertext())
    assert float(root.get("height")) < 600


def test_long_chain_goes_down_and_a_short_one_to_the_right():
    chain = [model(f"m{i}", [f"c{i}" if i else "x"], [f"c{i + 1}"]) for i in range(12)]
    for models, wide in ((chain, False), (chain[:3], True)):
        root = parsed(drawing(models, output=[f"c{len(models)}"]))
        assert (float(root.get("width")) > float(root.get("height"))) is wide


def test_picture_needs_nothing_from_elsewhere_and_is_the_same_each_time():
    text = as_svg(any_drawing(1))
    assert set(re.findall(r"https?://[^\s\"<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|href|url\(|@import", text)
    assert as_svg(any_drawing(1)) == text
