# SPDX-License-Identifier: Apache-2.0
"""The configuration of an encoder: typed, and validated before the device sees it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING

from . import literals
from .arguments import as_int, parse_choice, shown
from .chip_limits import UNKNOWN_CHIP, ChipLimits, limits_of
from .color import ColorInfo, Vui, color_of, matrix_of, parse_color, parse_shape, range_of, vui_of
from .constants import PixelFormat, StreamFormat
from .errors import InvalidArgumentError, UnsupportedDeviceError
from .interface_choice import has_v2
from .picture_quality import (
    SCENES,
    IntraRefresh,
    RegionOfInterest,
    parse_intra_refresh,
    parse_regions,
    problems_on_v1,
    regions_within,
)
from .pixel_formats import ALIASES, PIXEL_FORMATS, RANGES, name_of_format, parse_matrix
from .rate_control import LIMITS, MODES, RateControl
from .rates import default_bitrate, parse_bitrate, parse_fps

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORMATS: dict[tuple[literals.Codec, literals.Profile], StreamFormat] = {
    ("h264", "baseline"): StreamFormat.H264_BASELINE,
    ("h264", "main"): StreamFormat.H264_MAIN,
    ("h264", "high"): StreamFormat.H264_HIGH,
    ("h265", "main"): StreamFormat.H265_MAIN,
}
_DEFAULT_PROFILE: dict[literals.Codec, literals.Profile] = {"h264": "high", "h265": "main"}
PROFILES: tuple[literals.Profile, ...] = ("baseline", "main", "high")
CODECS: tuple[literals.Codec, ...] = tuple(_DEFAULT_PROFILE)
CODEC_ALIASES: dict[str, literals.Codec] = {
    "avc": "h264",
    "h.264": "h264",
    "hevc": "h265",
    "h.265": "h265",
}  # in any case
_DEVICE_PIXEL_FORMATS = {"nv12": PixelFormat.NV12, "nv21": PixelFormat.NV21}
MAX_DEPTH = 256


def parse_codec(value: str) -> literals.Codec:
    """Return "h264" or "h265" of a codec's name or alias, in any case. Raises TypeError or InvalidArgumentError."""
    if isinstance(value, str):
        value = CODEC_ALIASES.get(value.lower(), value)
        if value.lower() not in CODECS:
            for codec in CODECS:  # an encoder's name, such as libx264 or hevc_nvenc
                if any(name in value.lower() for name in (codec[1:], *_names_of(codec))):
                    raise InvalidArgumentError(
                        f'codec is {value!r}; allowed are "h264", "h265"; did you mean "{codec}"?'
                    )
    return parse_choice("codec", value, CODECS)


def _names_of(codec: str) -> list[str]:
    return [alias for alias, meant in CODEC_ALIASES.items() if meant == codec]


def _nearest(value: int, within: tuple[int, int]) -> int:
    return min(max(within[0], value), within[1])


def _nearest_even(value: int, within: tuple[int, int]) -> int:
    """The even number within a range, whose ends are even, that comes nearest; of two the smaller, which cuts off."""
    return _nearest(value - value % 2, within)


@dataclasses.dataclass(frozen=True)
class Support:
    """The answer of `EncoderConfig.is_supported`; true where the configuration is taken as it is.

    Attributes
    ----------
    supported : bool
    reasons : tuple of str
        What is not taken, a sentence each with name, value, range and fix.
    nearest : EncoderConfig or None
        The configuration itself, or the nearest one that is taken; None where the chip has no encoder. A bit rate that
        nobody has given is within the chip's range there, as in `Encoder`, and is no reason.
    """

    supported: bool
    reasons: tuple[str, ...]
    nearest: EncoderConfig | None

    def __bool__(self) -> bool:
        return self.supported


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What an encoder was asked for, with every default resolved.

    The frame rate is that of the film; the device's rate control counts whole frames per second within its range, and
    gets the nearest (`src_rate`). Once `check` was called, the range is that of its chip.

    Attributes
    ----------
    width, height : int
        Pixels, even.
    codec, profile : str
        "h264" with "baseline", "main" or "high"; "h265" with "main".
    pixel_format : str
        Of the frames; "nv12" and "nv21" are taken as they are, the others are converted to NV12.
    color_matrix : str
        "bt601" or "bt709": how RGB is converted.
    color_range : str
        "limited" or "full": of the samples in the stream.
    source_range : str
        "limited" or "full": of the samples in the frames.
    color : ColorInfo, optional
        How the samples in the stream are to be understood, as the stream tells it; None: it tells nothing (`vui`).
    sample_aspect_ratio : fractions.Fraction, optional
        Width of a pixel divided by its height, as the stream tells it; None: nothing.
    vui : bool
        Whether the stream tells these and the frame rate.
    fps : fractions.Fraction
        Frames per second.
    bitrate : int
        bit/s.
    rate_control : RateControl
        Mode and limits.
    gop : int
        Frames from one IDR to the next.
    depth : int
        Frames in flight at most.
    scene : str or None
        "still", "motion" or "regular"; None: the device's own. DVPP V2 only, as the next two.
    intra_refresh : IntraRefresh or None
    roi : tuple of RegionOfInterest
    """

    width: int
    height: int
    codec: literals.Codec
    profile: literals.Profile
    pixel_format: literals.PixelFormat
    color_matrix: literals.ColorMatrix
    color_range: literals.ColorRange
    source_range: literals.ColorRange
    color: ColorInfo | None
    sample_aspect_ratio: Fraction | None
    vui: bool
    fps: Fraction
    bitrate: int
    rate_control: RateControl
    gop: int
    depth: int
    scene: literals.Scene | None = None
    intra_refresh: IntraRefresh | None = None
    roi: tuple[RegionOfInterest, ...] = ()
    chip: ChipLimits = dataclasses.field(default=UNKNOWN_CHIP, init=False, repr=False, compare=False)
    _bitrate_given: bool = dataclasses.field(default=True, init=False, repr=False, compare=False)

    @classmethod
    def resolve(
        cls,
        width: int,
        height: int,
        *,
        codec: literals.CodecName = "h265",
        profile: literals.Profile | None = None,
        pixel_format: literals.PixelFormatName = "nv12",
        color_matrix: literals.ColorMatrix | None = None,
        color_range: literals.ColorRange | None = None,
        source_range: literals.ColorRange | None = None,
        color: ColorInfo | tuple[int, int, int] | literals.ColorName | None = None,
        sample_aspect_ratio: Fraction | str | None = None,
        vui: bool = True,
        fps: int | float | str | Fraction = 25,
        bitrate: int | float | str | None = None,
        rc: literals.RateControlMode | RateControl = "default",
        gop: int | None = None,
        depth: int = 4,
        scene: literals.Scene | None = None,
        intra_refresh: IntraRefresh | None = None,
        roi: Iterable[RegionOfInterest] = (),
    ) -> EncoderConfig:
        """Check types and everything that does not depend on the chip, and fill in the defaults.

        Raises TypeError, or InvalidArgumentError.
        """
        width = as_int("width", width)
        height = as_int("height", height)
        codec = parse_codec(codec)
        if profile is None:
            profile = _DEFAULT_PROFILE[codec]
        if codec == "h265" and isinstance(profile, str) and profile.lower() != "main":
            raise InvalidArgumentError(f'profile is {shown(profile)}; H.265 is encoded as "main" only')
        profile = parse_choice("profile", profile, PROFILES)
        exact_fps = parse_fps(fps)
        if exact_fps <= 0:
            raise InvalidArgumentError(f"fps is {shown(fps)}; it must be greater than 0")
        if bitrate is None:
            bits = default_bitrate(max(width, 1), max(height, 1), exact_fps, codec)
        else:
            bits = parse_bitrate(bitrate)
        layout = parse_choice("pixel_format", name_of_format(pixel_format), PIXEL_FORMATS, ALIASES)
        if source_range is None:
            source_range = PIXEL_FORMATS[layout].range
        told = parse_color(color)
        if not isinstance(vui, bool):
            raise TypeError(f"vui must be a bool, got {type(vui).__name__}")
        if not vui and (told is not None or sample_aspect_ratio is not None):
            raise InvalidArgumentError("vui is False: then the stream cannot tell color or sample_aspect_ratio")
        color_matrix = parse_matrix(matrix_of(told, color_matrix, layout), width, height)
        color_range = range_of(told, color_range)
        if told is None and vui:
            told = color_of(layout, color_matrix)
        config = cls(
            width=width,
            height=height,
            codec=codec,
            profile=profile,
            pixel_format=layout,
            color_matrix=color_matrix,
            color_range=color_range,
            source_range=parse_choice("source_range", source_range, tuple(RANGES)),
            color=None if told is None else told._replace(range=color_range),
            sample_aspect_ratio=parse_shape(sample_aspect_ratio),
            vui=vui,
            fps=exact_fps,
            bitrate=bits,
            rate_control=RateControl.of(rc),
            gop=min(max(1, round(exact_fps * 2)), UNKNOWN_CHIP.gop[1]) if gop is None else as_int("gop", gop),
            depth=as_int("depth", depth),
            scene=None if scene is None else parse_choice("scene", scene, tuple(SCENES)),
            intra_refresh=parse_intra_refresh(intra_refresh),
            roi=parse_regions(roi, width, height),
        )
        object.__setattr__(config, "_bitrate_given", bitrate is not None)
        return config

    def problems(self, limits: ChipLimits, interface: literals.Interface | None = None) -> list[str]:
        """List what the chip, by "v1" or "v2" (None: by either), would not take.

        One sentence each with name, value, range and fix.
        """
        found = []
        name = limits.family
        for label, value, (low, high) in (
            ("width", self.width, limits.width),
            ("height", self.height, limits.height),
        ):
            if not low <= value <= high:
                found.append(f"{label} is {value}; {name} takes {low} to {high}: scale the picture")
            if value % 2:
                found.append(
                    f"{label} is {value}; it must be even, {low} to {high} on {name}: crop or pad the picture by one"
                )
        if self.codec == "h264" and limits.h264_area and self.width * self.height > limits.h264_area:
            found.append(
                f"width x height is {self.width} x {self.height}; {name} takes up to {limits.h264_area} pixels "
                'in H.264: use codec="h265", or scale the picture'
            )
        low, high = limits.bit_rate
        if not low * 1000 <= self.bitrate <= high * 1000:
            text = f"bitrate is {self.bitrate} bit/s; {name} takes {low * 1000} to {high * 1000} bit/s"
            if self.bitrate < low * 1000 <= self.bitrate * 1000 <= high * 1000:
                text += f': was kbit/s meant? Then give {self.bitrate * 1000} or "{self.bitrate}k"'
            found.append(text)
        low, high = limits.gop
        if not low <= self.gop <= high:
            found.append(f"gop is {self.gop}; it must be {low} to {high} frames")
        if not 1 <= self.depth <= MAX_DEPTH:
            found.append(f"depth is {self.depth}; it must be 1 to {MAX_DEPTH} frames in flight")
        if interface == "v1" or not limits.v2:
            found += self.rate_control.problems_on_v1(limits.v2)
            found += problems_on_v1(self.scene, self.intra_refresh, self.roi, limits.v2)
        return found

    def is_supported(self, chip: str, interface: literals.Interface | None = None) -> Support:
        """Say whether a chip, by its name, takes this by "v1" or "v2"; if not, why, and what comes nearest.

        None: by "v2" where the chip has that, else by "v1". Touches no device. A chip that is not listed is taken to
        have the widest ranges of all, and no V2 unless that is named. Raises InvalidArgumentError for another name.
        """
        if interface is None:
            interface = "v2" if has_v2(chip) else "v1"
        if interface not in ("v1", "v2"):
            raise InvalidArgumentError(f'interface is {interface!r}; allowed are "v1", "v2"')
        try:
            limits = limits_of(chip)
        except UnsupportedDeviceError as error:
            return Support(False, (str(error.args[0]),), None)
        config = self if self._bitrate_given else self.with_bitrate_within(limits)
        reasons = config.problems(limits, interface)
        if interface == "v2" and not limits.v2:
            reasons.insert(0, f'interface is "v2"; {chip} has no DVPP V2: choose interface="v1"')
        return Support(not reasons, tuple(reasons), config._nearest(limits, interface))

    def _nearest(self, limits: ChipLimits, interface: literals.Interface) -> EncoderConfig:
        codec, profile = self.codec, self.profile
        width, height = _nearest_even(self.width, limits.width), _nearest_even(self.height, limits.height)
        if codec == "h264" and limits.h264_area and width * height > limits.h264_area:
            codec, profile = "h265", _DEFAULT_PROFILE["h265"]
        on_v1 = interface == "v1" or not limits.v2
        low, high = limits.bit_rate
        return dataclasses.replace(
            self,
            codec=codec,
            profile=profile,
            width=width,
            height=height,
            bitrate=_nearest(self.bitrate, (low * 1000, high * 1000)),
            gop=_nearest(self.gop, limits.gop),
            depth=_nearest(self.depth, (1, MAX_DEPTH)),
            rate_control=self.rate_control.nearest_on_v1() if on_v1 else self.rate_control,
            scene=None if on_v1 else self.scene,
            intra_refresh=None if on_v1 else self.intra_refresh,
            roi=() if on_v1 else regions_within(self.roi, width, height),
        )

    def with_bitrate_within(self, limits: ChipLimits) -> EncoderConfig:
        """Return the same with the nearest bit rate that the chip has: for one that nobody has given."""
        low, high = limits.bit_rate
        return dataclasses.replace(self, bitrate=_nearest(self.bitrate, (low * 1000, high * 1000)))

    def check(self, limits: ChipLimits, interface: literals.Interface | None = None) -> None:
        """Raise InvalidArgumentError with everything that the chip would not take; else remember the chip."""
        found = self.problems(limits, interface)
        if found:
            raise InvalidArgumentError(*found)
        object.__setattr__(self, "chip", limits)

    @property
    def stream_format(self) -> StreamFormat:
        """The device's value for codec and profile."""
        return _FORMATS[self.codec, self.profile]

    @property
    def device_pixel_format(self) -> PixelFormat:
        """The device's value for the pixel format that it gets."""
        return _DEVICE_PIXEL_FORMATS.get(self.pixel_format, PixelFormat.NV12)

    @property
    def described(self) -> Vui:
        """What the parameter sets are to tell. H.264 counts two ticks a frame. See csrc/include/avenc.h, avenc_vui."""
        if not self.vui:
            return Vui()
        told = vui_of(self.codec, self.color, self.sample_aspect_ratio, self.fps)
        return told.with_fixed_rate(True) if self.codec == "h264" else told

    @property
    def converted(self) -> bool:
        """Whether frames are converted before the device gets them."""
        return self.pixel_format not in _DEVICE_PIXEL_FORMATS

    @property
    def rc(self) -> literals.RateControlMode:
        """Name of the mode of rate control."""
        return self.rate_control.mode

    @property
    def rc_mode(self) -> int:
        """The engine's value for the mode of rate control; those of DVPP V1 are the device's."""
        return MODES[self.rc][0]

    @property
    def rc_limits(self) -> tuple[int | None, ...]:
        """Limits of rate control, in the order of the engine's."""
        return tuple(self.rate_control.limits.get(name) for name in LIMITS)

    @property
    def src_rate(self) -> int:
        """Whole frames per second, as the device wants them: the nearest that the chip's rate control takes."""
        low, high = self.chip.fps
        return min(max(low, round(self.fps)), high)

    @property
    def max_bit_rate(self) -> int:
        """Return kbit/s for the device.

        The device spends kbit/s divided by its whole src_rate on each frame, so the figure is scaled by the ratio of
        that rate to the true one, within the chip's range: 29.97 and 480 fps keep their bit rate.
        """
        low, high = self.chip.bit_rate
        return min(max(low, round(Fraction(self.bitrate, 1000) * self.src_rate / self.fps)), high)
