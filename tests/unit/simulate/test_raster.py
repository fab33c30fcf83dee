"""Path lengths through closed surfaces."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.simulate.raster import Camera


def sphere(radius: float, centre: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(4, radius)
    return np.array(mesh.vertices) + centre, np.array(mesh.faces)


def rays(camera: Camera) -> np.ndarray:
    """Unit vectors from the source to the middle of each pixel."""
    columns = (np.arange(camera.width) - (camera.width - 1) / 2) * camera.pitch
    rows = (np.arange(camera.height) - (camera.height - 1) / 2) * camera.pitch
    x, y = np.meshgrid(columns, rows)
    ray = np.stack([x, y, np.full(x.shape, camera.distance)], axis=-1)
    return ray / np.linalg.norm(ray, axis=-1, keepdims=True)


@settings(max_examples=20)
@given(
    radius=st.floats(8, 40),
    x=st.floats(-60, 60),
    y=st.floats(-60, 60),
    z=st.floats(500, 950),
)
def test_the_way_through_a_ball_is_the_textbook_one(
    radius: float, x: float, y: float, z: float
) -> None:
    camera = Camera(1000, 2.0, 96, 128)
    centre = np.array([x, y, z])
    found, _ = camera.paths(*sphere(radius, (x, y, z)))
    along = rays(camera) @ centre
    squared = radius**2 - (centre @ centre - along**2)
    truth = 2 * np.sqrt(np.maximum(squared, 0))
    # A ball of 5120 triangles is a little smaller, and most so where its edge is seen.
    well_inside = squared > (0.25 * radius) ** 2
    assert np.abs(found - truth)[well_inside].max(initial=0) < 0.02 * radius + 0.02
    assert found[squared < 0].max(initial=0) == 0


def test_bones_behind_one_another_add_up_and_a_hole_counts_as_none() -> None:
    camera = Camera(1000, 1.0, 61, 61)
    points, faces = sphere(20, (0, 0, 800))
    one, _ = camera.paths(points, faces)
    behind = points + np.array([0, 0, 100])
    two, _ = camera.paths(np.concatenate([points, behind]), np.concatenate([faces, faces + 2562]))
    assert two[30, 30] == pytest.approx(one[30, 30] + 40, abs=0.1)
    inside, _ = sphere(10, (0, 0, 800))
    shell = np.concatenate([faces, faces[:, ::-1] + 2562])
    hollow, _ = camera.paths(np.concatenate([points, inside]), shell)
    assert hollow[30, 30] == pytest.approx(20, abs=0.1)


def test_a_weight_multiplies_the_way() -> None:
    camera = Camera(1000, 1.0, 41, 41)
    points, faces = sphere(15, (3, 2, 700))
    way, weighted = camera.paths(points, faces, np.full(len(faces), 0.25))
    assert np.allclose(weighted, 0.25 * way, atol=1e-3)


def test_a_crack_in_a_surface_leaves_no_streak() -> None:
    camera = Camera(1000, 0.5, 121, 121)
    points, faces = sphere(20, (0, 0, 800))
    whole, _ = camera.paths(points, faces)
    cracked, _ = camera.paths(points, np.delete(faces, [100, 2000, 4000], axis=0))
    assert np.abs(cracked - whole).max() < 8
    assert (np.abs(cracked - whole) > 1).mean() < 0.01
