// SPDX-License-Identifier: Apache-2.0
/* Decoder configuration records: ISO/IEC 14496-15, 5.3.3.1 (avcC) and 8.3.3.1 (hvcC). */
#include "avenc.h"
#include "base/status.h"
#include "bitstream/vui_fields.h"

#include <string.h>

enum { H264_SPS = 7, H264_PPS = 8, H264_SPS_EXT = 13, H265_VPS = 32, H265_SPS = 33, H265_PPS = 34 };
enum { GENERAL_SIZE = 12, RECORD_SIZE = 23 }; /* of hvcC: profile, tier and level; all in front of the parameter sets */

/* What there is no room for is counted and not written. */
typedef struct output {
    uint8_t *to;
    size_t room, put;
} output;

static void put_bytes(output *out, const void *bytes, size_t size) {
    if (size && out->put <= out->room && size <= out->room - out->put)
        memcpy(out->to + out->put, bytes, size);
    out->put += size;
}

static void put(output *out, uint32_t value, unsigned bytes) {
    while (bytes--)
        put_bytes(out, &(uint8_t){(uint8_t)(value >> 8 * bytes)}, 1);
}

static int end(const output *out, size_t *written, const char *call) {
    if (out->to && out->put > out->room)
        return avi_fail(AVENC_E_INVALID, call, "it takes %zu bytes, there is room for %zu", out->put, out->room);
    *written = out->put;
    return AVENC_OK;
}

/* ---- Annex B to a record ------------------------------------------------------------------------ */

/* NAL units in front of the first slice. */
typedef struct units {
    int32_t en_type;
    const uint8_t *data;
    size_t size, position;
    unsigned type; /* of the one that next_unit has found */
    size_t start, length;
} units;

static bool next_unit(units *units) {
    size_t length = 0;
    while (avenc_next_nal(units->data, units->size, &units->position, &units->start, &length)) {
        const uint8_t *nal = units->data + units->start;
        if (length < (units->en_type == H265_MAIN_LEVEL ? 3u : 2u))
            continue;
        units->length = length;
        units->type = units->en_type == H265_MAIN_LEVEL ? nal[0] >> 1 & 63 : nal[0] & 31;
        bool slice = units->en_type == H265_MAIN_LEVEL ? units->type < 32 : units->type >= 1 && units->type <= 5;
        return !slice;
    }
    return false;
}

static units units_of(int32_t en_type, const uint8_t *data, size_t size) {
    return (units){.en_type = en_type, .data = data, .size = size};
}

/* Each unit of one type with its size in front. AVENC_E_INVALID for more of them, or larger ones, than have a place. */
static int put_units(output *out, units all, unsigned type, unsigned most, unsigned *count, const char *call) {
    *count = 0;
    while (next_unit(&all)) {
        if (all.type != type)
            continue;
        if (++*count > most)
            return avi_fail(AVENC_E_INVALID, call, "there are more than %u parameter sets of type %u", most, type);
        if (all.length > UINT16_MAX)
            return avi_fail(AVENC_E_INVALID, call, "a parameter set has %zu bytes, allowed is up to %u", all.length,
                            UINT16_MAX);
        put(out, (uint32_t)all.length, 2);
        put_bytes(out, all.data + all.start, all.length);
    }
    return AVENC_OK;
}

static unsigned count_units(units all, unsigned type) {
    unsigned count = 0;
    while (next_unit(&all))
        count += all.type == type;
    return count;
}

/* The first one without emulation prevention, or the next after it. 0: none, or too large. */
static size_t next_rbsp(units *all, unsigned type, uint8_t rbsp[AVI_PARAMETER_SET_SIZE]) {
    while (next_unit(all))
        if (all->type == type)
            return avi_unescape(all->data + all->start, all->length, rbsp, AVI_PARAMETER_SET_SIZE);
    return 0;
}

static int fail_missing(const char *what, const char *call) {
    return avi_fail(AVENC_E_INVALID, call, "there is no %s in front of the first slice: give a key frame", what);
}

static int fail_unknown(const char *what, const char *call) {
    return avi_fail(AVENC_E_INVALID, call, "the syntax of the %s is not known: it is damaged, or longer than %d bytes",
                    what, AVI_PARAMETER_SET_SIZE);
}

static int put_avcc(output *out, units all, const char *call) {
    uint8_t rbsp[AVI_PARAMETER_SET_SIZE];
    avi_format format;
    units first = all;
    size_t length = next_rbsp(&first, H264_SPS, rbsp);
    if (!count_units(all, H264_SPS))
        return fail_missing("SPS", call);
    if (!count_units(all, H264_PPS))
        return fail_missing("PPS", call);
    avi_bits bits = {.from = rbsp, .end = 8 * length};
    if (length < 4 || !avi_h264_sps_format(&bits, &format) || format.luma_minus8 > 7 || format.chroma_minus8 > 7)
        return fail_unknown("SPS", call);
    unsigned count, profile_idc = rbsp[1];
    put(out, 1, 1); /* configurationVersion */
    put_bytes(out, rbsp + 1, 3);
    put(out, 0xfc | 3, 1); /* lengthSizeMinusOne */
    put(out, 0xe0 | count_units(all, H264_SPS), 1);
    int rc = put_units(out, all, H264_SPS, 31, &count, call);
    put(out, count_units(all, H264_PPS), 1);
    if (rc == AVENC_OK)
        rc = put_units(out, all, H264_PPS, 255, &count, call);
    if (profile_idc != 66 && profile_idc != 77 && profile_idc != 88) {
        put(out, 0xfc | format.chroma_format_idc, 1);
        put(out, 0xf8 | format.luma_minus8, 1);
        put(out, 0xf8 | format.chroma_minus8, 1);
        put(out, count_units(all, H264_SPS_EXT), 1);
        if (rc == AVENC_OK)
            rc = put_units(out, all, H264_SPS_EXT, 255, &count, call);
    }
    return rc;
}

/* What all SPS have in common. */
typedef struct hevc_summary {
    uint8_t general[GENERAL_SIZE]; /* profile_space, tier, profile_idc; compatibility; constraints; level */
    avi_format format;
    uint32_t min_spatial_segmentation;
    unsigned parallelism;
} hevc_summary;

static void join_general(uint8_t *general, const uint8_t *other) {
    bool higher_tier = (other[0] & 0x20) > (general[0] & 0x20);
    uint8_t level = higher_tier || other[11] > general[11] ? other[11] : general[11];
    uint8_t profile = (other[0] & 31) > (general[0] & 31) ? other[0] & 31 : general[0] & 31;
    general[0] = (other[0] & 0xc0) | ((other[0] | general[0]) & 0x20) | profile;
    for (int i = 1; i < 11; i++)
        general[i] &= other[i];
    general[11] = level;
}

static int summarize(units all, hevc_summary *summary, const char *call) {
    enum { NONE = 4097 };
    uint8_t rbsp[AVI_PARAMETER_SET_SIZE], copy[AVI_PARAMETER_SET_SIZE];
    size_t length;
    unsigned number = 0, sub_layers = 0;
    units sets = all;
    summary->min_spatial_segmentation = NONE;
    for (unsigned left = count_units(all, H265_SPS); left > 0; left--) {
        length = next_rbsp(&sets, H265_SPS, rbsp);
        memset(copy, 0, sizeof copy);
        avi_bits bits = {.from = rbsp, .end = 8 * length, .to = copy, .room = 8 * sizeof copy};
        if (length < 3 + GENERAL_SIZE || !avi_h265_sps_format(&bits, &summary->format) ||
            summary->format.luma_minus8 > 7 || summary->format.chroma_minus8 > 7)
            return fail_unknown("SPS", call);
        if (number++ == 0)
            memcpy(summary->general, rbsp + 3, GENERAL_SIZE);
        else
            join_general(summary->general, rbsp + 3);
        sub_layers = summary->format.sub_layers > sub_layers ? summary->format.sub_layers : sub_layers;
        if (summary->format.restricted && summary->format.min_spatial_segmentation < summary->min_spatial_segmentation)
            summary->min_spatial_segmentation = summary->format.min_spatial_segmentation;
    }
    sets = all;
    if (next_rbsp(&sets, H265_VPS, rbsp) >= 4) {
        unsigned of_vps = (rbsp[3] >> 1 & 7) + 1u; /* vps_max_sub_layers_minus1 */
        sub_layers = of_vps > sub_layers ? of_vps : sub_layers;
    }
    summary->format.sub_layers = sub_layers;
    if (summary->min_spatial_segmentation == NONE)
        summary->min_spatial_segmentation = 0;
    sets = all;
    for (unsigned left = count_units(all, H265_PPS); left > 0; left--) {
        unsigned parallelism;
        length = next_rbsp(&sets, H265_PPS, rbsp);
        avi_bits bits = {.from = rbsp, .end = 8 * length};
        if (!avi_h265_pps_parallelism(&bits, &parallelism))
            return fail_unknown("PPS", call);
        bool mixed = left < count_units(all, H265_PPS) && parallelism != summary->parallelism;
        summary->parallelism = mixed ? 0 : parallelism;
    }
    if (!summary->min_spatial_segmentation)
        summary->parallelism = 0;
    return AVENC_OK;
}

static int put_hvcc(output *out, units all, bool in_band, const char *call) {
    static const unsigned types[] = {H265_VPS, H265_SPS, H265_PPS};
    static const char *const names[] = {"VPS", "SPS", "PPS"};
    hevc_summary summary = {0};
    unsigned count;
    for (int i = 0; i < 3; i++)
        if (!count_units(all, types[i]))
            return fail_missing(names[i], call);
    int rc = summarize(all, &summary, call);
    if (rc != AVENC_OK)
        return rc;
    put(out, 1, 1); /* configurationVersion */
    put_bytes(out, summary.general, GENERAL_SIZE);
    put(out, 0xf000 | summary.min_spatial_segmentation, 2);
    put(out, 0xfc | summary.parallelism, 1);
    put(out, 0xfc | summary.format.chroma_format_idc, 1);
    put(out, 0xf8 | summary.format.luma_minus8, 1);
    put(out, 0xf8 | summary.format.chroma_minus8, 1);
    put(out, 0, 2); /* avgFrameRate: not told */
    put(out, (summary.format.sub_layers & 7) << 3 | (uint32_t)summary.format.temporal_nesting << 2 | 3, 1);
    put(out, 3, 1); /* numOfArrays */
    for (int i = 0; i < 3 && rc == AVENC_OK; i++) {
        put(out, (in_band ? 0 : 0x80) | types[i], 1); /* array_completeness */
        put(out, count_units(all, types[i]), 2);
        rc = put_units(out, all, types[i], UINT16_MAX, &count, call);
    }
    return rc;
}

int avenc_description_put(int32_t en_type, const uint8_t *data, size_t size, int in_band, uint8_t *to, size_t room,
                          size_t *written) {
    output out = {.to = to, .room = to ? room : 0};
    units all = units_of(en_type, data, size);
    int rc = en_type == H265_MAIN_LEVEL ? put_hvcc(&out, all, in_band != 0, __func__) : put_avcc(&out, all, __func__);
    return rc ? rc : end(&out, written, __func__);
}

/* ---- a record to Annex B ------------------------------------------------------------------------ */

typedef struct input {
    const uint8_t *data;
    size_t size, at;
    bool over; /* it was read beyond: what is read then is 0 */
} input;

static uint32_t get(input *in, unsigned bytes) {
    uint32_t value = 0;
    if (in->over || in->size - in->at < bytes) {
        in->over = true;
        return 0;
    }
    while (bytes--)
        value = value << 8 | in->data[in->at++];
    return value;
}

static void copy_units(input *in, unsigned count, output *out) {
    for (; count > 0 && !in->over; count--) {
        uint32_t length = get(in, 2);
        if (in->over || length > in->size - in->at) {
            in->over = true;
            return;
        }
        if (length)
            put(out, 1, 4); /* a start code */
        put_bytes(out, in->data + in->at, length);
        in->at += length;
    }
}

int avenc_description_get(int32_t en_type, const uint8_t *record, size_t size, uint8_t *to, size_t room,
                          size_t *written, uint32_t *length_size) {
    input in = {.data = record, .size = size};
    output out = {.to = to, .room = to ? room : 0};
    uint32_t version = get(&in, 1), bytes;
    if (!in.over && version != 1)
        return avi_fail(AVENC_E_INVALID, __func__, "the record begins with %u, version 1 is known: is it Annex B?",
                        version);
    if (en_type == H265_MAIN_LEVEL) {
        in.over = in.over || size < RECORD_SIZE;
        in.at = in.over ? 0 : RECORD_SIZE - 2;
        bytes = (get(&in, 1) & 3) + 1;
        for (uint32_t arrays = get(&in, 1); arrays > 0 && !in.over; arrays--) {
            get(&in, 1); /* NAL_unit_type */
            copy_units(&in, get(&in, 2), &out);
        }
    } else {
        uint32_t profile_idc = get(&in, 1);
        get(&in, 2);
        bytes = (get(&in, 1) & 3) + 1;
        copy_units(&in, get(&in, 1) & 31, &out);
        copy_units(&in, get(&in, 1), &out);
        bool more = profile_idc != 66 && profile_idc != 77 && profile_idc != 88;
        if (more && !in.over && in.size - in.at >= 4) { /* old writers leave it out */
            get(&in, 3);
            copy_units(&in, get(&in, 1), &out);
        }
    }
    if (in.over)
        return avi_fail(AVENC_E_INVALID, __func__, "the record has %zu bytes, and ends within a field: it is damaged",
                        size);
    int rc = end(&out, written, __func__);
    if (rc == AVENC_OK)
        *length_size = bytes;
    return rc;
}
