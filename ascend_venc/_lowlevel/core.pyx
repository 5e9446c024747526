# SPDX-License-Identifier: Apache-2.0
"""The loaded library, status checks and live-object counts.

`open_library` is the one door through which Python chooses a device: the real AscendCL, the simulated device, or a
path. Nothing is loaded at import.
"""
import glob
import importlib.util
import os
import sys

from .. import call_site, device_search, errors
from ..arguments import shown
from .cavenc cimport *
from .core cimport *
from .wait cimport begin_wait, look

from libc.stdint cimport uintptr_t
from libc.string cimport memset

cdef avenc_library *_default = NULL
_opened = {}  # a Library for each one handed out, for finalisation at exit
_warned = set()


cdef class Library:
    """Library()\n--\n\nA loaded AscendCL. Made by `open_library`; lives as long as the process.

    Attributes
    ----------
    simulated : bool
        Whether it is the simulated device.
    runtime_path, media_path : str
        Resolved paths of what stands for libascendcl.so and libacl_dvpp.so.
    mpi_path, mpi_problem : str
        The same of libacl_dvpp_mpi.so, which DVPP V2 needs, or why that is not open; the other one is "". It is opened
        when V2 is asked for: see `open_mpi`.
    soc_name : str
        Chip, e.g. "Ascend310P3"; "" if the runtime cannot tell.
    found_by : str
        The rule of the search that found it.
    device_count : int
        Devices reported when it was opened.
    """

    def __init__(self):
        raise TypeError("Library cannot be made directly: use open_library")

    @property
    def simulated(self) -> bool:
        return bool(avenc_library_info_get(self._h).simulated)

    @property
    def runtime_path(self) -> str:
        return os.fsdecode(avenc_library_info_get(self._h).runtime_path)

    @property
    def media_path(self) -> str:
        return os.fsdecode(avenc_library_info_get(self._h).media_path)

    @property
    def mpi_path(self) -> str:
        return os.fsdecode(avenc_library_info_get(self._h).mpi_path)

    @property
    def mpi_problem(self) -> str:
        return os.fsdecode(avenc_library_info_get(self._h).mpi_problem)

    @property
    def soc_name(self) -> str:
        return avenc_library_info_get(self._h).soc_name.decode("ascii", "replace")

    @property
    def found_by(self) -> str:
        return avenc_library_info_get(self._h).found_by.decode()

    @property
    def device_count(self) -> int:
        return avenc_library_info_get(self._h).device_count

    def open_mpi(self, timeout: float | None = None) -> bool:
        """Look for libacl_dvpp_mpi.so, if it is not open yet; return whether it is, else `mpi_problem` says why not.

        Waits, warns and raises as `open_library`.
        """
        cdef avenc_wait wait
        begin_wait(&wait, timeout, None)
        find_mpi(self._h, &wait)
        return self.mpi_problem == ""

    def has(self, str function) -> bool:
        """Say whether the library has a function of the lists, of DVPP V2's while that is open; else `InvalidArgumentError`."""
        cdef bytes name = function.encode()
        cdef int known = avenc_library_has(self._h, name)
        if known < 0:
            check(known)
        return bool(known)

    def finalize(self, double timeout=5.0):
        """Call aclFinalize, on a native thread, if this process owes it, once every device has ended.

        Waits up to `timeout` seconds without the GIL; AclTimeoutError after that.
        """
        cdef int status
        cdef avenc_wait wait = avenc_wait_for(<uint32_t>(timeout * 1000))
        with nogil:
            status = avenc_library_finalize(self._h, &wait)
        check(status)

    def __repr__(self):
        kind = "simulated device" if self.simulated else "AscendCL"
        return f"<Library {kind} {self.runtime_path} devices={self.device_count}>"


cdef str failed_detail():
    return (<bytes>avenc_last_failure().detail).decode("utf-8", "replace")


cdef object failure_of(int status):
    return errors.from_status(status, (<bytes>avenc_last_failure().call).decode("utf-8", "replace"), failed_detail())


cdef int check(int status) except -1 nogil:
    if status == AVENC_OK:
        return 0
    # Raising needs the GIL; on success, the hot path, it is not taken.
    with gil:
        raise failure_of(status)


def simulated_device_path() -> str:
    """Return the path of the simulated device that this installation carries."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_lib", "libascendvenc_sim.so")


def link_folder() -> str:
    """Return the folder that programs in C and C++ are linked with for the simulated device."""
    return os.path.join(os.path.dirname(simulated_device_path()), "acl")


def simulated_chips() -> list[dict[str, Any]]:
    """List the chips that the simulated device can be, the default one first: dicts with name, run mode and limits."""
    import ctypes
    import json

    describe_soc = ctypes.CDLL(simulated_device_path()).aclsim_describe_soc
    describe_soc.restype = ctypes.c_size_t
    describe_soc.argtypes = [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    found = []
    while size := describe_soc(len(found), None, 0):
        text = ctypes.create_string_buffer(size + 1)
        describe_soc(len(found), text, size + 1)
        found.append(json.loads(text.value))
    return found


def find_in_wheel(package: str, folder: str, pattern: str) -> str | None:
    """Return the path of a shared library that an installed wheel carries, or None. Nothing is imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    for place in spec.submodule_search_locations:
        found = sorted(glob.glob(os.path.join(glob.escape(os.path.dirname(place)), folder, pattern)))
        if found:
            return found[-1]
    return None


def find_codec() -> str | None:
    """Return the path of the libavcodec in the installed PyAV wheel, or None. PyAV is not imported."""
    return find_in_wheel("av", "av.libs", "libavcodec-*.so.*")


def find_swscale() -> str | None:
    """Return the path of the libswscale in the installed PyAV wheel, or None. PyAV is not imported."""
    return find_in_wheel("av", "av.libs", "libswscale-*.so.*")


def find_libyuv() -> str | None:
    """Return the path of a library with libyuv's functions, or None: the libavif of OpenCV's wheels exports them."""
    return find_in_wheel("cv2", "opencv_*.libs", "libavif-*.so.*")


def parse_backend(backend: str | PathLike[str] | None = None) -> tuple[str, str | None]:
    """Split a backend name into what the loader takes: (backend, chip profile of the simulated device or None).

    None stands for $ASCEND_VENC_BACKEND, and that for "auto".
    """
    if backend is None:
        backend = os.environ.get("ASCEND_VENC_BACKEND") or "auto"
    if isinstance(backend, os.PathLike):
        backend = os.fspath(backend)
    if not isinstance(backend, str):
        raise TypeError(f"backend must be a str or a path, got {type(backend).__name__}")
    backend = str.__str__(backend)  # of a class of it, such as an Enum's member or numpy.str_, its text
    if backend.startswith("sim:"):
        return "sim", backend[len("sim:"):]
    if backend not in ("auto", "ascend", "sim") and not os.path.isabs(backend):
        raise errors.InvalidArgumentError(
            f'backend is {shown(backend)}; allowed are "auto", "ascend", "sim", "sim:<chip>" such as "sim:Ascend310B4", '
            "or the absolute path of libascendcl.so or its folder")
    return backend, None


cdef warn_of_paths(const char *lines):
    for text in os.fsdecode(lines).splitlines():
        if text not in _warned:
            call_site.warn(text, errors.LibraryPathWarning)
            _warned.add(text)  # not one that a filter has made an exception: the next call raises again


cdef emit_warnings(Library library, str backend):
    cdef const avenc_library_info *info = avenc_library_info_get(library._h)
    warn_of_paths(info.warnings)
    if backend == "auto" and library.simulated and "auto" not in _warned:
        _warned.add("auto")
        call_site.warn(
            f"encoding on the simulated device, on this machine's CPU: {device_search.reason(os.fsdecode(info.fallback))} "
            '(backend="sim", or --backend sim, says so without this warning)',
            errors.SimulatedDeviceWarning)


cdef refuse_if_a_device_was_meant(Library library):
    """Raise where `auto` came to the simulated device although the environment speaks of another one."""
    fallback = os.fsdecode(avenc_library_info_get(library._h).fallback)
    problem = device_search.contradiction(
        fallback.endswith("reports no device"), (os.path.dirname(simulated_device_path()),))
    if problem is not None:
        raise errors.from_status(AVENC_E_NOT_FOUND, "", f"{problem}. Tried: {' '.join(fallback.split())}")


def open_library(backend: str | PathLike[str] | None = None, timeout: float | None = None) -> Library:
    """Find and load AscendCL and return its `Library`; the same library gives an equal one each time.

    Parameters
    ----------
    backend : str or path, optional
        "auto", "ascend", "sim", "sim:<chip>", or the absolute path of libascendcl.so or its folder.
        None stands for $ASCEND_VENC_BACKEND, or "auto".
    timeout : float, optional
        Seconds to wait for the vendor's calls; None: without bound.

    Warns, before the library is loaded, with `LibraryPathWarning` where others may replace it; an exception made of that
    warning leaves it unloaded. With ASCEND_VENC_STRICT_PATHS=1 such a library is refused.

    Raises
    ------
    AclLibraryNotFoundError, AclLibraryBrokenError and its subclasses
        With every path tried and why it was not usable.
    InvalidArgumentError
        No such backend, or no such chip profile.
    AclTimeoutError
        A constructor of the vendor's, aclInit or aclrtGetDeviceCount has not returned. It costs the native thread that
        called it.

    Waits without the GIL; Ctrl-C interrupts the wait. Callable from any thread.
    """
    cdef avenc_library_options options
    cdef avenc_wait wait
    cdef Library library = Library.__new__(Library)
    begin_wait(&wait, timeout, None)
    name, soc = parse_backend(backend)
    codec = find_codec() if name in ("auto", "sim") else None
    cdef bytes c_name = os.fsencode(name)
    cdef bytes c_soc = soc.encode() if soc is not None else None
    cdef bytes c_sim = os.fsencode(simulated_device_path())
    cdef bytes c_codec = os.fsencode(codec) if codec is not None else None
    options.backend = c_name
    options.sim_path = c_sim
    options.sim_soc = NULL if c_soc is None else <const char *>c_soc
    options.sim_codec = NULL if c_codec is None else <const char *>c_codec
    library._h = open_natively(&options, NULL, &wait)
    if name == "auto" and library.simulated:
        refuse_if_a_device_was_meant(library)
    emit_warnings(library, name)
    _opened.setdefault(<uintptr_t>library._h, library)
    return library


cdef avenc_library *open_natively(
        avenc_library_options *options, avenc_library *mpi_of, avenc_wait *wait) except NULL:
    """Open AscendCL, or DVPP V2 for a library that is open. Nothing is loaded that was not warned about."""
    cdef avenc_library *handle = NULL
    cdef avenc_opening *opening
    cdef const char *text
    cdef int status
    cdef bytes given
    cdef Py_ssize_t known
    cdef bint stops = True
    options.strict_paths = os.environ.get("ASCEND_VENC_STRICT_PATHS") == "1"
    while handle == NULL:
        given = os.fsencode("".join(line + "\n" for line in sorted(_warned)))
        options.warned = NULL
        if stops:
            options.warned = given
        opening = NULL
        text = NULL
        status = AVENC_E_LOOK
        check(avenc_library_open(options, &opening) if mpi_of == NULL
              else avenc_library_open_mpi(mpi_of, options, &opening))
        try:
            while look(status):
                with nogil:
                    status = avenc_library_wait_open(opening, wait, &handle, &text)
            check(status)
            if handle == NULL:
                known = len(_warned)
                warn_of_paths(text)
                stops = len(_warned) > known  # else it would ask for ever: the name of a folder may have line ends
        finally:
            avenc_opening_release(opening)
    return handle


cdef int find_mpi(avenc_library *library, avenc_wait *wait) except -1:
    cdef avenc_library_options options
    if avenc_library_himpi(library) == NULL:
        memset(&options, 0, sizeof(options))
        open_natively(&options, library, wait)
    return 0


def finalize_libraries(double timeout):
    """Call aclFinalize for each library whose aclInit was ours, within `timeout` seconds in all. For process exit.

    Raises nothing. Not while torch_npu is loaded: its own teardown, which comes later, needs the runtime.
    """
    cdef avenc_wait wait = avenc_wait_for(<uint32_t>(timeout * 1000))
    cdef Library library
    if "torch_npu" in sys.modules:
        return
    for library in list(_opened.values()):
        with nogil:
            avenc_library_finalize(library._h, &wait)


cdef avenc_library *default_library() except NULL:
    global _default
    cdef Library library
    if _default == NULL:
        library = open_library()
        if _default == NULL:  # another thread may have opened one meanwhile, by other rules: that stays
            _default = library._h
    return _default


cdef const acl_api *default_api() except NULL:
    return avenc_library_api(default_library())


cdef extern from "dlfcn.h" nogil:
    int RTLD_LAZY, RTLD_NOLOAD
    void *dlopen(const char *path, int flags)
    void *dlsym(void *handle, const char *name)


cdef void *default_symbol(const char *name) except? NULL:
    cdef avenc_library *library = default_library()
    cdef void *handle = dlopen(avenc_library_info_get(library).runtime_path, RTLD_LAZY | RTLD_NOLOAD)
    return NULL if handle == NULL else dlsym(handle, name)


cdef int find_strict_hooks(strict_hooks *hooks) except -1:
    hooks.set_caller = NULL
    hooks.report = NULL
    if os.environ.get("ASCEND_VENC_SIM_STRICT", "") not in ("", "0"):
        hooks.set_caller = <void (*)(const char *) noexcept nogil>default_symbol(b"aclsim_set_caller")
        hooks.report = <void (*)(const char *, const char *, const char *, const char *) noexcept nogil>default_symbol(
            b"aclsim_report")
    return 0


def reason(backend: str | PathLike[str] | None = None) -> str:
    """Say in a line why this backend is the one that is used. Raises as `open_library` does."""
    cdef Library library = open_library(backend)
    name, _ = parse_backend(backend)
    if name != "auto":
        return "chosen" if backend is not None else "chosen by $ASCEND_VENC_BACKEND"
    if library.simulated:
        return device_search.reason(os.fsdecode(avenc_library_info_get(library._h).fallback))
    return f"found by {library.found_by}"


def describe(backend: str | PathLike[str] | None = None) -> dict[str, Any]:
    """Open a library and describe it: a dict with backend, chip, paths, version and what of the list it lacks.

    Keys: "simulated", "reason" (see `reason`), "soc_name" ("" if the runtime cannot tell), "device_count", "runtime_path", "media_path",
    "mpi_path" and "mpi_problem" (see `Library`), "found_by", "version" (AscendCL's interface version as "1.2.3", "" if it cannot tell), "missing" (optional
    functions that the library lacks). Raises as `open_library` does.
    """
    cdef Library library = open_library(backend)
    cdef const avenc_library_info *info = avenc_library_info_get(library._h)
    version = [info.version[i] for i in range(3)]
    return {
        "simulated": library.simulated,
        "reason": reason(backend),
        "soc_name": info.soc_name.decode("ascii", "replace"),
        "device_count": library.device_count,
        "runtime_path": library.runtime_path,
        "media_path": library.media_path,
        "mpi_path": library.mpi_path,
        "mpi_problem": library.mpi_problem,
        "found_by": library.found_by,
        "version": ".".join(map(str, version)) if any(version) else "",
        "missing": [name for name, _, _ in functions() if not library.has(name)],
    }


cdef long long _tickets = 0


cdef void count_tickets(int delta) noexcept:
    global _tickets
    _tickets += delta


def live() -> dict[str, int]:
    """Count the engine's live native objects: a dict from kind (e.g. "CHANNEL") to number.

    "TICKET" counts the tokens, owners and Futures of frames whose packets nobody has taken.
    """
    counts = {avenc_live_name(kind).decode(): avenc_live(kind) for kind in range(AVENC_LIVE_COUNT)}
    counts["TICKET"] = _tickets
    return counts


def functions() -> list[tuple[str, str, bool]]:
    """List the AscendCL functions that are bound: tuples (name, "RUNTIME" or "MEDIA", required)."""
    found = []
    cdef size_t index = 0
    while avenc_function_name(index) != NULL:
        found.append((avenc_function_name(index).decode(), avenc_function_library(index).decode(),
                      bool(avenc_function_required(index))))
        index += 1
    return found
