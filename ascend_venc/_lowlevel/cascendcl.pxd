# SPDX-License-Identifier: Apache-2.0
# The AscendCL types that csrc/include/ascendcl.h declares. Functions are reached through acl_api (cavenc.pxd) only.
from libc.stdint cimport int32_t

cdef extern from "ascendcl.h" nogil:
    ctypedef int32_t aclError
    ctypedef void *aclrtContext
    ctypedef void *aclrtStream
    ctypedef void *aclrtEvent
    ctypedef struct aclrtMallocConfig:
        pass
    ctypedef struct acldvppPicDesc:
        pass
    ctypedef struct acldvppBatchPicDesc:
        pass
    ctypedef struct acldvppStreamDesc:
        pass
    ctypedef struct aclvencChannelDesc:
        pass
    ctypedef struct aclvencFrameConfig:
        pass
    ctypedef void (*aclrtCallback)(void *userData) noexcept nogil
    ctypedef void (*aclvencCallback)(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata) noexcept nogil

    ctypedef int32_t aclrtRunMode
    ctypedef int32_t aclrtMemcpyKind
    ctypedef int32_t aclrtMemMallocPolicy
    ctypedef int32_t aclrtMemAttr
    ctypedef int32_t aclrtCallbackBlockType
    ctypedef int32_t aclrtEventStatus
    ctypedef int32_t aclrtEventRecordedStatus
    ctypedef int32_t aclrtEventWaitStatus
    ctypedef int32_t aclrtStreamStatus
    ctypedef int32_t aclrtDeviceStatus
    ctypedef int32_t aclrtLastErrLevel
    ctypedef int32_t acldvppStreamFormat
    ctypedef int32_t aclvencChannelDescParamType
    ctypedef int32_t acldvppPixelFormat

    enum:
        ACL_DEVICE
        ACL_HOST
        ACL_MEMCPY_HOST_TO_HOST
        ACL_MEMCPY_HOST_TO_DEVICE
        ACL_MEMCPY_DEVICE_TO_HOST
        ACL_MEMCPY_DEVICE_TO_DEVICE
        ACL_MEMCPY_DEFAULT
        ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE
        ACL_MEMCPY_INNER_DEVICE_TO_DEVICE
        ACL_MEMCPY_INTER_DEVICE_TO_DEVICE
        ACL_MEM_MALLOC_HUGE_FIRST
        ACL_MEM_MALLOC_HUGE_ONLY
        ACL_MEM_MALLOC_NORMAL_ONLY
        ACL_MEM_MALLOC_HUGE_FIRST_P2P
        ACL_MEM_MALLOC_HUGE_ONLY_P2P
        ACL_MEM_MALLOC_NORMAL_ONLY_P2P
        ACL_MEM_MALLOC_HUGE1G_ONLY
        ACL_MEM_MALLOC_HUGE1G_ONLY_P2P
        ACL_MEM_TYPE_LOW_BAND_WIDTH
        ACL_MEM_TYPE_HIGH_BAND_WIDTH
        ACL_DDR_MEM
        ACL_HBM_MEM
        ACL_DDR_MEM_HUGE
        ACL_DDR_MEM_NORMAL
        ACL_HBM_MEM_HUGE
        ACL_HBM_MEM_NORMAL
        ACL_DDR_MEM_P2P_HUGE
        ACL_DDR_MEM_P2P_NORMAL
        ACL_HBM_MEM_P2P_HUGE
        ACL_HBM_MEM_P2P_NORMAL
        ACL_CALLBACK_NO_BLOCK
        ACL_CALLBACK_BLOCK
        ACL_EVENT_STATUS_COMPLETE
        ACL_EVENT_STATUS_NOT_READY
        ACL_EVENT_STATUS_RESERVED
        ACL_EVENT_RECORDED_STATUS_NOT_READY
        ACL_EVENT_RECORDED_STATUS_COMPLETE
        ACL_EVENT_WAIT_STATUS_COMPLETE
        ACL_EVENT_WAIT_STATUS_NOT_READY
        ACL_EVENT_WAIT_STATUS_RESERVED
        ACL_EVENT_SYNC
        ACL_EVENT_CAPTURE_STREAM_PROGRESS
        ACL_EVENT_TIME_LINE
        ACL_STREAM_STATUS_COMPLETE
        ACL_STREAM_STATUS_NOT_READY
        ACL_STREAM_STATUS_RESERVED
        ACL_STREAM_FAST_LAUNCH
        ACL_STREAM_FAST_SYNC
        H265_MAIN_LEVEL
        H264_BASELINE_LEVEL
        H264_MAIN_LEVEL
        H264_HIGH_LEVEL
        ACL_VENC_THREAD_ID_UINT64
        ACL_VENC_CALLBACK_PTR
        ACL_VENC_PIXEL_FORMAT_UINT32
        ACL_VENC_ENCODE_TYPE_UINT32
        ACL_VENC_PIC_WIDTH_UINT32
        ACL_VENC_PIC_HEIGHT_UINT32
        ACL_VENC_KEY_FRAME_INTERVAL_UINT32
        ACL_VENC_BUF_ADDR_PTR
        ACL_VENC_BUF_SIZE_UINT32
        ACL_VENC_RC_MODE_UINT32
        ACL_VENC_SRC_RATE_UINT32
        ACL_VENC_MAX_BITRATE_UINT32
        ACL_VENC_MAX_IP_PROP_UINT32
        PIXEL_FORMAT_YUV_SEMIPLANAR_420
        PIXEL_FORMAT_YVU_SEMIPLANAR_420

    enum:
        ACL_SUCCESS
        ACL_ERROR_INVALID_PARAM
        ACL_ERROR_UNINITIALIZE
        ACL_ERROR_REPEAT_INITIALIZE
        ACL_ERROR_REPEAT_FINALIZE
        ACL_ERROR_COMPILING_STUB_MODE
        ACL_ERROR_BAD_ALLOC
        ACL_ERROR_API_NOT_SUPPORT
        ACL_ERROR_FEATURE_UNSUPPORTED
        ACL_ERROR_RT_CONTEXT_NULL
        ACL_ERROR_RT_THREAD_SUBSCRIBE
        ACL_ERROR_RT_REPORT_TIMEOUT
