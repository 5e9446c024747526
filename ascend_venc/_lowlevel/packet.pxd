# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_channel, avenc_packet

cdef class Packet:
    cdef avenc_packet *_h  # the pooled buffer; NULL once released
    cdef object _time_base  # Fraction: seconds per pts unit
    cdef object _token
    cdef bytes _own  # of a packet that was copied or unpickled: what _h points to, instead of a pooled buffer
    cdef Py_ssize_t _exports  # live views of the buffer
    cdef avenc_packet *_handle(self) except NULL
    cdef void _give_back(self) noexcept

# Packets that were taken become Python objects, with what stands under their tags; or, where that raises, they are given
# back to the channel, and nothing has changed. A packet that failed, which comes alone, becomes its FrameError, raised;
# memory that the device may read all the same is kept alive.
# None: they are released, since `dropped` says that the encoder was closed, which has what stood under their tags.
cdef list wrap_packets(avenc_channel *channel, avenc_packet **taken, size_t count, dict entries, list time_bases,
                       const bint *dropped)

# Likewise of one promised packet: (Packet or None, exception or None, Future or None).
cdef tuple wrap_promised(avenc_channel *channel, avenc_packet *taken, dict entries, list time_bases)
