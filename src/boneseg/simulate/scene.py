"""Films of a skeleton: a random subject, posed and projected as its region defines.

    film = skeleton_film(seed=7, size=(512, 512), skeletons=[read_skeleton(meshes, model)])

A region names the bodies on the film, the one that is centred, the ranges of joint angles, and the
clinical projections. The right side is simulated, and half of the films are mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.acquisition import take_film
from boneseg.simulate.bones import named_pieces
from boneseg.simulate.film import MIN_SIDE, Film, check_size
from boneseg.simulate.flesh import grow_flesh
from boneseg.simulate.projector import MASK_PATH_MM, Array, Paths, noise_tile
from boneseg.simulate.raster import Camera
from boneseg.simulate.regions import Region, projection_of, regions_of
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.subject import Subject, draw_subject
from boneseg.simulate.tissue import Atlas
from boneseg.simulate.volume import Tissue

Rng = np.random.Generator
Floats = NDArray[np.float64]

ANCHORS = ("torso", "pelvis")  # bodies that an atlas of organs needs
WITH_ORGANS = 0.8  # fraction of trunk and head films made with an atlas, if there is one

_NECK = 110.0  # mm at the detector: how far flesh of the neck is from the bones of the head

# Where gas collects (bowel loops, rectum), in the frame of a body, mm.
BOWELS = {"torso": (20.0, 40.0, 0.0), "pelvis": (-60.0, -40.0, 0.0)}


@dataclass(frozen=True)
class Scene:
    """The scene in front of the detector: subject, bone points on the film, soft tissue."""

    subject: Subject
    camera: Camera
    seen: tuple[Floats, ...]
    inner: tuple[Floats, ...]
    outer: tuple[Floats, ...]
    belly: tuple[float, float] | None  # column, row
    frame: Floats  # rows: image right, image down, and away from the source, in the ground frame
    aim: Floats  # mm in the ground frame: the point at the centre of the film
    gap: float  # mm from there to the detector
    projection: str  # "frontal", "lateral" or "oblique"


def draw_scene(rng: Rng, skeleton: Skeleton, region: Region, size: tuple[int, int]) -> Scene:
    """A random person, posed and framed as a region defines, on a film of (height, width)."""
    known = skeleton.coordinates
    pose = {name: float(rng.uniform(*span)) for name, span in region.pose.items() if name in known}
    subject = draw_subject(rng, skeleton, set(region.bodies), pose)
    place = subject.places[region.aim]
    azimuth, elevation = region.projections[rng.integers(len(region.projections))]
    rotation = np.clip(rng.normal(0, 1, 3), -2, 2) * region.angle_spread
    turn = region.turn + (180.0 if rng.random() < 0.08 else 0.0)
    to_camera = _looking(azimuth + rotation[0], elevation + 0.5 * rotation[1], turn + rotation[2])

    long = float(rng.uniform(*region.span)) * subject.size
    if rng.random() < 0.15:  # a detail, or a crop
        long *= float(rng.uniform(0.45, 0.8))
    height, width = size
    pitch = long / max(height, width)  # at the body
    distance = float(rng.uniform(950, 1400)) + (long if long > 500 else 0)
    gap = float(rng.uniform(30, 90)) * subject.size  # from the middle of the body to the detector
    middle = np.array(region.at) * subject.size
    middle = middle + rng.normal(0, region.offset_spread, 3) * long * np.array([0.3, 1, 0.5])
    aim = place[:3, :3] @ middle + place[:3, 3]
    frame = to_camera @ place[:3, :3].T

    def view(points: Floats) -> Floats:
        return np.asarray((points - aim) @ frame.T + np.array([0, 0, distance - gap]))

    camera = Camera(distance, pitch * distance / (distance - gap), height, width)
    outer = tuple(view(part.outer) for part in subject.parts)
    inner = tuple(view(part.inner) for part in subject.parts)
    belly = None
    bowels = [body for body in BOWELS if body in region.bodies]
    if bowels:
        body = bowels[int(rng.integers(len(bowels)))]
        at = subject.places[body]
        column, row = camera.project(
            view((at[:3, :3] @ (np.array(BOWELS[body]) * subject.size) + at[:3, 3])[None])
        )[0]
        belly = (float(column), float(row))
    seen = tuple(camera.project(points) for points in outer)
    return Scene(
        subject, camera, seen, inner, outer, belly, frame, aim, gap, projection_of(azimuth)
    )


def _looking(azimuth: float, elevation: float, turn: float) -> Floats:
    """From a body's axes (front, up, right) to the camera's (right of the image, down, away)."""
    a, e, t = np.radians([azimuth, elevation, turn])
    # Direction of the source as seen from the body, and what is right and up on the film.
    source = np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])
    right = np.array([np.sin(a), 0.0, -np.cos(a)])
    down = np.cross(-source, right)
    cos, sin = np.cos(t), np.sin(t)
    return np.stack([cos * right + sin * down, cos * down - sin * right, -source])


def measure(rng: Rng, scene: Scene, atlas: Atlas | None = None) -> Paths:
    """Path lengths through bone, marrow and soft tissue; those of the trunk from an atlas."""
    starts = np.cumsum([0, *(len(points) for points in scene.outer)])
    parts = scene.subject.parts
    triangles = np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=False)])
    core = np.concatenate([part.core for part in parts])
    envelope, _ = scene.camera.paths(np.concatenate(scene.outer), triangles)
    within, marrow = scene.camera.paths(np.concatenate(scene.inner), triangles, core)
    within = np.minimum(within, envelope)
    marrow = np.minimum(marrow, within)
    mineral = (envelope - within) + marrow * _grain(rng, envelope.shape, scene.camera.pitch)
    mineral *= np.float32(
        np.exp(rng.uniform(np.log(0.7), np.log(2.2)))
    )  # osteoporotic or healthy bone
    if rng.random() < 0.06:
        mineral = mineral * _fracture(rng, envelope > 1, scene.camera.pitch)
    trunk = None if atlas is None else _trunk(rng, scene, atlas)
    flesh = grow_flesh(rng, scene.subject, scene.seen, scene.camera, scene.belly, trunk)
    lean = np.maximum(flesh.muscle - mineral, 0)
    return Paths(envelope, mineral, lean, flesh.fat, np.zeros_like(envelope))


def _trunk(rng: Rng, scene: Scene, atlas: Atlas) -> tuple[Array, Array, Array]:
    """Path lengths through body, muscle and fat of trunk and head, from an atlas."""
    near = [np.linalg.norm(scene.aim - scene.subject.places[body][:3, 3]) for body in ANCHORS]
    trunk = _projected(scene, atlas.vary(rng), ANCHORS[int(np.argmin(near))])
    if not _shows_head(scene):
        return trunk
    head = _projected(scene, atlas.head.vary(rng), "torso")
    body, muscle, fat = (one + other for one, other in zip(trunk, head, strict=True))
    return body, muscle, fat


def _shows_head(scene: Scene) -> bool:
    """Whether head or neck can be on the film."""
    margin = _NECK * scene.subject.size / scene.camera.pitch
    edges = np.array([scene.camera.width, scene.camera.height]) + margin
    return any(
        bool(((seen > -margin) & (seen < edges)).all(axis=1).any())
        for part, seen in zip(scene.subject.parts, scene.seen, strict=True)
        if "skull" in part.name or "jaw" in part.name
    )


def _projected(scene: Scene, tissue: Tissue, anchor: str) -> tuple[Array, Array, Array]:
    """Path lengths through the tissue that moves with a body of the skeleton."""
    camera, subject = scene.camera, scene.subject
    distance = camera.distance - scene.gap
    return tissue.project(
        anchor,
        subject.places[anchor],
        subject.scales.get(anchor, np.full(3, subject.size)),
        scene.frame,
        scene.aim,
        (camera.height, camera.width),
        camera.pitch * distance / camera.distance,
        distance,
    )


def _grain(rng: Rng, shape: tuple[int, ...], pitch: float) -> NDArray[np.float32]:
    """Trabecular texture with mean 1, elongated in one direction, finer than visible.

    Many films show almost none: osteoporosis, a large focal spot, a coarse detector.
    """
    total = np.ones(shape, np.float32)
    strongest = 0.3 if rng.random() < 0.3 else 0.06
    for stretch in (2.2, 4.0):
        tile = noise_tile(stretch)
        tile = tile.T if rng.random() < 0.5 else tile
        step = max(0.5, 0.18 / pitch * float(rng.uniform(0.6, 1.6)))
        rows = (np.arange(shape[0]) / step + rng.integers(256)).astype(int) % 256
        columns = (np.arange(shape[1]) / step + rng.integers(256)).astype(int) % 256
        total += np.float32(rng.uniform(0, strongest)) * tile[np.ix_(rows, columns)]
    return np.maximum(total, 0)


def _fracture(rng: Rng, bone: NDArray[np.bool_], pitch: float) -> NDArray[np.float32]:
    """The fraction of mineral left at a jagged fracture gap: H x W, 0 to 1."""
    rows, columns = np.nonzero(bone)
    if not len(rows):
        return np.ones(bone.shape, np.float32)
    start = int(rng.integers(len(rows)))
    angle, length = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(15, 60)) / pitch
    y, x = np.indices(bone.shape, dtype=np.float32)
    x, y = x - np.float32(columns[start]), y - np.float32(rows[start])
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    knots = np.arange(-length, length + 1, max(2.0, float(rng.uniform(2, 9)) / pitch))
    jagged = np.interp(along, knots, rng.normal(0, float(rng.uniform(0.3, 2)) / pitch, len(knots)))
    wide = float(rng.uniform(0.3, 1.2)) / pitch
    gap = np.exp(-np.square((across - jagged) / max(wide, 0.5))) * (np.abs(along) < length)
    return np.asarray(1 - float(rng.uniform(0.3, 0.9)) * gap, np.float32)


def skeleton_film(
    seed: int,
    size: tuple[int, int],
    skeletons: Sequence[Skeleton],
    region: str | None = None,
    atlases: Sequence[Sequence[Atlas]] = (),
    each: bool = False,
    others: Sequence[Sequence[Skeleton]] = (),
) -> Film:
    """Make the film of this seed, of a random region (or the named one) of one of the skeletons.

    It fits into `size` (height, width) and fills it in one direction, as regions have their own
    aspect ratios. `atlases` are those of each skeleton (`organs.read_organs`), used for most trunks
    and heads. With `each`, the film has the mask of each bone. `others` are each skeleton with the
    bones of other people (`atlas_bones`), each as frequent as itself. Some films show no bone. The
    same arguments give the same bytes. Raises UsageError for a film under 32 x 32, or a region that
    no skeleton has.
    """
    check_size(size)
    rng = np.random.default_rng(seed)
    choices = [
        (index, one)
        for index, skeleton in enumerate(skeletons)
        for one in regions_of(skeleton)
        if region in (None, one.name)
    ]
    if not choices:
        names = sorted({one.name for skeleton in skeletons for one in regions_of(skeleton)})
        raise UsageError(f"no region {region!r}; choose one of {', '.join(names)}")
    weights = np.array([one.weight for _, one in choices])
    index, chosen = choices[int(rng.choice(len(choices), p=weights / weights.sum()))]
    people = [skeletons[index], *(others[index] if others else ())]
    skeleton = people[int(rng.integers(len(people)))] if len(people) > 1 else people[0]
    scene = draw_scene(rng, skeleton, chosen, _shape(rng, chosen, size))
    known = atlases[index] if atlases and set(ANCHORS) & set(chosen.bodies) else ()
    atlas = known[int(rng.integers(len(known)))] if known and rng.random() < WITH_ORGANS else None
    paths = measure(rng, scene, atlas)
    bones = _outlines(scene, skeleton) if each else {}
    if rng.random() < 0.03:
        paths = replace(paths.without_bone(), envelope=np.zeros_like(paths.envelope))
        bones = {}
    return take_film(rng, paths, scene.camera.pitch, chosen.name, scene.projection, bones)


def _outlines(scene: Scene, skeleton: Skeleton) -> dict[str, NDArray[np.bool_]]:
    """The masks of a scene's bones by their anatomical names: bool (H, W)."""
    known = {bone.name: bone for bone in skeleton.bones}
    masks: dict[str, NDArray[np.bool_]] = {}
    for part, points in zip(scene.subject.parts, scene.outer, strict=True):
        for name, triangles in named_pieces(known[part.name]):
            mask = scene.camera.outline(points, triangles, MASK_PATH_MM)
            masks[name] = masks[name] | mask if name in masks else mask
    return masks


def _shape(rng: Rng, region: Region, size: tuple[int, int]) -> tuple[int, int]:
    """The largest film of a shape that suits the region and fits into `size`."""
    low, high = region.aspect or (0.7, 1.35)
    aspect = float(np.exp(rng.uniform(np.log(low), np.log(high))))  # width to height
    height = min(float(size[0]), size[1] / aspect)
    return max(MIN_SIDE, round(height)), max(MIN_SIDE, round(height * aspect))
