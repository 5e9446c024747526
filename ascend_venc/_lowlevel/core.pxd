# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport acl_api, avenc_library

cdef class Library:
    cdef avenc_library *_h  # never freed: libraries stay loaded until the process ends

# The process's library, opened by the rules of open_library() on first use. The table never moves or dies.
cdef const acl_api *default_api() except NULL
cdef avenc_library *default_library() except NULL

# Raise for a non-zero status of the engine, with the engine's last failure of this thread. Takes the GIL only to raise.
cdef int check(int status) except -1 nogil

# Tokens, owners and Futures of frames under way are counted among the live objects.
cdef void count_tickets(int delta) noexcept
