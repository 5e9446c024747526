from typing import Any, Literal

from typing_extensions import final

from ..literals import ColorMatrix, ColorRange, PixelFormat, PixelFormatName
from ..pixel_formats import MATRICES as MATRICES
from ..pixel_formats import PIXEL_FORMATS as PIXEL_FORMATS
from ..pixel_formats import RANGES as RANGES

@final
class Converter:
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def pixel_format(self) -> PixelFormat: ...
    @property
    def by(self) -> str: ...
    @property
    def library(self) -> str: ...
    def __new__(
        cls,
        pixel_format: PixelFormatName,
        width: int,
        height: int,
        destination: Literal["nv12", "nv21"] = "nv12",
        matrix: ColorMatrix | None = None,
        source_range: ColorRange | None = None,
        range: ColorRange = "limited",
        library: str | None = None,
        threads: int | None = None,
    ) -> Converter: ...
    def convert(self, picture: Any, into: Any) -> None: ...
