# SPDX-License-Identifier: Apache-2.0
"""What stands in `acl` itself: initialisation, versions, texts of failures."""

def finalize(*args: object) -> int:
    """End the use of AscendCL in this process, after everything is destroyed. Returns ret: 100037 the second
    time. Wraps aclFinalize.
    """

def finalize_reference(*args: object) -> tuple[int, int]:
    """Undo one acl.init; the last one finalises. Returns (ref_count, ret): 200001 where the library cannot.
    Wraps aclFinalizeReference.
    """

def get_recent_err_msg(*args: object) -> str | None:
    """Take the text of this thread's last failure: call, arguments, code, name, reason and what to do. Returns
    a str, None if nothing failed since it was last taken. Wraps aclGetRecentErrMsg.
    """

def get_soc_name(*args: object) -> str | None:
    """Return the chip, e.g. "Ascend310P3"; None if the runtime cannot tell. Wraps aclrtGetSocName."""

def get_version(*args: object) -> tuple[int, int, int, int]:
    """Tell the version of AscendCL's interface, not CANN's. Returns (major, minor, patch, ret). Wraps
    aclrtGetVersion.
    """

def init(config_path: str = "", /) -> int:
    """Initialise AscendCL, once in a process, before every other call. config_path names a JSON file; "" or
    nothing: defaults. Returns ret: 100002 the second time. Wraps aclInit.
    """
