# SPDX-License-Identifier: Apache-2.0
"""What stands in `acl` itself: initialisation, versions, texts of failures."""
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint64_t

from .cavenc cimport *
from .core cimport default_library
from .fastcall cimport *
from .report cimport forget_all

from . import fastcall as _fastcall

cdef extern from "Python.h":
    bint PyUnicode_Check(PyObject *)

cdef PyMethodDef _slots[8]
cdef int _slots_used = 0
cdef bint _initialised = False  # by acl.init, and not finalised since


cdef int _export(const char *name, fastcall function, const char *doc) except -1:
    global _slots_used
    export(globals(), &_slots[_slots_used], name, function, doc)
    _slots_used += 1
    return 0


cdef object init(PyObject *self, PyObject **args, Py_ssize_t count):
    global _initialised
    cdef bytes path = None
    cdef const char *c_path = NULL
    cdef aclError code
    cdef avenc_library *library
    if count > 1 or (count == 1 and (not PyUnicode_Check(args[0]) or "\0" in <object>args[0])):
        raise TypeError("acl.init args parse failed")
    if count == 1:
        path = (<object>args[0]).encode()
        c_path = path
    cdef const acl_api *acl = api()
    library = default_library()
    with nogil:
        # Looking for devices may have needed the engine's own aclInit: this one takes its place, with this path.
        if not _initialised:
            avenc_library_finalize(library)
        code = acl.aclInit(c_path)
    if code == ACL_SUCCESS:
        _initialised = True
    return status(code, b"acl.init", args, count)

_export(b"init", init,
        b"init(config_path='', /)\n--\n\n"
        b"Initialise AscendCL, once in a process, before every other call. config_path names a JSON file; \"\" or "
        b"nothing: defaults. Returns ret: 100002 the second time. Wraps aclInit.")


cdef object finalize(PyObject *self, PyObject **args, Py_ssize_t count):
    global _initialised
    cdef aclError code
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclFinalize()
    if code == ACL_SUCCESS:
        _initialised = False
        forget_all()  # nothing reports any more
    return status(code, b"acl.finalize", args, count)

_export(b"finalize", finalize,
        b"finalize(*args)\n--\n\n"
        b"End the use of AscendCL in this process, after everything is destroyed. Returns ret: 100037 the second time. "
        b"Wraps aclFinalize.")


cdef object finalize_reference(PyObject *self, PyObject **args, Py_ssize_t count):
    global _initialised
    cdef uint64_t references = 0
    cdef aclError code
    cdef const acl_api *acl = api()
    if acl.aclFinalizeReference == NULL:
        return 0, unsupported(b"acl.finalize_reference", args, count)
    with nogil:
        code = acl.aclFinalizeReference(&references)
    if code == ACL_SUCCESS and references == 0:
        _initialised = False
        forget_all()
    return references, status(code, b"acl.finalize_reference", args, count)

_export(b"finalize_reference", finalize_reference,
        b"finalize_reference(*args)\n--\n\n"
        b"Undo one acl.init; the last one finalises. Returns (ref_count, ret): 200001 where the library cannot. "
        b"Wraps aclFinalizeReference.")


cdef object get_version(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t major = 0, minor = 0, patch = 0
    cdef aclError code = api().aclrtGetVersion(&major, &minor, &patch)
    return major, minor, patch, status(code, b"acl.get_version", args, count)

_export(b"get_version", get_version,
        b"get_version(*args)\n--\n\n"
        b"Tell the version of AscendCL's interface, not CANN's. Returns (major, minor, patch, ret). "
        b"Wraps aclrtGetVersion.")


cdef object get_soc_name(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const acl_api *acl = api()
    cdef const char *name = NULL
    if acl.aclrtGetSocName != NULL:
        with nogil:
            name = acl.aclrtGetSocName()
    return None if name == NULL else (<bytes>name).decode("utf-8", "replace")

_export(b"get_soc_name", get_soc_name,
        b"get_soc_name(*args)\n--\n\n"
        b"Return the chip, e.g. \"Ascend310P3\"; None if the runtime cannot tell. Wraps aclrtGetSocName.")


cdef object get_recent_err_msg(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *text = NULL
    message = _fastcall.last_failure()
    if message is None and loaded_api != NULL and loaded_api.aclGetRecentErrMsg != NULL:
        text = loaded_api.aclGetRecentErrMsg()
        if text != NULL:
            message = (<bytes>text).decode("utf-8", "replace")
    return message

_export(b"get_recent_err_msg", get_recent_err_msg,
        b"get_recent_err_msg(*args)\n--\n\n"
        b"Take the text of this thread's last failure: call, arguments, code, name, reason and what to do. Returns a str, "
        b"None if nothing failed since it was last taken. Wraps aclGetRecentErrMsg.")
