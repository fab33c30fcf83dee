"""X-rays through tubes: path lengths through bone, the beam, and its noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.simulate.projector import (
    MASK_PATH_MM,
    Exposure,
    Paths,
    Tube,
    chords,
    elliptic_chord,
    expose,
    trace,
    transmit,
)


def cylinder(radius: float, rim: float, angle: float = 0.0, length: float = 200.0) -> Tube:
    inner = radius - rim
    row = [0.0, radius, radius, inner, inner, 0.0]
    return Tube((0.0, 0.0), angle, length, np.tile(np.array(row, np.float32), (64, 1)))


@given(radius=st.floats(2, 40), share=st.floats(-1.5, 1.5), depth=st.floats(0.2, 2))
def test_the_chord_of_a_cylinder_is_the_textbook_one(
    radius: float, share: float, depth: float
) -> None:
    u = np.array([radius * share], np.float32)
    found = elliptic_chord(u, np.array([radius], np.float32), np.array([depth], np.float32))
    truth = 2 * depth * np.sqrt(max(0.0, 1 - share**2))
    assert found[0] == pytest.approx(truth, abs=2e-3 * depth)


@settings(max_examples=40)
@given(
    radius=st.floats(4, 30),
    angle=st.floats(-3, 3),
    across=st.floats(-0.95, 0.95),
    along=st.floats(20, 180),
)
def test_a_tube_is_a_cylinder_however_it_lies(
    radius: float, angle: float, across: float, along: float
) -> None:
    u = radius * across
    x = np.array([u * np.cos(angle) + along * np.sin(angle)], np.float32)
    y = np.array([along * np.cos(angle) - u * np.sin(angle)], np.float32)
    found = chords(cylinder(radius, radius / 4, angle), x, y)
    assert found.outer[0] == pytest.approx(2 * np.sqrt(radius**2 - u**2), rel=1e-3)
    marrow = max(0.0, (0.75 * radius) ** 2 - u**2)
    assert found.inner[0] == pytest.approx(2 * np.sqrt(marrow), abs=0.02 * radius)


def test_overlapping_bones_add_and_tubes_of_one_bone_do_not() -> None:
    x, y = np.zeros((1, 1), np.float32), np.full((1, 1), 50, np.float32)
    bone = cylinder(10, 3)

    def envelope(bones: list[list[Tube]], scale: float = 1.0) -> float:
        rng = np.random.default_rng(0)
        paths = trace(bones, [cylinder(40, 5)], x, y, pitch=1.0, scale=scale, rng=rng)
        return float(paths.envelope[0, 0])

    assert envelope([[bone]]) == pytest.approx(20)
    assert envelope([[bone, bone]]) == pytest.approx(20)
    assert envelope([[bone], [bone]]) == pytest.approx(40)
    assert envelope([[bone]], scale=0.5) == pytest.approx(10)


def test_a_shaft_is_brightest_at_its_cortex() -> None:
    x = np.linspace(-30, 30, 241, dtype=np.float32)[None].repeat(8, 0)
    y = np.full_like(x, 100.0)
    rng = np.random.default_rng(0)
    paths = trace([[cylinder(12, 4)]], [cylinder(40, 5)], x, y, pitch=0.25, scale=1.0, rng=rng)
    profile = paths.bone[0]
    assert np.abs(x[0, profile.argmax()]) == pytest.approx(8, abs=0.3)
    assert profile[120] == pytest.approx(8, abs=0.05)


def layers(bone: float, muscle: float) -> Paths:
    def full(value: float) -> np.ndarray:
        return np.full((40, 40), value, np.float32)

    return Paths(full(bone), full(bone), full(muscle), full(0), full(0))


def test_the_beam_hardens_and_kilovolts_go_through() -> None:
    def optical(bone: float, kvp: float = 60) -> float:
        return -float(np.log(transmit(layers(bone, 0), kvp))[0, 0])

    assert optical(0) == pytest.approx(0, abs=1e-6)
    assert optical(20) < 2 * optical(10)
    assert optical(20, kvp=80) < optical(20, kvp=50)


def test_fewer_photons_make_a_noisier_film() -> None:
    paths = layers(0, 100)
    paths.bone[:, 20:] = 10

    def grain(photons: float) -> float:
        film = expose(paths, Exposure(photons=photons), np.random.default_rng(1))
        return float(film[:, 24:36].std())

    assert grain(500) > 2 * grain(50_000)


def test_the_mask_follows_the_stated_path() -> None:
    paths = layers(0, 100)
    paths.envelope[:, :20] = MASK_PATH_MM * 0.99
    paths.envelope[:, 20:] = MASK_PATH_MM * 1.01
    assert not paths.mask[:, :20].any() and paths.mask[:, 20:].all()
