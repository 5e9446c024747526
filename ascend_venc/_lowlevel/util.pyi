# SPDX-License-Identifier: Apache-2.0
"""acl.util: threads for the report loop, and addresses of bytes and arrays."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy

def bytes_to_ptr(bytes_data: bytes, /) -> int:
    """Return the address of a bytes object's own buffer. Nothing is copied or kept: hold the object as long as
    the address is used.
    """

def numpy_contiguous_to_ptr(data: numpy.ndarray[Any, Any], /) -> tuple[int, numpy.ndarray[Any, Any]]:
    """Return (ptr, array): the array, or a contiguous copy of it, and its address. Deprecated by pyACL: warns.
    Hold `array` as long as the address is used.
    """

def numpy_to_ptr(data: numpy.ndarray[Any, Any], /) -> int:
    """Return the address of an array's first element. Deprecated by pyACL: warns. Nothing is copied or kept:
    hold the array as long as the address is used.
    """

def ptr_to_bytes(ptr: int, size: int, /) -> bytes:
    """Copy `size` bytes of host memory into a bytes object. The address is not checked: a wrong one ends the
    process.
    """

def ptr_to_numpy(ptr: int, shape: tuple[int, ...], np_type: SupportsIndex, /) -> numpy.ndarray[Any, Any]:
    """Return a writable array on host memory, which it neither copies nor owns. np_type is NumPy's number of
    the type: 2 uint8, 11 float32, ... Deprecated by pyACL: warns. The address is not checked: a wrong one ends
    the process.
    """

def start_thread(thr_func: Callable[..., object], args_list: Any, /) -> tuple[int, int]:
    """Run thr_func(args_list) in a new native thread; args_list None: thr_func(). Returns (thr_id, ret): the id
    that venc_set_channel_desc_thread_id wants, and 0 or an errno. The thread has no context: call set_context
    in it. An exception that ends it is printed. SIGINT stays as it is. The thread does not keep the interpreter
    from ending.
    """

def stop_thread(thr_id: int, /) -> int:
    """Wait until the function of a start_thread has returned; it is not asked to. Returns ret: 0, 3 for an
    unknown id or one that was stopped, 35 for the own thread. RuntimeError if an exception ended the function.
    Ctrl-C ends the wait; it can be repeated.
    """
