"""What films of bone surfaces promise: exact ways through bone, joints that move, honest masks."""

import base64
import csv
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boneseg.errors import UsageError
from boneseg.simulate import REGIONS, SkeletonSource, skeleton_film
from boneseg.simulate.clutter import add_objects
from boneseg.simulate.flesh import bowel_gas, rounded
from boneseg.simulate.framing import frame_film
from boneseg.simulate.projector import MASK_PATH_MM, Exposure, Paths, expose
from boneseg.simulate.raster import Camera
from boneseg.simulate.skeleton import Skeleton, read_skeleton
from boneseg.simulate.subject import Part, draw_subject
from boneseg.simulate.surface import Surface, read_surface
from tests.support.films import DATA, needs_data

MESHES = DATA / "skeleton" / "meshes"
MODELS = DATA / "skeleton" / "models"


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


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


# Files


def cube_as_vtp(path: Path, how: str) -> None:
    box = trimesh.creation.box((10, 20, 30))
    arrays = {
        "points": ("Float32", 3, np.array(box.vertices, "<f4")),
        "connectivity": ("Int32", 1, np.array(box.faces, "<i4")),
        "offsets": ("Int32", 1, np.arange(3, 37, 3, dtype="<i4")),
    }

    def element(name: str) -> str:
        kind, components, data = arrays[name]
        raw = data.tobytes()
        if how == "ascii":
            text = " ".join(str(value) for value in data.ravel().tolist())
        elif how == "binary":
            text = base64.b64encode(np.uint32(len(raw)).tobytes() + raw).decode()
        else:
            packed = zlib.compress(raw)
            head = np.array([1, len(raw), 0, len(packed)], "<u4").tobytes()
            text = base64.b64encode(head).decode() + base64.b64encode(packed).decode()
        form = "ascii" if how == "ascii" else "binary"
        return (
            f'<DataArray type="{kind}" Name="{name}" NumberOfComponents="{components}" '
            f'format="{form}">{text}</DataArray>'
        )

    compressor = ' compressor="vtkZLibDataCompressor"' if how == "zlib" else ""
    path.write_text(
        f'<VTKFile type="PolyData" byte_order="LittleEndian"{compressor}><PolyData><Piece>'
        f"<Points>{element('points')}</Points><Polys>{element('connectivity')}"
        f"{element('offsets')}</Polys></Piece></PolyData></VTKFile>"
    )


@pytest.mark.parametrize("how", ["ascii", "binary", "zlib", "stl", "obj", "ply"])
def test_a_surface_is_read_from_every_format(tmp_path: Path, how: str) -> None:
    path = tmp_path / f"cube.{how if len(how) == 3 else 'vtp'}"
    if how in ("stl", "obj", "ply"):
        trimesh.creation.box((10, 20, 30)).export(path)
    else:
        cube_as_vtp(path, how)
    surface = read_surface(path, scale=2.0)
    assert np.ptp(surface.points, axis=0) == pytest.approx([20, 40, 60], rel=0.35)
    assert 0.3 * 48_000 < surface.volume < 48_000  # smoothed, and right side out
    assert len(surface.triangles) == 12 * 16


@pytest.mark.parametrize("content", ["", "not a mesh", "<VTKFile/>", "solid\nendsolid"])
@pytest.mark.parametrize("suffix", [".vtp", ".stl", ".obj", ".ply"])
def test_a_file_that_holds_no_surface_is_one_clear_line(
    tmp_path: Path, content: str, suffix: str
) -> None:
    path = tmp_path / f"bone{suffix}"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read_surface(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


MODEL = """<OpenSimDocument Version="40000"><Model>
<BodySet><objects>
 <Body name="thigh"><attached_geometry><Mesh><scale_factors>1 1 1</scale_factors>
  <mesh_file>thigh.stl</mesh_file></Mesh></attached_geometry></Body>
 <Body name="shank"><attached_geometry><Mesh><scale_factors>1 2 1</scale_factors>
  <mesh_file>shank.stl</mesh_file></Mesh></attached_geometry></Body>
</objects></BodySet>
<JointSet><objects>
 <PinJoint name="knee"><socket_parent_frame>thigh_offset</socket_parent_frame>
  <socket_child_frame>shank_offset</socket_child_frame>
  <coordinates><Coordinate name="bend"><default_value>0</default_value><range>0 2</range>
  </Coordinate></coordinates>
  <frames><PhysicalOffsetFrame name="thigh_offset"><socket_parent>/bodyset/thigh</socket_parent>
   <translation>0 -0.4 0</translation><orientation>0 0 0</orientation></PhysicalOffsetFrame>
  <PhysicalOffsetFrame name="shank_offset"><socket_parent>/bodyset/shank</socket_parent>
   <translation>0 0.1 0</translation><orientation>0 0 0</orientation></PhysicalOffsetFrame>
  </frames></PinJoint>
 <WeldJoint name="hip"><socket_parent_frame>/ground</socket_parent_frame>
  <socket_child_frame>/bodyset/thigh</socket_child_frame></WeldJoint>
</objects></JointSet></Model></OpenSimDocument>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A leg of two boxes: meshes in metres, and the model that joins them."""
    for name in ("thigh", "shank"):
        trimesh.creation.box((0.03, 0.4, 0.03)).export(tmp_path / f"{name}.stl")
    (tmp_path / "leg.osim").write_text(MODEL)
    return tmp_path


def test_a_joint_turns_what_hangs_on_it(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    straight, bent = leg.pose({})["shank"], leg.pose({"bend": np.pi / 2})["shank"]
    assert straight[:3, 3] == pytest.approx([0, -500, 0])
    # The joint is at (0, -400); the shank's middle, 100 mm below it, swings to the front.
    assert bent[:3, 3] == pytest.approx([100, -400, 0])
    assert bent[:3, :3] @ [0, -1, 0] == pytest.approx([1, 0, 0])


def test_a_joint_keeps_to_its_limits_and_knows_its_name(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    assert np.allclose(leg.pose({"bend": 9})["shank"], leg.pose({"bend": 2})["shank"])
    with pytest.raises(UsageError, match="bnd"):
        leg.pose({"bnd": 1})


def test_a_stretched_body_takes_its_joints_along(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    long = leg.pose({}, {"thigh": np.array([1, 1.5, 1])})["shank"]
    assert long[:3, 3] == pytest.approx([0, -700, 0])


def in_millimetres(folder: Path) -> None:
    for name in ("thigh", "shank"):
        trimesh.creation.box((30, 400, 30)).export(folder / f"{name}.stl")


def test_meshes_in_metres_without_a_model_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"the longest bone measures 0\.\d+ mm"):
        SkeletonSource(folder).check()


def test_meshes_without_a_model_stay_where_they_are(folder: Path) -> None:
    in_millimetres(folder)
    bones = read_skeleton(folder)
    assert sorted(bone.name for bone in bones.bones) == ["shank", "thigh"]
    assert all(np.allclose(place, np.eye(4)) for place in bones.pose({}).values())


@pytest.mark.parametrize("content", ["", "<a/>", MODEL.replace("PinJoint", "SpringJoint")])
def test_a_model_that_cannot_be_read_is_one_clear_line(folder: Path, content: str) -> None:
    (folder / "leg.osim").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_skeleton(folder, folder / "leg.osim")
    assert "leg.osim" in str(caught.value) and "\n" not in str(caught.value)


# Films


def some_paths(height: int = 120, width: int = 90) -> Paths:
    """A leg of flesh with a bone in it."""
    x = np.abs(np.arange(width) - 45.0)[None].repeat(height, axis=0).astype(np.float32)
    flesh, bone = 60 * (x < 35), 20 * np.sqrt(np.maximum(1 - (x / 10) ** 2, 0))
    flesh, bone = flesh.astype(np.float32), bone.astype(np.float32)
    return Paths(bone, 0.4 * bone, flesh, 0.1 * flesh, np.zeros_like(bone))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31))
def test_what_lies_on_a_patient_makes_no_bone(seed: int) -> None:
    paths = some_paths()
    after = add_objects(np.random.default_rng(seed), paths, pitch=1.0)
    assert np.array_equal(after.envelope, paths.envelope)
    assert all(
        np.isfinite(way).all() and (way >= 0).all()
        for way in (after.bone, after.muscle, after.fat, after.lead)
    )


def test_a_film_that_lead_covers_is_a_film() -> None:
    paths = replace(some_paths(), lead=np.ones_like(some_paths().lead))
    film = expose(paths, Exposure(), np.random.default_rng(0))
    assert np.isfinite(film).all() and 0 <= film.min() < film.max() <= 1


@settings(max_examples=60)
@given(seed=st.integers(0, 2**31), times=st.integers(1, 3))
def test_a_reader_shows_a_film_in_range_and_adds_no_bone(seed: int, times: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.tile(some_paths().mask, (times, 1))  # long films have rulers and seams
    labels = mask * np.uint64(3)  # two labels alike
    film, shown = frame_film(rng, rng.random(mask.shape, dtype=np.float32), labels)
    assert film.dtype == np.float32 and film.shape == mask.shape
    assert film.min() >= 0 and film.max() <= 1
    assert shown.dtype == np.uint64 and set(np.unique(shown)) <= {0, 3}
    assert (shown > 0).sum() <= mask.sum() * 1.05


def test_bones_of_any_meshes_are_filmed(folder: Path) -> None:
    in_millimetres(folder)
    skeleton = read_skeleton(folder)
    films = [skeleton_film(seed, (96, 96), [skeleton]) for seed in range(8)]
    assert sum(film.mask.any() and not film.mask.all() for film in films) >= 6  # some are flesh
    film, again = films[5], skeleton_film(5, (96, 96), [skeleton])
    assert np.array_equal(film.pixels, again.pixels) and np.array_equal(film.mask, again.mask)


def test_one_seed_gives_one_film_in_every_process(folder: Path) -> None:
    words = f"""
import hashlib
from pathlib import Path
from boneseg.simulate import SkeletonSource
folder = Path({str(folder)!r})
film = SkeletonSource(folder, (folder / "leg.osim",)).film(9, (64, 64))
print(hashlib.sha256(film.pixels.tobytes() + film.mask.tobytes()).hexdigest())
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", words],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(answers) == 1


def test_simulate_films_skeletons_through_the_command_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "films"
    words = ["--kind", "skeleton", "--meshes", folder, "--model", folder / "leg.osim"]
    words += ["--count", 3, "--size", 64, "--out", out, "--parallel", 2]
    done = boneseg("simulate", *words)
    assert done.returncode == 0, done.stderr
    images = sorted((out / "images").iterdir())
    assert [path.name for path in images] == [f"skeleton_{i:06d}.png" for i in range(3)]
    with (out / "parts.csv").open() as file:
        assert {row["part"] for row in csv.DictReader(file)} <= {"thigh", "shank"}
    source = SkeletonSource(folder, (folder / "leg.osim",))
    film = source.film(1, (64, 64))  # the same whichever process made it
    assert np.array_equal(np.rint(film.pixels * 255), np.asarray(Image.open(images[1])))


def test_each_bone_has_its_mask_and_together_they_are_the_film_s(folder: Path) -> None:
    in_millimetres(folder)
    source = SkeletonSource(folder, each=True)
    for seed in range(6):
        film, plain = source.film(seed, (96, 80)), SkeletonSource(folder).film(seed, (96, 80))
        assert np.array_equal(film.pixels, plain.pixels) and not plain.bones
        assert all(bone.any() for bone in film.bones.values())
        together = np.any([*film.bones.values(), np.zeros_like(film.mask)], axis=0)
        # The path of a ray through two bones adds up, which their rims alone do not reach.
        assert (together ^ film.mask).mean() < 0.01 and not (together & ~film.mask).any()


def test_simulate_writes_each_bone_and_what_is_hidden(folder: Path, tmp_path: Path) -> None:
    words = ["--kind", "skeleton", "--meshes", folder, "--model", folder / "leg.osim"]
    words += ["--count", 3, "--size", 64, "--each-bone", "--out", tmp_path]
    done = boneseg("simulate", *words)
    assert done.returncode == 0, done.stderr
    source = SkeletonSource(folder, (folder / "leg.osim",), each=True)
    for seed in range(3):
        film, name = source.film(seed, (64, 64)), f"skeleton_{seed:06d}"
        assert film.hidden is not None
        hidden = np.asarray(Image.open(tmp_path / "hidden" / f"{name}.png"))
        assert np.array_equal(hidden, film.hidden * np.uint8(255))
        if film.bones:
            with np.load(tmp_path / "bones" / f"{name}.npz") as saved:
                assert list(saved["names"]) == list(film.bones)
                assert np.array_equal(saved["masks"], np.stack(list(film.bones.values())))
    with (tmp_path / "views.csv").open() as file:
        views = {row["projection"] for row in csv.DictReader(file)}
    assert views and views <= {"frontal", "lateral", "oblique"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "skeleton"], "--meshes"),
        (["--kind", "ghost"], "ghost"),
        (["--kind", "skeleton", "--meshes", "nowhere"], "nowhere"),
    ],
)
def test_simulate_says_what_is_missing(words: list[str], said: str, tmp_path: Path) -> None:
    done = boneseg("simulate", "--count", 1, "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


# A real skeleton


@pytest.fixture(scope="module")
def skeletons() -> list[Skeleton]:
    return [read_skeleton(MESHES, MODELS / f"{name}.osim") for name in ("Rajagopal2016", "wrist")]


@needs_data
@pytest.mark.parametrize("region", sorted({region.name for region in REGIONS}))
def test_every_region_shows_its_bones(region: str, skeletons: list[Skeleton]) -> None:
    films = [skeleton_film(seed, (128, 128), skeletons, region) for seed in range(6)]
    assert {film.part for film in films} == {region}
    shares = [film.mask.mean() for film in films]
    assert sum(share > 0.02 for share in shares) >= 4
    for film in films:
        assert film.pixels.dtype == np.float32 and film.pixels.shape == film.mask.shape
        assert film.pixels.min() >= 0 and film.pixels.max() <= 1
        assert max(film.mask.shape) == 128


@needs_data
def test_the_middle_of_a_plate_is_told_from_its_rim_and_from_what_is_round() -> None:
    plate = trimesh.creation.box((60, 60, 6)).subdivide_to_size(4)
    surface = Surface(np.array(plate.vertices, np.float64), np.array(plate.faces))
    inside = np.abs(surface.points[:, :2]).max(axis=1)
    assert (surface.flatness[inside < 15] == 1).all()
    assert surface.flatness[inside > 29.9].max() < 0.5
    ball = trimesh.creation.icosphere(4, 20)
    assert Surface(np.array(ball.vertices), np.array(ball.faces)).flatness.max() == 0


@needs_data
def test_an_iliac_wing_is_thinner_amid_than_at_its_crest(skeletons: list[Skeleton]) -> None:
    hip = next(bone for bone in skeletons[0].bones if bone.name == "r_pelvis").surface
    high = hip.points[:, 1] > np.percentile(hip.points[:, 1], 55)
    crest = hip.points[:, 1] > np.percentile(hip.points[:, 1], 97)
    assert np.mean(hip.flatness[high] > 0.5) > 0.15
    assert np.median(hip.flatness[crest]) < 0.3
    parts = [part for seed in range(12) for part in grown(skeletons[0], seed)]
    shares = [np.linalg.norm(part.outer - part.inner, axis=1) for part in parts]
    amid, rims = hip.flatness > 0.8, high & (hip.flatness < 0.1)
    assert np.mean([np.median(rim[amid]) for rim in shares]) < 0.8 * np.mean(
        [np.median(rim[rims]) for rim in shares]
    )


def grown(skeleton: Skeleton, seed: int) -> list[Part]:
    """The right hip bone of a random person."""
    subject = draw_subject(np.random.default_rng(seed), skeleton, {"pelvis"}, {})
    return [part for part in subject.parts if part.name == "r_pelvis"]


@pytest.mark.parametrize("seed", range(6))
def test_a_trunk_is_thickest_in_its_middle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bones = rng.normal((40, 60), (12, 25), (500, 2))
    share = rounded(rng, bones, (120, 80))
    assert share.shape == (120, 80)
    assert share.max() <= 1 and share.min() > 0
    assert share[60, 40] >= share[60, 79] and share[60, 40] >= share[60, 0]
    assert share[60, 40] > 0.95


@pytest.mark.parametrize("seed", range(12))
def test_gas_takes_a_share_of_the_way_and_stays_in_the_belly(seed: int) -> None:
    share = bowel_gas(np.random.default_rng(seed), (160.0, 160.0), (80, 80), 10.0)
    assert share.min() >= 0 and share.max() < 0.7
    assert share[:4].max() < 0.05


def test_a_femur_is_long_hollow_and_whole(skeletons: list[Skeleton]) -> None:
    femur = next(bone for bone in skeletons[0].bones if bone.body == "femur_r").surface
    assert 380 < femur.length < 480
    assert femur.slenderness > 3
    shaft = femur.thickness[np.abs(femur.along - 0.5) < 0.1]
    assert 15 < np.median(shaft) < 36


@needs_data
def test_a_region_that_nobody_knows_is_refused(skeletons: list[Skeleton]) -> None:
    with pytest.raises(UsageError, match="tail"):
        skeleton_film(0, (64, 64), skeletons, "tail")


def test_the_mask_is_what_is_thicker_than_the_stated_way() -> None:
    paths = some_paths()
    assert np.array_equal(paths.mask, paths.envelope > MASK_PATH_MM)
