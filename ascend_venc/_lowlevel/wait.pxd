# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_wait

# A wait of `timeout` seconds (None: without bound) that begins now and gives up, too, when frames are in flight and none
# is finished for `stall` seconds (None: never). The main thread looks for signals meanwhile: see `look`.
cdef int begin_wait(avenc_wait *wait, object timeout, object stall) except -1

# The same up to a moment of `time.monotonic()`, in seconds from 0 on; infinite: without bound.
cdef void begin_wait_until(avenc_wait *wait, double deadline) noexcept

# After a native call: True if it is to be called again, with the same wait, because it only came back so that Python's
# signal handlers can run. They have run then, and may have raised. Nothing native is held meanwhile.
cdef bint look(int status) except -1
