# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport acl_api, avenc_library, avenc_wait

cdef class Library:
    cdef avenc_library *_h  # never freed: libraries stay loaded until the process ends

# The process's library, opened by the rules of open_library() on first use, and its table, which never moves or dies.
cdef avenc_library *default_library() except NULL
cdef const acl_api *default_api() except NULL

# Look for libacl_dvpp_mpi.so if it is not open: avenc_library_info tells how that went. Waits and warns as open_library().
cdef int find_mpi(avenc_library *library, avenc_wait *wait) except -1

# Raise for a non-zero status of the engine, with the engine's last failure of this thread. Takes the GIL only to raise.
cdef int check(int status) except -1 nogil

# The exception of a status, and its text, by this thread's last failure: before another call of the engine replaces that.
cdef object failure_of(int status)
cdef str failed_detail()

# Tokens, owners and Futures of frames under way are counted among the live objects.
cdef void count_tickets(int delta) noexcept

# A function of that library beyond the table's list, such as "aclAppLog"; NULL if it has none of that name.
cdef void *default_symbol(const char *name) except? NULL

# What the strict mode of the simulated device lets a binding tell it: see aclsim.h.
cdef struct strict_hooks:
    void (*set_caller)(const char *place) noexcept nogil
    void (*report)(const char *kind, const char *function, const char *fix, const char *what) noexcept nogil

# NULLs unless that library is the simulated device and ASCEND_VENC_SIM_STRICT is 1.
cdef int find_strict_hooks(strict_hooks *hooks) except -1
