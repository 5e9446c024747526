// SPDX-License-Identifier: Apache-2.0
/*
 * ascendcl.h - the part of AscendCL that video encoding needs (DVPP V1), declared in C.
 *
 * Our own declarations, not the vendor's headers: those are C++ only. Sizes, values and signatures
 * are the ABI of libascendcl.so and libacl_dvpp.so from ACL 1.0 (2020) to 1.17 (2026); every enum
 * is passed as a 32-bit int. All pointers to descriptors are opaque.
 *
 * ACL_FUNCTIONS(X) below is the ONE list of functions. The loader's table, the availability query,
 * the simulated device's export list, the facade's API table and the tests derive from it:
 *
 *     X(library, presence, return_type, name, (parameters))
 *
 *   library   RUNTIME  libascendcl.so (libacl_rt.so on newer systems)
 *             MEDIA    libacl_dvpp.so
 *   presence  REQUIRED in every version that can encode
 *             OPTIONAL absent from some version: the loader leaves NULL
 *
 * Define ACL_NO_PROTOTYPES to get types and list only: libavenc does, so that calling AscendCL
 * other than through the loader's table does not compile.
 */
#ifndef ASCEND_VENC_ASCENDCL_H
#define ASCEND_VENC_ASCENDCL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- types ------------------------------------------------------------------------------- */

typedef int32_t aclError; /* 0 is success, see ACL_ERROR_CODES */
typedef void *aclrtContext;
typedef void *aclrtStream;
typedef void *aclrtEvent;

typedef struct aclrtMallocConfig aclrtMallocConfig;
typedef struct acldvppPicDesc acldvppPicDesc;
typedef struct acldvppBatchPicDesc acldvppBatchPicDesc;
typedef struct acldvppStreamDesc acldvppStreamDesc;
typedef struct aclvencChannelDesc aclvencChannelDesc;
typedef struct aclvencFrameConfig aclvencFrameConfig;

typedef void (*aclrtCallback)(void *userData);

/*
 * Called once for each accepted non-EOS frame, in send order, on the channel's report thread inside
 * aclrtProcessReport. `input` is the descriptor that was sent; `output` belongs to the library and,
 * with the memory it points to, is valid until the callback returns.
 */
typedef void (*aclvencCallback)(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata);

/* ---- enums: the type is a 32-bit int, the constants are of type int -------------------------- */

/* Where the calling program runs: on the device's own CPU (a board) or on a host across PCIe. */
typedef int32_t aclrtRunMode;
enum {
    ACL_DEVICE = 0,
    ACL_HOST = 1,
};

/* Copy direction. Values from 4 on exist in newer runtimes only. */
typedef int32_t aclrtMemcpyKind;
enum {
    ACL_MEMCPY_HOST_TO_HOST = 0,
    ACL_MEMCPY_HOST_TO_DEVICE = 1,
    ACL_MEMCPY_DEVICE_TO_HOST = 2,
    ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
    ACL_MEMCPY_DEFAULT = 4,
    ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE = 5,
    ACL_MEMCPY_INNER_DEVICE_TO_DEVICE = 6,
    ACL_MEMCPY_INTER_DEVICE_TO_DEVICE = 7,
};

/* Page policy of aclrtMalloc. 6, 7 and the flag bits exist in newer runtimes only. */
typedef int32_t aclrtMemMallocPolicy;
enum {
    ACL_MEM_MALLOC_HUGE_FIRST = 0,
    ACL_MEM_MALLOC_HUGE_ONLY = 1,
    ACL_MEM_MALLOC_NORMAL_ONLY = 2,
    ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3,
    ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4,
    ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5,
    ACL_MEM_MALLOC_HUGE1G_ONLY = 6,
    ACL_MEM_MALLOC_HUGE1G_ONLY_P2P = 7,
    ACL_MEM_TYPE_LOW_BAND_WIDTH = 0x100,
    ACL_MEM_TYPE_HIGH_BAND_WIDTH = 0x1000,
};

/* Memory pool that aclrtGetMemInfo reports on. */
typedef int32_t aclrtMemAttr;
enum {
    ACL_DDR_MEM = 0,
    ACL_HBM_MEM = 1,
    ACL_DDR_MEM_HUGE = 2,
    ACL_DDR_MEM_NORMAL = 3,
    ACL_HBM_MEM_HUGE = 4,
    ACL_HBM_MEM_NORMAL = 5,
    ACL_DDR_MEM_P2P_HUGE = 6,
    ACL_DDR_MEM_P2P_NORMAL = 7,
    ACL_HBM_MEM_P2P_HUGE = 8,
    ACL_HBM_MEM_P2P_NORMAL = 9,
};

/* Whether a stream waits for a launched callback to return. */
typedef int32_t aclrtCallbackBlockType;
enum {
    ACL_CALLBACK_NO_BLOCK = 0,
    ACL_CALLBACK_BLOCK = 1,
};

/* Result of aclrtQueryEvent. */
typedef int32_t aclrtEventStatus;
enum {
    ACL_EVENT_STATUS_COMPLETE = 0,
    ACL_EVENT_STATUS_NOT_READY = 1,
    ACL_EVENT_STATUS_RESERVED = 2,
};

/* Result of aclrtQueryEventStatus. */
typedef int32_t aclrtEventRecordedStatus;
enum {
    ACL_EVENT_RECORDED_STATUS_NOT_READY = 0,
    ACL_EVENT_RECORDED_STATUS_COMPLETE = 1,
};

/* Result of aclrtQueryEventWaitStatus. */
typedef int32_t aclrtEventWaitStatus;
enum {
    ACL_EVENT_WAIT_STATUS_COMPLETE = 0,
    ACL_EVENT_WAIT_STATUS_NOT_READY = 1,
    ACL_EVENT_WAIT_STATUS_RESERVED = 0xffff,
};

/* What an event is for, in any mixture: the flag of aclrtCreateEventWithFlag. */
enum {
    ACL_EVENT_SYNC = 0x1,
    ACL_EVENT_CAPTURE_STREAM_PROGRESS = 0x2,
    ACL_EVENT_TIME_LINE = 0x8,
};

/* Result of aclrtQueryDeviceStatus. */
typedef int32_t aclrtDeviceStatus;
enum {
    ACL_RT_DEVICE_STATUS_NORMAL = 0,
    ACL_RT_DEVICE_STATUS_ABNORMAL = 1,
    ACL_RT_DEVICE_STATUS_END = 0xFFFF,
};

/* Whose last error aclrtGetLastError means. */
typedef int32_t aclrtLastErrLevel;
enum { ACL_RT_THREAD_LEVEL = 0 };

/* Result of aclrtStreamQuery. */
typedef int32_t aclrtStreamStatus;
enum {
    ACL_STREAM_STATUS_COMPLETE = 0,
    ACL_STREAM_STATUS_NOT_READY = 1,
    ACL_STREAM_STATUS_RESERVED = 0xffff,
};

/* The flag of aclrtCreateStreamWithConfig. */
enum {
    ACL_STREAM_FAST_LAUNCH = 0x1,
    ACL_STREAM_FAST_SYNC = 0x2,
};

/* Codec and profile of a bitstream. */
typedef int32_t acldvppStreamFormat;
enum {
    H265_MAIN_LEVEL = 0,
    H264_BASELINE_LEVEL = 1,
    H264_MAIN_LEVEL = 2,
    H264_HIGH_LEVEL = 3,
};

/* What aclvencSetChannelDescParam sets; the suffix is the type of the value. */
typedef int32_t aclvencChannelDescParamType;
enum {
    ACL_VENC_THREAD_ID_UINT64 = 0,
    ACL_VENC_CALLBACK_PTR = 1,
    ACL_VENC_PIXEL_FORMAT_UINT32 = 2,
    ACL_VENC_ENCODE_TYPE_UINT32 = 3,
    ACL_VENC_PIC_WIDTH_UINT32 = 4,
    ACL_VENC_PIC_HEIGHT_UINT32 = 5,
    ACL_VENC_KEY_FRAME_INTERVAL_UINT32 = 6,
    ACL_VENC_BUF_ADDR_PTR = 7,
    ACL_VENC_BUF_SIZE_UINT32 = 8,
    ACL_VENC_RC_MODE_UINT32 = 9,
    ACL_VENC_SRC_RATE_UINT32 = 10,
    ACL_VENC_MAX_BITRATE_UINT32 = 11,
    ACL_VENC_MAX_IP_PROP_UINT32 = 12,
};

/* Pixel layout. VENC takes only YUV_SEMIPLANAR_420 (NV12) and YVU_SEMIPLANAR_420 (NV21). SEMI_PLANNER is the vendor's spelling. */
typedef int32_t acldvppPixelFormat;
enum {
    PIXEL_FORMAT_YUV_400 = 0,
    PIXEL_FORMAT_YUV_SEMIPLANAR_420 = 1,
    PIXEL_FORMAT_YVU_SEMIPLANAR_420 = 2,
    PIXEL_FORMAT_YUV_SEMIPLANAR_422 = 3,
    PIXEL_FORMAT_YVU_SEMIPLANAR_422 = 4,
    PIXEL_FORMAT_YUV_SEMIPLANAR_444 = 5,
    PIXEL_FORMAT_YVU_SEMIPLANAR_444 = 6,
    PIXEL_FORMAT_YUYV_PACKED_422 = 7,
    PIXEL_FORMAT_UYVY_PACKED_422 = 8,
    PIXEL_FORMAT_YVYU_PACKED_422 = 9,
    PIXEL_FORMAT_VYUY_PACKED_422 = 10,
    PIXEL_FORMAT_YUV_PACKED_444 = 11,
    PIXEL_FORMAT_RGB_888 = 12,
    PIXEL_FORMAT_BGR_888 = 13,
    PIXEL_FORMAT_ARGB_8888 = 14,
    PIXEL_FORMAT_ABGR_8888 = 15,
    PIXEL_FORMAT_RGBA_8888 = 16,
    PIXEL_FORMAT_BGRA_8888 = 17,
    PIXEL_FORMAT_YUV_SEMI_PLANNER_420_10BIT = 18,
    PIXEL_FORMAT_YVU_SEMI_PLANNER_420_10BIT = 19,
    PIXEL_FORMAT_YVU_PLANAR_420 = 20,
    PIXEL_FORMAT_YVU_PLANAR_422 = 21,
    PIXEL_FORMAT_YVU_PLANAR_444 = 22,
    PIXEL_FORMAT_RGB_444 = 23,
    PIXEL_FORMAT_BGR_444 = 24,
    PIXEL_FORMAT_ARGB_4444 = 25,
    PIXEL_FORMAT_ABGR_4444 = 26,
    PIXEL_FORMAT_RGBA_4444 = 27,
    PIXEL_FORMAT_BGRA_4444 = 28,
    PIXEL_FORMAT_RGB_555 = 29,
    PIXEL_FORMAT_BGR_555 = 30,
    PIXEL_FORMAT_RGB_565 = 31,
    PIXEL_FORMAT_BGR_565 = 32,
    PIXEL_FORMAT_ARGB_1555 = 33,
    PIXEL_FORMAT_ABGR_1555 = 34,
    PIXEL_FORMAT_RGBA_1555 = 35,
    PIXEL_FORMAT_BGRA_1555 = 36,
    PIXEL_FORMAT_ARGB_8565 = 37,
    PIXEL_FORMAT_ABGR_8565 = 38,
    PIXEL_FORMAT_RGBA_8565 = 39,
    PIXEL_FORMAT_BGRA_8565 = 40,
    PIXEL_FORMAT_RGB_BAYER_8BPP = 50,
    PIXEL_FORMAT_RGB_BAYER_10BPP = 51,
    PIXEL_FORMAT_RGB_BAYER_12BPP = 52,
    PIXEL_FORMAT_RGB_BAYER_14BPP = 53,
    PIXEL_FORMAT_RGB_BAYER_16BPP = 54,
    PIXEL_FORMAT_BGR_888_PLANAR = 70,
    PIXEL_FORMAT_HSV_888_PACKAGE = 71,
    PIXEL_FORMAT_HSV_888_PLANAR = 72,
    PIXEL_FORMAT_LAB_888_PACKAGE = 73,
    PIXEL_FORMAT_LAB_888_PLANAR = 74,
    PIXEL_FORMAT_S8C1 = 75,
    PIXEL_FORMAT_S8C2_PACKAGE = 76,
    PIXEL_FORMAT_S8C2_PLANAR = 77,
    PIXEL_FORMAT_S16C1 = 78,
    PIXEL_FORMAT_U8C1 = 79,
    PIXEL_FORMAT_U16C1 = 80,
    PIXEL_FORMAT_S32C1 = 81,
    PIXEL_FORMAT_U32C1 = 82,
    PIXEL_FORMAT_U64C1 = 83,
    PIXEL_FORMAT_S64C1 = 84,
    PIXEL_FORMAT_YUV_SEMIPLANAR_440 = 1000,
    PIXEL_FORMAT_YVU_SEMIPLANAR_440 = 1001,
    PIXEL_FORMAT_FLOAT32 = 1002,
    PIXEL_FORMAT_BUTT = 1003,
    PIXEL_FORMAT_UNKNOWN = 10000,
};

/* ---- error codes --------------------------------------------------------------------------- */

/*
 * X(name, value). 1xxxxx: the caller or the environment; 2xxxxx: resources or unsupported; 3xxxxx:
 * business; 5xxxxx: internal. The set is open: a newer runtime returns codes that are not listed.
 */
/* clang-format off */
#define ACL_ERROR_CODES(X) \
    X(ACL_ERROR_NONE, 0) \
    X(ACL_ERROR_INVALID_PARAM, 100000) \
    X(ACL_ERROR_UNINITIALIZE, 100001) \
    X(ACL_ERROR_REPEAT_INITIALIZE, 100002) \
    X(ACL_ERROR_INVALID_FILE, 100003) \
    X(ACL_ERROR_WRITE_FILE, 100004) \
    X(ACL_ERROR_INVALID_FILE_SIZE, 100005) \
    X(ACL_ERROR_PARSE_FILE, 100006) \
    X(ACL_ERROR_FILE_MISSING_ATTR, 100007) \
    X(ACL_ERROR_FILE_ATTR_INVALID, 100008) \
    X(ACL_ERROR_INVALID_DUMP_CONFIG, 100009) \
    X(ACL_ERROR_INVALID_PROFILING_CONFIG, 100010) \
    X(ACL_ERROR_INVALID_MODEL_ID, 100011) \
    X(ACL_ERROR_DESERIALIZE_MODEL, 100012) \
    X(ACL_ERROR_PARSE_MODEL, 100013) \
    X(ACL_ERROR_READ_MODEL_FAILURE, 100014) \
    X(ACL_ERROR_MODEL_SIZE_INVALID, 100015) \
    X(ACL_ERROR_MODEL_MISSING_ATTR, 100016) \
    X(ACL_ERROR_MODEL_INPUT_NOT_MATCH, 100017) \
    X(ACL_ERROR_MODEL_OUTPUT_NOT_MATCH, 100018) \
    X(ACL_ERROR_MODEL_NOT_DYNAMIC, 100019) \
    X(ACL_ERROR_OP_TYPE_NOT_MATCH, 100020) \
    X(ACL_ERROR_OP_INPUT_NOT_MATCH, 100021) \
    X(ACL_ERROR_OP_OUTPUT_NOT_MATCH, 100022) \
    X(ACL_ERROR_OP_ATTR_NOT_MATCH, 100023) \
    X(ACL_ERROR_OP_NOT_FOUND, 100024) \
    X(ACL_ERROR_OP_LOAD_FAILED, 100025) \
    X(ACL_ERROR_UNSUPPORTED_DATA_TYPE, 100026) \
    X(ACL_ERROR_FORMAT_NOT_MATCH, 100027) \
    X(ACL_ERROR_BIN_SELECTOR_NOT_REGISTERED, 100028) \
    X(ACL_ERROR_KERNEL_NOT_FOUND, 100029) \
    X(ACL_ERROR_BIN_SELECTOR_ALREADY_REGISTERED, 100030) \
    X(ACL_ERROR_KERNEL_ALREADY_REGISTERED, 100031) \
    X(ACL_ERROR_INVALID_QUEUE_ID, 100032) \
    X(ACL_ERROR_REPEAT_SUBSCRIBE, 100033) \
    X(ACL_ERROR_STREAM_NOT_SUBSCRIBE, 100034) \
    X(ACL_ERROR_THREAD_NOT_SUBSCRIBE, 100035) \
    X(ACL_ERROR_WAIT_CALLBACK_TIMEOUT, 100036) \
    X(ACL_ERROR_REPEAT_FINALIZE, 100037) \
    X(ACL_ERROR_NOT_STATIC_AIPP, 100038) \
    X(ACL_ERROR_COMPILING_STUB_MODE, 100039) \
    X(ACL_ERROR_GROUP_NOT_SET, 100040) \
    X(ACL_ERROR_GROUP_NOT_CREATE, 100041) \
    X(ACL_ERROR_PROF_ALREADY_RUN, 100042) \
    X(ACL_ERROR_PROF_NOT_RUN, 100043) \
    X(ACL_ERROR_DUMP_ALREADY_RUN, 100044) \
    X(ACL_ERROR_DUMP_NOT_RUN, 100045) \
    X(ACL_ERROR_PROF_REPEAT_SUBSCRIBE, 148046) \
    X(ACL_ERROR_PROF_API_CONFLICT, 148047) \
    X(ACL_ERROR_INVALID_MAX_OPQUEUE_NUM_CONFIG, 148048) \
    X(ACL_ERROR_INVALID_OPP_PATH, 148049) \
    X(ACL_ERROR_OP_UNSUPPORTED_DYNAMIC, 148050) \
    X(ACL_ERROR_RELATIVE_RESOURCE_NOT_CLEARED, 148051) \
    X(ACL_ERROR_UNSUPPORTED_JPEG, 148052) \
    X(ACL_ERROR_INVALID_BUNDLE_MODEL_ID, 148053) \
    X(ACL_ERROR_BAD_ALLOC, 200000) \
    X(ACL_ERROR_API_NOT_SUPPORT, 200001) \
    X(ACL_ERROR_INVALID_DEVICE, 200002) \
    X(ACL_ERROR_MEMORY_ADDRESS_UNALIGNED, 200003) \
    X(ACL_ERROR_RESOURCE_NOT_MATCH, 200004) \
    X(ACL_ERROR_INVALID_RESOURCE_HANDLE, 200005) \
    X(ACL_ERROR_FEATURE_UNSUPPORTED, 200006) \
    X(ACL_ERROR_PROF_MODULES_UNSUPPORTED, 200007) \
    X(ACL_ERROR_STORAGE_OVER_LIMIT, 300000) \
    X(ACL_ERROR_INTERNAL_ERROR, 500000) \
    X(ACL_ERROR_FAILURE, 500001) \
    X(ACL_ERROR_GE_FAILURE, 500002) \
    X(ACL_ERROR_RT_FAILURE, 500003) \
    X(ACL_ERROR_DRV_FAILURE, 500004) \
    X(ACL_ERROR_PROFILING_FAILURE, 500005) \
    X(ACL_ERROR_RT_PARAM_INVALID, 107000) \
    X(ACL_ERROR_RT_INVALID_DEVICEID, 107001) \
    X(ACL_ERROR_RT_CONTEXT_NULL, 107002) \
    X(ACL_ERROR_RT_STREAM_CONTEXT, 107003) \
    X(ACL_ERROR_RT_MODEL_CONTEXT, 107004) \
    X(ACL_ERROR_RT_STREAM_MODEL, 107005) \
    X(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, 107006) \
    X(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL, 107007) \
    X(ACL_ERROR_RT_ADDR_UNALIGNED, 107008) \
    X(ACL_ERROR_RT_FILE_OPEN, 107009) \
    X(ACL_ERROR_RT_FILE_WRITE, 107010) \
    X(ACL_ERROR_RT_STREAM_SUBSCRIBE, 107011) \
    X(ACL_ERROR_RT_THREAD_SUBSCRIBE, 107012) \
    X(ACL_ERROR_RT_GROUP_NOT_SET, 107013) \
    X(ACL_ERROR_RT_GROUP_NOT_CREATE, 107014) \
    X(ACL_ERROR_RT_STREAM_NO_CB_REG, 107015) \
    X(ACL_ERROR_RT_INVALID_MEMORY_TYPE, 107016) \
    X(ACL_ERROR_RT_INVALID_HANDLE, 107017) \
    X(ACL_ERROR_RT_INVALID_MALLOC_TYPE, 107018) \
    X(ACL_ERROR_RT_WAIT_TIMEOUT, 107019) \
    X(ACL_ERROR_RT_TASK_TIMEOUT, 107020) \
    X(ACL_ERROR_RT_SYSPARAMOPT_NOT_SET, 107021) \
    X(ACL_ERROR_RT_DEVICE_TASK_ABORT, 107022) \
    X(ACL_ERROR_RT_STREAM_ABORT, 107023) \
    X(ACL_ERROR_RT_TASK_ABORT_STOP, 107035) \
    X(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, 207000) \
    X(ACL_ERROR_RT_MEMORY_ALLOCATION, 207001) \
    X(ACL_ERROR_RT_MEMORY_FREE, 207002) \
    X(ACL_ERROR_RT_AICORE_OVER_FLOW, 207003) \
    X(ACL_ERROR_RT_NO_DEVICE, 207004) \
    X(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, 207005) \
    X(ACL_ERROR_RT_NO_PERMISSION, 207006) \
    X(ACL_ERROR_RT_NO_EVENT_RESOURCE, 207007) \
    X(ACL_ERROR_RT_NO_STREAM_RESOURCE, 207008) \
    X(ACL_ERROR_RT_NO_NOTIFY_RESOURCE, 207009) \
    X(ACL_ERROR_RT_NO_MODEL_RESOURCE, 207010) \
    X(ACL_ERROR_RT_NO_CDQ_RESOURCE, 207011) \
    X(ACL_ERROR_RT_OVER_LIMIT, 207012) \
    X(ACL_ERROR_RT_QUEUE_EMPTY, 207013) \
    X(ACL_ERROR_RT_QUEUE_FULL, 207014) \
    X(ACL_ERROR_RT_REPEATED_INIT, 207015) \
    X(ACL_ERROR_RT_AIVEC_OVER_FLOW, 207016) \
    X(ACL_ERROR_RT_OVER_FLOW, 207017) \
    X(ACL_ERROR_RT_DEVICE_OOM, 207018) \
    X(ACL_ERROR_RT_FEATURE_NOT_SUPPORT_UPDATE_OP, 207019) \
    X(ACL_ERROR_RT_TIMEOUT, 207020) \
    X(ACL_ERROR_RT_LINK_TYPE_NOT_SUPPORTED, 207021) \
    X(ACL_ERROR_RT_INTERNAL_ERROR, 507000) \
    X(ACL_ERROR_RT_TS_ERROR, 507001) \
    X(ACL_ERROR_RT_STREAM_TASK_FULL, 507002) \
    X(ACL_ERROR_RT_STREAM_TASK_EMPTY, 507003) \
    X(ACL_ERROR_RT_STREAM_NOT_COMPLETE, 507004) \
    X(ACL_ERROR_RT_END_OF_SEQUENCE, 507005) \
    X(ACL_ERROR_RT_EVENT_NOT_COMPLETE, 507006) \
    X(ACL_ERROR_RT_CONTEXT_RELEASE_ERROR, 507007) \
    X(ACL_ERROR_RT_SOC_VERSION, 507008) \
    X(ACL_ERROR_RT_TASK_TYPE_NOT_SUPPORT, 507009) \
    X(ACL_ERROR_RT_LOST_HEARTBEAT, 507010) \
    X(ACL_ERROR_RT_MODEL_EXECUTE, 507011) \
    X(ACL_ERROR_RT_REPORT_TIMEOUT, 507012) \
    X(ACL_ERROR_RT_SYS_DMA, 507013) \
    X(ACL_ERROR_RT_AICORE_TIMEOUT, 507014) \
    X(ACL_ERROR_RT_AICORE_EXCEPTION, 507015) \
    X(ACL_ERROR_RT_AICORE_TRAP_EXCEPTION, 507016) \
    X(ACL_ERROR_RT_AICPU_TIMEOUT, 507017) \
    X(ACL_ERROR_RT_AICPU_EXCEPTION, 507018) \
    X(ACL_ERROR_RT_AICPU_DATADUMP_RSP_ERR, 507019) \
    X(ACL_ERROR_RT_AICPU_MODEL_RSP_ERR, 507020) \
    X(ACL_ERROR_RT_PROFILING_ERROR, 507021) \
    X(ACL_ERROR_RT_IPC_ERROR, 507022) \
    X(ACL_ERROR_RT_MODEL_ABORT_NORMAL, 507023) \
    X(ACL_ERROR_RT_KERNEL_UNREGISTERING, 507024) \
    X(ACL_ERROR_RT_RINGBUFFER_NOT_INIT, 507025) \
    X(ACL_ERROR_RT_RINGBUFFER_NO_DATA, 507026) \
    X(ACL_ERROR_RT_KERNEL_LOOKUP, 507027) \
    X(ACL_ERROR_RT_KERNEL_DUPLICATE, 507028) \
    X(ACL_ERROR_RT_DEBUG_REGISTER_FAIL, 507029) \
    X(ACL_ERROR_RT_DEBUG_UNREGISTER_FAIL, 507030) \
    X(ACL_ERROR_RT_LABEL_CONTEXT, 507031) \
    X(ACL_ERROR_RT_PROGRAM_USE_OUT, 507032) \
    X(ACL_ERROR_RT_DEV_SETUP_ERROR, 507033) \
    X(ACL_ERROR_RT_VECTOR_CORE_TIMEOUT, 507034) \
    X(ACL_ERROR_RT_VECTOR_CORE_EXCEPTION, 507035) \
    X(ACL_ERROR_RT_VECTOR_CORE_TRAP_EXCEPTION, 507036) \
    X(ACL_ERROR_RT_CDQ_BATCH_ABNORMAL, 507037) \
    X(ACL_ERROR_RT_DIE_MODE_CHANGE_ERROR, 507038) \
    X(ACL_ERROR_RT_DIE_SET_ERROR, 507039) \
    X(ACL_ERROR_RT_INVALID_DIEID, 507040) \
    X(ACL_ERROR_RT_DIE_MODE_NOT_SET, 507041) \
    X(ACL_ERROR_RT_AICORE_TRAP_READ_OVERFLOW, 507042) \
    X(ACL_ERROR_RT_AICORE_TRAP_WRITE_OVERFLOW, 507043) \
    X(ACL_ERROR_RT_VECTOR_CORE_TRAP_READ_OVERFLOW, 507044) \
    X(ACL_ERROR_RT_VECTOR_CORE_TRAP_WRITE_OVERFLOW, 507045) \
    X(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, 507046) \
    X(ACL_ERROR_RT_EVENT_SYNC_TIMEOUT, 507047) \
    X(ACL_ERROR_RT_FFTS_PLUS_TIMEOUT, 507048) \
    X(ACL_ERROR_RT_FFTS_PLUS_EXCEPTION, 507049) \
    X(ACL_ERROR_RT_FFTS_PLUS_TRAP_EXCEPTION, 507050) \
    X(ACL_ERROR_RT_SEND_MSG, 507051) \
    X(ACL_ERROR_RT_COPY_DATA, 507052) \
    X(ACL_ERROR_RT_DEVICE_MEM_ERROR, 507053) \
    X(ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR, 507054) \
    X(ACL_ERROR_RT_SUSPECT_DEVICE_MEM_ERROR, 507055) \
    X(ACL_ERROR_RT_LINK_ERROR, 507056) \
    X(ACL_ERROR_RT_SUSPECT_REMOTE_ERROR, 507057) \
    X(ACL_ERROR_RT_DRV_INTERNAL_ERROR, 507899) \
    X(ACL_ERROR_RT_AICPU_INTERNAL_ERROR, 507900) \
    X(ACL_ERROR_RT_SOCKET_CLOSE, 507901) \
    X(ACL_ERROR_RT_AICPU_INFO_LOAD_RSP_ERR, 507902) \
    X(ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED, 507903) \
    X(ACL_ERROR_RT_COMM_OP_RETRY_FAIL, 507904) \
    X(ACL_ERROR_RT_L3_PORT_ERROR, 507914) \
    X(ACL_ERROR_RT_CCU_TIMEOUT, 507915) \
    X(ACL_ERROR_RT_CCU_EXCEPTION, 507916)
/* clang-format on */

#define ACL_ENUM_CODE(name, value) name = (value),
enum { ACL_ERROR_CODES(ACL_ENUM_CODE) ACL_SUCCESS = 0 };
#undef ACL_ENUM_CODE

/* ---- the list -------------------------------------------------------------------------------- */

/* clang-format off */
#define ACL_FUNCTIONS(X) \
    X(RUNTIME, REQUIRED, aclError, aclInit, (const char *configPath)) \
    X(RUNTIME, REQUIRED, aclError, aclFinalize, (void)) \
    X(RUNTIME, OPTIONAL, aclError, aclFinalizeReference, (uint64_t *refCount)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetVersion, (int32_t *majorVersion, int32_t *minorVersion, int32_t *patchVersion)) \
    X(RUNTIME, OPTIONAL, const char *, aclrtGetSocName, (void)) \
    X(RUNTIME, OPTIONAL, const char *, aclGetRecentErrMsg, (void)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtPeekAtLastError, (aclrtLastErrLevel level)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtGetLastError, (aclrtLastErrLevel level)) \
    X(RUNTIME, REQUIRED, aclError, aclrtSetDevice, (int32_t deviceId)) \
    X(RUNTIME, REQUIRED, aclError, aclrtResetDevice, (int32_t deviceId)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtResetDeviceForce, (int32_t deviceId)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetDevice, (int32_t *deviceId)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetDeviceCount, (uint32_t *count)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtQueryDeviceStatus, (int32_t deviceId, aclrtDeviceStatus *deviceStatus)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetRunMode, (aclrtRunMode *runMode)) \
    X(RUNTIME, REQUIRED, aclError, aclrtCreateContext, (aclrtContext *context, int32_t deviceId)) \
    X(RUNTIME, REQUIRED, aclError, aclrtDestroyContext, (aclrtContext context)) \
    X(RUNTIME, REQUIRED, aclError, aclrtSetCurrentContext, (aclrtContext context)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetCurrentContext, (aclrtContext *context)) \
    X(RUNTIME, REQUIRED, aclError, aclrtCreateStream, (aclrtStream *stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtCreateStreamWithConfig, (aclrtStream *stream, uint32_t priority, uint32_t flag)) \
    X(RUNTIME, REQUIRED, aclError, aclrtDestroyStream, (aclrtStream stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtDestroyStreamForce, (aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtSynchronizeStream, (aclrtStream stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtSynchronizeStreamWithTimeout, (aclrtStream stream, int32_t timeout)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtStreamQuery, (aclrtStream stream, aclrtStreamStatus *status)) \
    X(RUNTIME, REQUIRED, aclError, aclrtSynchronizeDevice, (void)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtSynchronizeDeviceWithTimeout, (int32_t timeout)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtCreateEvent, (aclrtEvent *event)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtCreateEventWithFlag, (aclrtEvent *event, uint32_t flag)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtCreateEventExWithFlag, (aclrtEvent *event, uint32_t flag)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtDestroyEvent, (aclrtEvent event)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtRecordEvent, (aclrtEvent event, aclrtStream stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtResetEvent, (aclrtEvent event, aclrtStream stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtQueryEvent, (aclrtEvent event, aclrtEventStatus *status)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtQueryEventStatus, (aclrtEvent event, aclrtEventRecordedStatus *status)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtQueryEventWaitStatus, (aclrtEvent event, aclrtEventWaitStatus *status)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtSynchronizeEvent, (aclrtEvent event)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtSynchronizeEventWithTimeout, (aclrtEvent event, int32_t timeout)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtEventElapsedTime, (float *ms, aclrtEvent startEvent, aclrtEvent endEvent)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtStreamWaitEvent, (aclrtStream stream, aclrtEvent event)) \
    X(RUNTIME, REQUIRED, aclError, aclrtSubscribeReport, (uint64_t threadId, aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtUnSubscribeReport, (uint64_t threadId, aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtProcessReport, (int32_t timeout)) \
    X(RUNTIME, REQUIRED, aclError, aclrtLaunchCallback, (aclrtCallback fn, void *userData, aclrtCallbackBlockType blockType, aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMalloc, (void **devPtr, size_t size, aclrtMemMallocPolicy policy)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMallocCached, (void **devPtr, size_t size, aclrtMemMallocPolicy policy)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMallocAlign32, (void **devPtr, size_t size, aclrtMemMallocPolicy policy)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMemFlush, (void *devPtr, size_t size)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMemInvalidate, (void *devPtr, size_t size)) \
    X(RUNTIME, REQUIRED, aclError, aclrtFree, (void *devPtr)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMallocHost, (void **hostPtr, size_t size)) \
    X(RUNTIME, REQUIRED, aclError, aclrtFreeHost, (void *hostPtr)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMemcpy, (void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMemcpyAsync, (void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind, aclrtStream stream)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMemcpy2d, (void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind)) \
    X(RUNTIME, OPTIONAL, aclError, aclrtMemcpy2dAsync, (void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind, aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMemset, (void *devPtr, size_t maxCount, int32_t value, size_t count)) \
    X(RUNTIME, REQUIRED, aclError, aclrtMemsetAsync, (void *devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream)) \
    X(RUNTIME, REQUIRED, aclError, aclrtGetMemInfo, (aclrtMemAttr attr, size_t *free, size_t *total)) \
    X(MEDIA, REQUIRED, aclError, acldvppMalloc, (void **devPtr, size_t size)) \
    X(MEDIA, REQUIRED, aclError, acldvppFree, (void *devPtr)) \
    X(MEDIA, OPTIONAL, aclError, acldvppMallocWithCfg, (void **devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig *cfg)) \
    X(MEDIA, REQUIRED, acldvppPicDesc *, acldvppCreatePicDesc, (void)) \
    X(MEDIA, REQUIRED, aclError, acldvppDestroyPicDesc, (acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescData, (acldvppPicDesc *picDesc, void *dataDev)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescSize, (acldvppPicDesc *picDesc, uint32_t size)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescFormat, (acldvppPicDesc *picDesc, acldvppPixelFormat format)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescWidth, (acldvppPicDesc *picDesc, uint32_t width)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescHeight, (acldvppPicDesc *picDesc, uint32_t height)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescWidthStride, (acldvppPicDesc *picDesc, uint32_t widthStride)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescHeightStride, (acldvppPicDesc *picDesc, uint32_t heightStride)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetPicDescRetCode, (acldvppPicDesc *picDesc, uint32_t retCode)) \
    X(MEDIA, REQUIRED, void *, acldvppGetPicDescData, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescSize, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, acldvppPixelFormat, acldvppGetPicDescFormat, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescWidth, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescHeight, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescWidthStride, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescHeightStride, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetPicDescRetCode, (const acldvppPicDesc *picDesc)) \
    X(MEDIA, OPTIONAL, acldvppBatchPicDesc *, acldvppCreateBatchPicDesc, (uint32_t batchSize)) \
    X(MEDIA, OPTIONAL, acldvppPicDesc *, acldvppGetPicDesc, (acldvppBatchPicDesc *batchPicDesc, uint32_t index)) \
    X(MEDIA, OPTIONAL, aclError, acldvppDestroyBatchPicDesc, (acldvppBatchPicDesc *batchPicDesc)) \
    X(MEDIA, REQUIRED, acldvppStreamDesc *, acldvppCreateStreamDesc, (void)) \
    X(MEDIA, REQUIRED, aclError, acldvppDestroyStreamDesc, (acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescData, (acldvppStreamDesc *streamDesc, void *dataDev)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescSize, (acldvppStreamDesc *streamDesc, uint32_t size)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescFormat, (acldvppStreamDesc *streamDesc, acldvppStreamFormat format)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescTimestamp, (acldvppStreamDesc *streamDesc, uint64_t timestamp)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescRetCode, (acldvppStreamDesc *streamDesc, uint32_t retCode)) \
    X(MEDIA, REQUIRED, aclError, acldvppSetStreamDescEos, (acldvppStreamDesc *streamDesc, uint8_t eos)) \
    X(MEDIA, REQUIRED, void *, acldvppGetStreamDescData, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetStreamDescSize, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, acldvppStreamFormat, acldvppGetStreamDescFormat, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, uint64_t, acldvppGetStreamDescTimestamp, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, uint32_t, acldvppGetStreamDescRetCode, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, uint8_t, acldvppGetStreamDescEos, (const acldvppStreamDesc *streamDesc)) \
    X(MEDIA, REQUIRED, aclvencChannelDesc *, aclvencCreateChannelDesc, (void)) \
    X(MEDIA, REQUIRED, aclError, aclvencDestroyChannelDesc, (aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescThreadId, (aclvencChannelDesc *channelDesc, uint64_t threadId)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescCallback, (aclvencChannelDesc *channelDesc, aclvencCallback callback)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescEnType, (aclvencChannelDesc *channelDesc, acldvppStreamFormat enType)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescPicFormat, (aclvencChannelDesc *channelDesc, acldvppPixelFormat picFormat)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescPicWidth, (aclvencChannelDesc *channelDesc, uint32_t picWidth)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescPicHeight, (aclvencChannelDesc *channelDesc, uint32_t picHeight)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescKeyFrameInterval, (aclvencChannelDesc *channelDesc, uint32_t keyFrameInterval)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescBufAddr, (aclvencChannelDesc *channelDesc, void *bufAddr)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetChannelDescBufSize, (aclvencChannelDesc *channelDesc, uint32_t bufSize)) \
    X(MEDIA, OPTIONAL, aclError, aclvencSetChannelDescRcMode, (aclvencChannelDesc *channelDesc, uint32_t rcMode)) \
    X(MEDIA, OPTIONAL, aclError, aclvencSetChannelDescSrcRate, (aclvencChannelDesc *channelDesc, uint32_t srcRate)) \
    X(MEDIA, OPTIONAL, aclError, aclvencSetChannelDescMaxBitRate, (aclvencChannelDesc *channelDesc, uint32_t maxBitRate)) \
    X(MEDIA, OPTIONAL, aclError, aclvencSetChannelDescParam, (aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType, size_t length, const void *param)) \
    X(MEDIA, REQUIRED, uint32_t, aclvencGetChannelDescChannelId, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, uint64_t, aclvencGetChannelDescThreadId, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, aclvencCallback, aclvencGetChannelDescCallback, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, acldvppStreamFormat, aclvencGetChannelDescEnType, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, acldvppPixelFormat, aclvencGetChannelDescPicFormat, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, uint32_t, aclvencGetChannelDescPicWidth, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, uint32_t, aclvencGetChannelDescPicHeight, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, uint32_t, aclvencGetChannelDescKeyFrameInterval, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, void *, aclvencGetChannelDescBufAddr, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, uint32_t, aclvencGetChannelDescBufSize, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, OPTIONAL, uint32_t, aclvencGetChannelDescRcMode, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, OPTIONAL, uint32_t, aclvencGetChannelDescSrcRate, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, OPTIONAL, uint32_t, aclvencGetChannelDescMaxBitRate, (const aclvencChannelDesc *channelDesc)) \
    X(MEDIA, OPTIONAL, aclError, aclvencGetChannelDescParam, (const aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType, size_t length, size_t *paramRetSize, void *param)) \
    X(MEDIA, REQUIRED, aclvencFrameConfig *, aclvencCreateFrameConfig, (void)) \
    X(MEDIA, REQUIRED, aclError, aclvencDestroyFrameConfig, (aclvencFrameConfig *config)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetFrameConfigForceIFrame, (aclvencFrameConfig *config, uint8_t forceIFrame)) \
    X(MEDIA, REQUIRED, aclError, aclvencSetFrameConfigEos, (aclvencFrameConfig *config, uint8_t eos)) \
    X(MEDIA, REQUIRED, uint8_t, aclvencGetFrameConfigForceIFrame, (const aclvencFrameConfig *config)) \
    X(MEDIA, REQUIRED, uint8_t, aclvencGetFrameConfigEos, (const aclvencFrameConfig *config)) \
    X(MEDIA, REQUIRED, aclError, aclvencCreateChannel, (aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, aclError, aclvencDestroyChannel, (aclvencChannelDesc *channelDesc)) \
    X(MEDIA, REQUIRED, aclError, aclvencSendFrame, (aclvencChannelDesc *channelDesc, acldvppPicDesc *input, void *reserve, aclvencFrameConfig *config, void *userdata))
/* clang-format on */

/* ---- prototypes ------------------------------------------------------------------------------ */

#ifndef ACL_NO_PROTOTYPES
#ifndef ACL_API
#define ACL_API
#endif
#define ACL_PROTOTYPE(library, presence, ret, name, params) ACL_API ret name params;
ACL_FUNCTIONS(ACL_PROTOTYPE)
#undef ACL_PROTOTYPE
#endif

#ifdef __cplusplus
}
#endif

#endif /* ASCEND_VENC_ASCENDCL_H */
