// SPDX-License-Identifier: Apache-2.0
/* Picture, batch and stream descriptors, frame configs: fields that are stored and read back. */
#include "descriptors.h"

#include <stdlib.h>

typedef struct sim_batch_desc {
    sim_object object;
    uint32_t count;
    void **pictures; /* handles */
} sim_batch_desc;
_Static_assert(sizeof(sim_batch_desc) <= 128, "see the table in handle.c");

/* Documented: these own device memory, so creating one needs a current context. NULL with a text. */
static bool may_create(const char *function) {
    sim_context *context = sim_current();
    if (!sim_dvpp_ready() || context == NULL) {
        sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
        return false;
    }
    if (sim_device_lost(context->device) != 0) {
        sim_fail_at(function, sim_device_lost(context->device), "device %d is lost", context->device);
        return false;
    }
    return true;
}

static aclError no_processor(const char *function) {
    return sim_fail_at(function, ACL_ERROR_INTERNAL_ERROR,
                       "the media library is not up: no thread with a current context has called it yet");
}

/* Documented: NULL is success once the media library is up. Guessed: a stale handle is 100000. */
static aclError destroy(const char *function, sim_kind kind, const void *handle) {
    if (!sim_dvpp_ready())
        return no_processor(function);
    if (handle == NULL)
        return ACL_SUCCESS;
    if (!sim_handle_end(kind, handle, function)) {
        if (sim_is_strict())
            sim_report_stale(kind, handle, function);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live %s", handle, sim_kind_name(kind));
    }
    return ACL_SUCCESS;
}

/* ---- pictures ---------------------------------------------------------------------------------------- */

acldvppPicDesc *acldvppCreatePicDesc(void) {
    SIM_ENTER_VALUE(acldvppCreatePicDesc, NULL);
    if (!may_create(__func__))
        return NULL;
    sim_pic_desc *desc = HANDLE_NEW(SIM_PIC_DESC);
    return desc != NULL ? sim_handle_of(SIM_PIC_DESC, desc) : NULL;
}

static aclError destroy_picture(const char *function, acldvppPicDesc *picDesc) {
    sim_pic_desc *desc = sim_handle_get(SIM_PIC_DESC, picDesc);
    if (desc != NULL && desc->in_batch)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the descriptor belongs to a batch"); /* guessed */
    if (desc != NULL && atomic_load(&desc->in_flight) != 0 && sim_is_strict())
        sim_report_at("descriptor-in-flight", function,
                      "destroy a picture descriptor in its callback or after the EOS send has returned",
                      "picture descriptor %p is destroyed while %d frame(s) with it are in flight; it was %s",
                      (void *)picDesc, atomic_load(&desc->in_flight), sim_origin_format(&desc->object.origin).text);
    return destroy(function, SIM_PIC_DESC, picDesc);
}

aclError acldvppDestroyPicDesc(acldvppPicDesc *picDesc) {
    SIM_CALL(acldvppDestroyPicDesc, destroy_picture(__func__, picDesc));
}

#define FIND_OR_RETURN(type, kind, handle)                                                                             \
    type *desc = sim_handle_get(kind, handle);                                                                         \
    if (desc == NULL) {                                                                                                \
        STALE(kind, handle);                                                                                           \
        return FAIL(ACL_ERROR_INVALID_PARAM, "%p is no live %s", (const void *)handle, sim_kind_name(kind));           \
    }                                                                                                                  \
    (void)0

#define FIND_OR_DEFAULT(type, kind, handle, value)                                                                     \
    const type *desc = sim_handle_get(kind, handle);                                                                   \
    if (desc == NULL) {                                                                                                \
        STALE(kind, handle);                                                                                           \
        return (value);                                                                                                \
    }                                                                                                                  \
    (void)0

aclError acldvppSetPicDescData(acldvppPicDesc *picDesc, void *dataDev) {
    SIM_ENTER(acldvppSetPicDescData);
    FIND_OR_RETURN(sim_pic_desc, SIM_PIC_DESC, picDesc);
    if (dataDev == NULL) /* documented */
        return FAIL(ACL_ERROR_INVALID_PARAM, "dataDev must not be NULL");
    desc->data = dataDev;
    return ACL_SUCCESS;
}

void *acldvppGetPicDescData(const acldvppPicDesc *picDesc) {
    SIM_ENTER_VALUE(acldvppGetPicDescData, NULL);
    FIND_OR_DEFAULT(sim_pic_desc, SIM_PIC_DESC, picDesc, NULL);
    return desc->data;
}

/* Documented: nothing is validated. A getter without a descriptor gives 0, for the format YUV_400, which is 0. */
#define PICTURE_FIELD(Name, type, field)                                                                               \
    aclError acldvppSetPicDesc##Name(acldvppPicDesc *picDesc, type value) {                                            \
        SIM_ENTER(acldvppSetPicDesc##Name);                                                                            \
        FIND_OR_RETURN(sim_pic_desc, SIM_PIC_DESC, picDesc);                                                           \
        desc->field = value;                                                                                           \
        return ACL_SUCCESS;                                                                                            \
    }                                                                                                                  \
    type acldvppGetPicDesc##Name(const acldvppPicDesc *picDesc) {                                                      \
        SIM_ENTER_VALUE(acldvppGetPicDesc##Name, 0);                                                                   \
        FIND_OR_DEFAULT(sim_pic_desc, SIM_PIC_DESC, picDesc, 0);                                                       \
        return desc->field;                                                                                            \
    }

PICTURE_FIELD(Size, uint32_t, size)
PICTURE_FIELD(Format, acldvppPixelFormat, format)
PICTURE_FIELD(Width, uint32_t, width)
PICTURE_FIELD(Height, uint32_t, height)
PICTURE_FIELD(WidthStride, uint32_t, width_stride)
PICTURE_FIELD(HeightStride, uint32_t, height_stride)
PICTURE_FIELD(RetCode, uint32_t, ret_code)

/* ---- batches ------------------------------------------------------------------------------------------- */

static void end_batch(sim_batch_desc *batch, const char *function) {
    for (uint32_t i = 0; i < batch->count; i++)
        sim_handle_end(SIM_PIC_DESC, batch->pictures[i], function);
    free(batch->pictures);
    batch->pictures = NULL;
    batch->count = 0;
}

acldvppBatchPicDesc *acldvppCreateBatchPicDesc(uint32_t batchSize) {
    SIM_ENTER_VALUE(acldvppCreateBatchPicDesc, NULL);
    enum { MOST = 1024 };
    if (batchSize == 0 || batchSize > MOST) { /* guessed limit */
        FAIL(ACL_ERROR_INVALID_PARAM, "batchSize is %u, allowed is 1 to %d", batchSize, MOST);
        return NULL;
    }
    if (!may_create(__func__))
        return NULL;
    sim_batch_desc *batch = HANDLE_NEW(SIM_BATCH_DESC);
    if (batch == NULL)
        return NULL;
    batch->pictures = calloc(batchSize, sizeof *batch->pictures);
    while (batch->pictures != NULL && batch->count < batchSize) {
        sim_pic_desc *desc = sim_handle_new(SIM_PIC_DESC, __func__, __builtin_return_address(0), true);
        if (desc == NULL)
            break;
        desc->in_batch = true;
        batch->pictures[batch->count++] = sim_handle_of(SIM_PIC_DESC, desc);
    }
    void *handle = sim_handle_of(SIM_BATCH_DESC, batch);
    if (batch->count == batchSize)
        return handle;
    end_batch(batch, __func__);
    sim_handle_end(SIM_BATCH_DESC, handle, __func__);
    return NULL;
}

acldvppPicDesc *acldvppGetPicDesc(acldvppBatchPicDesc *batchPicDesc, uint32_t index) {
    SIM_ENTER_VALUE(acldvppGetPicDesc, NULL);
    FIND_OR_DEFAULT(sim_batch_desc, SIM_BATCH_DESC, batchPicDesc, NULL);
    return index < desc->count ? desc->pictures[index] : NULL;
}

static aclError destroy_batch(const char *function, acldvppBatchPicDesc *batchPicDesc) {
    if (!sim_dvpp_ready())
        return no_processor(function);
    if (batchPicDesc == NULL) /* guessed */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "batchPicDesc must not be NULL");
    sim_batch_desc *batch = sim_handle_get(SIM_BATCH_DESC, batchPicDesc);
    sim_batch_desc kept = batch != NULL ? *batch : (sim_batch_desc){.count = 0};
    aclError rc = destroy(function, SIM_BATCH_DESC, batchPicDesc);
    if (rc == ACL_SUCCESS)
        end_batch(&kept, function);
    return rc;
}

aclError acldvppDestroyBatchPicDesc(acldvppBatchPicDesc *batchPicDesc) {
    SIM_CALL(acldvppDestroyBatchPicDesc, destroy_batch(__func__, batchPicDesc));
}

/* ---- streams --------------------------------------------------------------------------------------------- */

acldvppStreamDesc *acldvppCreateStreamDesc(void) {
    SIM_ENTER_VALUE(acldvppCreateStreamDesc, NULL);
    if (!may_create(__func__))
        return NULL;
    sim_stream_desc *desc = HANDLE_NEW(SIM_STREAM_DESC);
    return desc != NULL ? sim_handle_of(SIM_STREAM_DESC, desc) : NULL;
}

static aclError destroy_stream_desc(const char *function, acldvppStreamDesc *streamDesc) {
    sim_stream_desc *desc = sim_handle_get(SIM_STREAM_DESC, streamDesc);
    if (desc != NULL && desc->output) { /* documented that it must not be; guessed code */
        if (sim_is_strict())
            sim_report_at("output-destroyed", function,
                          "leave the callback's output descriptor alone: it belongs to the library",
                          "stream descriptor %p is a channel's output", (void *)streamDesc);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the descriptor belongs to a channel");
    }
    return destroy(function, SIM_STREAM_DESC, streamDesc);
}

aclError acldvppDestroyStreamDesc(acldvppStreamDesc *streamDesc) {
    SIM_CALL(acldvppDestroyStreamDesc, destroy_stream_desc(__func__, streamDesc));
}

static void report_late(const char *function, const void *handle) {
    sim_report_at("late-output", function, "read the output descriptor inside the callback",
                  "%p is a channel's output, whose callback has returned", handle);
}

#define CHECK_OUTPUT(handle)                                                                                           \
    if (sim_is_strict() && desc->output && !atomic_load(&desc->readable))                                              \
    report_late(__func__, handle)

aclError acldvppSetStreamDescData(acldvppStreamDesc *streamDesc, void *dataDev) {
    SIM_ENTER(acldvppSetStreamDescData);
    FIND_OR_RETURN(sim_stream_desc, SIM_STREAM_DESC, streamDesc);
    if (dataDev == NULL) /* documented */
        return FAIL(ACL_ERROR_INVALID_PARAM, "dataDev must not be NULL");
    CHECK_OUTPUT(streamDesc);
    desc->data = dataDev;
    return ACL_SUCCESS;
}

void *acldvppGetStreamDescData(const acldvppStreamDesc *streamDesc) {
    SIM_ENTER_VALUE(acldvppGetStreamDescData, NULL);
    FIND_OR_DEFAULT(sim_stream_desc, SIM_STREAM_DESC, streamDesc, NULL);
    CHECK_OUTPUT(streamDesc);
    return desc->data;
}

#define STREAM_FIELD(Name, type, field, stored)                                                                        \
    aclError acldvppSetStreamDesc##Name(acldvppStreamDesc *streamDesc, type value) {                                   \
        SIM_ENTER(acldvppSetStreamDesc##Name);                                                                         \
        FIND_OR_RETURN(sim_stream_desc, SIM_STREAM_DESC, streamDesc);                                                  \
        CHECK_OUTPUT(streamDesc);                                                                                      \
        desc->field = stored;                                                                                          \
        return ACL_SUCCESS;                                                                                            \
    }                                                                                                                  \
    type acldvppGetStreamDesc##Name(const acldvppStreamDesc *streamDesc) {                                             \
        SIM_ENTER_VALUE(acldvppGetStreamDesc##Name, 0);                                                                \
        FIND_OR_DEFAULT(sim_stream_desc, SIM_STREAM_DESC, streamDesc, 0);                                              \
        CHECK_OUTPUT(streamDesc);                                                                                      \
        return desc->field;                                                                                            \
    }

STREAM_FIELD(Size, uint32_t, size, value)
STREAM_FIELD(Format, acldvppStreamFormat, format, value)
STREAM_FIELD(Timestamp, uint64_t, timestamp, value)
STREAM_FIELD(RetCode, uint32_t, ret_code, value)
STREAM_FIELD(Eos, uint8_t, eos, value != 0) /* documented: 0 or 1 */

/* ---- frame configs ----------------------------------------------------------------------------------------- */

aclvencFrameConfig *aclvencCreateFrameConfig(void) {
    SIM_ENTER_VALUE(aclvencCreateFrameConfig, NULL);
    if (!sim_dvpp_ready()) { /* documented: host memory, but the media library must be up */
        no_processor(__func__);
        return NULL;
    }
    sim_frame_config *config = HANDLE_NEW(SIM_FRAME_CONFIG);
    return config != NULL ? sim_handle_of(SIM_FRAME_CONFIG, config) : NULL;
}

aclError aclvencDestroyFrameConfig(aclvencFrameConfig *config) {
    SIM_CALL(aclvencDestroyFrameConfig, destroy(__func__, SIM_FRAME_CONFIG, config));
}

#define CONFIG_FIELD(Name, parameter, field)                                                                           \
    aclError aclvencSetFrameConfig##Name(aclvencFrameConfig *config, uint8_t parameter) {                              \
        SIM_ENTER(aclvencSetFrameConfig##Name);                                                                        \
        FIND_OR_RETURN(sim_frame_config, SIM_FRAME_CONFIG, config);                                                    \
        desc->field = parameter != 0; /* documented */                                                                 \
        return ACL_SUCCESS;                                                                                            \
    }                                                                                                                  \
    uint8_t aclvencGetFrameConfig##Name(const aclvencFrameConfig *config) {                                            \
        SIM_ENTER_VALUE(aclvencGetFrameConfig##Name, 0);                                                               \
        FIND_OR_DEFAULT(sim_frame_config, SIM_FRAME_CONFIG, config, 0);                                                \
        return desc->field;                                                                                            \
    }

CONFIG_FIELD(ForceIFrame, forceIFrame, force_i_frame)
CONFIG_FIELD(Eos, eos, eos)
