"""Surfaces from files."""

import base64
import zlib
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import trimesh
from PIL import Image

from boneseg.errors import UsageError
from boneseg.simulate.surface import read_surface

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


def test_the_texture_of_a_mesh_is_not_read(tmp_path: Path) -> None:
    """Pillow would open it in any format, and it may lie anywhere."""
    trimesh.creation.box().export(tmp_path / "box.obj")
    textured = "mtllib box.mtl\n" + (tmp_path / "box.obj").read_text()
    (tmp_path / "box.obj").write_text(textured)
    (tmp_path / "box.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    Image.new("L", (4, 4)).save(tmp_path / "skin.png")
    with patch("PIL.Image.open") as opened:
        assert len(read_surface(tmp_path / "box.obj").triangles)
    assert not opened.called


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
