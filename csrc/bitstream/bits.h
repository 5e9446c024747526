// SPDX-License-Identifier: Apache-2.0
/* Bits of a parameter set: read, written, and copied from one to the other. Needs nothing. */
#ifndef ASCEND_VENC_BITSTREAM_BITS_H
#define ASCEND_VENC_BITSTREAM_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AVI_PARAMETER_SET_SIZE = 2048 }; /* bytes; the largest that is read. Real ones have some 20 to 100 */

/* An RBSP, and its copy in the making. Once one of the two is over, all that is read is 0 and nothing is written. */
typedef struct avi_bits {
    const uint8_t *from; /* without emulation prevention */
    size_t end, at;      /* in bits */
    uint8_t *to;         /* cleared */
    size_t room, put;    /* in bits */
    bool over;
} avi_bits;

uint32_t avi_bits_read(avi_bits *bits, unsigned count); /* 0 to 32 */
uint32_t avi_bits_read_ue(avi_bits *bits);
void avi_bits_write(avi_bits *bits, uint32_t value, unsigned count);
void avi_bits_write_ue(avi_bits *bits, uint32_t value); /* below UINT32_MAX */

/* Read and write the same. */
uint32_t avi_bits_copy(avi_bits *bits, unsigned count);
uint32_t avi_bits_copy_ue(avi_bits *bits);
int32_t avi_bits_copy_se(avi_bits *bits);
void avi_bits_skip_copying(avi_bits *bits, size_t count); /* any number */

/* Copy what is left, up to the stop bit, and end the copy with it. False without a stop bit. */
bool avi_bits_copy_rest(avi_bits *bits);

/* Remove emulation prevention from a NAL unit. Returns the size; 0 if it is larger than room. */
size_t avi_unescape(const uint8_t *nal, size_t size, uint8_t *rbsp, size_t room);

/* Put it in. Returns the size; 0 if it is larger than room. */
size_t avi_escape(const uint8_t *rbsp, size_t size, uint8_t *nal, size_t room);

#endif
