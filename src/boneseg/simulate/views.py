"""The projections taken of a skeleton: region, pose and direction.

    film = skeleton_film(seed=7, size=(512, 512), skeletons=[read_skeleton(meshes, model)])

A region names the bodies on the film, the one that is centred, the ranges of joint angles, and the
clinical projections. The right side is simulated, and half of the films are mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.clutter import add_objects
from boneseg.simulate.film import MIN_SIDE, Film, View, check_size
from boneseg.simulate.flesh import grow_flesh
from boneseg.simulate.framing import frame_film
from boneseg.simulate.projector import MASK_PATH_MM, Array, Exposure, Paths, noise_tile, transmit
from boneseg.simulate.raster import Camera
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.subject import Subject, draw_subject
from boneseg.simulate.tissue import Atlas
from boneseg.simulate.visibility import film_of

Rng = np.random.Generator
Floats = NDArray[np.float64]

# Projections as (azimuth, elevation) in degrees about the centred body: from the front 0, from
# behind 180, from its right 90; from above +90.
FRONT, BACK, SIDE, OTHER_SIDE = (0.0, 0.0), (180.0, 0.0), (90.0, 0.0), (-90.0, 0.0)

_WITH_LUNGS = ("chest", "trunk", "whole body", "shoulder", "neck")  # regions

ANCHORS = ("torso", "pelvis")  # bodies that an atlas of organs goes with
WITH_ORGANS = 0.8  # fraction of trunk and head films made with an atlas, if there is one

# Where gas collects (bowel loops, rectum), in the frame of a body, mm.
BOWELS = {"torso": (20.0, 40.0, 0.0), "pelvis": (-60.0, -40.0, 0.0)}


@dataclass(frozen=True)
class Region:
    """A body region as imaged clinically. Lengths are in mm of an adult."""

    name: str
    bodies: tuple[str, ...]
    aim: str  # the body whose frame is used
    at: tuple[float, float, float]  # the middle of the field, in that frame
    span: tuple[float, float]  # longer side of the field: minimum, maximum
    projections: tuple[tuple[float, float], ...] = (FRONT, SIDE)
    sway: float = 12.0  # degrees, of every angle
    pose: dict[str, tuple[float, float]] = field(default_factory=dict)  # radians, from, to
    wander: float = 0.1  # maximum offset of the centre, fraction of the field
    turn: float = 0.0  # maximum rotation of the image, degrees
    weight: float = 1.0
    aspect: tuple[float, float] | None = None  # of the field, width to height; else the film's


_LEG = ("femur_r", "tibia_r", "patella_r")
_FOOT = ("tibia_r", "talus_r", "calcn_r", "toes_r")
_ARM = ("humerus_r", "ulna_r", "radius_r", "hand_r")
_TORSO = ("torso", "pelvis")
_TRUNK = ("torso", "pelvis", "humerus_r", "humerus_l", "femur_r", "femur_l")
_WRIST = (
    "ulna", "radius", "scaphoid", "lunate", "trapezium", "trapezoid", "capitate", "pisiform",
    "triquetrum", "hamate", "metacarpal2", "Iphalanx1", "Iphalanx2", "Iphalanx3", "metacarpal3",
    "midfinger", "metacarpal4", "ringfinger", "metacarpal5", "littlefinger", "thumb",
)  # fmt: skip
_ARMS_AWAY = {
    "arm_add_r": (-1.4, -0.1), "arm_add_l": (-1.4, -0.1),
    "lumbar_bending": (-0.12, 0.12), "lumbar_extension": (-0.1, 0.1),
}  # fmt: skip
_STANDING = {
    "hip_rotation_r": (-0.2, 0.2), "hip_adduction_r": (-0.25, 0.1), "hip_flexion_r": (-0.1, 0.2),
    "hip_rotation_l": (-0.2, 0.2), "hip_adduction_l": (-0.25, 0.1), "hip_flexion_l": (-0.1, 0.2),
}  # fmt: skip
_KNEE = {"knee_angle_r": (0.0, 0.5)}
_FINGERS = {
    "MCP2_flex": (-0.1, 0.6), "PIP_flex": (0.0, 0.7), "DIP_flex": (0.0, 0.5),
    "MCP2_lateral": (-0.2, 0.2), "thumb_abd": (-0.7, 0.1), "thumb_flex": (-0.3, 0.5),
    "deviation": (-0.3, 0.3), "flexion": (-0.3, 0.3), "pro_sup": (-0.3, 0.9),
}  # fmt: skip
_HAND = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (45.0, 0.0), (180.0, 0.0), (90.0, 0.0))

REGIONS: tuple[Region, ...] = (
    Region("full leg", ("pelvis", "femur_r", "tibia_r", "patella_r", "talus_r", "calcn_r"),
           "femur_r", (0, -400, 0), (820, 1050), (FRONT,), 8, {**_KNEE, **_STANDING},
           weight=0.8, aspect=(0.15, 0.35)),
    Region("full leg", ("pelvis", *_LEG), "femur_r", (0, -130, 0), (280, 560), (FRONT,), 8,
           {**_KNEE, **_STANDING}, weight=1.4, aspect=(0.22, 0.55)),
    Region("full leg", (*_LEG, "talus_r", "calcn_r"), "tibia_r", (0, -120, 0), (280, 560),
           (FRONT,), 8, _KNEE, weight=0.8, aspect=(0.22, 0.55)),
    Region("hip", ("pelvis", "femur_r", "femur_l"), "femur_r", (0, -30, -10), (170, 340),
           (FRONT, FRONT, SIDE), 12, {"hip_flexion_r": (-0.1, 0.6), "hip_rotation_r": (-0.6, 0.6),
                                      "hip_adduction_r": (-0.6, 0.1)}, weight=1.5),
    Region("pelvis", ("pelvis", "torso", "femur_r", "femur_l"), "pelvis", (-60, -30, 0),
           (300, 460), (FRONT, FRONT, FRONT, BACK), 8,
           {**_STANDING, "hip_flexion_r": (-0.1, 0.6), "hip_flexion_l": (-0.1, 0.6)}, weight=3.0),
    Region("thigh", (*_LEG, "pelvis"), "femur_r", (0, -220, 0), (250, 460), pose=_KNEE),
    Region("knee", _LEG, "tibia_r", (0, -10, 0), (85, 300), (FRONT, FRONT, FRONT, SIDE, BACK), 12,
           {"knee_angle_r": (0.0, 0.7)}, weight=2.0),
    Region("knee", _LEG, "tibia_r", (0, -5, 0), (78, 130), (FRONT, FRONT, FRONT, BACK, SIDE), 10,
           {"knee_angle_r": (0.0, 0.4)}, wander=0.12, weight=3.5),
    Region("lower leg", (*_LEG, "talus_r", "calcn_r"), "tibia_r", (0, -210, 0), (240, 460),
           pose=_KNEE),
    Region("ankle", _FOOT, "talus_r", (5, 10, 0), (110, 260), (FRONT, SIDE, OTHER_SIDE), 15,
           {"ankle_angle_r": (-0.5, 0.4)}),
    Region("foot", _FOOT, "calcn_r", (100, 15, 0), (200, 330), ((0, 85), (30, 60), SIDE), 12,
           {"ankle_angle_r": (-0.6, 0.3)}, turn=0),
    Region("lumbar spine", (*_TORSO, "femur_r", "femur_l"), "torso", (-50, 80, 0), (220, 420),
           (FRONT, FRONT, SIDE, BACK), 8, _ARMS_AWAY, weight=1.5),
    Region("trunk", _TRUNK, "torso", (-50, 190, 0), (400, 620), (FRONT, BACK), 6, _ARMS_AWAY,
           weight=2.0, aspect=(0.38, 0.8)),
    Region("chest", _TRUNK, "torso", (-10, 280, 0), (300, 440), (FRONT, BACK, BACK, BACK, SIDE), 8,
           _ARMS_AWAY, weight=1.2),
    Region("neck", _TORSO, "torso", (-20, 460, 0), (160, 280), (FRONT, SIDE), 10),
    Region("skull", ("torso",), "torso", (0, 560, 0), (210, 340), (FRONT, SIDE, OTHER_SIDE), 10,
           weight=1.5),
    Region("skull", ("torso",), "torso", (15, 520, 0), (190, 270), (SIDE, OTHER_SIDE), 4,
           aspect=(0.75, 1.2)),
    Region("shoulder", ("torso", "humerus_r", "ulna_r", "radius_r"), "humerus_r", (0, -40, -20),
           (170, 360), (FRONT, FRONT, BACK, (45, 0)), 15,
           {"arm_add_r": (-1.5, 0.0), "arm_rot_r": (-0.8, 0.8), "arm_flex_r": (-0.3, 0.5)},
           weight=1.3),
    Region("upper arm", (*_ARM, "torso"), "humerus_r", (0, -150, 0), (220, 420),
           pose={"arm_add_r": (-1.5, -0.3), "elbow_flex_r": (0, 1.6), "arm_rot_r": (-1, 1)}),
    Region("elbow", _ARM, "ulna_r", (0, -10, 0), (110, 280), (FRONT, SIDE), 25,
           {"elbow_flex_r": (0, 1.7), "pro_sup_r": (0, 1.5)}),
    Region("forearm", _ARM, "ulna_r", (0, -125, 0), (180, 400), (FRONT, SIDE, BACK), 25,
           {"elbow_flex_r": (0, 1.6), "pro_sup_r": (0, 1.5)}, weight=1.3),
    Region("wrist", ("ulna_r", "radius_r", "hand_r"), "hand_r", (0, -10, 0), (90, 200), _HAND, 15,
           {"wrist_flex_r": (-0.4, 0.4), "wrist_dev_r": (-0.3, 0.4)}, weight=0.6),
    Region("hand", ("ulna_r", "radius_r", "hand_r"), "hand_r", (0, -80, 0), (160, 300), _HAND, 15,
           {"wrist_flex_r": (-0.3, 0.3), "wrist_dev_r": (-0.3, 0.4)}, weight=1.0),
    Region("hand", _WRIST, "capitate", (0, -70, 0), (160, 330), _HAND, 15, _FINGERS, weight=1.4,
           turn=180),
    Region("wrist", _WRIST, "capitate", (0, 0, 0), (90, 220), _HAND, 15, _FINGERS, weight=0.6,
           turn=180),
    Region("whole body", (*_TRUNK, "tibia_r", "tibia_l", "patella_r", "patella_l",
           "ulna_r", "ulna_l", "radius_r", "radius_l"), "torso", (-50, 150, 0), (700, 1500),
           (FRONT, BACK), 5, {**_ARMS_AWAY, **_STANDING}, weight=0.5, aspect=(0.3, 0.6)),
)  # fmt: skip


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


def regions_of(skeleton: Skeleton) -> list[Region]:
    """The regions whose bodies a skeleton has; if there are none, each body alone."""
    bodies = {bone.body for bone in skeleton.bones}
    known = [region for region in REGIONS if set(region.bodies[:2]) <= bodies]
    if known:
        return [replace(region, bodies=tuple(b for b in region.bodies if b in bodies))
                for region in known if region.aim in bodies]  # fmt: skip
    return [_alone(skeleton, body) for body in sorted(bodies)]


def _alone(skeleton: Skeleton, body: str) -> Region:
    points = np.concatenate([b.surface.points for b in skeleton.bones if b.body == body])
    low, high = points.min(axis=0), points.max(axis=0)
    x, y, z = ((low + high) / 2).tolist()
    span = float((high - low).max())
    everything = tuple(sorted({bone.body for bone in skeleton.bones}))
    return Region(body, everything, body, (x, y, z), (0.8 * span, 1.6 * span))


def draw_scene(rng: Rng, skeleton: Skeleton, region: Region, size: tuple[int, int]) -> Scene:
    """A random person, posed and framed as a region asks, on a film of (height, width) pixels."""
    known = skeleton.coordinates
    pose = {name: float(rng.uniform(*span)) for name, span in region.pose.items() if name in known}
    subject = draw_subject(rng, skeleton, set(region.bodies), pose)
    place = subject.places[region.aim]
    azimuth, elevation = region.projections[rng.integers(len(region.projections))]
    sway = np.clip(rng.normal(0, 1, 3), -2, 2) * region.sway
    turn = region.turn + (180.0 if rng.random() < 0.08 else 0.0)
    to_camera = _looking(azimuth + sway[0], elevation + 0.5 * sway[1], turn + sway[2])

    long = float(rng.uniform(*region.span)) * subject.size
    if rng.random() < 0.15:  # a detail, or a crop
        long *= float(rng.uniform(0.45, 0.8))
    height, width = size
    pitch = long / max(height, width)  # at the body
    distance = float(rng.uniform(950, 1400)) + (long if long > 500 else 0)
    gap = float(rng.uniform(30, 90)) * subject.size  # from the middle of the body to the detector
    middle = np.array(region.at) * subject.size
    middle = middle + rng.normal(0, region.wander, 3) * long * np.array([0.3, 1, 0.5])
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


def projection_of(azimuth: float) -> str:
    """The name of the projection from an azimuth in degrees, 0 being the front."""
    aside = abs(np.sin(np.radians(azimuth)))
    return "frontal" if aside < 0.35 else "lateral" if aside > 0.94 else "oblique"


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
    camera, subject = scene.camera, scene.subject
    near = [np.linalg.norm(scene.aim - subject.places[body][:3, 3]) for body in ANCHORS]
    anchor = ANCHORS[int(np.argmin(near))]
    distance = camera.distance - scene.gap
    return atlas.vary(rng).project(
        anchor,
        subject.places[anchor],
        subject.scales.get(anchor, np.full(3, subject.size)),
        scene.frame,
        scene.aim,
        (camera.height, camera.width),
        camera.pitch * distance / camera.distance,
        distance,
    )


def expose_for(rng: Rng, paths: Paths, part: str) -> Exposure:
    """An exposure suited to the thickness: harder and longer for thicker bodies."""
    flesh = paths.muscle + paths.fat
    body = flesh > 5.0
    thick = float(np.median(flesh[body])) if body.any() else 50.0
    kvp = float(np.clip(48 + 0.25 * thick + rng.normal(0, 8), 45, 120))
    drawn = replace(Exposure.draw(rng), kvp=kvp)
    shadow = paths if not body.any() else paths.where(body)
    through = float(np.median(transmit(shadow, kvp)))
    least = 1000 if rng.random() < 0.05 else 5000
    behind = float(np.exp(rng.uniform(np.log(least), np.log(200_000))))  # photons per pixel
    # Detector noise is some percent of the signal behind the body, not of the beam.
    own = drawn.electronic * through * float(rng.uniform(1, 5))
    drawn = replace(drawn, photons=behind / max(through, 1e-4), electronic=own)
    if thick < 90:
        return _overexposed(rng, drawn) if rng.random() < 0.15 else drawn
    # A grid before the detector takes most of the scatter of a trunk. Such films are
    # processed most, to show the lungs. Old, unprocessed films lack that latitude: their curve
    # blackens everything beside the central bones.
    scatter = drawn.scatter * float(rng.uniform(0.15, 0.6))
    if part == "skull" and rng.random() < 0.6:  # the profile of the face is shown too
        return replace(
            drawn,
            scatter=scatter,
            black=float(rng.uniform(-0.15, 0.08)),
            white=float(rng.uniform(0.75, 1.2)),
            gamma=float(rng.uniform(0.5, 1.1)),
            steepness=float(rng.uniform(1, 4)),
            level=max(0.0, float(rng.uniform(-0.5, 0.6))),
        )
    if part not in _WITH_LUNGS and rng.random() < 0.4:
        return replace(
            drawn,
            scatter=scatter,
            black=float(rng.uniform(-0.1, 0.35)),
            white=float(rng.uniform(0.7, 1.3)),
            gamma=float(np.exp(rng.uniform(np.log(0.7), np.log(2.8)))),
            steepness=float(rng.uniform(1, 6)),
        )
    return replace(
        drawn,
        scatter=scatter,
        detail=drawn.detail + float(rng.uniform(0.4, 2.2)),
        black=float(rng.uniform(-0.15, 0.05)),
        gamma=float(rng.uniform(0.6, 1.1)),
        steepness=float(rng.uniform(1, 3)),
        level=max(0.0, float(rng.uniform(-0.8, 0.85))),
    )


def _overexposed(rng: Rng, exposure: Exposure) -> Exposure:
    """A limb on a dark film: soft tissue is black, and so are the thin sides of bones."""
    return replace(
        exposure,
        black=float(rng.uniform(0.15, 0.5)),
        white=float(rng.uniform(0.8, 1.2)),
        gamma=float(np.exp(rng.uniform(np.log(0.9), np.log(2.2)))),
        detail=float(rng.uniform(0.0, 0.6)),
    )


def _grain(rng: Rng, shape: tuple[int, ...], pitch: float) -> NDArray[np.float32]:
    """Trabecular texture with mean 1, elongated in one direction, finer than visible.

    Many films show almost none: osteoporosis, a large focal spot, a coarse detector.
    """
    total = np.ones(shape, np.float32)
    strongest = 0.3 if rng.random() < 0.6 else 0.06
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
) -> Film:
    """Make the film of this seed, of a random region (or the named one) of one of the skeletons.

    It fits into `size` (height, width) and fills it in one direction, as regions have their own
    aspect ratios. `atlases` are those of each skeleton (`organs.read_organs`), used for most trunks
    and heads. With `each`, the film has the mask of each bone. Some films show no bone. The same arguments give the same bytes. Raises UsageError
    for a film under 32 x 32, or a region that no skeleton has.
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
    scene = draw_scene(rng, skeletons[index], chosen, _shape(rng, chosen, size))
    known = atlases[index] if atlases and set(ANCHORS) & set(chosen.bodies) else ()
    atlas = known[int(rng.integers(len(known)))] if known and rng.random() < WITH_ORGANS else None
    paths = measure(rng, scene, atlas)
    bones = _outlines(scene) if each else {}
    if rng.random() < 0.03:
        paths = replace(paths.without_bone(), envelope=np.zeros_like(paths.envelope))
        bones = {}
    return take_film(rng, paths, scene.camera.pitch, chosen.name, scene.projection, bones)


def take_film(
    rng: Rng,
    paths: Paths,
    pitch: float,
    part: str,
    projection: str = "",
    bones: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Film:
    """Expose these path lengths, with clutter, as a film of the left or the right side."""
    paths = add_objects(rng, paths, pitch, part)
    exposure = expose_for(rng, paths, part)
    pixels, hidden = film_of(paths, exposure, rng)
    names, masks = list(bones or {}), [paths.mask, hidden, *(bones or {}).values()]
    labels = np.zeros(hidden.shape, np.uint64)  # a bit for each mask: framed together
    for bit, one in enumerate(masks):
        labels |= one.astype(np.uint64) << np.uint64(bit)
    pixels, labels = frame_film(rng, pixels, labels)
    left = bool(rng.random() < 0.5)
    if left:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    mask, hidden, *each = (labels >> np.uint64(bit) & np.uint64(1) > 0 for bit in range(len(masks)))
    view = View(0.0, "L" if left else "R", pitch, exposure, projection)
    found = {name: one for name, one in zip(names, each, strict=True) if one.any()}
    return Film(np.ascontiguousarray(pixels), mask, part, view, hidden, found)


def _outlines(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """The mask of each bone of a scene: bool (H, W)."""
    return {
        part.name: scene.camera.outline(points, part.triangles, MASK_PATH_MM)
        for part, points in zip(scene.subject.parts, scene.outer, strict=True)
    }


def _shape(rng: Rng, region: Region, size: tuple[int, int]) -> tuple[int, int]:
    """The largest film of a shape that suits the region and fits into `size`."""
    low, high = region.aspect or (0.7, 1.35)
    aspect = float(np.exp(rng.uniform(np.log(low), np.log(high))))  # width to height
    height = min(float(size[0]), size[1] / aspect)
    return max(MIN_SIDE, round(height)), max(MIN_SIDE, round(height * aspect))
