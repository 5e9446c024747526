# SPDX-License-Identifier: Apache-2.0
"""What DVPP V2 takes besides rate control: the kind of scene, intra refresh, and regions of interest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .arguments import as_int
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from .literals import Scene

# By name: the vendor's number (hi_venc_scene_mode).
SCENES: dict[Scene, int] = {"still": 0, "motion": 1, "regular": 2}
MOST_REGIONS = 8  # documented, as are the steps
_STEP = 16
_MOST_QP = 51


@dataclasses.dataclass(frozen=True)
class RegionOfInterest:
    """A rectangle that is encoded with a quantiser of its own: `Encoder(roi=[RegionOfInterest(...), ...])`, on DVPP V2.

    Immutable, and checked when it is made: TypeError, or InvalidArgumentError with name, value and range. Of regions
    that overlap, the later one counts (documented by the vendor).

    Attributes
    ----------
    x, y, width, height : int
        Pixels, each a multiple of 16; width and height at least 16. A picture whose size is none may be exceeded by
        what it lacks: 1088 rows of 1080.
    qp : int
        Quantiser: 0 (finest) to 51; with `relative` what is added to the picture's, -51 to 51.
    relative : bool
        How `qp` is meant.
    """

    x: int
    y: int
    width: int
    height: int
    qp: int
    relative: bool = False

    def __post_init__(self) -> None:
        for name in ("x", "y", "width", "height"):
            value, least = as_int(name, getattr(self, name)), 0 if name in ("x", "y") else _STEP
            if value < least or value % _STEP:
                raise InvalidArgumentError(
                    f"{name} is {value}; a region's must be a multiple of {_STEP}, from {least} on"
                )
            object.__setattr__(self, name, value)
        if not isinstance(self.relative, bool):
            raise TypeError(f"relative must be a bool, got {type(self.relative).__name__}")
        qp, least = as_int("qp", self.qp), -_MOST_QP if self.relative else 0
        if not least <= qp <= _MOST_QP:
            raise InvalidArgumentError(f"qp is {qp}; allowed are {least} to {_MOST_QP}")
        object.__setattr__(self, "qp", qp)


@dataclasses.dataclass(frozen=True)
class IntraRefresh:
    """Each picture refreshes a part of itself, instead of all at once: `Encoder(intra_refresh=...)`, on DVPP V2.

    Immutable, and checked when it is made, like `RegionOfInterest`. It begins with an I picture, and works from the
    next IDR on (documented by the vendor). How large a row or column is, is not documented. The simulated device keeps
    the setting and refreshes nothing.

    Attributes
    ----------
    rows, columns : int, optional
        How many of them each picture refreshes, from 1 on; one of the two.
    i_qp : int
        Quantiser of I pictures that are asked for, 0 (finest) to 51.
    """

    rows: int | None = None
    columns: int | None = None
    i_qp: int = 30

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.columns is None):
            raise InvalidArgumentError("intra_refresh has rows or columns: give one of them")
        name = "rows" if self.columns is None else "columns"
        count = as_int(name, getattr(self, name))
        if not 1 <= count <= 0xFFFF:
            raise InvalidArgumentError(f"{name} is {count}; allowed are 1 to {0xFFFF}")
        i_qp = as_int("i_qp", self.i_qp)
        if not 0 <= i_qp <= _MOST_QP:
            raise InvalidArgumentError(f"i_qp is {i_qp}; allowed are 0 to {_MOST_QP}")
        object.__setattr__(self, name, count)
        object.__setattr__(self, "i_qp", i_qp)


def parse_intra_refresh(value: Any) -> IntraRefresh | None:
    if value is not None and not isinstance(value, IntraRefresh):
        raise TypeError(f"intra_refresh must be an IntraRefresh, got {type(value).__name__}")
    return value


def listed_regions(value: Iterable[RegionOfInterest]) -> tuple[RegionOfInterest, ...]:
    """Return regions as a tuple, for a call that may look at its settings twice. Raises TypeError for no iterable."""
    if not isinstance(value, Iterable):
        hint = ": put it in a list" if isinstance(value, RegionOfInterest) else ""
        raise TypeError(f"roi must be a list of RegionOfInterest, got {type(value).__name__}{hint}")
    return tuple(value)


def parse_regions(value: Iterable[RegionOfInterest], width: int, height: int) -> tuple[RegionOfInterest, ...]:
    """Return regions as a tuple. Raises TypeError or InvalidArgumentError; each must begin and end in the picture."""
    regions = listed_regions(value)
    for number, region in enumerate(regions):
        if not isinstance(region, RegionOfInterest):
            raise TypeError(f"roi[{number}] must be a RegionOfInterest, got {type(region).__name__}")
        for name, begin, size, limit in (
            ("width", region.x, region.width, width),
            ("height", region.y, region.height, height),
        ):
            end, most = begin + size, -(-limit // _STEP) * _STEP
            if end > most:
                raise InvalidArgumentError(
                    f"roi[{number}] ends at {end}; the picture's {name} is {limit}, so {most} is the most: "
                    "move or shorten it"
                )
    if len(regions) > MOST_REGIONS:
        raise InvalidArgumentError(f"roi has {len(regions)} regions; allowed are up to {MOST_REGIONS}")
    return regions


def regions_within(regions: tuple[RegionOfInterest, ...], width: int, height: int) -> tuple[RegionOfInterest, ...]:
    """Those that lie in a picture of another size."""
    return tuple(
        region
        for region in regions
        if region.x + region.width < width + _STEP and region.y + region.height < height + _STEP
    )


def problems_on_v1(
    scene: Scene | None, intra_refresh: IntraRefresh | None, roi: tuple[RegionOfInterest, ...], has_v2: bool
) -> list[str]:
    """What DVPP V1 has not, a sentence each with the nearest thing that works."""
    other = ', or interface="v2", in a process that has not used V1' if has_v2 else ""
    found = []
    if scene is not None:
        found.append(f'scene is "{scene}"; DVPP V1 knows none: leave it out{other}')
    if intra_refresh is not None:
        found.append(f"intra_refresh is given; DVPP V1 has none: leave it out, a smaller gop refreshes too{other}")
    if roi:
        found.append(f"roi has {len(roi)} regions; DVPP V1 has none: leave them out, more bitrate serves all{other}")
    return found
