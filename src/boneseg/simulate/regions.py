"""Body regions as imaged clinically: bodies on the film, pose, field and projections."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from boneseg.simulate.skeleton import Skeleton

# Projections as (azimuth, elevation) in degrees about the centred body: from the front 0, from
# behind 180, from its right 90; from above +90.
FRONT, BACK, SIDE, OTHER_SIDE = (0.0, 0.0), (180.0, 0.0), (90.0, 0.0), (-90.0, 0.0)


@dataclass(frozen=True)
class Region:
    """A body region as imaged clinically. Lengths are in mm of an adult."""

    name: str
    bodies: tuple[str, ...]
    aim: str  # the body whose frame is used
    at: tuple[float, float, float]  # the middle of the field, in that frame
    span: tuple[float, float]  # longer side of the field: minimum, maximum
    projections: tuple[tuple[float, float], ...] = (FRONT, SIDE)
    angle_spread: float = 12.0  # degrees, of every angle
    pose: dict[str, tuple[float, float]] = field(default_factory=dict)  # radians, from, to
    offset_spread: float = 0.1  # maximum offset of the centre, fraction of the field
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
# A leg that stands: a bent knee would tilt the plateau into the condyles, and the foot downwards.
_STRAIGHT = {"knee_angle_r": (0.0, 0.15), "ankle_angle_r": (0.0, 0.35)}
_FINGERS = {
    "MCP2_flex": (-0.1, 0.6), "PIP_flex": (0.0, 0.7), "DIP_flex": (0.0, 0.5),
    "MCP2_lateral": (-0.2, 0.2), "thumb_abd": (-0.7, 0.1), "thumb_flex": (-0.3, 0.5),
    "deviation": (-0.3, 0.3), "flexion": (-0.3, 0.3), "pro_sup": (-0.3, 0.9),
}  # fmt: skip
_HAND = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (45.0, 0.0), (180.0, 0.0), (90.0, 0.0))

REGIONS: tuple[Region, ...] = (
    Region("full leg", ("pelvis", *_LEG, "talus_r", "calcn_r", "toes_r"), "femur_r", (0, -380, 0),
           (820, 1250), (FRONT,), 8, {**_STRAIGHT, **_STANDING},
           weight=1.8, offset_spread=0.05, aspect=(0.11, 0.35)),
    Region("full leg", ("pelvis", *_LEG), "femur_r", (0, -130, 0), (280, 560), (FRONT,), 8,
           {**_STRAIGHT, **_STANDING}, weight=0.8, aspect=(0.22, 0.55)),
    Region("full leg", (*_LEG, "talus_r", "calcn_r", "toes_r"), "tibia_r", (0, -120, 0),
           (280, 560), (FRONT,), 8, _STRAIGHT, weight=0.4, aspect=(0.22, 0.55)),
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
           {"knee_angle_r": (0.0, 0.4)}, offset_spread=0.12, weight=3.5),
    Region("knee", _LEG, "tibia_r", (0, 0, 0), (80, 115), (FRONT,), 5,
           {"knee_angle_r": (0.0, 0.15)}, offset_spread=0.04, weight=3.5, aspect=(0.85, 1.15)),
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
    Region("skull", ("torso",), "torso", (15, 520, 0), (180, 270), (SIDE, OTHER_SIDE), 4,
           weight=2.5, aspect=(0.75, 1.2)),
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


def projection_of(azimuth: float) -> str:
    """The name of the projection from an azimuth in degrees, 0 being the front."""
    aside = abs(np.sin(np.radians(azimuth)))
    return "frontal" if aside < 0.35 else "lateral" if aside > 0.94 else "oblique"
