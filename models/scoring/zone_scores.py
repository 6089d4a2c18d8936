"""Values of watched zones: of their cells alone, by the bounds of the whole picture.

A zone's score is the local score of its cells and, where the camera has a memory of places, that
of its patches. What happens elsewhere changes neither; the camera's bounds make values of them, so
that a value means the same in a zone and in the whole picture. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

from lookout.models.arrays import HeatMap
from lookout.models.motion import PlacesConfig
from lookout.models.scoring.local import LocalScore
from lookout.models.scoring.normalizer import Normalizer
from lookout.models.scoring.place_state import PlaceState
from lookout.models.vision.zones import PixelMask, ZoneMask


class ZoneScores:
    """The watched zones of one camera, frame by frame."""

    def __init__(self, zones: ZoneMask | None = None, config: PlacesConfig | None = None) -> None:
        """zones: None: there is none to watch. config: of the memory of places."""
        sizes = config or PlacesConfig()
        self._cells: Mapping[str, PixelMask] = {}
        self._patches: Mapping[str, PixelMask] = {}
        if zones is not None and zones.watched:
            self._cells = zones.watched
            self._patches = zones.watched_patches(sizes.side_px, sizes.cell_px)
        self._local = {name: LocalScore() for name in self._cells}
        self._local_db: dict[str, float] = {}  # of the newest frame

    def values(
        self,
        frame_id: tuple[int, int],
        cells: HeatMap,
        places: PlaceState | None,
        normalizer: Normalizer,
    ) -> dict[str, float | None]:
        """Return the value of each zone in the next frame, in (0, 1); None while learning.

        frame_id: session and sequence number. cells: (64, 64), its heatmap.
        places: has measured the frame. normalizer: with the bounds of before the frame.
        """
        for name, inside in self._cells.items():
            self._local_db[name] = self._local[name].update(frame_id, cells * inside)
        return self._values(places, normalizer)

    def repeated(
        self, frame_id: tuple[int, int], places: PlaceState | None, normalizer: Normalizer
    ) -> dict[str, float | None]:
        """Return the same for a frame whose picture is still that of the last ones."""
        for name, local in self._local.items():
            self._local_db[name] = local.repeat(frame_id)
        return self._values(places, normalizer)

    def _values(self, places: PlaceState | None, normalizer: Normalizer) -> dict[str, float | None]:
        found = {}
        for name, local_db in self._local_db.items():
            place_db = nan
            if places is not None:
                place_db = places.score_in(self._patches[name])
            found[name] = normalizer.part_value(local_db, place_db)
        return found

    def restored(self, local: LocalScore) -> None:
        """Continue from the local score of the whole picture, which holds the last heatmaps."""
        for name, inside in self._cells.items():
            self._local[name] = local.within(inside)
