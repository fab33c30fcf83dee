"""The surface of a bone: read from a mesh file, welded, smoothed, and hollowed to its cortex.

femur = read_surface(Path("meshes/femur_r.vtp"), scale=1000)    # a file in metres
marrow = femur.inset(cortex)                                     # mm, one for each vertex
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.raster import Points, Triangles

if TYPE_CHECKING:
    from trimesh import Trimesh

SUFFIXES = (".vtp", ".stl", ".obj", ".ply")
_FINE = 6_000  # triangles from which a surface is smooth enough
_SAMPLE, _NEIGHBOURS = 1200, 200  # points, and candidates for the opposite wall
_AROUND = 1.6  # minimum extent of a plate, in multiples of its thickness


@dataclass(frozen=True)
class Surface:
    """A closed surface: `points` float64 N x 3, `triangles` M x 3, anticlockwise from outside."""

    points: Points
    triangles: Triangles

    @cached_property
    def normals(self) -> Points:
        """Outward unit normals of the points, N x 3: those of the faces around, by their area."""
        a, b, c = (self.points[self.triangles[:, i]] for i in range(3))
        face = np.cross(b - a, c - a)
        total = np.zeros_like(self.points)
        for i in range(3):
            np.add.at(total, self.triangles[:, i], face)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.asarray(total / np.maximum(length, 1e-12))

    @property
    def thickness(self) -> NDArray[np.float64]:
        """The bone thickness at each point, N: the distance to the nearest facing wall."""
        return self._walls[0]

    @property
    def flatness(self) -> NDArray[np.float64]:
        """How plate-like the bone is at each point (iliac wing, scapular blade), N: 0 to 1.

        Around it, farther than the plate is thick, the wall runs on as it does there, on one face
        or on the other; at a rim, and everywhere on what is as thick as wide, it turns.
        """
        return self._walls[1]

    @cached_property
    def _walls(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Thickness and flatness, of the points around each: these are too many to be kept."""
        from scipy.spatial import cKDTree

        some = np.random.default_rng(0).permutation(len(self.points))[:_SAMPLE]
        near, which = cKDTree(self.points[some]).query(self.points, k=min(len(some), _NEIGHBOURS))
        turned = np.einsum("nkd,nd->nk", self.normals[some][which], self.normals)
        inward = np.einsum(
            "nkd,nd->nk", self.points[some][which] - self.points[:, None], self.normals
        )
        wall = np.where((turned < -0.4) & (inward < 0), near, np.inf).min(axis=1)
        widest = float(np.ptp(self.points, axis=0).min())
        thickness = np.minimum(wall, max(widest, 1e-3))

        reach = _AROUND * thickness
        within = near < reach[:, None]
        alike = (np.abs(turned) * within).sum(axis=1) / np.maximum(within.sum(axis=1), 1)
        small = near[:, -1] > reach  # of the whole surface; otherwise it is not a plate
        return thickness, np.clip((alike - 0.75) / 0.2, 0, 1) * small

    @cached_property
    def _axes(self) -> Points:
        """The principal axes, 3 x 3, the longest first."""
        centred = self.points - self.points.mean(axis=0)
        few = centred[:: max(1, len(centred) // 2000)]
        return np.asarray(np.linalg.svd(few, full_matrices=False)[2])

    @cached_property
    def _spread(self) -> Points:
        """The points along the principal axes, from the middle: N x 3."""
        return np.asarray((self.points - self.points.mean(axis=0)) @ self._axes.T)

    @property
    def axis(self) -> NDArray[np.float64]:
        """The direction of the long axis, 3."""
        return np.asarray(self._axes[0])

    @cached_property
    def along(self) -> NDArray[np.float64]:
        """Where each point lies on the long axis, N: 0 at one end, 1 at the other."""
        axis = self._spread[:, 0]
        return np.asarray((axis - axis.min()) / max(float(np.ptp(axis)), 1e-9))

    @cached_property
    def length(self) -> float:
        """Along the long axis."""
        return float(np.ptp(self._spread[:, 0]))

    @cached_property
    def slenderness(self) -> float:
        """Length to width."""
        return self.length / max(float(np.ptp(self._spread[:, 1])), 1e-9)

    @cached_property
    def middles(self) -> Points:
        """The middle of the piece that each point belongs to, N x 3: a mesh may hold many bones."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.points)
        ends = self.triangles[:, :2].ravel(), self.triangles[:, 1:].ravel()
        links = coo_array((np.ones(len(ends[0])), ends), (count, count))
        _, piece = connected_components(links, directed=False)
        size = np.bincount(piece)[:, None]
        total = np.stack([np.bincount(piece, self.points[:, i]) for i in range(3)], axis=1)
        return np.asarray((total / size)[piece])

    @property
    def volume(self) -> float:
        """The volume inside, in the cube of its unit; negative if the surface is inverted."""
        a, b, c = (self.points[self.triangles[:, i]] for i in range(3))
        return float(np.einsum("nd,nd->n", a, np.cross(b, c)).sum() / 6)


def read_surface(path: Path, scale: float = 1.0) -> Surface:
    """A mesh file (VTP, STL, OBJ, PLY) as a smooth closed surface, its points times `scale`.

    Corners that coincide are welded, holes of a few edges closed, and coarse meshes subdivided
    (Loop, 1987). Raises UsageError for a file that holds no surface.
    """
    import trimesh

    try:
        if path.suffix.lower() == ".vtp":
            mesh: object = trimesh.Trimesh(*_read_vtp(path), process=False)
        else:
            mesh = trimesh.load(path, force="mesh", process=False, skip_materials=True)
        if not isinstance(mesh, trimesh.Trimesh):
            raise ValueError("no triangles")
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
        mesh.remove_unreferenced_vertices()
        if not len(mesh.faces):
            raise ValueError("no triangles")
    except (OSError, ValueError, KeyError, IndexError, TypeError, ElementTree.ParseError) as error:
        raise UsageError(
            f"{path}: contains no surface ({error}); give VTP, STL, OBJ or PLY"
        ) from None
    return smooth_surface(mesh, scale)


def smooth_surface(mesh: Trimesh, scale: float = 1.0) -> Surface:
    """A welded mesh as a smooth closed surface, its points times `scale`: see `read_surface`."""
    import trimesh

    if not mesh.is_watertight:
        trimesh.repair.fill_holes(mesh)
        trimesh.repair.fix_normals(mesh, multibody=True)
    for _ in range(2):
        if len(mesh.faces) < _FINE:
            mesh = _smoothed(mesh)
    surface = Surface(np.array(mesh.vertices, np.float64) * scale, np.array(mesh.faces, np.intp))
    if surface.volume < 0:
        surface = replace(surface, triangles=surface.triangles[:, ::-1])
    return surface


def _smoothed(mesh: Trimesh) -> Trimesh:
    """One subdivision; without moving its vertices if it is not a manifold."""
    import trimesh

    try:
        points, faces = trimesh.remesh.subdivide_loop(mesh.vertices, mesh.faces, iterations=1)
    except ValueError:
        points, faces = trimesh.remesh.subdivide(mesh.vertices, mesh.faces)
    return trimesh.Trimesh(points, faces, process=False)


def _read_vtp(path: Path) -> tuple[Points, Triangles]:
    """The points and triangles of VTK's XML PolyData: text, or base64, whole or in zlib blocks.

    See "VTK XML Formats" in the VTK manual. Polygons become fans of triangles.
    """
    root = ElementTree.parse(path).getroot()
    piece = root.find("PolyData/Piece")
    if piece is None:
        raise ValueError("it has no PolyData")
    points = piece.find("Points/DataArray")
    polygons = {array.get("Name"): array for array in piece.findall("Polys/DataArray")}
    if points is None or not {"connectivity", "offsets"} <= set(polygons):
        raise ValueError("no points or polygons")
    at = _array(points, root).reshape(-1, 3)
    corners = _array(polygons["connectivity"], root).astype(np.intp)
    ends = _array(polygons["offsets"], root).astype(np.intp)
    fans = []
    for start, end in zip(np.r_[0, ends[:-1]], ends, strict=True):
        polygon = corners[start:end]
        fans += [(polygon[0], polygon[i], polygon[i + 1]) for i in range(1, len(polygon) - 1)]
    if not fans:
        raise ValueError("no polygons")
    triangles = np.array(fans, np.intp)
    if triangles.max() >= len(at):
        raise ValueError("polygons refer to missing points")
    return at, triangles


_TYPES = {
    "Float32": "f4", "Float64": "f8", "Int32": "i4", "Int64": "i8", "UInt32": "u4",
    "UInt64": "u8", "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2",
}  # fmt: skip


def _array(element: ElementTree.Element, root: ElementTree.Element) -> NDArray[np.float64]:
    text = (element.text or "").strip()
    if element.get("format", "ascii") == "ascii":
        return np.array(text.split(), np.float64)
    if element.get("format") != "binary":
        raise ValueError("its data are appended; save it as text")
    order = ">" if root.get("byte_order") == "BigEndian" else "<"
    head = "Q" if root.get("header_type") == "UInt64" else "I"
    size = struct.calcsize(head)
    kind = np.dtype(order + _TYPES[element.get("type", "Float32")])
    if root.get("compressor") is None:
        return np.frombuffer(base64.b64decode(text)[size:], kind).astype(np.float64)
    blocks = struct.unpack(order + head, base64.b64decode(text[:16])[:size])[0]
    length = 4 * -(-(3 + blocks) * size // 3)
    lengths = struct.unpack(
        f"{order}{3 + blocks}{head}", base64.b64decode(text[:length])[: (3 + blocks) * size]
    )[3:]
    packed, data = base64.b64decode(text[length:]), b""
    for count in lengths:
        data, packed = data + zlib.decompress(packed[:count]), packed[count:]
    return np.frombuffer(data, kind).astype(np.float64)
