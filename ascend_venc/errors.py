# SPDX-License-Identifier: Apache-2.0
"""Exceptions, and the one table of status codes.

Two conventions never mix: `ascend_venc.acl` returns AscendCL's codes as pyACL does; everything else raises one
of the classes below. Every class inherits `VencError`, and the natural builtin where there is one. `AclError` and its
subclasses carry a status code: positive numbers are AscendCL's own, negative ones the engine's.

An exception from `Encoder` guarantees: the frame it was raised for was not sent (unless the class is `FrameError`,
which names an earlier frame), no other frame or packet is lost, and the encoder can be closed.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple


class SimulatedDeviceWarning(UserWarning):
    """`backend="auto"` found no Ascend device and uses the simulated one: it encodes on the CPU."""


class LibraryPathWarning(UserWarning):
    """An AscendCL library lies where others may replace it. Given before it is loaded."""


class InterfaceFallbackWarning(UserWarning):
    """`interface="auto"` uses DVPP V1, because V2, which this chip has, is there but does not work."""


class BitRateWarning(UserWarning):
    """The bit rate is so low that it was perhaps meant in kbit/s: `bitrate` is in bit/s."""


class DroppedPacketsWarning(UserWarning):
    """An encoder was closed before its last packets were taken: the end of the film is lost."""


class PictureSizeWarning(UserWarning):
    """A picture has an odd side: the file shows one more row or column, which repeats the edge."""


class VencError(Exception):
    """Base class of every exception that ascend_venc raises on purpose."""

    def __reduce__(self) -> Any:
        """As of any exception, but without the encoders that a group told in it: they are of this process."""
        state = dict(self.__dict__)
        if "encoder" in state:
            state["encoder"] = None
        if "failures" in state:
            state["failures"] = [(None, error) for _, error in state["failures"]]
        return type(self), self.args, state


class InvalidArgumentError(VencError, ValueError):
    """An argument is outside what the encoder or the chip allows; found before the device saw it.

    Attributes
    ----------
    problems : tuple of str
        One sentence for each argument: its name, its value, the allowed range and the fix.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class MediaError(VencError, ValueError):
    """A video file cannot be read or written: damaged, cut off, of a kind that is not supported, or PyAV is missing."""


class UnsupportedDeviceError(VencError, RuntimeError):
    """The chip has no video encoder. `soc_name` is its name as the runtime gives it."""

    def __init__(self, message: str, soc_name: str = "") -> None:
        super().__init__(message)
        self.soc_name = soc_name


class AclError(VencError):
    """A call of AscendCL or of the engine failed.

    Attributes
    ----------
    code : int
        The status: positive the vendor's (of DVPP V2 as an unsigned number, such as 0xA008800D), negative the engine's.
    name : str
        Its name, e.g. "ACL_ERROR_RT_AICPU_EXCEPTION"; for a code that is not in the table, its range.
    call : str
        The function that failed, "" if none.
    detail : str
        The runtime's own text or the engine's explanation, "" if none.
    hint : str
        What to do, "" if nothing is known.
    """

    def __init__(self, message: str, code: int = 0, name: str = "", call: str = "", detail: str = "", hint: str = ""):
        super().__init__(message)
        self.code = code
        self.name = name
        self.call = call
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:  # OSError among the bases would print (errno, text)
        return str(self.args[0]) if self.args else ""


class AclInvalidParamError(AclError, ValueError):
    """AscendCL refused an argument."""


class AclStateError(AclError, RuntimeError):
    """The call is not allowed now: not initialised, no context, nothing in flight."""


class AclTimeoutError(AclError, TimeoutError):
    """A wait took longer than allowed."""


class AclMemoryError(AclError, MemoryError):
    """Host or device memory, or threads, are exhausted."""


class AclNotSupportedError(AclError, NotImplementedError):
    """This chip, or this version of AscendCL, cannot do that."""


class AclPermissionError(AclError, PermissionError):
    """The device may not be used by this user."""


class AclNoDeviceError(AclError, OSError):
    """AscendCL works, but there is no device."""


class AclLibraryNotFoundError(AclError, OSError):
    """No AscendCL library was found; the message lists every path tried and why it was not usable."""


class AclLibraryBrokenError(AclError, OSError):
    """An AscendCL library is there but cannot be used."""


class AclMediaLibraryMissingError(AclLibraryBrokenError):
    """libascendcl.so was found, but libacl_dvpp.so, which holds the encoder, is not installed."""


class AclStubLibraryError(AclLibraryBrokenError):
    """The library found is a link-time stub from the toolkit's devlib folder."""


class DeviceLostError(AclError, RuntimeError):
    """The device stopped answering. Packets that were ready stay readable."""


class EncoderClosedError(AclError, ValueError):
    """The encoder is closed."""


class DeviceFullError(AclError, RuntimeError):
    """The device has no room for another channel, or for the streams that it takes, and said so.

    Nothing was opened; other encoders are not affected. How many channels a chip has is the device's to say: the figures
    of docs/chips.md refuse nothing. Other processes' channels count too.
    """


class EncoderFullError(AclError, RuntimeError):
    """There is no room for another frame, and `on_full="error"` asks not to wait. Nothing was sent."""


class SinkError(AclError, OSError):
    """The encoder's `sink` cannot be written. Packets that were not written can be received."""


class EncoderDrained(AclError):
    """The end of the stream: every packet has been received, and no further frame will come."""


class ForkedProcessError(AclError, RuntimeError):
    """The object was created before fork() and is used in the child."""


class FrameError(AclError, RuntimeError):
    """One frame was not encoded; the frames before and after it are delivered.

    Attributes
    ----------
    frame_index : int
        Number of the frame, 0 for the first.
    pts : int or None
        Its presentation time stamp.
    ret_code : int
        The device's code for this frame.
    token : object
        As given with the frame.
    """

    frame_index: int = -1
    pts: int | None = None
    ret_code: int = 0
    token: object = None


class Status(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    code : int
    name : str
    exception : type
        What is raised for it.
    cause : str
        What it means for a video encoder, in a sentence; "" if the name says all that is known.
    fix : str
        What to do, in a sentence; "" if nothing general is known.
    guess : bool
        Cause and fix are a guess, and not given where the runtime itself tells a reason.
    """

    code: int
    name: str
    exception: type[VencError]
    cause: str = ""
    fix: str = ""
    guess: bool = False

    @property
    def hint(self) -> str:
        """Cause and fix, as messages give them."""
        return f"{self.cause} {self.fix}".strip()


# fmt: off
TABLE: tuple[Status, ...] = (
    Status(-1, "AVENC_E_INVALID", InvalidArgumentError),
    Status(-2, "AVENC_E_NOMEM", AclMemoryError, "The host is out of memory."),
    Status(-3, "AVENC_E_TIMEOUT", AclTimeoutError),
    Status(-4, "AVENC_E_CLOSED", EncoderClosedError),
    Status(-5, "AVENC_E_FORKED", ForkedProcessError),
    Status(-6, "AVENC_E_NOT_FOUND", AclLibraryNotFoundError),
    Status(-7, "AVENC_E_BROKEN", AclLibraryBrokenError),
    Status(-8, "AVENC_E_MEDIA_MISSING", AclMediaLibraryMissingError),
    Status(-9, "AVENC_E_STUB", AclStubLibraryError),
    Status(-10, "AVENC_E_SYMBOL", AclLibraryBrokenError, "The library is too old, or not the one that it seems to be."),
    Status(-11, "AVENC_E_NO_DEVICE", AclNoDeviceError),
    Status(-12, "AVENC_E_UNSUPPORTED", AclNotSupportedError, "The library has no such function.", "A newer CANN is needed."),
    Status(-13, "AVENC_E_DRAINED", EncoderDrained),
    Status(-14, "AVENC_E_FRAME", FrameError),
    Status(-15, "AVENC_E_LOST", FrameError),
    Status(-16, "AVENC_E_TOO_LARGE", FrameError),
    Status(-17, "AVENC_E_WOULD_DEADLOCK", AclStateError),
    Status(-18, "AVENC_E_THREAD", AclMemoryError, "No thread could be made.", "The process may be at its limit of threads (ulimit -u)."),
    Status(-19, "AVENC_E_FULL", EncoderFullError, "", "receive() packets, release frames, or raise depth or queue."),
    Status(-20, "AVENC_E_DROPPED", FrameError),
    Status(-21, "AVENC_E_NO_CONVERTER", AclNotSupportedError, "", "Install PyAV (av) or libyuv, or give NV12 frames."),
    Status(-22, "AVENC_E_SINK", SinkError),
    Status(-23, "AVENC_E_REPLACED", AclStateError),
    Status(-24, "AVENC_E_AGAIN", AclTimeoutError),
    Status(-25, "AVENC_E_LOOK", AclTimeoutError),
    Status(-26, "AVENC_E_MIXED", AclStateError),
    Status(-27, "AVENC_E_UNSURE", AclStateError, "", "Call reconfigure(): another channel takes the place of this one."),
    Status(0, "ACL_SUCCESS", AclError),
    Status(100000, "ACL_ERROR_INVALID_PARAM", AclInvalidParamError, "A handle is NULL or stale, or a value is outside what the function takes."),
    Status(100001, "ACL_ERROR_UNINITIALIZE", AclStateError, "AscendCL is not initialised.", "Call acl.init (the Encoder does it by itself) before anything else."),
    Status(100002, "ACL_ERROR_REPEAT_INITIALIZE", AclStateError, "AscendCL was initialised before in this process.", "This is harmless."),
    Status(100003, "ACL_ERROR_INVALID_FILE", AclInvalidParamError, "The path given to acl.init names no readable file.", "Give the path of a JSON file, or none."),
    Status(100004, "ACL_ERROR_WRITE_FILE", AclError, "A file cannot be written.", "Look at the disk and the permissions of the log folder."),
    Status(100005, "ACL_ERROR_INVALID_FILE_SIZE", AclError, "The file given to acl.init is empty or too large."),
    Status(100006, "ACL_ERROR_PARSE_FILE", AclInvalidParamError, "The file given to acl.init is not valid JSON.", "An empty object, {}, is enough."),
    Status(100007, "ACL_ERROR_FILE_MISSING_ATTR", AclError, "The file given to acl.init lacks an attribute."),
    Status(100008, "ACL_ERROR_FILE_ATTR_INVALID", AclError, "An attribute in the file given to acl.init has no allowed value."),
    Status(100009, "ACL_ERROR_INVALID_DUMP_CONFIG", AclError, "The file given to acl.init asks for a dump with settings that are not allowed."),
    Status(100010, "ACL_ERROR_INVALID_PROFILING_CONFIG", AclError, "The file given to acl.init asks for profiling with settings that are not allowed."),
    Status(100011, "ACL_ERROR_INVALID_MODEL_ID", AclError),
    Status(100012, "ACL_ERROR_DESERIALIZE_MODEL", AclError),
    Status(100013, "ACL_ERROR_PARSE_MODEL", AclError),
    Status(100014, "ACL_ERROR_READ_MODEL_FAILURE", AclError),
    Status(100015, "ACL_ERROR_MODEL_SIZE_INVALID", AclError),
    Status(100016, "ACL_ERROR_MODEL_MISSING_ATTR", AclError),
    Status(100017, "ACL_ERROR_MODEL_INPUT_NOT_MATCH", AclError),
    Status(100018, "ACL_ERROR_MODEL_OUTPUT_NOT_MATCH", AclError),
    Status(100019, "ACL_ERROR_MODEL_NOT_DYNAMIC", AclError),
    Status(100020, "ACL_ERROR_OP_TYPE_NOT_MATCH", AclError),
    Status(100021, "ACL_ERROR_OP_INPUT_NOT_MATCH", AclError),
    Status(100022, "ACL_ERROR_OP_OUTPUT_NOT_MATCH", AclError),
    Status(100023, "ACL_ERROR_OP_ATTR_NOT_MATCH", AclError),
    Status(100024, "ACL_ERROR_OP_NOT_FOUND", AclError),
    Status(100025, "ACL_ERROR_OP_LOAD_FAILED", AclError),
    Status(100026, "ACL_ERROR_UNSUPPORTED_DATA_TYPE", AclError),
    Status(100027, "ACL_ERROR_FORMAT_NOT_MATCH", AclError),
    Status(100028, "ACL_ERROR_BIN_SELECTOR_NOT_REGISTERED", AclError),
    Status(100029, "ACL_ERROR_KERNEL_NOT_FOUND", AclError),
    Status(100030, "ACL_ERROR_BIN_SELECTOR_ALREADY_REGISTERED", AclError),
    Status(100031, "ACL_ERROR_KERNEL_ALREADY_REGISTERED", AclError),
    Status(100032, "ACL_ERROR_INVALID_QUEUE_ID", AclError),
    Status(100033, "ACL_ERROR_REPEAT_SUBSCRIBE", AclError, "The stream is subscribed already."),
    Status(100034, "ACL_ERROR_STREAM_NOT_SUBSCRIBE", AclError, "The stream is not subscribed (newer runtimes: 107015)."),
    Status(100035, "ACL_ERROR_THREAD_NOT_SUBSCRIBE", AclError, "The thread is subscribed to no stream (newer runtimes: 107012)."),
    Status(100036, "ACL_ERROR_WAIT_CALLBACK_TIMEOUT", AclTimeoutError, "Nothing was reported in time (newer runtimes: 507012)."),
    Status(100037, "ACL_ERROR_REPEAT_FINALIZE", AclStateError, "acl.finalize was called before, or acl.init never was."),
    Status(100038, "ACL_ERROR_NOT_STATIC_AIPP", AclError),
    Status(100039, "ACL_ERROR_COMPILING_STUB_MODE", AclStubLibraryError, "A link-time stub library was loaded.", "Take devlib and stub folders out of LD_LIBRARY_PATH."),
    Status(100040, "ACL_ERROR_GROUP_NOT_SET", AclError),
    Status(100041, "ACL_ERROR_GROUP_NOT_CREATE", AclError),
    Status(100042, "ACL_ERROR_PROF_ALREADY_RUN", AclError),
    Status(100043, "ACL_ERROR_PROF_NOT_RUN", AclError),
    Status(100044, "ACL_ERROR_DUMP_ALREADY_RUN", AclError),
    Status(100045, "ACL_ERROR_DUMP_NOT_RUN", AclError),
    Status(148046, "ACL_ERROR_PROF_REPEAT_SUBSCRIBE", AclError),
    Status(148047, "ACL_ERROR_PROF_API_CONFLICT", AclError),
    Status(148048, "ACL_ERROR_INVALID_MAX_OPQUEUE_NUM_CONFIG", AclError),
    Status(148049, "ACL_ERROR_INVALID_OPP_PATH", AclError),
    Status(148050, "ACL_ERROR_OP_UNSUPPORTED_DYNAMIC", AclError),
    Status(148051, "ACL_ERROR_RELATIVE_RESOURCE_NOT_CLEARED", AclError, "Something of the process's is still in use.", "Destroy channels, streams and contexts before aclFinalize."),
    Status(148052, "ACL_ERROR_UNSUPPORTED_JPEG", AclError),
    Status(148053, "ACL_ERROR_INVALID_BUNDLE_MODEL_ID", AclError),
    Status(200000, "ACL_ERROR_BAD_ALLOC", AclMemoryError, "The host is out of memory."),
    Status(200001, "ACL_ERROR_API_NOT_SUPPORT", AclNotSupportedError, "The loaded AscendCL has no such function.", "A newer CANN is needed."),
    Status(200002, "ACL_ERROR_INVALID_DEVICE", AclError, "There is no such device (newer runtimes: 107001)."),
    Status(200003, "ACL_ERROR_MEMORY_ADDRESS_UNALIGNED", AclError, "The address is not aligned as the device needs it."),
    Status(200004, "ACL_ERROR_RESOURCE_NOT_MATCH", AclError, "The handle belongs to another device or context."),
    Status(200005, "ACL_ERROR_INVALID_RESOURCE_HANDLE", AclError, "The handle is stale or was never valid."),
    Status(200006, "ACL_ERROR_FEATURE_UNSUPPORTED", AclNotSupportedError, "This chip does not have that attribute."),
    Status(200007, "ACL_ERROR_PROF_MODULES_UNSUPPORTED", AclError),
    Status(300000, "ACL_ERROR_STORAGE_OVER_LIMIT", AclError, "There is no room for files of the runtime's.", "Make room on the disk that has the log and dump folders."),
    Status(500000, "ACL_ERROR_INTERNAL_ERROR", AclError, "AscendCL could not set its media part up: no current device or context on this thread, usually."),
    Status(500001, "ACL_ERROR_FAILURE", AclError, "The runtime failed, and says no more.", guess=True),
    Status(500002, "ACL_ERROR_GE_FAILURE", AclError),
    Status(500003, "ACL_ERROR_RT_FAILURE", AclError, "On 310P and 310B an output buffer needs both its address and its size, or neither."),
    Status(500004, "ACL_ERROR_DRV_FAILURE", AclError, "The driver failed.", "Check that driver, firmware and CANN fit each other."),
    Status(500005, "ACL_ERROR_PROFILING_FAILURE", AclError),
    Status(107000, "ACL_ERROR_RT_PARAM_INVALID", AclInvalidParamError, "An argument is outside its range, for example more bytes to copy than the target holds."),
    Status(107001, "ACL_ERROR_RT_INVALID_DEVICEID", AclInvalidParamError, "No such device.", "`ascend-venc doctor` tells how many there are."),
    Status(107002, "ACL_ERROR_RT_CONTEXT_NULL", AclStateError, "This thread has no current context.", "Call acl.rt.set_device or acl.rt.set_context in it first."),
    Status(107003, "ACL_ERROR_RT_STREAM_CONTEXT", AclError, "The stream belongs to another context than the current one."),
    Status(107004, "ACL_ERROR_RT_MODEL_CONTEXT", AclError),
    Status(107005, "ACL_ERROR_RT_STREAM_MODEL", AclError),
    Status(107006, "ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID", AclError),
    Status(107007, "ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL", AclError),
    Status(107008, "ACL_ERROR_RT_ADDR_UNALIGNED", AclInvalidParamError, "The address is not aligned as the device needs it."),
    Status(107009, "ACL_ERROR_RT_FILE_OPEN", AclError, "A file cannot be opened."),
    Status(107010, "ACL_ERROR_RT_FILE_WRITE", AclError, "A file cannot be written."),
    Status(107011, "ACL_ERROR_RT_STREAM_SUBSCRIBE", AclError, "The stream is subscribed already, or was never subscribed."),
    Status(107012, "ACL_ERROR_RT_THREAD_SUBSCRIBE", AclError, "This thread is subscribed to no stream (no channel exists yet), or it serves another device already."),
    Status(107013, "ACL_ERROR_RT_GROUP_NOT_SET", AclError),
    Status(107014, "ACL_ERROR_RT_GROUP_NOT_CREATE", AclError),
    Status(107015, "ACL_ERROR_RT_STREAM_NO_CB_REG", AclError, "No thread is subscribed to the stream.", "Call acl.rt.subscribe_report first."),
    Status(107016, "ACL_ERROR_RT_INVALID_MEMORY_TYPE", AclError, "The memory is not of the kind that the call takes."),
    Status(107017, "ACL_ERROR_RT_INVALID_HANDLE", AclInvalidParamError, "The handle is stale or was never valid."),
    Status(107018, "ACL_ERROR_RT_INVALID_MALLOC_TYPE", AclError, "The kind of allocation is unknown to this runtime."),
    Status(107019, "ACL_ERROR_RT_WAIT_TIMEOUT", AclTimeoutError, "The wait took longer than the time allowed."),
    Status(107020, "ACL_ERROR_RT_TASK_TIMEOUT", AclTimeoutError, "The device did not finish in time."),
    Status(107021, "ACL_ERROR_RT_SYSPARAMOPT_NOT_SET", AclError),
    Status(107022, "ACL_ERROR_RT_DEVICE_TASK_ABORT", DeviceLostError, "The device's tasks were aborted, by a reset or because of an error.", "Open the device anew."),
    Status(107023, "ACL_ERROR_RT_STREAM_ABORT", AclError, "The stream was aborted.", "Destroy it and make another one."),
    Status(107035, "ACL_ERROR_RT_TASK_ABORT_STOP", AclError),
    Status(207000, "ACL_ERROR_RT_FEATURE_NOT_SUPPORT", AclNotSupportedError, "This chip or runtime does not have that feature."),
    Status(207001, "ACL_ERROR_RT_MEMORY_ALLOCATION", AclMemoryError, "The device is out of memory.", "Fewer channels, a smaller depth, or smaller pictures."),
    Status(207002, "ACL_ERROR_RT_MEMORY_FREE", AclError, "Memory could not be freed: the address is not one of an allocation."),
    Status(207003, "ACL_ERROR_RT_AICORE_OVER_FLOW", AclError),
    Status(207004, "ACL_ERROR_RT_NO_DEVICE", AclNoDeviceError, "No device.", "`ascend-venc doctor` tells what was found, and what of it is not usable."),
    Status(207005, "ACL_ERROR_RT_RESOURCE_ALLOC_FAIL", DeviceFullError, "Too many channels or streams are open on the device.", "Close an encoder, or use another device."),
    Status(207006, "ACL_ERROR_RT_NO_PERMISSION", AclPermissionError, "No permission for the device.", "Check /dev/davinci* and the user's groups."),
    Status(207007, "ACL_ERROR_RT_NO_EVENT_RESOURCE", AclError, "Too many events exist on the device.", "Close an encoder, or use another device."),
    Status(207008, "ACL_ERROR_RT_NO_STREAM_RESOURCE", DeviceFullError, "Too many streams are open on the device, and each video encoder channel takes two.", "Close an encoder, or use another device."),
    Status(207009, "ACL_ERROR_RT_NO_NOTIFY_RESOURCE", DeviceFullError, "Too many channels are open on the device.", "Close an encoder, or use another device."),
    Status(207010, "ACL_ERROR_RT_NO_MODEL_RESOURCE", AclError),
    Status(207011, "ACL_ERROR_RT_NO_CDQ_RESOURCE", AclError),
    Status(207012, "ACL_ERROR_RT_OVER_LIMIT", AclError, "A limit of the device's is reached.", "Close an encoder, or use another device."),
    Status(207013, "ACL_ERROR_RT_QUEUE_EMPTY", AclError, "The queue is empty."),
    Status(207014, "ACL_ERROR_RT_QUEUE_FULL", AclError, "The queue is full."),
    Status(207015, "ACL_ERROR_RT_REPEATED_INIT", AclError, "It was initialised before."),
    Status(207016, "ACL_ERROR_RT_AIVEC_OVER_FLOW", AclError),
    Status(207017, "ACL_ERROR_RT_OVER_FLOW", AclError),
    Status(207018, "ACL_ERROR_RT_DEVICE_OOM", AclMemoryError, "The device is out of memory.", "Fewer channels, a smaller depth, or smaller pictures."),
    Status(207019, "ACL_ERROR_RT_FEATURE_NOT_SUPPORT_UPDATE_OP", AclError),
    Status(207020, "ACL_ERROR_RT_TIMEOUT", AclTimeoutError, "The device did not answer in time."),
    Status(207021, "ACL_ERROR_RT_LINK_TYPE_NOT_SUPPORTED", AclError),
    Status(507000, "ACL_ERROR_RT_INTERNAL_ERROR", AclError, "The runtime failed, and says no more.", guess=True),
    Status(507001, "ACL_ERROR_RT_TS_ERROR", AclError, "The device's task scheduler failed.", "Reset the device, or reboot the host."),
    Status(507002, "ACL_ERROR_RT_STREAM_TASK_FULL", AclError, "The stream has no room for another task."),
    Status(507003, "ACL_ERROR_RT_STREAM_TASK_EMPTY", AclError),
    Status(507004, "ACL_ERROR_RT_STREAM_NOT_COMPLETE", AclError, "The stream is still busy."),
    Status(507005, "ACL_ERROR_RT_END_OF_SEQUENCE", AclError),
    Status(507006, "ACL_ERROR_RT_EVENT_NOT_COMPLETE", AclError, "The event has not happened yet."),
    Status(507007, "ACL_ERROR_RT_CONTEXT_RELEASE_ERROR", AclError, "A context could not be destroyed."),
    Status(507008, "ACL_ERROR_RT_SOC_VERSION", AclError, "The runtime does not know this chip.", "Check that driver, firmware and CANN fit each other."),
    Status(507009, "ACL_ERROR_RT_TASK_TYPE_NOT_SUPPORT", AclError),
    Status(507010, "ACL_ERROR_RT_LOST_HEARTBEAT", DeviceLostError, "The device no longer answers: it has to be reset."),
    Status(507011, "ACL_ERROR_RT_MODEL_EXECUTE", AclError),
    Status(507012, "ACL_ERROR_RT_REPORT_TIMEOUT", AclTimeoutError, "Nothing was reported in time; normal in a report loop."),
    Status(507013, "ACL_ERROR_RT_SYS_DMA", AclError, "A transfer between host and device failed."),
    Status(507014, "ACL_ERROR_RT_AICORE_TIMEOUT", AclError),
    Status(507015, "ACL_ERROR_RT_AICORE_EXCEPTION", AclError),
    Status(507016, "ACL_ERROR_RT_AICORE_TRAP_EXCEPTION", AclError),
    Status(507017, "ACL_ERROR_RT_AICPU_TIMEOUT", AclError, "A kernel of the device's own CPU, which drives the encoder, did not finish in time."),
    Status(507018, "ACL_ERROR_RT_AICPU_EXCEPTION", AclError, "Often a value that the device refuses: key-frame interval 1 to 65536, bit rate in kbit/s within the chip's range, size within the chip's range.", guess=True),
    Status(507019, "ACL_ERROR_RT_AICPU_DATADUMP_RSP_ERR", AclError),
    Status(507020, "ACL_ERROR_RT_AICPU_MODEL_RSP_ERR", AclError),
    Status(507021, "ACL_ERROR_RT_PROFILING_ERROR", AclError),
    Status(507022, "ACL_ERROR_RT_IPC_ERROR", AclError),
    Status(507023, "ACL_ERROR_RT_MODEL_ABORT_NORMAL", AclError),
    Status(507024, "ACL_ERROR_RT_KERNEL_UNREGISTERING", AclError),
    Status(507025, "ACL_ERROR_RT_RINGBUFFER_NOT_INIT", AclError),
    Status(507026, "ACL_ERROR_RT_RINGBUFFER_NO_DATA", AclError),
    Status(507027, "ACL_ERROR_RT_KERNEL_LOOKUP", AclError, "A kernel of the encoder was not found.", "Source the set_env.sh of the CANN whose library is loaded."),
    Status(507028, "ACL_ERROR_RT_KERNEL_DUPLICATE", AclError),
    Status(507029, "ACL_ERROR_RT_DEBUG_REGISTER_FAIL", AclError),
    Status(507030, "ACL_ERROR_RT_DEBUG_UNREGISTER_FAIL", AclError),
    Status(507031, "ACL_ERROR_RT_LABEL_CONTEXT", AclError),
    Status(507032, "ACL_ERROR_RT_PROGRAM_USE_OUT", AclError),
    Status(507033, "ACL_ERROR_RT_DEV_SETUP_ERROR", AclError, "The device could not be set up.", "Check that driver, firmware and CANN fit each other, and that no other process or container has the device to itself."),
    Status(507034, "ACL_ERROR_RT_VECTOR_CORE_TIMEOUT", AclError),
    Status(507035, "ACL_ERROR_RT_VECTOR_CORE_EXCEPTION", AclError),
    Status(507036, "ACL_ERROR_RT_VECTOR_CORE_TRAP_EXCEPTION", AclError),
    Status(507037, "ACL_ERROR_RT_CDQ_BATCH_ABNORMAL", AclError),
    Status(507038, "ACL_ERROR_RT_DIE_MODE_CHANGE_ERROR", AclError),
    Status(507039, "ACL_ERROR_RT_DIE_SET_ERROR", AclError),
    Status(507040, "ACL_ERROR_RT_INVALID_DIEID", AclError),
    Status(507041, "ACL_ERROR_RT_DIE_MODE_NOT_SET", AclError),
    Status(507042, "ACL_ERROR_RT_AICORE_TRAP_READ_OVERFLOW", AclError),
    Status(507043, "ACL_ERROR_RT_AICORE_TRAP_WRITE_OVERFLOW", AclError),
    Status(507044, "ACL_ERROR_RT_VECTOR_CORE_TRAP_READ_OVERFLOW", AclError),
    Status(507045, "ACL_ERROR_RT_VECTOR_CORE_TRAP_WRITE_OVERFLOW", AclError),
    Status(507046, "ACL_ERROR_RT_STREAM_SYNC_TIMEOUT", AclTimeoutError, "The device did not finish in time."),
    Status(507047, "ACL_ERROR_RT_EVENT_SYNC_TIMEOUT", AclTimeoutError, "The device did not finish in time."),
    Status(507048, "ACL_ERROR_RT_FFTS_PLUS_TIMEOUT", AclError),
    Status(507049, "ACL_ERROR_RT_FFTS_PLUS_EXCEPTION", AclError),
    Status(507050, "ACL_ERROR_RT_FFTS_PLUS_TRAP_EXCEPTION", AclError),
    Status(507051, "ACL_ERROR_RT_SEND_MSG", AclError, "The device took no message of the host's.", "Reset the device, or reboot the host."),
    Status(507052, "ACL_ERROR_RT_COPY_DATA", AclError, "A copy between host and device failed."),
    Status(507053, "ACL_ERROR_RT_DEVICE_MEM_ERROR", AclError, "A memory error of the device's.", "Reset the device, or reboot the host."),
    Status(507054, "ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR", AclError, "The device's memory has errors that cannot be corrected.", "Reset the device, or reboot the host."),
    Status(507055, "ACL_ERROR_RT_SUSPECT_DEVICE_MEM_ERROR", AclError, "The device's memory may have errors.", "Reset the device, or reboot the host."),
    Status(507056, "ACL_ERROR_RT_LINK_ERROR", AclError, "The link to the device failed.", "Reset the device, or reboot the host."),
    Status(507057, "ACL_ERROR_RT_SUSPECT_REMOTE_ERROR", AclError),
    Status(507899, "ACL_ERROR_RT_DRV_INTERNAL_ERROR", AclError, "The driver failed.", "Check that driver, firmware and CANN fit each other."),
    Status(507900, "ACL_ERROR_RT_AICPU_INTERNAL_ERROR", AclError, "The device's own CPU, which drives the encoder, failed.", "Reset the device, or reboot the host."),
    Status(507901, "ACL_ERROR_RT_SOCKET_CLOSE", AclError, "The connection to the device was closed.", "Reset the device, or reboot the host."),
    Status(507902, "ACL_ERROR_RT_AICPU_INFO_LOAD_RSP_ERR", AclError),
    Status(507903, "ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED", AclError),
    Status(507904, "ACL_ERROR_RT_COMM_OP_RETRY_FAIL", AclError),
    Status(507914, "ACL_ERROR_RT_L3_PORT_ERROR", AclError),
    Status(507915, "ACL_ERROR_RT_CCU_TIMEOUT", AclError),
    Status(507916, "ACL_ERROR_RT_CCU_EXCEPTION", AclError),
    Status(0xA0088002, "HI_ERR_VENC_INVALID_CHN_ID", DeviceFullError, "Too many channels are open on the device.", "Close an encoder, or use another device."),
    Status(0xA0088003, "HI_ERR_VENC_ILLEGAL_PARAM", AclInvalidParamError, "A value is outside the chip's range: size, bit rate, frame rate or gop.", guess=True),
    Status(0xA0088004, "HI_ERR_VENC_EXIST", AclStateError, "The channel exists already."),
    Status(0xA0088005, "HI_ERR_VENC_UNEXIST", AclStateError, "The channel was destroyed, or never created."),
    Status(0xA0088006, "HI_ERR_VENC_NULL_PTR", AclInvalidParamError, "A pointer is NULL."),
    Status(0xA0088007, "HI_ERR_VENC_NOT_CFG", AclStateError, "The channel is not configured.", "Create it with its attributes first."),
    Status(0xA0088008, "HI_ERR_VENC_NOT_SUPPORT", AclNotSupportedError, "This chip, or this kind of channel, does not have that."),
    Status(0xA0088009, "HI_ERR_VENC_NOT_PERM", AclStateError, "The call is not allowed now: the channel is running, or not running."),
    Status(0xA008800C, "HI_ERR_VENC_NO_MEM", DeviceFullError, "The device has no memory for another channel.", "Close an encoder, or use another device."),
    Status(0xA008800D, "HI_ERR_VENC_NO_BUF", EncoderFullError, "As many frames wait in the device as it holds."),
    Status(0xA008800E, "HI_ERR_VENC_BUF_EMPTY", AclError, "No finished frame is there.", "Wait for one, by hi_mpi_sys_wait_epoll."),
    Status(0xA008800F, "HI_ERR_VENC_BUF_FULL", AclError, "The channel's output buffer is full.", "Get and release its streams, or give it a larger buf_size."),
    Status(0xA0088010, "HI_ERR_VENC_SYS_NOT_READY", AclStateError, "hi_mpi_sys_exit was called in this process while an encoder is open."),
    Status(0xA0088011, "HI_ERR_VENC_BAD_ADDR", AclInvalidParamError, "The picture is not in memory of this device's.", "Allocate it by hi_mpi_dvpp_malloc."),
    Status(0xA0088001, "HI_ERR_ID_INVALID_DEV_ID", AclInvalidParamError, "There is no such device, or none is current on this thread."),
    Status(0xA0088013, "HI_ERR_ID_SIZE_NOT_ENOUGH", AclError, "A buffer is too small."),
    Status(0xA0088014, "HI_ERR_ID_TIMEOUT", AclTimeoutError, "The device, or the software in front of it, took too long."),
    Status(0xA0088012, "HI_ERR_VENC_BUSY", AclError, "The channel is busy."),
    Status(0xA0088015, "HI_ERR_VENC_SYS_ERROR", AclError, "The encoder failed in the device, and says no more.", guess=True),
    Status(0xA0028003, "HI_ERR_SYS_ILLEGAL_PARAM", AclInvalidParamError, "A value of a call of hi_mpi_sys_* is outside its range."),
    Status(0xA0028004, "HI_ERR_SYS_EXIST", AclStateError),
    Status(0xA0028005, "HI_ERR_SYS_UNEXIST", AclStateError),
    Status(0xA0028006, "HI_ERR_SYS_NULL_PTR", AclInvalidParamError),
    Status(0xA0028008, "HI_ERR_SYS_NOT_SUPPORT", AclNotSupportedError, "This chip has no DVPP V2.", 'Choose interface="v1".'),
    Status(0xA0028009, "HI_ERR_SYS_NOT_PERM", AclStateError),
    Status(0xA002800C, "HI_ERR_SYS_NO_MEM", AclMemoryError, "The device is out of memory."),
    Status(0xA0028010, "HI_ERR_SYS_NOT_READY", AclStateError, "hi_mpi_sys_exit was called in this process while an encoder is open."),
    Status(0xA0028012, "HI_ERR_SYS_BUSY", AclError),
    Status(0xA0028015, "HI_ERR_SYS_ERR", DeviceLostError, "The device no longer answers: it has to be reset."),
)
# fmt: on

_BY_CODE = {row.code: row for row in TABLE}

V2_MODULES = 0xA0000000  # DVPP V2's codes begin here; in C they are negative numbers

RANGES = (
    (100000, 199999, "the caller or the environment"),
    (200000, 299999, "resources or an unsupported feature"),
    (300000, 399999, "business"),
    (500000, 599999, "internal"),
)


def lookup(code: int) -> Status:
    """Return the row of a code; for a code that is not in the table, one that says what its range means."""
    code = _unsigned(code)
    row = _BY_CODE.get(code)
    if row is not None:
        return row
    if code >= V2_MODULES:
        return Status(code, f"unlisted code of DVPP V2 ({code:#x})", AclError)
    for first, last, meaning in RANGES:
        if first <= code <= last:
            return Status(code, f"unlisted code ({meaning})", AclError)
    return Status(code, "unlisted code", AclError)


def _unsigned(code: int) -> int:
    return code + (1 << 32) if code < -(1 << 16) else code  # the engine's are small


def explain(code: int) -> str:
    """Explain a status code in one line: number, name and what to do.

    >>> explain(507018).startswith("507018 ACL_ERROR_RT_AICPU_EXCEPTION: Often a value")
    True
    """
    row = lookup(code)
    return f"{code} {row.name}: {row.hint}" if row.hint else f"{code} {row.name}"


def from_status(code: int, call: str = "", detail: str = "") -> VencError:
    """Build the exception of a status: the only place where `AclError` and its subclasses are made."""
    row = lookup(code)
    code = row.code
    detail = _of_this_call(call, detail)
    hint = "" if row.guess and detail else row.hint
    if row.exception is InvalidArgumentError:
        return InvalidArgumentError(detail or row.name)
    message = (detail or row.name) if code < 0 else f"{call or 'AscendCL'} returned {code} {row.name}"
    if code >= 0 and detail:
        message = f"{message}: {detail}"
    if hint:
        message = f"{message.rstrip('.')}. {hint}"
    return row.exception(message, code, row.name, call, detail, hint)


def tell_name(error: BaseException, name: str | None) -> None:
    """Say in an error of ours which encoder it is about, by its name: once, and nothing where it has none."""
    if name is None or not isinstance(error, VencError) or getattr(error, "encoder_name", None) is not None:
        return
    error.encoder_name = name  # type: ignore[attr-defined]
    error.args = (f"{name}: {error}", *error.args[1:])


def _of_this_call(call: str, detail: str) -> str:
    """Return what the runtime says of this call. It keeps the texts of calls that failed before, for whoever asks.

    Where lines begin with the name of a function, those of other functions are left out, and so is our own one's name.
    """
    lines = []
    for line in dict.fromkeys(detail.strip().splitlines()):
        named = re.match(r"(acl\w+|hi_mpi_\w+): ", line)
        if named is None or not call:
            lines.append(line)
        elif named.group(1) == call:
            lines.append(line[named.end() :])
    return "\n".join(lines)


def frame_error(code: int, frame_index: int, pts: int, ret_code: int) -> FrameError:
    """Build the exception of a frame that the device did not encode."""
    row = lookup(code)
    code = row.code
    reason = f"the device reported {ret_code}" if ret_code else f"{code} {row.name}"
    error = FrameError(f"frame {frame_index} (pts {pts}) was not encoded: {reason}", code, row.name, "", "", row.hint)
    error.frame_index = frame_index
    error.pts = pts
    error.ret_code = ret_code
    return error
