"""A skeleton: bones, and the joints that place them. Read from an OpenSim model and its meshes.

    skeleton = read_skeleton(Path("meshes"), Path("models/Rajagopal2016.osim"))
    placed = skeleton.pose({"knee_angle_r": 0.4})     # body: 4 x 4, from its frame to the ground's

Lengths are mm. In the ground frame of such models x is to the front, y up, z to the body's right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.cartilage import without_cartilage
from boneseg.simulate.surface import SUFFIXES, Surface, read_surface

Matrix = NDArray[np.float64]
_METRE = 1000.0  # OpenSim writes metres
_LEAST = 5.0  # mm; a smaller skeleton has its lengths in metres
_SOCKET_RADIUS = 25.0  # mm, of an adult's hip joint
_SOCKET_REACH = 15.0  # mm: how far along each axis a model's hip may be from its socket
_SOCKET_POINTS = 100  # fewer than these on the wall of a socket are none
_FIBULA_BELOW = 15.0  # mm: how far an adult's fibula begins below the top of the tibia


@dataclass(frozen=True)
class Bone:
    """A surface in the frame of the body that carries it, mm."""

    name: str  # of its mesh
    body: str
    surface: Surface


@dataclass(frozen=True)
class Coordinate:
    """A joint's degree of freedom: radians, or mm."""

    default: float
    low: float
    high: float


@dataclass(frozen=True)
class Joint:
    """A body's position in its parent: a frame in the parent, a motion, a frame in the body."""

    parent: str
    child: str
    before: Matrix
    own: Matrix
    motion: Callable[[Mapping[str, float]], Matrix]


@dataclass(frozen=True)
class Skeleton:
    """Bones, joints from the root outwards, and coordinates; `coupled` ones follow another."""

    bones: tuple[Bone, ...]
    joints: tuple[Joint, ...] = ()
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)
    coupled: Mapping[str, tuple[str, Callable[[float], float]]] = field(default_factory=dict)

    def pose(
        self, asked: Mapping[str, float], scales: Mapping[str, NDArray[np.float64]] | None = None
    ) -> dict[str, Matrix]:
        """Return the placement of every body, 4 x 4; coordinates not given are at rest.

        Values are clipped to each joint's limits. `scales` stretch bodies along their own
        axes, and with them the places of their joints. Raises UsageError for an unknown name.
        """
        values = {name: one.default for name, one in self.coordinates.items()}
        for name, value in asked.items():
            if name not in values:
                raise UsageError(f"the skeleton has no joint coordinate {name!r}")
            one = self.coordinates[name]
            values[name] = min(max(value, one.low), one.high)
        for name, (leader, follow) in self.coupled.items():
            values[name] = follow(values[leader])
        placed: dict[str, Matrix] = {"ground": np.eye(4)}
        scales = scales or {}
        for joint in self.joints:
            before = _stretched(joint.before, scales.get(joint.parent))
            own = _stretched(joint.own, scales.get(joint.child))
            motion = _stretched(joint.motion(values), scales.get(joint.parent))
            placed[joint.child] = placed[joint.parent] @ before @ motion @ np.linalg.inv(own)
        for bone in self.bones:
            placed.setdefault(bone.body, np.eye(4))
        return placed


def read_skeleton(meshes: Path, model: Path | None = None) -> Skeleton:
    """The bones of a folder of meshes, placed by an OpenSim 4 model where there is one.

    Without one, every mesh is a body of its own that stays where its file has it, in mm. Raises
    UsageError for a folder without meshes, for meshes in metres without a model, or a model that
    cannot be read.
    """
    files = {
        path.name.lower(): path
        for path in (sorted(meshes.iterdir()) if meshes.is_dir() else [])
        if path.suffix.lower() in SUFFIXES
    }
    if not files:
        raise UsageError(
            f"{meshes}: contains no meshes; give a folder of VTP, STL, OBJ or PLY files"
        )
    if model is None:
        alone = tuple(Bone(path.stem, path.stem, read_surface(path)) for path in files.values())
        longest = max(float(np.ptp(bone.surface.points, axis=0).max()) for bone in alone)
        if longest < _LEAST:
            raise UsageError(
                f"{meshes}: the longest bone measures {longest:.2g} mm; give meshes in mm, or the "
                "OpenSim model of those in metres"
            )
        return Skeleton(alone)
    try:
        root = ElementTree.parse(model).getroot().find("Model")
        if root is None:
            raise ValueError("it has no Model")
        joints = _in_order([_joint(element) for element in root.iterfind("JointSet/objects/*")])
        coordinates = dict(_coordinate(one) for one in root.iter("Coordinate"))
        coupled = dict(_coupled(root))
        bones = tuple(_bones(root, files))
        joints = tuple(_seated(joint, bones) for joint in joints)
    except (OSError, ElementTree.ParseError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{model}: is not an OpenSim 4 model that can be read ({error})") from None
    if not bones:
        raise UsageError(f"{model}: none of its meshes is in {meshes}")
    return Skeleton(bones, joints, coordinates, coupled)


def _bones(root: ElementTree.Element, files: Mapping[str, Path]) -> list[Bone]:
    bones = []
    for body in root.iterfind("BodySet/objects/Body"):
        for mesh in body.iter("Mesh"):
            path = files.get((mesh.findtext("mesh_file") or "").strip().lower())
            if path is None:
                continue
            surface = without_cartilage(path.stem, read_surface(path, _METRE))
            scale = _numbers(mesh.findtext("scale_factors") or "1 1 1")
            bones.append(
                Bone(
                    path.stem,
                    str(body.get("name")),
                    Surface(surface.points * scale, surface.triangles),
                )
            )
    return [_raised(bone, bones) if "fibula" in bone.name else bone for bone in bones]


def _raised(fibula: Bone, bones: list[Bone]) -> Bone:
    """A fibula whose head is beside the tibia's: the models' meshes have it 39 mm below its top."""
    tops = [
        float(bone.surface.points[:, 1].max())
        for bone in bones
        if bone.body == fibula.body and "tibia" in bone.name
    ]
    if not tops:
        return fibula
    points = fibula.surface.points.copy()
    points[:, 1] += max(tops) - _FIBULA_BELOW - points[:, 1].max()
    return replace(fibula, surface=Surface(points, fibula.surface.triangles))


def _seated(joint: Joint, bones: Sequence[Bone]) -> Joint:
    """A hip whose head is in its socket: a model's joint may be 20 mm in front of and below it."""
    if not ("pelvis" in joint.parent and "femur" in joint.child):
        return joint
    hip = joint.before[:3, 3]
    own = [b for b in bones if b.body == joint.parent and "sacrum" not in b.name]
    own = [b for b in own if np.sign(b.surface.points[:, 2].mean()) == np.sign(hip[2])]
    found = [centre for bone in own if (centre := _socket(bone.surface, hip)) is not None]
    if len(found) != 1:
        return joint
    before = joint.before.copy()
    before[:3, 3] = found[0]
    return replace(joint, before=before)


def _socket(surface: Surface, near: Matrix) -> Matrix | None:
    """The centre of the socket of a hip bone (3, mm): of the sphere that fits its facing wall.

    near: a point less than `_SOCKET_REACH` from it along each axis. None if there is no socket.
    """
    best, most = None, _SOCKET_POINTS
    for start in product((-_SOCKET_REACH, 0.0, _SOCKET_REACH), repeat=3):
        centre, radius = near + start, _SOCKET_RADIUS
        for _ in range(30):
            ray = centre - surface.points
            distance = np.linalg.norm(ray, axis=1)
            faces = (surface.normals * ray).sum(axis=1) > 0.75 * distance
            wall = surface.points[faces & (np.abs(distance - radius) < 5)]
            if len(wall) < most:
                break
            # |p - c|^2 = r^2 is linear in c and r^2 - |c|^2.
            terms = np.column_stack([2 * wall, np.ones(len(wall))])
            *solved, rest = np.linalg.lstsq(terms, (wall**2).sum(axis=1), rcond=None)[0]
            centre = np.array(solved)
            radius = math.sqrt(max(0.0, float(rest + centre @ centre)))
        else:
            best, most = centre, len(wall) + 1
    return best


def _joint(element: ElementTree.Element) -> Joint:
    frames = {frame.get("name"): frame for frame in element.iter("PhysicalOffsetFrame")}

    def place(socket: str) -> tuple[str, Matrix]:
        name = (element.findtext(socket) or "").strip().rpartition("/")[2]
        frame = frames.get(name)
        if frame is None:
            return name, np.eye(4)
        body = (frame.findtext("socket_parent") or "").strip().rpartition("/")[2]
        matrix = _turn(*_numbers(frame.findtext("orientation") or "0 0 0"))
        matrix[:3, 3] = _numbers(frame.findtext("translation") or "0 0 0") * _METRE
        return body, matrix

    parent, before = place("socket_parent_frame")
    child, own = place("socket_child_frame")
    return Joint(parent, child, before, own, _motion(element))


def _motion(element: ElementTree.Element) -> Callable[[Mapping[str, float]], Matrix]:
    """The motion of a joint as a function of all coordinates."""
    names = [str(one.get("name")) for one in element.iter("Coordinate")]
    kind = element.tag
    if kind == "CustomJoint":
        axes = [_axis(axis) for axis in element.iterfind("SpatialTransform/TransformAxis")]

        def custom(values: Mapping[str, float]) -> Matrix:
            matrix = np.eye(4)
            for axis, amount in axes[:3]:
                matrix = matrix @ _about(axis, amount(values))
            for axis, amount in axes[3:]:
                matrix[:3, 3] += axis * amount(values) * _METRE
            return matrix

        return custom
    turns = {"PinJoint": "z", "UniversalJoint": "xy", "BallJoint": "xyz", "WeldJoint": ""}
    if kind not in turns:
        raise ValueError(f"{kind} is not known")
    unit = dict(zip("xyz", np.eye(3), strict=True))

    def simple(values: Mapping[str, float]) -> Matrix:
        matrix = np.eye(4)
        for axis, name in zip(turns[kind], names, strict=False):
            matrix = matrix @ _about(unit[axis], values[name])
        return matrix

    return simple


def _axis(
    element: ElementTree.Element,
) -> tuple[NDArray[np.float64], Callable[[Mapping[str, float]], float]]:
    axis = _numbers(element.findtext("axis") or "1 0 0")
    names = (element.findtext("coordinates") or "").split()
    function = _function(element)
    return axis, lambda values: function(values[names[0]] if names else 0.0)


def _function(element: ElementTree.Element) -> Callable[[float], float]:
    """The function that an element holds: constant, linear, polynomial, spline, or scaled."""
    for inner in element.iter():
        if inner.tag == "Constant":
            value = float(inner.findtext("value") or 0)
            return lambda _: value
        if inner.tag in ("LinearFunction", "PolynomialFunction"):
            powers = _numbers(inner.findtext("coefficients") or "1 0")
            return lambda x: float(np.polyval(powers, x))
        if inner.tag == "MultiplierFunction":
            factor, scaled = float(inner.findtext("scale") or 1), inner.find("function")
            if scaled is None:
                break
            function = _function(scaled)
            return lambda x: factor * function(x)
        if inner.tag in ("SimmSpline", "NaturalCubicSpline", "PiecewiseLinearFunction"):
            return _spline(inner)
    raise ValueError(f"a function of {element.tag} is not known")


def _spline(element: ElementTree.Element) -> Callable[[float], float]:
    x, y = _numbers(element.findtext("x") or ""), _numbers(element.findtext("y") or "")
    if element.tag == "PiecewiseLinearFunction" or len(x) < 3:
        return lambda at: float(np.interp(at, x, y))
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(x, y, bc_type="natural")
    return lambda at: float(curve(min(max(at, x[0]), x[-1])))


def _coordinate(element: ElementTree.Element) -> tuple[str, Coordinate]:
    low, high = _numbers(element.findtext("range") or "0 0")
    default = float(element.findtext("default_value") or 0)
    return str(element.get("name")), Coordinate(default, float(low), float(high))


def _coupled(root: ElementTree.Element) -> list[tuple[str, tuple[str, Callable[[float], float]]]]:
    found = []
    for one in root.iter("CoordinateCouplerConstraint"):
        leaders = (one.findtext("independent_coordinate_names") or "").split()
        follower = (one.findtext("dependent_coordinate_name") or "").strip()
        holder = one.find("coupled_coordinates_function")
        if len(leaders) == 1 and follower and holder is not None:
            found.append((follower, (leaders[0], _function(holder))))
    return found


def _in_order(joints: list[Joint]) -> tuple[Joint, ...]:
    """The joints, each after the one that places its parent."""
    placed, ordered, left = {"ground"}, [], joints
    while left:
        ready = [joint for joint in left if joint.parent in placed]
        if not ready:
            raise ValueError(f"{left[0].child} has no joint to the ground")
        ordered += ready
        placed |= {joint.child for joint in ready}
        left = [joint for joint in left if joint.child not in placed]
    return tuple(ordered)


def _stretched(frame: Matrix, scale: NDArray[np.float64] | None) -> Matrix:
    """A frame whose origin moves with a body that is stretched."""
    if scale is None:
        return frame
    moved = frame.copy()
    moved[:3, 3] *= scale
    return moved


def _numbers(text: str) -> NDArray[np.float64]:
    return np.array(text.split(), np.float64)


def _turn(x: float, y: float, z: float) -> Matrix:
    """OpenSim's orientation: rotations about x, then the new y, then the new z."""
    unit = np.eye(3)
    return _about(unit[0], x) @ _about(unit[1], y) @ _about(unit[2], z)


def _about(axis: NDArray[np.float64], angle: float) -> Matrix:
    """A rotation by `angle` (radians) about `axis`, 4 x 4 (Rodrigues)."""
    x, y, z = axis / (math.sqrt(float(axis @ axis)) or 1.0)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    return matrix
