"""The frame and the rosette of a face: decoration drawn as curves, the same on every page.

It carries no meaning and no security (anybody can draw it): it is there so that paper looks like what it is.
"""

import math
from itertools import pairwise
from typing import Any

Colour = tuple[float, float, float]

GOLD: Colour = (0.74, 0.60, 0.36)
PALE_GOLD: Colour = (0.955, 0.925, 0.865)
CINNABAR: Colour = (0.64, 0.12, 0.11)

_EASE = 0.3642  # handle of a cubic that follows half a cosine


def frame(shape: Any, rect: Any, *, band: float = 13.0) -> None:
    """Double border with a woven band of waves between its lines; `rect` is the outer edge, `band` its width."""
    inner = _inside(rect, band)
    middle = band / 2
    corners = [rect.tl, rect.tr, rect.br, rect.bl]
    for index, corner in enumerate(corners):
        following = corners[(index + 1) % 4]
        _weave(shape, corner, following, inset=middle, height=band - 5.0)
    shape.draw_rect(rect)
    shape.finish(color=CINNABAR, width=1.4)
    shape.draw_rect(inner)
    shape.finish(color=CINNABAR, width=0.5)
    shape.draw_rect(_inside(inner, 2.5))
    shape.finish(color=GOLD, width=0.35)
    for corner, sign_x, sign_y in zip(corners, (1, -1, -1, 1), (1, 1, -1, -1), strict=True):
        centre = (corner.x + sign_x * middle, corner.y + sign_y * middle)
        rosette(shape, centre, radius=middle - 1.5, petals=4, squash=0.45, colour=CINNABAR, width=0.45)


def _inside(rect: Any, by: float) -> Any:
    return type(rect)(rect.x0 + by, rect.y0 + by, rect.x1 - by, rect.y1 - by)


def _weave(shape: Any, start: Any, end: Any, *, inset: float, height: float) -> None:
    """Three waves of one amplitude, a third of a period apart, along one side and just inside it."""
    length = math.hypot(end.x - start.x, end.y - start.y)
    along = ((end.x - start.x) / length, (end.y - start.y) / length)
    across = (
        -along[1],
        along[0],
    )  # points inwards, for corners in clockwise order on a page whose y grows down
    run = length - 4 * inset
    halves = 2 * round(run / 22)
    half = run / halves
    for phase in range(3):
        for number in range(halves - (1 if phase else 0)):
            begin = 2 * inset + (number + phase / 3) * half
            low, high = (-height / 2, height / 2) if number % 2 else (height / 2, -height / 2)
            points = (
                (begin, low),
                (begin + half * _EASE, low),
                (begin + half * (1 - _EASE), high),
                (begin + half, high),
            )
            shape.draw_bezier(
                *(
                    (
                        start.x + along[0] * far + across[0] * (inset + off),
                        start.y + along[1] * far + across[1] * (inset + off),
                    )
                    for far, off in points
                )
            )
    shape.finish(color=GOLD, width=0.4, closePath=False)


def rosette(
    shape: Any,
    centre: tuple[float, float],
    *,
    radius: float,
    petals: int,
    squash: float,
    colour: Colour,
    width: float,
) -> None:
    """`petals` ellipses through one centre, turned evenly over half a circle."""
    for petal in range(petals):
        _ellipse(shape, centre, radius, radius * squash, math.pi * petal / petals)
    shape.finish(color=colour, width=width, closePath=False)


def _ellipse(shape: Any, centre: tuple[float, float], long: float, short: float, angle: float) -> None:
    cos, sin = math.cos(angle), math.sin(angle)
    handle = 0.5523  # of the radius: the usual cubic for a quarter of a circle

    def at(x: float, y: float) -> tuple[float, float]:
        x, y = x * long, y * short
        return (centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos)

    ring = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 0))
    for (x0, y0), (x1, y1) in pairwise(ring):
        shape.draw_bezier(
            at(x0, y0),
            at(x0 + x1 * handle, y0 + y1 * handle),
            at(x1 + x0 * handle, y1 + y0 * handle),
            at(x1, y1),
        )


def rule(shape: Any, centre: tuple[float, float], half: float) -> None:
    """A thin line with a diamond in the middle, `half` points to each side."""
    x, y = centre
    shape.draw_line((x - half, y), (x - 7, y))
    shape.draw_line((x + 7, y), (x + half, y))
    shape.finish(color=CINNABAR, width=0.6)
    shape.draw_polyline([(x - 4, y), (x, y - 2.4), (x + 4, y), (x, y + 2.4), (x - 4, y)])
    shape.finish(color=CINNABAR, fill=CINNABAR, width=0.3)
