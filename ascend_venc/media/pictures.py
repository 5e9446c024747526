# SPDX-License-Identifier: Apache-2.0
"""What a picture is, whoever made it: arrays, tensors, images and frames of other libraries as `Encoder` takes them.

No library is imported for it: an object tells by the module of its type whose it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._lowlevel.device_memory import DeviceFrame
from ..color import UNSPECIFIED, ColorInfo
from ..errors import InvalidArgumentError
from ..pixel_formats import PIXEL_FORMATS, FormatInfo
from .orientation import with_rows_downwards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..literals import ColorRange, PixelFormat
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_RANGES: dict[int, ColorRange] = {1: "limited", _FULL_RANGE: "full"}
_HOST_TENSORS = (1, 3, 11)  # kDLCPU, kDLCUDAHost, kDLROCMHost
_BY_CHANNELS: dict[int, PixelFormat] = {1: "gray8", 3: "rgb24", 4: "rgba"}
_BY_PLANES: dict[int, PixelFormat] = {2: "nv12", 3: "i420"}
_MODES: dict[str, PixelFormat] = {"RGB": "rgb24", "RGBA": "rgba", "L": "gray8"}  # of Pillow
_MODES_AS = {"1": "L", "LA": "L", "La": "L"}  # the others become RGB
_DEEP_MODES = ("I", "F")
_AV_PACKED: dict[str, PixelFormat] = {
    "rgb24": "rgb24",
    "bgr24": "bgr24",
    "rgba": "rgba",
    "bgra": "bgra",
    "gray": "gray8",
}
_AV_PLANAR: dict[str, PixelFormat] = {"nv12": "nv12", "nv21": "nv21", "yuv420p": "i420", "yuvj420p": "i420"}


class Picture(NamedTuple):
    """A picture that `Encoder` takes, if width and height are even and large enough.

    Attributes
    ----------
    data : array, tuple of planes, bytes, DeviceFrame or tensor
    width, height : int
        Pixels.
    pixel_format : str
    color : ColorInfo
        What it tells of its samples; a range of None: what is usual for the format.
    """

    data: Any
    width: int
    height: int
    pixel_format: PixelFormat
    color: ColorInfo = ColorInfo()

    @property
    def kind(self) -> str:
        """What all pictures of a film have in common, as errors say it."""
        extent = "" if self.color.range is None else f" ({self.color.range} range)"
        return f"{self.width} x {self.height} {self.pixel_format}{extent}"


def picture_of(frame: Any, pixel_format: PixelFormat | None = None, size: tuple[int, int] | None = None) -> Picture:
    """Say what a frame is.

    Parameters
    ----------
    frame : array, tensor, bytes, tuple of planes, PIL.Image, av.VideoFrame or DeviceFrame
        Arrays and tensors of uint8: HWC, CHW or HW; those of YUV formats (height * 3 // 2, width).
    pixel_format : str, optional
        Of arrays, tensors and bytes. None: by the number of channels, RGB, RGBA or grey; of device memory NV12. Images
        and frames of other libraries tell their own.
    size : (int, int), optional
        Width and height. Needed for bytes and `DeviceFrame`, which do not tell it.

    Raises
    ------
    TypeError, InvalidArgumentError
        It is no picture, or not of this format or size.
    """
    owner = _owner_of(frame)
    if owner == "PIL":
        picture = _of_image(frame)
    elif owner == "av":
        picture = _of_video_frame(frame)
    elif isinstance(frame, DeviceFrame):
        picture = _of_device_frame(frame, pixel_format, size)
    elif _is_on_a_device(frame):
        picture = _of_device_tensor(frame, pixel_format)
    elif isinstance(frame, (tuple, list)) and len(frame) in _BY_PLANES and all(map(_has_samples, frame)):
        picture = _of_planes(tuple(frame), pixel_format)
    else:
        picture = _of_array(frame, pixel_format, size)
    if size is not None and (picture.width, picture.height) != tuple(size):
        raise InvalidArgumentError(f"frame is {picture.kind}; size says {size[0]} x {size[1]}")
    return picture


def enlarged(picture: Picture, width: int, height: int) -> Any:
    """Return the data of a picture with its right and lower edge repeated up to an even size; itself if it has that."""
    if (picture.width, picture.height) == (width, height):
        return picture.data
    info = PIXEL_FORMATS[picture.pixel_format]
    if isinstance(picture.data, DeviceFrame) or _is_on_a_device(picture.data):
        raise InvalidArgumentError(
            f"frame is {picture.kind} in device memory, which cannot be enlarged: this device needs {width} x {height}"
        )
    if info.chroma_planes:
        planes = _planes_of(picture)
        return np.concatenate(
            [
                _edge_repeated(plane, *((width, height) if index == 0 else (width // 2, height // 2))).ravel()
                for index, plane in enumerate(planes)
            ]
        ).reshape(height * 3 // 2, width)
    data = np.asarray(picture.data)
    if data.ndim == 1:
        data = data.reshape(info.shape(picture.width, picture.height))
    if info.bytes_per_pixel == 2:  # two pixels share their chroma
        return _edge_repeated(data.reshape(picture.height, -1, 4), width // 2, height).reshape(height, width, 2)
    return _edge_repeated(data, width, height)


def settings_for(picture: Picture, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an encoder, with what the picture tells of its samples where they say nothing."""
    told = dict(settings)
    color, kind = picture.color, PIXEL_FORMATS[picture.pixel_format]
    if kind.color == "yuv" and color[:3] != ColorInfo()[:3] and told.get("vui", True):
        told.setdefault("color", color._replace(range=None))
    if color.range is not None:
        if kind.source is not None:
            told.setdefault("source_range", color.range)
        if kind.color == "yuv" and getattr(settings.get("color"), "range", None) is None:
            told.setdefault("color_range", color.range)
    return told


def _edge_repeated(plane: Any, width: int, height: int) -> Any:
    more = [(0, height - plane.shape[0]), (0, width - plane.shape[1])]
    return np.pad(plane, [*more, *[(0, 0)] * (plane.ndim - 2)], mode="edge")


def _planes_of(picture: Picture) -> list[Any]:
    """Split luma and chroma; interleaved chroma has shape (height, width, 2)."""
    width, height = (picture.width + 1) // 2, (picture.height + 1) // 2
    if isinstance(picture.data, tuple):
        planes = [np.asarray(plane) for plane in picture.data]
    else:
        flat = np.frombuffer(np.ascontiguousarray(picture.data), np.uint8)
        luma = picture.width * picture.height
        parts = [flat[:luma], flat[luma:]] if PIXEL_FORMATS[picture.pixel_format].chroma_planes == 1 else None
        if parts is None:
            parts = [flat[:luma], flat[luma : luma + width * height], flat[luma + width * height :]]
        planes = [parts[0].reshape(picture.height, picture.width), *parts[1:]]
    if len(planes) == 2:
        return [planes[0], planes[1].reshape(height, width, 2)]
    return [planes[0], *(plane.reshape(height, width) for plane in planes[1:])]


def _owner_of(frame: Any) -> str:
    for kind in type(frame).__mro__:
        owner = kind.__module__.partition(".")[0]
        if owner in ("PIL", "av"):
            return owner
    return ""


def _is_on_a_device(frame: Any) -> bool:
    device = getattr(frame, "__dlpack_device__", None)
    return device is not None and int(device()[0]) not in _HOST_TENSORS


def _has_samples(plane: Any) -> bool:
    return hasattr(plane, "__array__") or hasattr(plane, "__dlpack__") or isinstance(plane, (bytes, memoryview))


# ---- arrays and tensors ----------------------------------------------------------------------------------------------


def _array_of(frame: Any) -> Any:
    """View it as an array of uint8, without a copy."""
    try:
        if not hasattr(frame, "__array__") and hasattr(frame, "__dlpack__"):
            array = np.from_dlpack(frame)
        elif isinstance(frame, (bytes, bytearray, memoryview)):
            array = np.frombuffer(frame, np.uint8) if not isinstance(frame, memoryview) else np.asarray(frame)
        else:
            array = np.asarray(frame)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"frame is {_type_of(frame)}, of which no array can be made: {error}") from None
    if array.dtype == object or not array.ndim:
        raise TypeError(
            f"frame is {_type_of(frame)}; give an array or tensor of uint8, a PIL.Image, an av.VideoFrame or a "
            "DeviceFrame"
        )
    if array.dtype != np.uint8:
        if array.dtype.kind == "f":
            fix = "for values of 0 to 1 give (frame * 255).round().clip(0, 255) as uint8"
        elif array.dtype == bool:
            fix = 'give frame.astype("uint8") * 255'
        elif array.dtype == np.uint16:
            fix = 'for 16 bits a sample give (frame >> 8).astype("uint8")'
        else:
            fix = 'for values of 0 to 255 give frame.astype("uint8")'
        raise TypeError(f"frame has items of {array.dtype}, and must have uint8: {fix}")
    return array


def _type_of(frame: Any) -> str:
    kind = type(frame)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _with_whole_rows(array: Any) -> Any:
    """Return it, or a copy where samples of a row do not follow each other, or rows come backwards."""
    row = array[:1]
    whole = row.flags.c_contiguous and (array.shape[0] == 1 or array.strides[0] >= row.nbytes)
    return array if whole else np.ascontiguousarray(array)


def _of_array(frame: Any, pixel_format: PixelFormat | None, size: tuple[int, int] | None) -> Picture:
    array = _array_of(frame)
    if array.ndim == 1:
        return _of_bytes(array, pixel_format, size)
    if array.ndim == 4:
        raise InvalidArgumentError(
            f"frame has shape {array.shape}, which is {array.shape[0]} pictures: give them one by one, or to write_all"
        )
    if array.ndim > 4 or not array.size:
        raise InvalidArgumentError(f"frame has shape {array.shape}, which is no picture")
    if pixel_format is None:
        if array.ndim == 2:
            raise InvalidArgumentError(
                f'frame has shape {array.shape}, which may be grey or YUV: give pixel_format="gray8", "nv12" or "i420"'
            )
        for channels in (array.shape[-1], array.shape[0]):
            pixel_format = pixel_format or _BY_CHANNELS.get(channels)
        if pixel_format is None:
            raise InvalidArgumentError(
                f"frame has shape {array.shape}; pictures are (height, width, channels) or (channels, height, width) "
                "with 3 or 4 channels, or (height, width): for others give pixel_format"
            )
    info = PIXEL_FORMATS[pixel_format]
    if info.chroma_planes:
        return _of_semi_planar(array, info)
    channels = info.bytes_per_pixel
    if channels == 1 and array.ndim == 3:
        array = array[:, :, 0] if array.shape[2] == 1 else array[0] if array.shape[0] == 1 else array
    elif array.ndim == 3 and array.shape[2] != channels and array.shape[0] == channels > 2:
        array = array.transpose(1, 2, 0)
    if array.ndim != (2 if channels == 1 else 3) or (channels > 1 and array.shape[2] != channels):
        wanted = "(height, width)" if channels == 1 else f"(height, width, {channels})"
        raise InvalidArgumentError(
            f"frame has shape {array.shape}; {info.name} is {wanted}: give the pixel_format that it has"
        )
    if channels == 2 and array.shape[1] % 2:
        raise InvalidArgumentError(f"frame has shape {array.shape}; {info.name} has an even width")
    return Picture(_with_whole_rows(array), array.shape[1], array.shape[0], info.name)


def _of_semi_planar(array: Any, info: FormatInfo) -> Picture:
    if array.ndim != 2 or array.shape[0] % 3 or array.shape[1] % 2:
        raise InvalidArgumentError(
            f"frame has shape {array.shape}; {info.name} is (height * 3 // 2, width) with even width and height"
        )
    if info.chroma_planes == 2:
        array = np.ascontiguousarray(array)
    return Picture(_with_whole_rows(array), array.shape[1], array.shape[0] * 2 // 3, info.name)


def _of_bytes(array: Any, pixel_format: PixelFormat | None, size: tuple[int, int] | None) -> Picture:
    if pixel_format is None or size is None:
        raise InvalidArgumentError(f"frame is {array.size} bytes without a shape: give pixel_format and size")
    info = PIXEL_FORMATS[pixel_format]
    wanted = info.nbytes(*size)
    if array.size != wanted:
        raise InvalidArgumentError(f"frame has {array.size} bytes; {size[0]} x {size[1]} {info.name} has {wanted}")
    return Picture(np.ascontiguousarray(array), size[0], size[1], info.name)


def _of_planes(planes: tuple[Any, ...], pixel_format: PixelFormat | None) -> Picture:
    """Luma and chroma one by one."""
    pixel_format = pixel_format or _BY_PLANES[len(planes)]
    arrays = tuple(map(_array_of, planes))
    count = PIXEL_FORMATS[pixel_format].chroma_planes + 1
    if count != len(planes) or arrays[0].ndim != 2:
        raise InvalidArgumentError(f"frame is {len(planes)} planes; {pixel_format} has {count}, each (rows, columns)")
    height, width = arrays[0].shape
    half = (height + 1) // 2, (width + 1) // 2
    wanted = half if count == 3 else (half[0], 2 * half[1])
    for name, plane in zip(("chroma", "second chroma"), arrays[1:]):
        if plane.shape[0] != wanted[0] or plane.size != wanted[0] * wanted[1]:
            raise InvalidArgumentError(f"frame has {name} of shape {plane.shape}; {width} x {height} needs {wanted}")
    chroma = [_with_whole_rows(plane).reshape(plane.shape[0], -1) for plane in arrays[1:]]
    return Picture((_with_whole_rows(arrays[0]), *chroma), width, height, pixel_format)


# ---- of other libraries, and on the device ---------------------------------------------------------------------------


def _of_image(image: Any) -> Picture:
    """Read a PIL.Image; palettes and other colour spaces become RGB, transparency is left out."""
    mode = image.mode
    if mode.partition(";")[0] in _DEEP_MODES:
        raise InvalidArgumentError(f'frame is an image of mode "{mode}", which has no 8 bits a sample: convert it')
    if mode not in _MODES:
        mode = _MODES_AS.get(mode, "RGB")
        image = image.convert(mode)
    array = np.asarray(image)
    return Picture(array, array.shape[1], array.shape[0], _MODES[mode])


def _of_video_frame(frame: Any) -> Picture:
    """Read an av.VideoFrame; formats that no encoder takes become RGB or 4:2:0."""
    name = frame.format.name
    color = _color_of(frame)
    full = color.range == "full" or name.startswith("yuvj")
    if frame.format.is_rgb or name in ("pal8", "monow", "monob", "rgb8", "bgr8"):
        name = name if name in _AV_PACKED else "rgb24"
        data = _packed(with_rows_downwards(frame) if frame.format.name == name else _reformatted(frame, name, None))
        return Picture(data, frame.width, frame.height, _AV_PACKED[name])
    if name.startswith(("gray", "ya")):
        data = _packed(with_rows_downwards(frame) if name == "gray" else _reformatted(frame, "gray", None))
        return Picture(data, frame.width, frame.height, "gray8", ColorInfo(range=color.range))
    color = color._replace(range="full" if full else "limited")
    if name in _AV_PLANAR:
        source = with_rows_downwards(frame)
    else:
        source = _reformatted(frame, "yuv420p", "JPEG" if full else "MPEG")
    width, height = (frame.width + 1) // 2, (frame.height + 1) // 2
    pixel_format = _AV_PLANAR[source.format.name]
    sizes = [(frame.width, frame.height), *[(width, height)] * 2]
    if pixel_format != "i420":
        sizes = [sizes[0], (2 * width, height)]
    planes = tuple(_plane(plane, *size) for plane, size in zip(source.planes, sizes))
    return Picture(planes, frame.width, frame.height, pixel_format, color)


def _color_of(frame: Any) -> ColorInfo:
    # Older versions of PyAV tell the matrix and the range only.
    names = ("color_primaries", "color_trc", "colorspace")
    codes = [int(getattr(frame, name, UNSPECIFIED) or UNSPECIFIED) for name in names]
    matrix = UNSPECIFIED if codes[2] == 0 else codes[2]
    return ColorInfo(codes[0], codes[1], matrix, _RANGES.get(int(frame.color_range)))


def _reformatted(frame: Any, name: str, extent: str | None) -> Any:
    """Convert without a change of range; the frame's own tag, which some versions follow, is put back."""
    before = frame.color_range
    options = {} if extent is None else {"src_color_range": extent, "dst_color_range": extent}
    try:
        if extent is not None:
            frame.color_range = _FULL_RANGE if extent == "JPEG" else 1
        return frame.reformat(format=name, **options)
    finally:
        frame.color_range = before


def _plane(plane: Any, width: int, height: int) -> Any:
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width]


def _packed(frame: Any) -> Any:
    channels = PIXEL_FORMATS[_AV_PACKED[frame.format.name]].bytes_per_pixel
    rows = _plane(frame.planes[0], frame.width * channels, frame.height)
    return rows if channels == 1 else rows.reshape(frame.height, frame.width, channels)


def _on_device(pixel_format: PixelFormat | None) -> PixelFormat:
    pixel_format = pixel_format or "nv12"
    if pixel_format not in ("nv12", "nv21"):
        raise InvalidArgumentError(
            f'pixel_format is "{pixel_format}", and the frame is in device memory: only "nv12" and "nv21" are encoded '
            "from there; copy it to the host, or convert it on the device"
        )
    return pixel_format


def _of_device_frame(frame: DeviceFrame, pixel_format: PixelFormat | None, size: tuple[int, int] | None) -> Picture:
    if size is None:
        raise InvalidArgumentError("size is missing: a DeviceFrame has a stride and no width")
    return Picture(frame, size[0], size[1], _on_device(pixel_format))


def _of_device_tensor(frame: Any, pixel_format: PixelFormat | None) -> Picture:
    pixel_format = _on_device(pixel_format)
    shape = tuple(int(side) for side in getattr(frame, "shape", ()))
    if len(shape) != 2 or shape[0] % 3:
        raise InvalidArgumentError(
            f"frame has shape {shape} in device memory; {pixel_format} is (height * 3 // 2, width)"
        )
    return Picture(frame, shape[1], shape[0] * 2 // 3, pixel_format)
