# SPDX-License-Identifier: Apache-2.0
# The engine's C API as Cython sees it, made at build: contracts are in csrc/include/avenc.h. Functions of AscendCL are
# reached through its tables only.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

include "ascendcl.pxi"  # types and constants of ascendcl.h: by scripts/generate_declarations.py
include "acl_api.pxi"  # acl_api, the table of AscendCL's functions: made of ascendcl.h by scripts/generate_pyacl.py
include "himpi_api.pxi"  # himpi_api, the same of DVPP V2, and its structures: made of himpi.h
include "avenc.pxi"  # of avenc.h, by scripts/generate_declarations.py

cdef extern from "avenc.h" nogil:
    const uint64_t AVENC_FOR_EVER
