"""Order and places in layers."""

import pytest

from pipeline.drawing.layered_layout import Gaps, Size, Way, lay_out, nearest_ascending

GAPS = Gaps(layers=10, crowd=0, boxes=4, ways=2)


def test_boxes_that_would_cross_are_swapped():
    ways = [Way(1, 0, 3), Way(2, 1, 2)]
    layout = lay_out([0, 0, 1, 1], [Size(5, 5)] * 4, ways, GAPS)
    upper = layout.across[0] < layout.across[1]
    assert (layout.across[3] < layout.across[2]) is upper


def test_way_through_a_layer_passes_between_its_boxes():
    ways = [Way(1, 0, 1), Way(2, 0, 2), Way(3, 0, 3), Way(4, 1, 3), Way(5, 2, 3)]
    layout = lay_out([0, 1, 1, 2], [Size(5, 20)] * 4, ways, GAPS)
    (point,) = layout.points[2].values()
    assert all(abs(point - layout.across[box]) >= 10 + 2 for box in (1, 2))


def test_layers_begin_behind_the_longest_box_of_the_one_before():
    layout = lay_out([0, 0, 1], [Size(5, 5), Size(30, 5), Size(7, 5)], [Way(1, 0, 2)], GAPS)
    assert layout.begins == (0, 40)
    assert layout.ends == (30, 47)


def test_single_neighbours_are_straight_across_from_each_other():
    layout = lay_out([0, 1, 2], [Size(5, 5)] * 3, [Way(1, 0, 1), Way(2, 1, 2)], GAPS)
    assert layout.across == pytest.approx((2.5, 2.5, 2.5))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(1, 1), (2, 1), (3, 1)], [1, 2, 3]),
        ([(3, 1), (1, 1)], [2, 2]),
        ([(3, 3), (1, 1)], [2.5, 2.5]),
        ([(1, 1), (5, 1), (3, 1), (4, 1)], [1, 4, 4, 4]),
        ([], []),
    ],
)
def test_nearest_ascending_sequence(values, expected):
    assert nearest_ascending(values) == expected
