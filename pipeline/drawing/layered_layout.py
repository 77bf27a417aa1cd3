"""Places for the boxes of a layered drawing, and ways between them that avoid boxes.

The method of Sugiyama, Tagawa and Toda (1981, doi:10.1109/TSMC.1981.4308636): layers are given; a
way that passes a layer has a point of its own there; the order within layers is improved by
barycentres; then everything is moved towards its neighbours, as far as order and gaps allow.

*Along* is the direction of flow, *across* the one of a layer. Lengths are in any unit.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 16
_PULLS = 40

Node = int | tuple[int, int]
"""A box by its number, or the point at which the ways of a source pass a layer."""


@dataclass(frozen=True)
class Size:
    """The size of a box."""

    along: float
    across: float


@dataclass(frozen=True)
class Way:
    """A connection.

    Attributes:
      source: ways of one source share their points; any number.
      begin, end: boxes; the layer of `end` is the higher one.
      leaves, arrives: the places where it touches them: 0 and 1 are the two edges of a box, across.
    """

    source: int
    begin: int
    end: int
    leaves: float = 0.5
    arrives: float = 0.5


@dataclass(frozen=True)
class Gaps:
    """Distances.

    Attributes:
      layers: the least distance between layers.
      crowd: added to that for each link of the layer.
      boxes: the least distance between boxes of a layer.
      ways: the least distance from a passing way to anything else.
    """

    layers: float
    crowd: float
    boxes: float
    ways: float


@dataclass(frozen=True)
class Layout:
    """The place of everything.

    Attributes:
      begins: the start of each layer, along.
      ends: the end of each layer, along.
      across: the middle of each box, across.
      points: for each way, the points at which it passes layers, across, by layer.
      across_size: the size of the whole.
    """

    begins: tuple[float, ...]
    ends: tuple[float, ...]
    across: tuple[float, ...]
    points: tuple[Mapping[int, float], ...]
    across_size: float


def lay_out(
    layers: Sequence[int], sizes: Sequence[Size], ways: Sequence[Way], gaps: Gaps
) -> Layout:
    """Finds a place for every box.

    Args:
      layers: the layer of each box, from 0 and without a gap.
      sizes: the size of each box.
      ways: the connections between boxes.
      gaps: the least distances.
    """
    rows, links = _with_points(layers, ways)
    rows = _uncrossed(rows, links)
    middles = _placed(rows, links, sizes, gaps)
    lengths = [max(sizes[n].along for n in row if isinstance(n, int)) for row in rows]
    steps = [length + _gap(row, links, gaps) for length, row in zip(lengths, rows, strict=True)]
    begins = [0.0, *itertools.accumulate(steps)][:-1]
    passed = [range(layers[way.begin] + 1, layers[way.end]) for way in ways]
    return Layout(
        begins=tuple(begins),
        ends=tuple(begin + length for begin, length in zip(begins, lengths, strict=True)),
        across=tuple(middles[box] for box in range(len(layers))),
        points=tuple(
            {layer: middles[way.source, layer] for layer in between}
            for way, between in zip(ways, passed, strict=True)
        ),
        across_size=max(middle + _across(n, sizes) / 2 for n, middle in middles.items()),
    )


_Rows = list[list[Node]]
_Links = Mapping[Node, Mapping[Node, float]]
"""Node -> its neighbours in the layers beside its own -> where these are touched, from 0 to 1."""


def _with_points(layers: Sequence[int], ways: Iterable[Way]) -> tuple[_Rows, _Links]:
    """The nodes of each layer, and how they are linked."""
    rows: _Rows = [[] for _ in range(max(layers) + 1)]
    for box, layer in enumerate(layers):
        rows[layer].append(box)
    links: defaultdict[Node, dict[Node, float]] = defaultdict(dict)
    for way in ways:
        node: Node = way.begin
        leaves = way.leaves
        for layer in range(layers[way.begin] + 1, layers[way.end] + 1):
            last = layer == layers[way.end]
            following: Node = way.end if last else (way.source, layer)
            if not last and following not in links:
                rows[layer].append(following)
            links[node][following] = way.arrives if last else 0.5
            links[following][node] = leaves
            node, leaves = following, 0.5
    return rows, links


def _uncrossed(rows: _Rows, links: _Links) -> _Rows:
    """The rows, in the order with the fewest crossings that were found."""
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        step = 1 if sweep % 2 == 0 else -1
        for number in range(len(rows))[::step][1:]:
            at = _places(rows[number - step])
            wished = {
                node: _mean([at[m] + touched for m, touched in links[node].items() if m in at], i)
                for i, node in enumerate(rows[number])
            }
            rows[number].sort(key=wished.__getitem__)
        _swap_neighbours(rows, links)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _swap_neighbours(rows: _Rows, links: _Links) -> None:
    """Swaps neighbouring nodes as long as that reduces the crossings."""
    better = True
    while better:
        better = False
        for number, row in enumerate(rows):
            around = rows[max(number - 1, 0) : number + 2]
            fewest = _crossings(around, links)
            for i in range(len(row) - 1):
                row[i], row[i + 1] = row[i + 1], row[i]
                crossings = _crossings(around, links)
                if crossings < fewest:
                    fewest, better = crossings, True
                else:
                    row[i], row[i + 1] = row[i + 1], row[i]


def _crossings(rows: _Rows, links: _Links) -> int:
    total = 0
    for row, following in itertools.pairwise(rows):
        at, beside = _places(row), _places(following)
        lines = [
            (at[n] + links[m][n], beside[m] + touched)
            for n in row
            for m, touched in links[n].items()
            if m in beside
        ]
        total += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(lines, 2))
    return total


def _gap(row: Sequence[Node], links: _Links, gaps: Gaps) -> float:
    """The distance from a layer to the next: larger if more ways cross each other."""
    return gaps.layers + gaps.crowd * sum(len(links[node]) for node in row)


def _places(row: Sequence[Node]) -> dict[Node, int]:
    return {node: i for i, node in enumerate(row)}


def _placed(rows: _Rows, links: _Links, sizes: Sequence[Size], gaps: Gaps) -> dict[Node, float]:
    """The middle of every node, across; the least edge is at 0."""
    offsets: dict[Node, float] = {}
    for row in rows:
        offset = 0.0
        for before, node in itertools.pairwise([None, *row]):
            if before is not None and node is not None:
                boxes = isinstance(before, int) and isinstance(node, int)
                offset += gaps.boxes if boxes else gaps.ways
                offset += (_across(before, sizes) + _across(node, sizes)) / 2
            if node is not None:
                offsets[node] = offset
    middles = dict(offsets)
    for pull in range(_PULLS):
        for row in rows if pull % 2 == 0 else reversed(rows):
            pulled = [_pulled(node, links, middles, sizes) for node in row]
            free = nearest_ascending(
                [(wish - offsets[n], weight) for n, (wish, weight) in zip(row, pulled, strict=True)]
            )
            middles |= {n: place + offsets[n] for n, place in zip(row, free, strict=True)}
    least = min(middle - _across(node, sizes) / 2 for node, middle in middles.items())
    return {node: middle - least for node, middle in middles.items()}


def _pulled(
    node: Node, links: _Links, middles: Mapping[Node, float], sizes: Sequence[Size]
) -> tuple[float, float]:
    """Where a node's neighbours pull it, and how strongly: long ways should be straight."""
    total = weights = 0.0
    for other, touched in links[node].items():
        points = isinstance(node, tuple) + isinstance(other, tuple)
        weight = (1.0, 2.0, 8.0)[points]
        here = (links[other][node] - 0.5) * _across(node, sizes)
        there = middles[other] + (touched - 0.5) * _across(other, sizes)
        total += weight * (there - here)
        weights += weight
    return (total / weights, weights) if weights else (middles[node], 1.0)


def _across(node: Node, sizes: Sequence[Size]) -> float:
    return sizes[node].across if isinstance(node, int) else 0.0


def nearest_ascending(values: Iterable[tuple[float, float]]) -> list[float]:
    """The ascending sequence nearest to values with weights, by least squares.

    By pooling adjacent violators (Ayer et al. 1955, doi:10.1214/aoms/1177728423).
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in values:
        count = 1
        while pools and pools[-1][0] > value:
            before, weight_before, several = pools.pop()
            value = (value * weight + before * weight_before) / (weight + weight_before)
            weight, count = weight + weight_before, count + several
        pools.append((value, weight, count))
    return [value for value, _, count in pools for _ in range(count)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
