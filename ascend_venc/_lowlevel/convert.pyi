from typing import Any

from typing_extensions import final

@final
class Converter:
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def pixel_format(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def library(self) -> str: ...
    def __init__(
        self,
        pixel_format: str,
        width: int,
        height: int,
        destination: str = "nv12",
        matrix: str | None = None,
        source_range: str | None = None,
        range: str = "limited",
        library: str | None = None,
        threads: int | None = None,
    ) -> None: ...
    def convert(self, picture: Any, into: Any) -> None: ...
