"""The anatomy of simulated limbs: procedural bones and soft tissue, without patient data.

Three bodies are drawn in millimetres (x to the side, y towards the toes or the fingertips): a
leg, an arm and a foot. Sizes are those of an adult and vary with the random generator; young
subjects have growth plates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from boneseg.simulate.projector import Tube
from boneseg.simulate.tubes import Point, Rng, Width, tube


@dataclass
class Body:
    """Bones (each a list of tubes that form one solid) and soft tissue, in mm."""

    bones: list[list[Tube]] = field(default_factory=list)
    flesh: list[Tube] = field(default_factory=list)


def _flesh(
    rng: Rng,
    path: tuple[Point, Point],
    widths: Sequence[Width],
    fat: float,
    depth: Sequence[float] = (1.0,),
    tip: bool = False,
) -> Tube:
    """Muscle under a layer of fat (mm); open at both ends, or rounded like a finger."""
    caps = ((14.0, 2.0), (12.0, 2.2)) if tip else (None, None)
    return tube(rng, *path, widths, depth=depth, shell=(fat,), core=(0,), caps=caps, wobble=0.02)


def _toward(start: Point, degrees: float, length: float) -> Point:
    """The point `length` from `start`, `degrees` from +y towards +x."""
    angle = np.radians(degrees)
    return start[0] + length * float(np.sin(angle)), start[1] + length * float(np.cos(angle))


def _vary(rng: Rng, spread: float = 0.08) -> float:
    return float(np.clip(rng.normal(1.0, spread), 1 - 2 * spread, 1 + 2 * spread))


def leg(rng: Rng, young: bool) -> Body:
    """Half pelvis, femur, patella, tibia, fibula and hindfoot from the front; medial is -x."""
    body = Body()
    g, c = _vary(rng, 0.05), _vary(rng, 0.15)  # girth of bones, thickness of cortex
    spongy = float(rng.uniform(0.13, 0.21))
    plates = (lambda *at: at) if young else (lambda *at: ())
    scars = (lambda *at: at) if not young and rng.random() < 0.6 else (lambda *at: ())

    pelvis = [
        tube(rng, (-66, -170), (-52, 20),
             [(0, 50, 70), (0.35, 44, 66), (0.62, 28, 38), (0.8, 30, 27), (1, 28, 22)],
             depth=(0.1, 0.22, 0.5, 0.6), shell=(1.8,), core=(0.12,),
             caps=((60, 2), (24, 2.2))),
        tube(rng, (-50, 2), (-125, 44), [(0, 20), (0.5, 10), (1, 15)],
             depth=(0.8,), shell=(1.8,), core=(0.16,)),
        tube(rng, (-66, 20), (-75, 92), [(0, 18), (0.5, 12), (0.85, 18), (1, 16)],
             depth=(0.8,), shell=(2.0,), core=(0.16,), caps=((6, 2), (16, 2))),
        tube(rng, (-75, 85), (-126, 46), [(0, 13), (0.5, 8), (1, 10)],
             depth=(0.8,), shell=(1.6,), core=(0.16,), caps=((8, 2), (8, 2))),
    ]  # fmt: skip
    body.bones.append(pelvis)

    lean = float(rng.uniform(-24, -8))  # where the knee lies under the trochanter
    knee = (lean, 436.0)
    femur = tube(
        rng, (6, 4), knee,
        [(0, 10 * g), (0.06, 21 * g, 17 * g), (0.13, 23 * g, 16 * g), (0.2, 16 * g),
         (0.45, 13.5 * g), (0.68, 15 * g), (0.8, 20 * g), (0.88, 29 * g), (0.925, 40 * g),
         (0.955, 41.5 * g), (1, 40 * g)],
        depth=(0.9, 1.0, 1.0, 1.0, 0.95, 0.75),
        shell=(1.6 * c, 5 * c, 8 * c, 8 * c, 6 * c, 2.4 * c, 0.9 * c),
        core=(spongy, spongy, 0.03, 0.0, 0.02, spongy * 0.8, spongy * 1.1),
        caps=((12, 2.2), (20, 2.7)), plates=plates(408),
        far=((-15, 0.03, 0.2), (2, -0.55, 0.3)), scars=scars(405), bow=rng.uniform(-3, 5),
        reach=26, wobble=0.015,
    )  # fmt: skip
    neck = tube(rng, (2, 48), (-46, 6), [(0, 19 * g), (0.5, 16 * g), (0.7, 21 * g), (1, 23 * g)],
                depth=(0.8, 0.9, 1.0), shell=(2.2,), core=(spongy, spongy * 1.2),
                caps=((6, 2), (23, 2)), plates=plates(46))  # fmt: skip
    lesser = tube(rng, (-4, 62), (-16, 84), [(0, 10), (0.6, 9), (1, 7)], shell=(1.5,),
                  core=(spongy,), caps=((5, 2), (9, 2)))  # fmt: skip
    body.bones.append([femur, neck, lesser])

    up = float(rng.uniform(-6, 10))
    body.bones.append(
        [tube(rng, (lean + rng.normal(2, 3), 378 - up), (lean + rng.normal(2, 2), 421 - up),
              [(0, 17), (0.4, 22), (0.75, 16), (1, 9)], depth=(0.45,), shell=(1.8,),
              core=(spongy * 0.75,), caps=((16, 2.3), (13, 2)), wobble=0.04)]
    )  # fmt: skip

    gap = float(rng.uniform(3.5, 6.5))
    top = (lean, knee[1] + gap)
    ankle = (lean + rng.normal(-4, 6), top[1] + 368)
    tibia = tube(
        rng, top, ankle,
        [(0, 38 * g), (0.05, 39.5 * g), (0.1, 31 * g), (0.2, 18 * g), (0.45, 13 * g),
         (0.75, 11.5 * g), (0.9, 17 * g), (0.97, 25 * g), (1, 24 * g)],
        depth=(0.7, 0.85, 1.05, 1.1, 1.0, 0.9, 0.85),
        shell=(0.9 * c, 2.2 * c, 5 * c, 6.5 * c, 6 * c, 3.5 * c, 0.9 * c),
        core=(spongy * 1.25, spongy * 0.7, 0.02, 0.0, 0.02, spongy * 0.7, spongy * 1.2),
        caps=((8, 3.5), (5, 4)), plates=plates(19, 352),
        near=((3.5, -0.15, 0.1), (4.5, 0.13, 0.09), (-1.5, -0.55, 0.25), (1, 0.6, 0.2)),
        far=((-2.5, 0.1, 0.5),), bow=rng.uniform(-4, 4), scars=scars(16, 353), reach=9,
        wobble=0.012,
    )  # fmt: skip
    malleolus = tube(rng, (ankle[0] - 20, ankle[1] - 26), (ankle[0] - 21, ankle[1] + 13),
                     [(0, 6), (0.5, 8), (1, 6)], shell=(1.2,), core=(spongy,),
                     caps=((9, 2), (9, 2)))  # fmt: skip
    body.bones.append([tibia, malleolus])
    side = 36 * g + rng.normal(0, 2)
    fibula = tube(
        rng, (top[0] + side, top[1] + 17), (ankle[0] + 29, ankle[1] + 23),
        [(0, 8), (0.035, 11.5), (0.1, 7), (0.3, 6.3), (0.7, 6.5), (0.88, 7.5), (0.95, 11),
         (1, 8)],
        shell=(0.9, 2.6 * c, 3.2 * c, 3.0 * c, 0.9), core=(spongy, 0.04, 0.0, 0.04, spongy),
        caps=((9, 2), (12, 2)), plates=plates(14, 350), bow=rng.uniform(-5, 1), wobble=0.03,
    )  # fmt: skip
    body.bones.append([fibula])
    talus = tube(rng, (ankle[0] + 4, ankle[1] + 4), (ankle[0] + 2, ankle[1] + 40),
                 [(0, 21), (0.3, 22), (0.7, 24), (1, 20)], depth=(1.0, 1.2), shell=(0.9,),
                 core=(spongy,), caps=((4, 4), (10, 2.5)))  # fmt: skip
    heel = tube(rng, (ankle[0] + 5, ankle[1] + 32), (ankle[0] + 12, ankle[1] + 82),
                [(0, 18), (0.5, 21), (1, 22)], depth=(1.6,), shell=(1.0,), core=(spongy,),
                caps=((10, 2.5), (18, 2.5)))  # fmt: skip
    body.bones += [[talus], [heel]]

    fat, m = float(rng.uniform(4, 18)), _vary(rng, 0.12)
    body.flesh = [
        _flesh(rng, ((-12, -300), (ankle[0], ankle[1] + 120)),
               [(0, 135 * m), (0.25, 125 * m, 80 * m), (0.34, 90 * m, 84 * m), (0.5, 70 * m),
                (0.6, 60), (0.645, 57), (0.75, 61 * m), (0.83, 52 * m), (0.91, 37), (1, 42)],
               fat, (0.7, 0.85, 1.0, 1.0, 1.0, 1.0, 1.5)),
        tube(rng, (-130, -420), (-112, 150), [(0, 190), (0.7, 165), (0.9, 120), (1, 95)],
             depth=(0.5,), shell=(fat * 1.5,), core=(0,), caps=((14, 2), (70, 2)), wobble=0.02),
    ]  # fmt: skip
    return body


def _small_long_bone(
    rng: Rng,
    start: Point,
    degrees: float,
    length: float,
    half: Point,
    middle: float,
    spongy: float,
    plate: float | None,
) -> list[Tube]:
    """A metacarpal, a metatarsal or a phalanx: `half` widths at base and head, waist `middle`."""
    base, head = half
    rim = middle * 0.42
    plates = () if plate is None else (plate if plate > 0 else length + plate,)
    return [
        tube(rng, start, _toward(start, degrees, length),
             [(0, base * 0.95), (0.1, base), (0.3, middle * 1.12), (0.55, middle),
              (0.75, middle * 1.1), (0.9, head), (1, head * 0.92)],
             depth=(0.9,), shell=(0.6, rim, rim, rim * 0.7, 0.5),
             core=(spongy * 1.3, spongy * 0.6, 0.05, spongy * 0.7, spongy * 1.3),
             caps=((2.6, 3.5), (head * 0.9, 2.2)), near=((-1.0, 0.0, 0.5),), plates=plates,
             reach=3, wobble=0.03, bow=rng.normal(0, 0.4))
    ]  # fmt: skip


def _tuft(
    rng: Rng,
    start: Point,
    degrees: float,
    length: float,
    base: float,
    spongy: float,
    plate: float | None,
) -> list[Tube]:
    """The last bone of a finger or toe."""
    return [
        tube(rng, start, _toward(start, degrees, length),
             [(0, base), (0.15, base * 0.95), (0.5, base * 0.48), (0.72, base * 0.45),
              (0.88, base * 0.72), (1, base * 0.6)],
             depth=(0.8, 0.7, 0.6), shell=(0.6, 1.0, 0.6), core=(spongy,),
             caps=((2, 3), (2.6, 2)), plates=() if plate is None else (plate,), wobble=0.05)
    ]  # fmt: skip


def _short_bone(
    rng: Rng, centre: Point, degrees: float, length: float, half: float, spongy: float
) -> list[Tube]:
    """A carpal or tarsal bone: short, blunt, irregular."""
    half *= _vary(rng, 0.06)
    start = _toward(centre, degrees + 180, length / 2)
    left, right = rng.uniform(0.72, 1.1, (2, 3)) * half
    widths = [(s, float(a), float(b)) for s, a, b in zip((0, 0.5, 1), left, right, strict=True)]
    dents = ((float(rng.uniform(-1, 0.8)), float(rng.uniform(-0.4, 0.4)), 0.5),)
    return [
        tube(rng, start, _toward(start, degrees, length), widths, depth=(0.95,), shell=(0.75,),
             core=(spongy,), caps=((length * 0.36, 2.4), (length * 0.36, 2.4)), near=dents,
             far=dents, reach=length / 3, wobble=0.05)
    ]  # fmt: skip


def _hand(rng: Rng, body: Body, wrist: Point, young: bool) -> None:
    """Carpals and five rays beyond `wrist`; the thumb is at +x."""
    wx, wy = wrist
    spongy, thin = float(rng.uniform(0.16, 0.26)), _vary(rng, 0.07)
    grown = 0.82 if young else 1.0
    carpals: list[tuple[float, float, float, float, float]] = [
        (13, -1, -35, 24, 7), (1, -6, 15, 16, 8.2), (-12, -2, 40, 15, 7), (-14, 2, 20, 10, 4.5),
        (18, 14, 35, 15, 7), (9.5, 15, 5, 13, 6), (0.5, 11, 3, 24, 7.5), (-10.5, 12, -12, 20, 8),
    ]  # fmt: skip
    for x, y, turn, length, half in carpals:
        at = (wx + 1.12 * x + rng.normal(0, 0.5), wy + y + rng.normal(0, 0.5))
        body.bones.append(
            _short_bone(rng, at, turn + rng.normal(0, 6), length * grown, half * grown, spongy)
        )
    spread = float(rng.uniform(0.7, 1.7))
    # Base, angle, lengths of metacarpal and phalanges, plumpness.
    rays: list[tuple[float, float, float, tuple[float, ...], float]] = [
        (27, 20, 36 + 8 * spread, (44, 31, 0, 22), 1.12), (13, 24, 8, (65, 39, 23, 17), 1.05),
        (1.5, 25.5, 1, (63, 43, 28, 18), 1.05), (-9.5, 24, -5, (55, 40, 26, 18), 0.95),
        (-19, 21, -12, (51, 32, 18, 16), 0.88),
    ]  # fmt: skip
    fat = float(rng.uniform(1, 2.2))
    for i, ray in enumerate(rays):
        x, y, degrees, _, plump = ray
        lengths = [n * _vary(rng, 0.025) for n in ray[3]]
        w = plump * thin
        at = (wx + x, wy + y)
        plate = (-9.0 if i else 8.0) if young else None
        body.bones.append(_small_long_bone(rng, at, degrees, lengths[0], (6.6 * w, 7.0 * w),
                                           4.3 * w, spongy, plate))  # fmt: skip
        knuckle = _toward(at, degrees, lengths[0] + 1.6)
        turn = degrees * (0.75 if i == 0 else 1) + (spread - 1) * (0 if i == 0 else degrees)
        turn += rng.normal(0, 1.5)
        skin = _toward(at, degrees, lengths[0] * (0.45 if i else 0.2))
        plate = 4.5 if young else None
        tip = knuckle
        for length, pair, waist in zip(lengths[1:3], ((7.3, 5.4), (6.2, 4.6)), (4.1, 3.3),
                                       strict=True):  # fmt: skip
            if length:
                ends = (pair[0] * w, pair[1] * w)
                body.bones.append(
                    _small_long_bone(rng, tip, turn, length, ends, waist * w, spongy, plate)
                )
                tip = _toward(tip, turn, length + 1.4)
            turn += rng.normal(0, 1.5)
        body.bones.append(_tuft(rng, tip, turn, lengths[3], 5.0 * w, spongy, plate))
        tip = _toward(tip, turn, lengths[3] + rng.uniform(3, 5))
        body.flesh.append(
            _flesh(rng, (skin, knuckle), [(0, 12 * w), (0.5, 11 * w), (1, 10.5 * w)], fat, tip=True)
        )
        reach = float(np.hypot(tip[0] - knuckle[0], tip[1] - knuckle[1]))
        root = _toward(knuckle, turn, -8)
        body.flesh.append(
            _flesh(rng, (root, tip), [(0, 10.5 * w), (0.35, 9.8 * w), (0.55, 9.4 * w),
                                       (min(0.97, 1 - 6 / reach), 8.2 * w), (1, 7.4 * w)],
                   fat, (0.95,), tip=True)
        )  # fmt: skip
    body.flesh.append(
        _flesh(rng, ((wx + 8, wy + 6), _toward((wx + 24, wy + 20), 42, 46)),
               [(0, 16), (0.5, 17), (1, 11)], 2.5, (0.8,), tip=True)
    )  # fmt: skip


def arm(rng: Rng, young: bool) -> Body:
    """Lower humerus, radius, ulna and hand from the front; the thumb is at +x."""
    body = Body()
    g, c = _vary(rng, 0.06), _vary(rng, 0.15)
    spongy = float(rng.uniform(0.1, 0.17))
    humerus = tube(
        rng, (rng.normal(-4, 6), -300), (0, -3),
        [(0, 12 * g), (0.5, 10.5 * g), (0.75, 12 * g), (0.87, 22 * g, 20 * g),
         (0.93, 31 * g, 27 * g), (0.97, 24 * g, 24 * g), (1, 21 * g)],
        depth=(1.0, 1.0, 0.9, 0.5), shell=(4.5 * c, 4.5 * c, 4 * c, 1.3),
        core=(0.0, 0.0, 0.02, spongy), caps=((6, 2), (9, 3)),
        far=((-4, 0.15, 0.15), (2, -0.4, 0.3)),
        plates=(281.0,) if young else (), wobble=0.02,
    )  # fmt: skip
    body.bones.append([humerus])
    cross = float(rng.uniform(0.0, 1.0))
    radius = tube(
        rng, (14, 1), (13 - 4 * cross, 236),
        [(0, 11 * g), (0.035, 11.5 * g), (0.07, 8 * g), (0.14, 8.5 * g, 7.5 * g), (0.5, 7.3 * g),
         (0.8, 9 * g), (0.93, 15.5 * g), (1, 16.5 * g)],
        depth=(0.9, 1.0, 1.0, 1.0, 0.95, 0.68),
        shell=(0.9, 3 * c, 3.6 * c, 3.5 * c, 3 * c, 2.0 * c, 0.7),
        core=(spongy, 0.04, 0.0, 0.0, 0.02, spongy * 0.5, spongy * 0.9),
        caps=((3, 4), (3, 4)), bow=rng.uniform(3, 8),
        far=((4, 0.85, 0.3), (-2, -0.1, 0.5)), plates=(228.0,) if young else (), reach=8,
    )  # fmt: skip
    ulna = tube(
        rng, (-9, -20), (-15 + 2 * cross, 235),
        [(0, 10 * g), (0.06, 12 * g), (0.14, 12 * g, 13 * g), (0.22, 9 * g), (0.5, 7 * g),
         (0.85, 5.3 * g), (0.95, 8 * g), (1, 8 * g)],
        depth=(0.7, 0.8, 1.0, 1.0, 1.0),
        shell=(1.2, 2.4 * c, 3.4 * c, 3.4 * c, 3 * c, 2.2 * c, 0.7),
        core=(spongy, spongy * 0.5, 0.0, 0.0, 0.02, spongy),
        caps=((10, 2.5), (5, 2.5)), bow=rng.uniform(-6, 1), far=((4, -0.75, 0.3),), reach=7,
        plates=(226.0,) if young else (),
    )  # fmt: skip
    body.bones += [[radius], [ulna]]
    _hand(rng, body, (1, 251), young)
    fat, m = float(rng.uniform(2, 7)), _vary(rng, 0.12)
    body.flesh.append(
        _flesh(rng, ((0, -330), (-1, 350)),
               [(0, 52 * m), (0.3, 44 * m), (0.44, 42), (0.54, 45 * m), (0.66, 40 * m),
                (0.78, 31), (0.85, 28), (0.9, 31, 32), (0.94, 37, 38), (0.98, 41, 35),
                (1, 40, 34)],
               fat, (0.9, 0.9, 0.9, 0.9, 0.85, 0.75, 0.24), tip=True)
    )  # fmt: skip
    return body


def foot(rng: Rng, young: bool) -> Body:
    """A foot from above; the great toe is at +x."""
    body = Body()
    spongy, thin = float(rng.uniform(0.1, 0.18)), _vary(rng, 0.07)
    tarsals: list[tuple[float, float, float, float, float]] = [
        (-6, -78, -4, 76, 19), (10, -62, 12, 52, 18), (13, -31, 90, 36, 9), (19, -13, 4, 25, 9),
        (7, -15, 0, 17, 7), (-3.5, -13, -4, 21, 7.5), (-16, -20, -10, 36, 12),
    ]  # fmt: skip
    for x, y, turn, length, half in tarsals:
        body.bones.append(_short_bone(rng, (x, y), turn + rng.normal(0, 3), length, half, spongy))
    valgus, fan = float(rng.uniform(0, 14)), float(rng.uniform(0.7, 1.3))
    rays = [
        (20, 1.5, 6, (62, 32, 0, 22), 1.65, 1.6), (9, -4, 1, (73, 27, 13, 9), 1.0, 0.9),
        (-1, -1, -3, (70, 25, 11, 9), 0.95, 0.85), (-11, 0, -8, (68, 23, 9, 9), 0.95, 0.82),
        (-21, -5, -13, (69, 21, 8, 9), 1.0, 0.82),
    ]  # fmt: skip
    fat = float(rng.uniform(1.5, 3))
    for i, (x, y, slant, lengths, width, girth) in enumerate(rays):
        degrees, w, toe = slant * fan, width * thin, girth * thin
        at = (float(x), float(y))
        plate = (8.0 if i == 0 else -9.0) if young else None
        body.bones.append(_small_long_bone(rng, at, degrees, lengths[0], (7.6 * w, 6.6 * w),
                                           4.1 * w, spongy, plate))  # fmt: skip
        ball = _toward(at, degrees, lengths[0] + 1.8)
        turn = degrees * 0.5 - (valgus if i == 0 else valgus * 0.25) + rng.normal(0, 2)
        tip = ball
        plate = 4.0 if young else None
        for length, (a, b), waist in zip(lengths[1:3], ((6.9, 5.2), (5.4, 4.6)), (3.8, 3.9),
                                         strict=True):  # fmt: skip
            if length:
                body.bones.append(_small_long_bone(rng, tip, turn, length, (a * toe, b * toe),
                                                   waist * toe, spongy, plate))  # fmt: skip
                tip = _toward(tip, turn, length + 1.2)
        body.bones.append(_tuft(rng, tip, turn, lengths[3], 5.2 * toe, spongy, plate))
        tip = _toward(tip, turn, lengths[3] + rng.uniform(4, 6))
        body.flesh.append(
            _flesh(rng, (_toward(ball, turn, -22), tip),
                   [(0, 11 * toe), (0.5, 9.8 * toe), (0.85, 9 * toe), (1, 8 * toe)], fat,
                   tip=True)
        )  # fmt: skip
    if rng.random() < 0.9:  # sesamoids under the first metatarsal's head
        ball = _toward((20, 1.5), 6 * fan, 55)
        for shift in (-6, 6):
            at = (ball[0] + shift, ball[1] + float(rng.normal(0, 1)))
            body.bones.append(_short_bone(rng, at, 0, 10, 4.5, spongy))
    body.flesh.append(
        _flesh(rng, ((-8, -150), (0, 92)),
               [(0, 30), (0.2, 33), (0.5, 36), (0.7, 41), (0.88, 49, 44), (1, 46, 40)], 3,
               (1.0, 1.25, 1.1, 0.75, 0.5, 0.28), tip=True)
    )  # fmt: skip
    return body
