"""What the skeleton's meshes hold that is not bone: intervertebral discs, costal cartilage.

    surface = without_cartilage("hat_spine", surface)

Neither is visible on a radiograph, unless it is calcified. Left in, both would be taught as bone:
columns without gaps, and broad stripes over the heart. Lengths are mm, in the frame of the mesh: x
to the front, y up, z to the right.
"""

from __future__ import annotations

import numpy as np

from boneseg.simulate.surface import Surface

_VERTEBRA = 100  # points; a disc has fewer
_STERNUM_X = 50.0  # the piece in front of this is the sternum with the cartilage of ten ribs
_MANUBRIUM_Y = 375.0  # from here up
_HALF_WIDTHS = (28.0, 19.0)  # of the manubrium, and of the body of the sternum


def without_cartilage(mesh: str, surface: Surface) -> Surface:
    """The surface without what is known to be cartilage in the mesh of this name."""
    if mesh == "hat_spine":
        return _without_discs(surface)
    if mesh == "hat_ribs_scap":
        return _without_costal_cartilage(surface)
    return surface


def _without_discs(surface: Surface) -> Surface:
    _, piece, sizes = np.unique(surface.middles, axis=0, return_inverse=True, return_counts=True)
    kept = sizes[piece.ravel()] >= _VERTEBRA
    triangles = surface.triangles[kept[surface.triangles[:, 0]]]
    used, renumbered = np.unique(triangles, return_inverse=True)
    return Surface(surface.points[used], renumbered.reshape(triangles.shape))


def _without_costal_cartilage(surface: Surface) -> Surface:
    """The cartilage is pressed into the sides of the sternum: the surface remains closed."""
    points = surface.points.copy()
    wide, narrow = _HALF_WIDTHS
    limit = np.where(points[:, 1] > _MANUBRIUM_Y, wide, narrow)
    sternum = surface.middles[:, 0] > _STERNUM_X
    points[sternum, 2] = np.clip(points[:, 2], -limit, limit)[sternum]
    return Surface(points, surface.triangles)
