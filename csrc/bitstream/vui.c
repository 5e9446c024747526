// SPDX-License-Identifier: Apache-2.0
#include "bitstream/vui.h"
#include "bitstream/access_unit.h"
#include "bitstream/vui_fields.h"
#include "base/status.h"

#include <string.h>

enum { PREFIX_SIZE = 4096 }; /* all up to the last parameter set */

/* What changes a NAL unit, or NULL; *slice: the parameter sets are over. */
static avi_vui_rule *rule_of(const avenc_vui *vui, int32_t en_type, uint8_t header, bool *slice) {
    if (en_type == H265_MAIN_LEVEL) {
        unsigned type = header >> 1 & 0x3f;
        *slice = type < 32;
        return type == 33 ? avi_h265_sps : type == 32 && vui->tells & AVENC_VUI_TIMING ? avi_h265_vps : NULL;
    }
    unsigned type = header & 0x1f;
    *slice = type >= 1 && type <= 5;
    return type == 7 ? avi_h264_sps : NULL;
}

/* Returns the size of the new NAL unit; 0: its syntax is not known, or there is no room. */
static size_t change(avi_vui_rule *rule, const avenc_vui *vui, const uint8_t *nal, size_t size, uint8_t *to,
                     size_t room) {
    uint8_t before[AVI_PARAMETER_SET_SIZE], after[AVI_PARAMETER_SET_SIZE + AVI_VUI_ROOM];
    size_t length = avi_unescape(nal, size, before, sizeof before);
    if (!length)
        return 0;
    size_t most = length + AVI_VUI_ROOM;
    memset(after, 0, most);
    avi_bits bits = {.from = before, .end = 8 * length, .to = after, .room = 8 * most};
    return rule(&bits, vui) ? avi_escape(after, (bits.put + 7) / 8, to, room) : 0;
}

/*
 * Up to `stop` an access unit becomes `prefix`; returns the size of that. Its first slice begins at
 * `first_slice`, or there is none.
 */
static size_t change_all(const avenc_vui *vui, int32_t en_type, const uint8_t *data, size_t size, uint8_t *prefix,
                         const uint8_t **stop, const uint8_t **first_slice, uint32_t *left_out) {
    const uint8_t *end = data + size, *copied = data, *next, *nal;
    size_t made = 0;
    for (nal = avi_next_nal(data, end); nal < end; nal = next) {
        bool slice;
        avi_vui_rule *rule = rule_of(vui, en_type, *nal, &slice);
        if (slice)
            break;
        next = avi_next_nal(nal, end);
        if (!rule)
            continue;
        const uint8_t *last = next == end ? end : next - 3;
        while (last > nal && last[-1] == 0)
            last--;
        size_t before = (size_t)(nal - copied), left = PREFIX_SIZE - made, changed = 0;
        if (before < left)
            changed = change(rule, vui, nal, (size_t)(last - nal), prefix + made + before, left - before);
        if (!changed || made + before + changed > (size_t)(last - data) + AVI_VUI_ROOM) {
            ++*left_out;
            continue;
        }
        memcpy(prefix + made, copied, before);
        made += before + changed;
        copied = last;
    }
    *stop = copied;
    *first_slice = nal;
    return made;
}

static bool is_last(const avi_vui_last *last, const avenc_vui *vui, const uint8_t *data, size_t size) {
    return last->begin_size && size >= last->begin_size && memcmp(data, last->begin, last->begin_size) == 0 &&
           memcmp(vui, &last->vui, sizeof *vui) == 0;
}

uint8_t *avi_vui_put(avi_vui_last *last, const avenc_vui *vui, int32_t en_type, uint8_t *data, size_t *size,
                     uint32_t *left_out) {
    uint8_t prefix[PREFIX_SIZE];
    const uint8_t *made_of = last->after, *stop = data + last->before_size, *slice;
    size_t made = last->after_size;
    if (!is_last(last, vui, data, *size)) {
        uint32_t unknown = 0;
        made = change_all(vui, en_type, data, *size, prefix, &stop, &slice, &unknown);
        made_of = prefix;
        *left_out += unknown;
        last->begin_size = 0;
        if (unknown == 0 && slice < data + *size && slice - data < AVI_VUI_KEPT) {
            last->vui = *vui;
            last->begin_size = (size_t)(slice - data) + 1;
            last->before_size = (size_t)(stop - data);
            last->after_size = made;
            memcpy(last->begin, data, last->begin_size);
            memcpy(last->after, prefix, made);
        }
    }
    size_t before = (size_t)(stop - data);
    uint8_t *begin = data + before - made;
    memcpy(begin, made_of, made);
    *size = *size - before + made;
    return begin;
}

int avenc_vui_put(const avenc_vui *vui, int32_t en_type, const uint8_t *nal, size_t size, uint8_t *to, size_t room,
                  size_t *written) {
    bool slice;
    avi_vui_rule *rule = vui && nal && to && written && size ? rule_of(vui, en_type, *nal, &slice) : NULL;
    if (!rule)
        return avi_fail(
            AVENC_E_INVALID, __func__,
            "the NAL unit is no parameter set that can tell it: give H.264's SPS, H.265's SPS, or its VPS for "
            "the frame rate");
    *written = change(rule, vui, nal, size, to, room);
    if (!*written)
        return avi_fail(AVENC_E_INVALID, __func__,
                        "the syntax of the parameter set is not known: it is damaged, or longer than %d bytes",
                        AVI_PARAMETER_SET_SIZE);
    return AVENC_OK;
}
