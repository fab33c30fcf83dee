"""Pelvis and legs of other people: the bones of an atlas in place of a skeleton's own.

    others = with_atlas_bones(Path("organs"), skeleton)        # a skeleton for each body, a second

The meshes are those of the Human Reference Atlas (HuBMAP, CC BY 4.0): `m-pelvis.glb`,
`f-knee-r.glb` and so on, in metres, x to the body's left, y up, z to the front. Each is turned,
moved and scaled as a whole onto the bone that it replaces, by iterative closest points (Besl and
McKay, 1992); the hip bones and the sacrum together, because their joints do not move.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.organs import BODIES, turned
from boneseg.simulate.skeleton import Bone, Skeleton
from boneseg.simulate.surface import Surface, smooth_surface

if TYPE_CHECKING:
    from trimesh import Trimesh

_SAMPLES = 1500  # points that are matched

# The meshes of a file that make each bone, by words in their names. What remains is cartilage; the
# joint surfaces of the femur are meshes of their own.
_PELVIS = {
    "r_pelvis": ("ilium_compact_bone_R", "ischium_compact_bone_R", "pubis_compact_bone_R"),
    "l_pelvis": ("ilium_compact_bone_L", "ischium_compact_bone_L", "pubis_compact_bone_L"),
    "sacrum": ("sacrum", "coccyx"),
}
# The skeleton keeps its own fibulas: those of one body are blades of 20 x 8 mm.
_LEG = {"tibia": ("tibia_",), "patella": ("patella_",)}
_NOT_FEMUR = ("tibia_", "fibula_", "patella_", "meniscus")


def with_atlas_bones(folder: Path, skeleton: Skeleton) -> tuple[Skeleton, ...]:
    """The skeleton with the pelvis and legs of each body in a folder, where it has these bones.

    Raises UsageError for a mesh that cannot be read.
    """
    own = {bone.name: bone for bone in skeleton.bones}
    others = []
    for body in BODIES:
        found: dict[str, Surface] = {}
        if own.keys() >= _PELVIS.keys() and (folder / f"{body}-pelvis.glb").is_file():
            parts = _parts(folder / f"{body}-pelvis.glb", _PELVIS)
            found |= _placed(parts, {name: own[name].surface for name in parts})
        for side in "rl":
            path = folder / f"{body}-knee-{side}.glb"
            if own.keys() >= {f"{side}_{name}" for name in ("femur", *_LEG)} and path.is_file():
                for name, part in _parts(path, _leg(side)).items():
                    found |= _placed({name: part}, {name: own[name].surface})
        if found:
            others.append(replace(skeleton, bones=tuple(_replaced(skeleton, found))))
    return tuple(others)


def _replaced(skeleton: Skeleton, found: dict[str, Surface]) -> list[Bone]:
    return [
        replace(bone, surface=found[bone.name]) if bone.name in found else bone
        for bone in skeleton.bones
    ]


def _leg(side: str) -> dict[str, tuple[str, ...]]:
    return {f"{side}_{name}": words for name, words in _LEG.items()} | {f"{side}_femur": ()}


def _parts(path: Path, words: dict[str, tuple[str, ...]]) -> dict[str, Trimesh]:
    """The bones in a file, each welded of the meshes whose names contain one of its words.

    Without words it is welded of all that are of no other bone, nor cartilage.
    """
    import trimesh

    meshes, parts = _read(path), {}
    for bone, chosen in words.items():
        own = [
            mesh
            for name, mesh in meshes.items()
            if any(word in name for word in chosen or _NOT_FEMUR) == bool(chosen)
        ]
        if not own:
            raise UsageError(f"{path}: has no mesh of the {bone}; give one of the atlas")
        points = np.concatenate([np.asarray(mesh.vertices) for mesh in own])
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh in own)])
        faces = [np.asarray(mesh.faces) + start for mesh, start in zip(own, starts, strict=False)]
        parts[bone] = trimesh.Trimesh(points, np.concatenate(faces), process=False)
        parts[bone].merge_vertices(merge_tex=True, merge_norm=True)
    return parts


def _read(path: Path) -> dict[str, Trimesh]:
    """The meshes of a file by name: front, up, right, mm."""
    import trimesh

    try:
        scene = trimesh.load(path, process=False)
        if not isinstance(scene, trimesh.Scene) or not scene.geometry:
            raise ValueError("no meshes")
        meshes = {}
        for name, mesh in scene.geometry.items():
            if not isinstance(mesh, trimesh.Trimesh):
                raise ValueError(f"{name} is not a mesh")
            points = turned(np.asarray(mesh.vertices))
            meshes[str(name)] = trimesh.Trimesh(points, mesh.faces, process=False)
    except Exception as error:  # a damaged file can raise anything in the parser
        raise UsageError(f"{path}: cannot be read ({error}); give a glTF binary mesh") from None
    return meshes


def _placed(parts: dict[str, Trimesh], targets: dict[str, Surface]) -> dict[str, Surface]:
    """Parts that move together, brought to the surfaces of the same names by one similarity."""
    points = np.concatenate([np.asarray(mesh.vertices) for mesh in parts.values()])
    goal = np.concatenate([surface.points for surface in targets.values()])
    matrix = _fitted(points, goal)
    placed = {}
    for name, mesh in parts.items():
        moved = mesh.copy()
        moved.apply_transform(matrix)
        placed[name] = smooth_surface(moved)
    return placed


def _fitted(points: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarity that brings points to a surface, 4 x 4."""
    from trimesh.registration import icp

    rng = np.random.default_rng(0)
    some, target = (one[rng.permutation(len(one))[:_SAMPLES]] for one in (points, goal))
    scale = np.ptp(goal, axis=0).max() / np.ptp(points, axis=0).max()
    first = np.diag([scale, scale, scale, 1.0])
    first[:3, 3] = _middle(goal) - scale * _middle(points)
    matrix, _, _ = icp(some, target, initial=first, max_iterations=40, reflection=False)
    return np.asarray(matrix)


def _middle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2)
