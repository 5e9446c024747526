# SPDX-License-Identifier: Apache-2.0
"""Rate control: the modes that the vendor's interfaces have, and the limits that DVPP V2 takes with them."""

from __future__ import annotations

import dataclasses
from typing import Any

from .arguments import as_int, parse_choice
from .errors import InvalidArgumentError
from .literals import RateControlMode

# By name: the engine's number (avenc_channel_config.rc_mode) and what comes nearest on DVPP V1.
MODES: dict[RateControlMode, tuple[int, RateControlMode]] = {
    "default": (0, "default"),
    "vbr": (1, "vbr"),
    "cbr": (2, "cbr"),
    "avbr": (3, "vbr"),
    "qvbr": (4, "vbr"),
    "cvbr": (5, "vbr"),
    "fixqp": (6, "vbr"),
}
V1_MODES = tuple(name for name, (_, nearest) in MODES.items() if name == nearest)
_MOST_QP = 51
# Ranges are documented in the vendor's headers of DVPP V2. In the order of AVENC_LIMIT_* (avenc.h).
LIMITS = {
    "min_qp": (0, _MOST_QP),
    "max_qp": (0, _MOST_QP),
    "min_i_qp": (0, _MOST_QP),
    "max_i_qp": (0, _MOST_QP),
    "min_i_proportion": (1, 100),
    "max_i_proportion": (1, 100),
    "max_reencode": (0, 3),
}
_PAIRS = (("min_qp", "max_qp"), ("min_i_qp", "max_i_qp"), ("min_i_proportion", "max_i_proportion"))


@dataclasses.dataclass(frozen=True)
class RateControl:
    """How the device spends bits: `Encoder(rc=RateControl("cbr", max_qp=40))`. A name, `rc="cbr"`, has no limits.

    Immutable, and checked when it is made: TypeError, or InvalidArgumentError with name, value and range. On DVPP V1
    only "default", "vbr" and "cbr" exist, without limits; `Encoder` refuses the others there. Where one of a pair is
    given, the device's own other one gives way. Ranges are documented by the vendor; the device's defaults are not.

    Attributes
    ----------
    mode : str
        "default" (the chip's), "cbr" (steady rate), "vbr" (at most `bitrate`, saves bits), "avbr" (for scenes that
        stand still), "qvbr" (quality first, the rate may rise), "cvbr" (bounds over a second and over a
        long time, 60 of units whose length is not documented), "fixqp" (`qp` for each picture, whatever the rate;
        documented for H.265 from CANN 8.0 on).
    qp : int or pair of int, optional
        For "fixqp", which needs it, and no other: quantiser, or those of I and of P pictures, 0 (finest) to 51.
    min_qp, max_qp : int, optional
        Of P pictures, 0 to 51.
    min_i_qp, max_i_qp : int, optional
        Of I pictures, 0 to 51.
    min_i_proportion, max_i_proportion : int, optional
        Least and most that an I picture takes beside a P picture, 1 to 100; that it counts how many times its bits is
        not documented, and how the simulated device takes it.
    max_reencode : int, optional
        How often a picture may be encoded again because it came out too large, 0 to 3.
    """

    mode: RateControlMode = "default"
    qp: int | tuple[int, int] | None = None
    min_qp: int | None = None
    max_qp: int | None = None
    min_i_qp: int | None = None
    max_i_qp: int | None = None
    min_i_proportion: int | None = None
    max_i_proportion: int | None = None
    max_reencode: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", parse_choice("rc", self.mode, MODES))
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _in_range(name, value, low, high))
        if self.qp is not None:
            pair = tuple(self.qp) if isinstance(self.qp, (tuple, list)) else (self.qp, self.qp)
            if len(pair) != 2:
                raise InvalidArgumentError(f"qp has {len(pair)} items; give one, or a pair: of I and of P pictures")
            object.__setattr__(self, "qp", tuple(_in_range("qp", value, 0, _MOST_QP) for value in pair))
        if (self.qp is None) == (self.mode == "fixqp"):
            raise InvalidArgumentError(
                'rc is "fixqp", which needs a quantiser, 0 to 51: give rc=RateControl("fixqp", qp=30)'
                if self.qp is None
                else f'qp is for "fixqp", and rc is "{self.mode}": give min_qp and max_qp'
            )
        if self.mode == "fixqp" and self.limits:
            name = next(iter(self.limits))
            raise InvalidArgumentError(f'{name} is {self.limits[name]}; "fixqp" has no limits: leave it out')
        for least, most in _PAIRS:
            low, high = getattr(self, least), getattr(self, most)
            if low is not None and high is not None and low > high:
                raise InvalidArgumentError(f"{least} is {low}, above {most}, which is {high}")

    @classmethod
    def of(cls, value: RateControlMode | RateControl) -> RateControl:
        """Return it of a mode's name, in any case, or as it is. Raises TypeError or InvalidArgumentError."""
        if not isinstance(value, (str, RateControl)):
            raise TypeError(f"rc must be a str or a RateControl, got {type(value).__name__}")
        return value if isinstance(value, RateControl) else cls(value)

    @property
    def limits(self) -> dict[str, int]:
        """Those that were given, by name."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}

    def nearest_on_v1(self) -> RateControl:
        """What DVPP V1 has that comes nearest."""
        return RateControl(MODES[self.mode][1])

    def problems_on_v1(self, has_v2: bool) -> list[str]:
        """What DVPP V1 has not, a sentence each with the nearest thing that works."""
        other = ', or interface="v2", in a process that has not used V1' if has_v2 else ""
        found = []
        nearest = MODES[self.mode][1]
        if nearest != self.mode:
            found.append(
                f'rc is "{self.mode}"; DVPP V1 has "default", "vbr" and "cbr": use rc="{nearest}" with a bitrate{other}'
            )
        if self.limits:
            names = ", ".join(self.limits)
            found.append(f"rc has {names}; DVPP V1 takes no limits: leave them out, bitrate bounds the size{other}")
        return found


def _in_range(name: str, value: Any, low: int, high: int) -> int:
    number = as_int(name, value)
    if not low <= number <= high:
        raise InvalidArgumentError(f"{name} is {number}; allowed is {low} to {high}")
    return number
