from typing import Any

from typing_extensions import final

def check_int(value: Any, name: str, lowest: int, highest: int) -> int: ...

@final
class DeviceFrame:
    """An NV12 or NV21 picture in device memory, for `Encoder.submit`: encoded without a copy.

    Parameters
    ----------
    ptr : int
        Address in device memory (from acldvppMalloc; on 310P also aclrtMalloc). The chroma begins at
        `ptr + stride * height`.
    stride : int
        Bytes from row to row, at least the width.
    height : int
        Rows from luma to chroma, at least the picture's height.
    owner : object, optional
        Kept alive until the device has read the frame.
    stream : int, optional
        An aclrtStream of the current context that writes the picture: the encoder waits for it before the device
        reads. 0 is the default stream; None waits for nothing.

    Notes
    -----
    A stride that is no multiple of 16 or twice the width and more, a height that is not the picture's, or an address
    that is not 16-byte aligned cannot be read by the hardware as it is, or on some chips only (source: the vendor's
    documentation of DVPP V1 and V2): such a frame is copied once on the device, and `Encoder.stats` counts that.
    """
    def __init__(
        self, ptr: int, stride: int, height: int, *, owner: object = None, stream: int | None = None
    ) -> None: ...
    @staticmethod
    def from_dlpack(tensor: Any, *, stream: int | None = None) -> DeviceFrame:
        """Make a DeviceFrame of a tensor on an Ascend device.

        Parameters
        ----------
        tensor : object with __dlpack__ and __dlpack_device__
            uint8, shape (height * 3 // 2, width), on a device of type kDLAscend (21) or kDLExtDev (12). It is kept
            alive until the device has read the frame.
        stream : int, optional
            As in the constructor.
        """
    @property
    def owner(self) -> Any: ...
    @property
    def device(self) -> int | None: ...
    @property
    def dtype_shape(self) -> tuple[int, ...] | None: ...
    @property
    def ptr(self) -> int: ...
    @property
    def stride(self) -> int: ...
    @property
    def height(self) -> int: ...

class HostTensor:
    exporter: Any
    device: tuple[int, int]
    def __init__(self, exporter: Any, device: tuple[int, int]) -> None: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(self, **options: Any) -> Any: ...

@final
class Tensor: ...
