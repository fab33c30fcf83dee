"""Organs: meshes of skin and organs, mapped onto a skeleton and filled with voxels.

    atlas = read_organs(Path("organs"), skeleton)[0]      # once, some 20 s

The meshes are those of the Human Reference Atlas (HuBMAP, CC BY 4.0; one glTF file an organ,
`m-liver.glb`, `f-liver.glb` and so on; metres, x to the body's left, y up, z to the front), mapped
onto the skeleton at rest by common landmarks: pelvis, trachea, head. Lungs, stomach, sinuses and
throat are missing and are derived from their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.head import VOXEL as HEAD_VOXEL
from boneseg.simulate.head import Head, read_head
from boneseg.simulate.projector import Array
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.surface import Surface
from boneseg.simulate.tissue import BOWEL, STOMACH, VOXEL, Atlas, Floats, Mask

if TYPE_CHECKING:
    from trimesh import Trimesh

BODIES = ("m", "f")
SOLID = (
    "heart", "liver", "spleen", "pancreas", "kidney-l", "kidney-r", "thymus", "great-vessels",
    "urinary-bladder", "uterus",
)  # fmt: skip
AIRWAYS = ("trachea", "main-bronchus", "larynx")
_WIDEST = 215.0  # mm from the middle: arms are beyond
_FADE = 110.0  # mm below the pelvis over which the volume fades out
_HEAD = 420.0  # mm below the crown: head and neck
_LOW = (-190.0, -230.0, -225.0)  # mm from the pelvis' middle: the volume's corner; front, up, right
_HIGH = (210.0, 790.0, 225.0)


def read_organs(folder: Path, skeleton: Skeleton) -> tuple[Atlas, ...]:
    """The atlas of each body in a folder of organ meshes, mapped onto a skeleton at rest.

    Raises UsageError for a folder without a body's skin and pelvis, for a mesh that cannot be
    read, and for a skeleton without pelvis, torso, skull and ribs.
    """
    found = [one for one in BODIES if (folder / f"{one}-skin.glb").is_file()]
    if not found:
        raise UsageError(f"{folder}: holds no m-skin.glb or f-skin.glb; give a folder of organs")
    bones = _Bones.of(skeleton)
    return tuple(_read_body(folder, body, bones) for body in found)


@dataclass(frozen=True)
class _Bones:
    """Points of the skeleton's bones at rest in the ground frame, mm."""

    rest: Mapping[str, Floats]
    pelvis: Floats
    ribs: Floats
    spine: Floats
    skull: Floats
    all: Floats
    head: tuple[Floats, Floats, Floats]  # skull, jaw and spine, by denser points

    @staticmethod
    def of(skeleton: Skeleton) -> _Bones:
        rest = skeleton.pose({})

        def points(*words: str, fine: bool = False) -> Floats:
            chosen = [
                (_between(bone.surface) if fine else bone.surface.points)
                @ rest[bone.body][:3, :3].T
                + rest[bone.body][:3, 3]
                for bone in skeleton.bones
                if bone.body in ("pelvis", "torso") and any(word in bone.name for word in words)
            ]
            if not chosen:
                raise UsageError(f"organs need a skeleton with a bone called {' or '.join(words)}")
            return np.concatenate(chosen)

        skull, spine = points("skull"), points("spine", "lumbar", "thoracic")
        pelvis, ribs = points("pelvis", "sacrum"), points("rib")
        every = np.concatenate([pelvis, ribs, spine, points("jaw", "skull")])
        head = tuple(points(name, fine=True) for name in ("skull", "jaw", "spine"))
        return _Bones(rest, pelvis, ribs, spine, skull, every, (head[0], head[1], head[2]))


def _between(surface: Surface) -> Floats:
    """The points of a surface, and those between the corners of each triangle: N x 3."""
    corners = surface.points[surface.triangles]
    shares = [(a, b, 4 - a - b) for a in range(4) for b in range(4 - a)]
    inner = [np.tensordot(np.array(one) / 4, corners, ([0], [1])) for one in shares]
    return np.concatenate([surface.points, *inner])


def _load(folder: Path, body: str, organ: str) -> tuple[Floats, Floats] | None:
    """Points spread over an organ's surface, and its vertices: front, up, right, mm, N x 3.

    None if there is no such mesh.
    """
    path = folder / f"{body}-{organ}.glb"
    if not path.is_file():
        return None
    mesh = _mesh(path)
    return _spread(mesh, VOXEL), turned(np.asarray(mesh.vertices))


def _mesh(path: Path) -> Trimesh:
    """The mesh of a file. Raises UsageError for one that cannot be read."""
    import trimesh

    try:
        mesh = trimesh.load(path, force="mesh", process=False, skip_materials=True)
        if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
            raise ValueError("no triangles")
    except Exception as error:  # a damaged file can raise anything in the parser
        raise UsageError(f"{path}: cannot be read ({error}); give a glTF binary mesh") from None
    return mesh


def _spread(mesh: Trimesh, voxel: float) -> Floats:
    """Points spread over a surface, several for each voxel (mm) that it crosses: N x 3."""
    from trimesh.sample import sample_surface

    points, _ = sample_surface(mesh, int(mesh.area * 1e6 / voxel**2 * 10) + 1000, seed=0)
    return turned(np.asarray(points))


def _head_skin(path: Path) -> Floats:
    """Points spread over the skin of head and neck, for the voxels of `head`: N x 3."""
    import trimesh

    skin = _mesh(path)
    heights = skin.triangles_center[:, 1]
    above = heights > skin.vertices[:, 1].max() - _HEAD / 1000
    return _spread(trimesh.Trimesh(skin.vertices, skin.faces[above], process=False), HEAD_VOXEL)


def turned(points: Floats) -> Floats:
    """Points of the atlas as front, up, right, mm: N x 3."""
    return np.asarray(np.stack([points[:, 2], points[:, 1], -points[:, 0]], axis=1) * 1000)


def _read_body(folder: Path, body: str, bones: _Bones) -> Atlas:
    meshes = {
        organ: found
        for organ in ("skin", "pelvis", *SOLID, *BOWEL, *AIRWAYS)
        if (found := _load(folder, body, organ)) is not None
    }
    for organ in ("skin", "pelvis", "trachea", "liver", "spleen", "heart"):
        if organ not in meshes:
            raise UsageError(
                f"{folder}: {body}-{organ}.glb is missing, which places the organs; add it"
            )
    fit = _Fit.of({organ: corners for organ, (_, corners) in meshes.items()}, bones)
    middle = (bones.pelvis.min(0) + bones.pelvis.max(0)) / 2
    first = middle + _LOW
    shape = tuple(((np.array(_HIGH) - _LOW) / VOXEL).astype(int))
    grid = _Grid(first, (shape[0], shape[1], shape[2]))
    path = folder / f"{body}-skin.glb"
    try:
        head = read_head(fit(_head_skin(path)), *bones.head, bones.rest)
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give the skin of a whole body") from None
    organs = {organ: fit(spread) for organ, (spread, _) in meshes.items()}
    return _filled(grid, organs, bones, head)


@dataclass(frozen=True)
class _Fit:
    """The mapping of an atlas onto a skeleton: by levels, with a scale and a shift at each."""

    levels: Floats  # of the atlas, mm
    heights: Floats  # the heights they are mapped to
    front: Floats  # N x 3: the atlas' middle, its scale, the skeleton's middle
    right: Floats

    @staticmethod
    def of(corners: Mapping[str, Floats], bones: _Bones) -> _Fit:
        skin, pelvis, trachea = corners["skin"], corners["pelvis"], corners["trachea"]
        head = skin[skin[:, 1] > skin[:, 1].max() - 170]
        low, high = trachea[:, 1].min(), trachea[:, 1].max()
        chest = bones.ribs[:, 1].max()
        carina = chest - 75.0  # below the collar bones: between the fourth and fifth vertebra
        levels = [pelvis[:, 1].min(), pelvis[:, 1].max(), low, high, skin[:, 1].max()]
        heights = [bones.pelvis[:, 1].min(), bones.pelvis[:, 1].max(), carina, chest + 40.0,
                   bones.skull[:, 1].max() + 7.0]  # fmt: skip
        back = trachea[trachea[:, 1] < low + 20][:, 0].mean()
        near = bones.spine[np.abs(bones.spine[:, 1] - carina) < 15]
        sides = np.concatenate([corners["liver"], corners["spleen"]])
        at = float(np.interp(sides[:, 1].mean(), levels, heights))
        cage = bones.ribs[np.abs(bones.ribs[:, 1] - at) < 25]
        wide = [
            np.ptp(bones.pelvis[:, 2]) / np.ptp(pelvis[:, 2]),
            0.9 * np.ptp(cage[:, 2]) / np.ptp(sides[:, 2]),
            (np.ptp(bones.skull[:, 2]) + 14) / np.ptp(head[:, 2]),
        ]
        deep = (np.ptp(bones.skull[:, 0]) + 14) / np.percentile(np.ptp(head[:, 0]), 50)
        front = [
            ((pelvis[:, 0].min() + pelvis[:, 0].max()) / 2, 1.0,
             (bones.pelvis[:, 0].min() + bones.pelvis[:, 0].max()) / 2),
            (back, 1.0, np.percentile(near[:, 0], 95) + 12),
            ((head[:, 0].min() + head[:, 0].max()) / 2, deep,
             (bones.skull[:, 0].min() + bones.skull[:, 0].max()) / 2 + 4),
        ]  # fmt: skip
        knots = [0, 0, 1, 1, 2]  # the index of these at each level
        right = [(0.0, one, 0.0) for one in wide]
        return _Fit(
            np.array(levels), np.array(heights),
            np.array([front[i] for i in knots]), np.array([right[i] for i in knots]),
        )  # fmt: skip

    def __call__(self, points: Floats) -> Floats:
        level = points[:, 1]
        slope = (self.heights[1] - self.heights[0]) / (self.levels[1] - self.levels[0])
        up = np.interp(level, self.levels, self.heights)
        up += slope * np.minimum(level - self.levels[0], 0)  # the thighs continue

        def moved(axis: int, by: Floats) -> Floats:
            old, scale, new = (np.interp(level, self.levels, by[:, i]) for i in range(3))
            return np.asarray((points[:, axis] - old) * scale + new)

        return np.stack([moved(0, self.front), up, moved(2, self.right)], axis=1)


@dataclass(frozen=True)
class _Grid:
    """Voxels of `VOXEL` mm; `first` is the middle of the first in the ground frame, mm."""

    first: Floats
    shape: tuple[int, int, int]

    def marked(self, points: Floats) -> Mask:
        """The voxels that hold a point."""
        at = np.rint((points - self.first) / VOXEL).astype(np.intp)
        at = at[((at >= 0) & (at < self.shape)).all(axis=1)]
        marks = np.zeros(self.shape, bool)
        marks[tuple(at.T)] = True
        return marks

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Coordinates along the three axes, to be broadcast."""
        front, up, right = (self.first[i] + VOXEL * np.arange(self.shape[i]) for i in range(3))
        return front[:, None, None], up[None, :, None], right[None, None, :]


def _solid(grid: _Grid, points: Floats) -> Mask:
    """The inside of a surface with gaps: enclosed in slices along at least two of three axes."""
    from scipy.ndimage import binary_closing

    shell = binary_closing(grid.marked(points), iterations=1)
    votes = sum(_filled_slices(shell, axis).astype(np.uint8) for axis in range(3))
    return np.asarray((votes >= 2) | shell, bool)


def _filled_slices(shell: Mask, axis: int) -> Mask:
    from scipy.ndimage import binary_fill_holes

    filled = np.moveaxis(shell.copy(), axis, 0)
    for index in np.flatnonzero(filled.any(axis=(1, 2))):
        filled[index] = binary_fill_holes(filled[index])
    return np.moveaxis(filled, 0, axis)


def _filled(grid: _Grid, organs: Mapping[str, Floats], bones: _Bones, head: Head) -> Atlas:
    from scipy.ndimage import binary_dilation, binary_erosion, distance_transform_edt

    x, y, z = grid.axes()
    shell = binary_dilation(grid.marked(organs["skin"]), iterations=2)
    shell = binary_erosion(shell, iterations=2, border_value=1)
    shell[:, :, [0, -1]] = True  # where the arms are clipped
    inside = _filled_slices(shell, 1)
    for name in ("pelvis", "ribs", "skull"):
        inside |= _hull(grid, getattr(bones, name))
    inside &= np.abs(z) < _WIDEST
    depth = distance_transform_edt(inside, sampling=VOXEL)
    depth = np.where(inside, depth, -distance_transform_edt(~inside, sampling=VOXEL))
    wall = distance_transform_edt(~grid.marked(bones.all), sampling=VOXEL)

    names, organ = [], np.zeros(grid.shape, np.uint8)
    for name in (*BOWEL, *SOLID):  # later ones overwrite earlier ones
        if name in organs:
            names.append(name)
            organ[_solid(grid, organs[name])] = len(names)
    dome = _dome(grid, (organ == names.index("liver") + 1) | (organ == names.index("spleen") + 1))
    spleen = organs["spleen"]
    centre = spleen.mean(0) + np.array(
        [55, -5, 45]
    )  # in front of the spleen and towards the middle
    sack = ((x - centre[0]) / 45) ** 2 + ((y - centre[1]) / 45) ** 2 + ((z - centre[2]) / 32) ** 2
    names.append(STOMACH)
    organ[(sack < 1) & (organ == 0)] = len(names)
    lung = _pleura(grid, bones, dome, organ, names)
    airways = np.zeros(grid.shape, bool)
    for name in ("trachea", "main-bronchus"):
        if name in organs:
            airways |= _solid(grid, organs[name])
    share = np.clip((y[0, :, 0] - bones.pelvis[:, 1].min() + _FADE) / (_FADE + 20), 0, 1)
    share *= 1 - np.interp(y[0, :, 0], head.levels, head.share)
    return Atlas(
        grid.first, tuple(names), organ, depth.astype(np.float32), lung, wall.astype(np.float32),
        airways & inside, share.astype(np.float32), bones.rest, head,
    )  # fmt: skip


def _hull(grid: _Grid, points: Floats) -> Mask:
    """The voxels within the convex hull of points, level by level."""
    return _hull_depth(grid, points, 15.0) > 0


def _hull_depth(grid: _Grid, points: Floats, reach: float) -> Array:
    """How deep (mm) each voxel lies within the hull of the points within `reach` of its level."""
    from scipy.spatial import ConvexHull, QhullError

    x, y, z = grid.axes()
    deep = np.full(grid.shape, -999, np.float32)
    for index in range(grid.shape[1]):
        near = points[np.abs(points[:, 1] - y[0, index, 0]) < reach][:, [0, 2]]
        if len(near) < 8:
            continue
        try:
            faces = ConvexHull(near[:: max(1, len(near) // 2000)]).equations
        except QhullError:
            continue
        away = np.max([a * x[:, 0, :] + b * z[:, 0, :] + c for a, b, c in faces], axis=0)
        deep[:, index, :] = -away
    return deep


def _dome(grid: _Grid, below: Mask) -> Floats:
    """The diaphragm's height (mm) over each column: smooth, and resting on liver and spleen."""
    from scipy.ndimage import gaussian_filter

    _, y, _ = grid.axes()
    top = np.where(below.any(axis=1), (below * y).max(axis=1), 0.0)
    known = (top > 0).astype(float)
    wide = 8.0
    height = gaussian_filter(top, wide) / np.maximum(gaussian_filter(known, wide), 1e-6)
    height[gaussian_filter(known, wide) < 1e-4] = top[top > 0].mean()
    return np.asarray(height)


def _pleura(
    grid: _Grid, bones: _Bones, dome: Floats, organ: NDArray[np.uint8], names: list[str]
) -> Array:
    """How deep (mm) each voxel lies in the pleural space; negative outside it."""
    from scipy.ndimage import distance_transform_edt

    x, y, z = grid.axes()
    arms = np.abs(bones.ribs[:, 2]) < 0.86 * np.abs(bones.ribs[:, 2]).max()  # less the scapulae
    cage = _hull_depth(grid, bones.ribs[arms], 22.0)
    rim = np.clip(1 - cage / 45, 0, 1)  # the diaphragm falls off towards the ribs
    above = y - (dome[:, None, :] - 75 * rim**2)
    central = [index for index, name in enumerate(names, 1) if name in ("heart", "great-vessels")]
    middle = distance_transform_edt(~np.isin(organ, central), sampling=VOXEL) - 6
    beside = distance_transform_edt(organ == 0, sampling=VOXEL) - VOXEL
    levels = [bones.spine[np.abs(bones.spine[:, 1] - up) < 12][:, 0] for up in y[0, :, 0]]
    column = np.array([np.median(front) if len(front) else -1e3 for front in levels])
    spine = np.hypot(x - column[None, :, None], z) - 27
    strip = np.abs(z) - 14 + 0 * x + 0 * y
    top = bones.ribs[:, 1].max() - 5
    half = np.percentile(np.abs(bones.ribs[bones.ribs[:, 1] < top - 150][:, 2]), 99) - 7
    dome_of_pleura = (np.maximum(y - (top - 170), 0) / 170) ** 2
    apex = half * (1 - np.sqrt(dome_of_pleura + (z / half) ** 2)) + 0 * x
    deep = np.minimum.reduce([cage - 7, above, middle, beside, spine, strip, apex])
    return np.asarray(deep, np.float32)
