"""A synthetic subject: a skeleton scaled, deformed and given marrow, from one random generator.

    subject = draw_subject(rng, skeleton, bodies={"femur_r", "tibia_r"}, pose={"knee_angle_r": 0.3})
    subject.parts         each bone, in mm in the ground frame, with its cortex and its marrow

Every subject's bones differ: each is scaled along its axes and deformed by a smooth field, from
infant to adult. The cortex is a fraction of a bone's thickness, thick in the shaft of long bones
and thin elsewhere; inside is marrow, with more trabeculae near the ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.raster import Points, Triangles
from boneseg.simulate.skeleton import Bone, Skeleton
from boneseg.simulate.surface import Surface

Rng = np.random.Generator
Floats = NDArray[np.float64]

_LONG = 2.6  # length to width from which a bone has a shaft
_BELOW_KNEE = ("tibia", "talus", "calcn", "toes")
_INFANT = 0.6  # of an adult's size: below it hips are largely cartilage
_SOCKET = (-70.2, -62.9, 78.6)  # mm: the centre of the hip joint in the frame of the pelvis
_JOINT_SPACE = 8.0  # mm, the gap between an adult's femur and tibia in the models, and more


@dataclass(frozen=True)
class Part:
    """A bone in place: outer and inner points (N x 3, mm), and how dense it is inside."""

    name: str
    body: str
    outer: Points
    inner: Points
    triangles: Triangles
    core: Floats  # M: bone mineral inside, 0 to 1, at each triangle


@dataclass(frozen=True)
class Subject:
    """The bones that are filmed, in the ground frame, and where the bodies lie (4 x 4)."""

    parts: tuple[Part, ...]
    places: Mapping[str, Floats]
    size: float  # of an adult's
    young: bool
    scales: Mapping[str, Floats]  # of the bodies, along their own axes


def draw_subject(
    rng: Rng, skeleton: Skeleton, bodies: Collection[str], pose: Mapping[str, float]
) -> Subject:
    """Draw the bones of some bodies of a skeleton, for a random subject in this pose."""
    young = bool(rng.random() < 0.25)
    size = float(rng.uniform(0.35, 0.85) if young else rng.uniform(0.86, 1.12))
    stout = float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.2))
    cortex = float(np.clip(rng.normal(1.0, 0.22), 0.4, 1.5))
    marrow = float(rng.uniform(0.12, 0.4))
    # Cartilage is not visible: a child's bones do not reach their joints.
    ossified = float(rng.uniform(0.82, 0.97)) if young else 1.0
    scales = {}
    for body in sorted(bodies):  # in a deterministic order
        stretch = np.clip(rng.normal(1.0, 0.04, 3), 0.9, 1.1) * size
        scales[body] = stretch * np.array([stout, 1.0, stout])
    mirrored = {name: scales.get(name[:-2] + "_r", scale) for name, scale in scales.items()}
    places = _narrowed(rng, skeleton.pose(pose, mirrored), size)
    parts = [
        _grown(
            rng,
            bone,
            mirrored[bone.body],
            places[bone.body],
            (cortex, marrow, ossified),
            young,
            size < _INFANT,
        )
        for bone in skeleton.bones
        if bone.body in scales
    ]
    return Subject(tuple(parts), places, size, young, mirrored)


def _narrowed(rng: Rng, places: Mapping[str, Floats], size: float) -> Mapping[str, Floats]:
    """Move tibia and foot closer to the femur: cartilage wears, and models have wide gaps."""
    moved = {body: place.copy() for body, place in places.items()}
    for side in "rl":
        lift = float(rng.uniform(0, _JOINT_SPACE)) * size
        if (tibia := places.get(f"tibia_{side}")) is not None:
            for body in moved.keys() & {f"{name}_{side}" for name in _BELOW_KNEE}:
                moved[body][:3, 3] += lift * tibia[:3, 1]
    return moved


def _grown(
    rng: Rng,
    bone: Bone,
    scale: Floats,
    place: Floats,
    nature: tuple[float, float, float],
    young: bool,
    infant: bool,
) -> Part:
    cortex, marrow, ossified = nature
    surface = bone.surface
    points = surface.middles + (surface.points - surface.middles) * ossified
    points = points + _bend(rng, points, surface.length)
    if young and surface.slenderness > _LONG:
        points = _with_growth_plates(rng, points, surface)
    if infant and bone.name.endswith("femur"):
        points = _with_cartilage_head(rng, points)
    elif infant and bone.name.endswith("_pelvis"):
        points = _with_open_socket(rng, points)
    rim, core = _inside(rng, bone.name, surface, cortex, marrow)
    inner = points - np.minimum(rim, 0.45 * surface.thickness)[:, None] * surface.normals

    def placed(of: Points) -> Points:
        return np.asarray((of * scale) @ place[:3, :3].T + place[:3, 3])

    at = core[surface.triangles].mean(axis=1)
    return Part(bone.name, bone.body, placed(points), placed(inner), surface.triangles, at)


def _inside(
    rng: Rng, name: str, surface: Surface, cortex: float, marrow: float
) -> tuple[Floats, Floats]:
    """The thickness of the cortex (mm) and the density within it, at each point.

    Thin bones (ribs, plates, fingers) have relatively thick walls, plates almost none in their
    middle, and the ends of long bones a plate under the joint, thicker than their sides. The shaft
    of a fibula is nearly solid.
    """
    along, thick = surface.along, surface.thickness
    if "skull" in name:  # a shell that contains no marrow
        return _skull(rng, surface), np.zeros(len(along))
    shaft = float(np.clip(surface.slenderness - _LONG, 0, 1))
    middle = 1 - np.abs(2 * along - 1) ** 3  # of the shaft: 1, of the ends: 0
    tube = shaft * np.clip(1.6 * middle - 0.4, 0, 1)
    share = 0.36 if "fibula" in name else 0.2  # of the thickness, for the wall of the shaft
    wall = 0.02 + 0.13 * np.exp(-np.square(thick / 14)) + share * tube
    plate = shaft * (1 - np.clip(2 * middle, 0, 1)) * np.abs(surface.normals @ surface.axis) ** 3
    rim = np.maximum(wall * thick, 1.0) + float(rng.uniform(0.3, 2.2)) * plate
    full = marrow * (1 - 0.9 * shaft * np.clip(1.7 * middle - 0.5, 0, 1))
    # Meshes are too thick in the iliac wings and scapulae, where bone is a few mm thick.
    left = 1 - float(rng.uniform(0, 0.9)) * surface.flatness * (1 - shaft)
    return np.minimum(rim * cortex, 9.0) * left, full * left


def _skull(rng: Rng, surface: Surface) -> Floats:
    """The thickness (mm) of the walls of a skull: in the face they are thin, around sinuses."""
    front, up, _ = surface.points.T
    back, low = front.min() + 0.65 * np.ptp(front), up.min() + 0.62 * np.ptp(up)
    face = np.clip((front - back) / 20, 0, 1) * np.clip((low - up) / 12, 0, 1)
    vault, thin = float(rng.uniform(3, 7)), float(rng.uniform(0.4, 2.5))
    return np.asarray(vault + (thin - vault) * face)


def _with_growth_plates(rng: Rng, points: Points, surface: Surface) -> Points:
    """Shrink a long bone to a thread where its ends are still growing: points N x 3."""
    drawn = points
    for at in (float(rng.uniform(0.04, 0.1)), 1 - float(rng.uniform(0.04, 0.1))):
        half = float(rng.uniform(1.0, 2.5)) / surface.length  # of the gap
        away = np.abs(surface.along - at)
        if rng.random() < 0.3 or not (away < 4 * half).any():
            continue
        middle = points[away < 4 * half].mean(axis=0)
        aside = points - middle
        aside = aside - np.outer(aside @ surface.axis, surface.axis)
        drawn = drawn - aside * np.clip(1.5 - away / half, 0, 0.97)[:, None]
    return np.asarray(drawn)


def _with_cartilage_head(rng: Rng, points: Points) -> Points:
    """Leave a small nucleus, or none, of a femur's head: points N x 3 in the frame of its body.

    The origin of that frame is the centre of the hip joint.
    """
    away = np.linalg.norm(points, axis=1)
    nucleus = float(rng.uniform(0.02, 0.7))
    neck = np.array([0.0, -0.7, 0.7 * np.sign(points[:, 2].mean())])
    along = points @ neck
    thread = np.outer(along, neck) + 0.04 * (points - np.outer(along, neck))
    drawn = np.where((away < 34)[:, None], thread, points)
    return np.asarray(np.where((away < 26)[:, None], nucleus * points, drawn))


def _with_open_socket(rng: Rng, points: Points) -> Points:
    """Part the ilium, ischium and pubis of a hip bone, by drawing the points between them to one.

    points: N x 3 in the frame of the pelvis, mm.
    """
    centre = np.array(_SOCKET)
    centre[2] *= np.sign(points[:, 2].mean())
    aside = points - centre
    half = float(rng.uniform(2.5, 6.0))
    within = np.zeros(len(points), bool)
    for angle, reach in ((20.0, 45.0), (200.0, 45.0), (285.0, 75.0)):
        turned = np.radians(angle + float(rng.normal(0, 8)))
        ray = np.array([np.cos(turned), np.sin(turned)])
        along, across = aside[:, :2] @ ray, aside[:, 0] * ray[1] - aside[:, 1] * ray[0]
        within |= (along > -half) & (along < reach) & (np.abs(across) < half)
    return np.asarray(np.where(within[:, None], centre + 0.05 * aside, points))


def _bend(rng: Rng, points: Points, size: float) -> Points:
    """A smooth displacement of up to a few percent of a bone's size: N x 3, mm."""
    moved = np.zeros_like(points)
    for waves in (0.6, 1.1, 1.9):
        direction = rng.normal(size=(3, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        phase = points @ direction.T * (2 * np.pi * waves / size) + rng.uniform(0, 2 * np.pi, 3)
        moved += np.sin(phase) * rng.normal(0, 0.011 / waves, 3) * size
    return moved
