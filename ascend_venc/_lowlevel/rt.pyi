# SPDX-License-Identifier: Apache-2.0
"""acl.rt: devices, contexts, streams, events, memory and callback reports of the runtime."""

# Functions take positional arguments only. An `int` is masked to 64 bits as pyACL does; a SupportsIndex is masked to
# the 32 or 8 bits of the C argument, except device_id, timeout, enums and param_type: outside 32 bits they are a
# TypeError. The wrong number or type of arguments is TypeError("<name> args parse failed").
from collections.abc import Callable
from typing import Any, SupportsIndex

def create_context(device_id: SupportsIndex, /) -> tuple[int, int]:
    """Create a context and make it current on this thread. Returns (context, ret). Wraps aclrtCreateContext."""

def create_event(*args: object) -> tuple[int, int]:
    """Create an event. Returns (event, ret). Wraps aclrtCreateEvent."""

def create_stream(*args: object) -> tuple[int, int]:
    """Create a stream in this thread's context. Returns (stream, ret). Wraps aclrtCreateStream."""

def destroy_context(context: int, /) -> int:
    """Destroy a context of create_context. Returns ret. Wraps aclrtDestroyContext."""

def destroy_event(event: int, /) -> int:
    """Destroy an event. Returns ret. Wraps aclrtDestroyEvent."""

def destroy_stream(stream: int, /) -> int:
    """Destroy a stream; synchronise it first. Returns ret. Wraps aclrtDestroyStream."""

def destroy_stream_force(stream: int, /) -> int:
    """Destroy a stream and drop its unfinished tasks. Returns ret. Wraps aclrtDestroyStreamForce (newer
    runtimes).
    """

def event_elapsed_time(start: int, end: int, /) -> tuple[float, int]:
    """Tell the time between two recorded events. Returns (ms, ret), ms a float. Wraps aclrtEventElapsedTime."""

def free(dev_ptr: int, /) -> int:
    """Free memory of malloc. Returns ret. Wraps aclrtFree."""

def free_host(host_ptr: int, /) -> int:
    """Free memory of malloc_host. Returns ret. Wraps aclrtFreeHost."""

def get_context(*args: object) -> tuple[int, int]:
    """Tell this thread's current context. Returns (context, ret). Wraps aclrtGetCurrentContext."""

def get_device(*args: object) -> tuple[int, int]:
    """Tell the device of this thread's context. Returns (device_id, ret). Wraps aclrtGetDevice."""

def get_device_count(*args: object) -> tuple[int, int]:
    """Count the devices. Returns (count, ret). Wraps aclrtGetDeviceCount."""

def get_mem_info(attr: SupportsIndex, /) -> tuple[int, int, int]:
    """Tell how much device memory of a kind (0 DDR, 1 HBM, ...) is free. Returns (free, total, ret), in bytes.
    Wraps aclrtGetMemInfo.
    """

def get_run_mode(*args: object) -> tuple[int, int]:
    """Tell where this program runs: 0 on the device's own CPU, 1 on a host across PCIe. Returns (run_mode,
    ret). Wraps aclrtGetRunMode.
    """

def launch_callback(fn: Callable[[Any], object], args: Any, block_type: SupportsIndex, stream: int, /) -> int:
    """Queue fn(args) on a stream; the thread that subscribed to it runs it inside process_report. block_type 1:
    the stream goes on when fn has returned, 0: at once. Returns ret. Wraps aclrtLaunchCallback.
    """

def malloc(size: int, policy: SupportsIndex, /) -> tuple[int, int]:
    """Allocate device memory; policy 0: huge pages first. Returns (dev_ptr, ret). Wraps aclrtMalloc."""

def malloc_host(size: int, /) -> tuple[int, int]:
    """Allocate host memory. Returns (host_ptr, ret). Wraps aclrtMallocHost."""

def memcpy(dst: int, dest_max: int, src: int, count: int, direction: SupportsIndex, /) -> int:
    """Copy `count` bytes to an address that has room for `dest_max`. direction: 0 host to host, 1 host to
    device, 2 device to host, 3 device to device. Addresses are not checked. Returns ret. Wraps aclrtMemcpy.
    """

def memcpy_async(dst: int, dest_max: int, src: int, count: int, direction: SupportsIndex, stream: int, /) -> int:
    """Queue a memcpy on a stream; keep both memories until synchronize_stream has returned. Returns ret. Wraps
    aclrtMemcpyAsync.
    """

def memset(dev_ptr: int, max_count: int, value: SupportsIndex, count: int, /) -> int:
    """Set `count` bytes at an address that has room for `max_count`. Addresses are not checked. Returns ret.
    Wraps aclrtMemset.
    """

def memset_async(dev_ptr: int, max_count: int, value: SupportsIndex, count: int, stream: int, /) -> int:
    """Queue a memset on a stream. Returns ret. Wraps aclrtMemsetAsync."""

def process_report(timeout: SupportsIndex, /) -> int:
    """Wait up to `timeout` ms (-1: without bound) for callbacks of the streams this thread is subscribed to,
    and run them. Returns ret: 0 if at least one ran, 507012 if none came in time, 107012 at once if the thread
    is subscribed to nothing (no channel yet: sleep a little), 100000 for a timeout of 0 or below -1. Raises the
    KeyboardInterrupt or SystemExit of a callback. Wraps aclrtProcessReport.
    """

def query_event(event: int, /) -> tuple[int, int]:
    """Tell whether an event was reached: 0 complete, 1 not yet. Returns (status, ret). Wraps aclrtQueryEvent."""

def query_event_status(event: int, /) -> tuple[int, int]:
    """Tell whether an event was reached: 0 not yet, 1 complete. Returns (status, ret). Wraps
    aclrtQueryEventStatus.
    """

def record_event(event: int, stream: int, /) -> int:
    """Let a stream mark the event when it gets there. Returns ret. Wraps aclrtRecordEvent."""

def reset_device(device_id: SupportsIndex, /) -> int:
    """Release a device; the last release ends its contexts, streams and events. Returns ret. Wraps
    aclrtResetDevice.
    """

def reset_device_force(device_id: SupportsIndex, /) -> int:
    """Release a device however often it was set. Returns ret. Wraps aclrtResetDeviceForce (newer runtimes)."""

def reset_event(event: int, stream: int, /) -> int:
    """Let a stream unmark the event when it gets there. Returns ret. Wraps aclrtResetEvent."""

def set_context(context: int, /) -> int:
    """Make a context current on this thread. Returns ret. Wraps aclrtSetCurrentContext."""

def set_device(device_id: SupportsIndex, /) -> int:
    """Use a device on this thread: makes its default context current. Returns ret. Wraps aclrtSetDevice."""

def stream_wait_event(stream: int, event: int, /) -> int:
    """Let a stream wait for the event. Returns ret. Wraps aclrtStreamWaitEvent."""

def subscribe_report(thread_id: int, stream: int, /) -> int:
    """Let a thread run the callbacks of a stream, inside its process_report. A video encoder channel does this
    for its own streams. Returns ret. Wraps aclrtSubscribeReport.
    """

def synchronize_device(*args: object) -> int:
    """Wait until this thread's device has nothing to do. Returns ret. Wraps aclrtSynchronizeDevice."""

def synchronize_event(event: int, /) -> int:
    """Wait until an event was reached. Ctrl-C does not end the wait. Returns ret. Wraps aclrtSynchronizeEvent."""

def synchronize_stream(stream: int, /) -> int:
    """Wait until every task of a stream is done; 0 is the default stream. Ctrl-C does not end the wait. Returns
    ret. Wraps aclrtSynchronizeStream.
    """

def synchronize_stream_with_timeout(stream: int, timeout: SupportsIndex, /) -> int:
    """Wait at most `timeout` ms (-1: without bound) until every task of a stream is done. Returns ret. Wraps
    aclrtSynchronizeStreamWithTimeout (newer runtimes).
    """

def unsubscribe_report(thread_id: int, stream: int, /) -> int:
    """End what subscribe_report began. Returns ret. Wraps aclrtUnSubscribeReport."""
