from numpy import uint8
from numpy.typing import NDArray
from typing_extensions import final

@final
class Frame:
    """A picture buffer of the engine for the program to fill, NV12 or NV21. Made by `Encoder.acquire`.

    Where the program runs on the device's own CPU (a board), it is the very memory that the device reads, and
    submitting it copies nothing. On a host it is pinned memory, and submitting it makes one DMA copy.

    It supports the buffer protocol: uint8, shape (height * 3 // 2, width), rows `stride` bytes apart. After
    `Encoder.submit(frame)` it must not be written any more; a view that is still alive then only keeps the buffer from
    being used again. Dropping a frame that was not submitted gives its buffer back.

    Attributes
    ----------
    width, height : int
        Pixels.
    stride : int
        Bytes from row to row: the width rounded up to 16.
    array, y, uv : numpy.ndarray
        Writable uint8 views: the whole picture (height * 3 // 2, width), its luma (height, width), and its interleaved
        chroma (height // 2, width).
    is_device_memory : bool
        Whether the device reads this very memory.
    submitted : bool
        Whether it was submitted; its views cannot be taken any more.
    """
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def is_device_memory(self) -> bool: ...
    @property
    def submitted(self) -> bool: ...
    @property
    def array(self) -> NDArray[uint8]: ...
    @property
    def y(self) -> NDArray[uint8]: ...
    @property
    def uv(self) -> NDArray[uint8]: ...
    def release(self) -> None:
        """Give the buffer back without submitting it. Idempotent.

        Raises BufferError while views of it are alive, ValueError while another thread submits it.
        """
