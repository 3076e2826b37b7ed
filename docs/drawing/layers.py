"""Where the boxes of a layered picture stand: columns from left to right, few crossings, edges nearly level.

After Sugiyama, Tagawa and Toda (1981): an edge that spans several columns passes a point in each of them, the order in
a column follows the mean place of the neighbours, and the heights are the nearest to those means that keep the gaps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Placed", "place"]

Edge = tuple[int, int]
SWEEPS, STARTS = 24, 12
PASSING = 3.0
"""How much more a point that an edge passes counts than a box: a bend in a long edge is what the eye sees."""


@dataclass(frozen=True)
class Placed:
    """The middle of every box, and for every edge the points that it passes between its boxes."""

    heights: tuple[float, ...]
    passes: dict[Edge, tuple[tuple[int, float], ...]]


def place(columns: Sequence[int], sizes: Sequence[float], edges: Iterable[Edge], gap: float) -> Placed:
    """Heights for boxes whose columns are known; `sizes` are how tall they are. Every edge leads to the right."""
    grid = _Grid(list(columns), list(sizes), gap)
    routes = {edge: grid.route(*edge) for edge in dict.fromkeys(edges)}
    grid.order()
    heights = grid.heights()
    top = min(height - size / 2 for height, size in zip(heights, grid.sizes, strict=True))
    heights = [height - top for height in heights]
    passes = {edge: tuple((grid.columns[p], heights[p]) for p in route) for edge, route in routes.items()}
    return Placed(tuple(heights[: len(columns)]), passes)


class _Grid:
    """Boxes and passed points alike, with their neighbours on either side."""

    def __init__(self, columns: list[int], sizes: list[float], gap: float) -> None:
        self.columns, self.sizes, self.gap, self.boxes = columns, sizes, gap, len(columns)
        self.left: list[list[int]] = [[] for _ in columns]
        self.right: list[list[int]] = [[] for _ in columns]
        self.passed: dict[tuple[int, int], int] = {}
        self.rows: list[list[int]] = []

    def route(self, source: int, target: int) -> list[int]:
        """The points between two boxes. Edges from one box share theirs, and part where they must."""
        route, last = [], source
        for column in range(self.columns[source] + 1, self.columns[target]):
            point = self.passed.setdefault((source, column), len(self.columns))
            if point == len(self.columns):
                self.columns.append(column)
                self.sizes.append(0.0)
                self.left.append([])
                self.right.append([])
                self._join(last, point)
            route.append(point)
            last = point
        self._join(last, target)
        return route

    def _join(self, one: int, other: int) -> None:
        self.right[one].append(other)
        self.left[other].append(one)

    def order(self) -> None:
        """The order in every column with the fewest crossings that sweeps from several beginnings come by."""
        best, fewest, points = list[list[int]](), math.inf, self._depth_first()
        for start in range(STARTS):
            self.rows = [[] for _ in range(max(self.columns) + 1)]
            for point in random.Random(start).sample(points, len(points)) if start else points:
                self.rows[self.columns[point]].append(point)
            for sweep in range(SWEEPS):
                self._sweep(bool(sweep % 2))
                if (crossings := self._crossings()) < fewest:
                    best, fewest = [list(row) for row in self.rows], crossings
            if not fewest:
                break
        self.rows = best

    def _sweep(self, to_the_left: bool) -> None:
        """Every column by the mean place of its neighbours in the one before."""
        neighbours, rows = (self.right, self.rows[::-1]) if to_the_left else (self.left, self.rows)
        place = {point: i for row in rows for i, point in enumerate(row)}
        for row in rows:
            means = {point: _mean([place[n] for n in neighbours[point]], place[point]) for point in row}
            row.sort(key=lambda point: (means[point], place[point]))
            place.update({point: i for i, point in enumerate(row)})

    def _depth_first(self) -> list[int]:
        """From the rightmost boxes back, so that what meets in one box begins side by side."""
        found: dict[int, None] = {}
        left = sorted(range(len(self.columns)), key=lambda p: (self.columns[p], -p))
        while left:
            point = left.pop()
            if point not in found:
                found[point] = None
                left.extend(reversed(self.left[point]))
        return list(found)

    def _crossings(self) -> int:
        total = 0
        for row, following in zip(self.rows, self.rows[1:], strict=False):
            place = {point: i for i, point in enumerate(following)}
            ends = [place[n] for point in row for n in sorted(self.right[point], key=place.__getitem__)]
            total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
        return total

    def heights(self) -> list[float]:
        """Sweeps to either side draw every point to the mean of its neighbours."""
        heights = [0.0] * len(self.columns)
        for row in self.rows:
            self._settle(row, heights, [float(i) for i in range(len(row))])
        for sweep in range(SWEEPS):
            both = sweep >= SWEEPS // 2
            rows = reversed(self.rows) if sweep % 2 else iter(self.rows)
            sides = (self.left, self.right) if both else ((self.right,) if sweep % 2 else (self.left,))
            for row in rows:
                wanted = [_mean([heights[n] for side in sides for n in side[p]], heights[p]) for p in row]
                self._settle(row, heights, wanted)
        return heights

    def _settle(self, row: list[int], heights: list[float], wanted: list[float]) -> None:
        """The least squares of what is wanted that keep order and gaps: neighbours that collide move as one."""
        offsets, offset = [], 0.0
        for i, point in enumerate(row):
            if i:
                offset += (self.sizes[row[i - 1]] + self.sizes[point]) / 2 + self.gap
            offsets.append(offset)
        blocks: list[tuple[float, float, int]] = []
        for point, goal, offset in zip(row, wanted, offsets, strict=True):
            weight = PASSING if point >= self.boxes else 1.0
            block = (goal - offset, weight, 1)
            while blocks and blocks[-1][0] > block[0]:
                mean, before, count = blocks.pop()
                total = before + block[1]
                block = ((mean * before + block[0] * block[1]) / total, total, count + block[2])
            blocks.append(block)
        settled = [mean for mean, _, count in blocks for _ in range(count)]
        for point, base, offset in zip(row, settled, offsets, strict=True):
            heights[point] = base + offset


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
