# SPDX-License-Identifier: Apache-2.0
# The engine's C API, csrc/include/avenc.h: contracts are there.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from .cascendcl cimport *

cdef extern from "avenc.h" nogil:
    enum:
        AVENC_OK
        AVENC_E_INVALID
        AVENC_E_NOMEM
        AVENC_E_TIMEOUT
        AVENC_E_CLOSED
        AVENC_E_FORKED
        AVENC_E_NOT_FOUND
        AVENC_E_BROKEN
        AVENC_E_MEDIA_MISSING
        AVENC_E_STUB
        AVENC_E_SYMBOL
        AVENC_E_NO_DEVICE
        AVENC_E_UNSUPPORTED
        AVENC_E_DRAINED
        AVENC_E_FRAME
        AVENC_E_LOST
        AVENC_E_TOO_LARGE
        AVENC_E_WOULD_DEADLOCK
        AVENC_E_THREAD
        AVENC_E_FULL
        AVENC_E_DROPPED
        AVENC_E_NO_CONVERTER
        AVENC_E_SINK

    ctypedef struct avenc_failure:
        int32_t code
        char call[48]
        char detail[2000]

    const avenc_failure *avenc_last_failure()

    ctypedef struct avenc_library:
        pass

    ctypedef struct avenc_library_options:
        const char *backend
        const char *sim_path
        const char *sim_soc
        const char *sim_codec
        int strict_paths
        char *warned
        size_t warned_size

    ctypedef struct avenc_library_info:
        int simulated
        const char *runtime_path
        const char *media_path
        const char *found_by
        const char *fallback
        const char *warnings
        uint32_t device_count

    int avenc_library_open(const avenc_library_options *options, avenc_library **library)
    const acl_api *avenc_library_api(const avenc_library *library)
    const avenc_library_info *avenc_library_info_get(const avenc_library *library)
    int avenc_library_has(const avenc_library *library, const char *function)
    const char *avenc_function_name(size_t index)
    const char *avenc_function_library(size_t index)
    int avenc_function_required(size_t index)
    int avenc_library_finalize(avenc_library *library)

    ctypedef struct avenc_device:
        pass

    ctypedef struct avenc_device_info:
        int32_t device_id
        int32_t run_mode
        char soc_name[64]

    int avenc_device_open(avenc_library *library, int32_t device_id, avenc_device **device)
    void avenc_device_close(avenc_device *device)
    const avenc_device_info *avenc_device_info_get(const avenc_device *device)

    enum:
        AVENC_KIND_UNKNOWN
        AVENC_KIND_IDR
        AVENC_KIND_I
        AVENC_KIND_P
        AVENC_KIND_B

    ctypedef struct avenc_packet:
        const uint8_t *data
        size_t size
        uint64_t frame_index
        int64_t pts
        int32_t status
        uint32_t ret_code
        int32_t kind
        uint64_t submitted_ns
        uint64_t emitted_ns
        void *token

    void avenc_packet_release(avenc_packet *packet)
    int avenc_next_nal(const uint8_t *data, size_t size, size_t *position, size_t *start, size_t *length)

    ctypedef struct avenc_channel:
        pass

    ctypedef struct avenc_channel_config:
        int32_t en_type
        int32_t pic_format
        uint32_t width
        uint32_t height
        uint32_t key_frame_interval
        uint32_t rc_mode
        uint32_t src_rate
        uint32_t max_bit_rate
        uint32_t depth
        uint32_t queue
        uint32_t max_ready
        int drop_oldest
        uint64_t first_index

    enum:
        AVENC_MAX_DEPTH

    ctypedef struct avenc_picture:
        const uint8_t *y
        size_t y_stride
        const uint8_t *uv
        size_t uv_stride

    ctypedef struct avenc_submission:
        avenc_picture picture
        int64_t pts
        int number_pts
        int force_idr
        int converted
        void *token

    ctypedef struct avenc_device_picture:
        void *data
        uint32_t stride
        uint32_t height_stride
        aclrtStream stream
        int wait

    enum:
        AVENC_BUCKETS

    uint64_t avenc_bucket_ns(int bucket)

    ctypedef struct avenc_channel_stats:
        uint64_t submitted
        uint64_t completed
        uint64_t failed
        uint64_t dropped_frames
        uint64_t dropped_packets
        uint64_t key_frames
        uint64_t bytes_out
        uint64_t host_copies_in
        uint64_t device_copies_in
        uint64_t bytes_copied_in
        uint64_t copies_out
        uint64_t pool_buffers
        uint64_t slots
        uint64_t idle_ns
        uint64_t full_ns
        uint64_t send_ns
        uint64_t max_latency_ns
        uint64_t max_hold_ns
        uint64_t written
        uint32_t in_flight
        uint32_t queued
        uint32_t ready
        uint32_t held
        uint32_t spent

    ctypedef struct avenc_channel_histograms:
        uint64_t latency[AVENC_BUCKETS]
        uint64_t hold[AVENC_BUCKETS]

    int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel **channel)
    int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, uint32_t timeout_ms,
                             uint64_t *frame_index)
    int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                                  uint32_t timeout_ms, uint64_t *indices, size_t *accepted)
    int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                    const avenc_submission *submission, uint32_t timeout_ms, uint64_t *frame_index)
    int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now,
                              int drop_oldest, uint64_t *frame_index)
    int avenc_channel_drop_oldest(avenc_channel *channel)
    int avenc_channel_wait_room(avenc_channel *channel, uint32_t timeout_ms)

    ctypedef struct avenc_frame:
        pass

    ctypedef struct avenc_frame_memory:
        uint8_t *y
        uint8_t *uv
        size_t stride
        int device_memory

    int avenc_channel_acquire(avenc_channel *channel, uint32_t timeout_ms, avenc_frame **frame,
                              avenc_frame_memory *memory)

    enum:
        AVENC_FRAME_KEEP
        AVENC_FRAME_QUEUE

    int avenc_frame_submit(avenc_frame *frame, const avenc_submission *submission, int flags, uint64_t *frame_index)
    void avenc_frame_release(avenc_frame *frame)

    int avenc_channel_drain(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count)
    int avenc_channel_drain_spent(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count)

    enum:
        AVENC_WAIT_FOR_FRAMES

    int avenc_channel_wait(avenc_channel *channel, uint32_t timeout_ms, uint32_t linger_us, int flags)
    int avenc_channel_set_sink(avenc_channel *channel, int fd, uint32_t linger_us)
    int avenc_channel_end(avenc_channel *channel)
    int avenc_channel_wait_idle(avenc_channel *channel, uint32_t timeout_ms)
    int avenc_channel_close(avenc_channel *channel, uint32_t timeout_ms)
    int avenc_channel_destroy(avenc_channel *channel, uint32_t timeout_ms)
    void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats)
    void avenc_channel_histograms_get(avenc_channel *channel, avenc_channel_histograms *histograms)

    ctypedef struct avenc_notifier:
        pass

    int avenc_notifier_create(avenc_notifier **notifier)
    void avenc_notifier_release(avenc_notifier *notifier)
    int avenc_notifier_fd(const avenc_notifier *notifier)
    void avenc_notifier_arm(avenc_notifier *notifier)
    void avenc_notifier_signal(avenc_notifier *notifier)
    void avenc_notifier_clear(avenc_notifier *notifier)
    int avenc_notifier_wait(avenc_notifier *notifier, uint32_t timeout_ms)
    int avenc_channel_attach_notifier(avenc_channel *channel, avenc_notifier *notifier)
    void avenc_channel_detach_notifier(avenc_channel *channel, avenc_notifier *notifier)

    ctypedef struct avenc_selector:
        pass

    int avenc_selector_create(avenc_selector **selector)
    void avenc_selector_release(avenc_selector *selector)
    void avenc_selector_mark(avenc_selector *selector, uint32_t key)
    int avenc_selector_wait(avenc_selector *selector, uint32_t timeout_ms, uint32_t linger_us, uint32_t *keys,
                            uint32_t max, uint32_t *count)
    int avenc_channel_attach_selector(avenc_channel *channel, avenc_selector *selector, uint32_t key)
    void avenc_channel_detach_selector(avenc_channel *channel)

    enum:
        AVENC_BY_ENGINE
        AVENC_BY_LIBYUV
        AVENC_BY_SWSCALE

    ctypedef struct avenc_converter:
        pass

    ctypedef struct avenc_converter_config:
        int32_t source
        int32_t pic_format
        uint32_t width
        uint32_t height
        int32_t matrix
        int32_t source_range
        int32_t range
        int32_t by
        uint32_t threads
        const char *libyuv_path
        const char *swscale_path

    int avenc_converter_create(const avenc_converter_config *config, avenc_converter **converter)
    int avenc_converter_convert(avenc_converter *converter, const uint8_t **planes, const size_t *strides, uint8_t *y, size_t y_stride, uint8_t *uv, size_t uv_stride)
    int avenc_converter_by(const avenc_converter *converter)
    const char *avenc_converter_library(const avenc_converter *converter)
    void avenc_converter_destroy(avenc_converter *converter)

    enum:
        AVENC_LIVE_COUNT

    int64_t avenc_live(int kind)
    const char *avenc_live_name(int kind)

    # One field for each function of ACL_FUNCTIONS; tests/unit/test_function_list.py compares the two.
    ctypedef struct acl_api:
        aclError (*aclInit)(const char *configPath) noexcept nogil
        aclError (*aclFinalize)() noexcept nogil
        aclError (*aclFinalizeReference)(uint64_t *refCount) noexcept nogil
        aclError (*aclrtGetVersion)(int32_t *majorVersion, int32_t *minorVersion, int32_t *patchVersion) noexcept nogil
        const char *(*aclrtGetSocName)() noexcept nogil
        const char *(*aclGetRecentErrMsg)() noexcept nogil
        aclError (*aclrtSetDevice)(int32_t deviceId) noexcept nogil
        aclError (*aclrtResetDevice)(int32_t deviceId) noexcept nogil
        aclError (*aclrtResetDeviceForce)(int32_t deviceId) noexcept nogil
        aclError (*aclrtGetDevice)(int32_t *deviceId) noexcept nogil
        aclError (*aclrtGetDeviceCount)(uint32_t *count) noexcept nogil
        aclError (*aclrtGetRunMode)(aclrtRunMode *runMode) noexcept nogil
        aclError (*aclrtCreateContext)(aclrtContext *context, int32_t deviceId) noexcept nogil
        aclError (*aclrtDestroyContext)(aclrtContext context) noexcept nogil
        aclError (*aclrtSetCurrentContext)(aclrtContext context) noexcept nogil
        aclError (*aclrtGetCurrentContext)(aclrtContext *context) noexcept nogil
        aclError (*aclrtCreateStream)(aclrtStream *stream) noexcept nogil
        aclError (*aclrtDestroyStream)(aclrtStream stream) noexcept nogil
        aclError (*aclrtDestroyStreamForce)(aclrtStream stream) noexcept nogil
        aclError (*aclrtSynchronizeStream)(aclrtStream stream) noexcept nogil
        aclError (*aclrtSynchronizeStreamWithTimeout)(aclrtStream stream, int32_t timeout) noexcept nogil
        aclError (*aclrtSynchronizeDevice)() noexcept nogil
        aclError (*aclrtCreateEvent)(aclrtEvent *event) noexcept nogil
        aclError (*aclrtDestroyEvent)(aclrtEvent event) noexcept nogil
        aclError (*aclrtRecordEvent)(aclrtEvent event, aclrtStream stream) noexcept nogil
        aclError (*aclrtResetEvent)(aclrtEvent event, aclrtStream stream) noexcept nogil
        aclError (*aclrtQueryEvent)(aclrtEvent event, aclrtEventStatus *status) noexcept nogil
        aclError (*aclrtQueryEventStatus)(aclrtEvent event, aclrtEventRecordedStatus *status) noexcept nogil
        aclError (*aclrtSynchronizeEvent)(aclrtEvent event) noexcept nogil
        aclError (*aclrtEventElapsedTime)(float *ms, aclrtEvent startEvent, aclrtEvent endEvent) noexcept nogil
        aclError (*aclrtStreamWaitEvent)(aclrtStream stream, aclrtEvent event) noexcept nogil
        aclError (*aclrtSubscribeReport)(uint64_t threadId, aclrtStream stream) noexcept nogil
        aclError (*aclrtUnSubscribeReport)(uint64_t threadId, aclrtStream stream) noexcept nogil
        aclError (*aclrtProcessReport)(int32_t timeout) noexcept nogil
        aclError (*aclrtLaunchCallback)(aclrtCallback fn, void *userData, aclrtCallbackBlockType blockType, aclrtStream stream) noexcept nogil
        aclError (*aclrtMalloc)(void **devPtr, size_t size, aclrtMemMallocPolicy policy) noexcept nogil
        aclError (*aclrtFree)(void *devPtr) noexcept nogil
        aclError (*aclrtMallocHost)(void **hostPtr, size_t size) noexcept nogil
        aclError (*aclrtFreeHost)(void *hostPtr) noexcept nogil
        aclError (*aclrtMemcpy)(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind) noexcept nogil
        aclError (*aclrtMemcpyAsync)(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind, aclrtStream stream) noexcept nogil
        aclError (*aclrtMemset)(void *devPtr, size_t maxCount, int32_t value, size_t count) noexcept nogil
        aclError (*aclrtMemsetAsync)(void *devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) noexcept nogil
        aclError (*aclrtGetMemInfo)(aclrtMemAttr attr, size_t *free, size_t *total) noexcept nogil
        aclError (*acldvppMalloc)(void **devPtr, size_t size) noexcept nogil
        aclError (*acldvppFree)(void *devPtr) noexcept nogil
        aclError (*acldvppMallocWithCfg)(void **devPtr, size_t size, aclrtMemMallocPolicy policy, aclrtMallocConfig *cfg) noexcept nogil
        acldvppPicDesc *(*acldvppCreatePicDesc)() noexcept nogil
        aclError (*acldvppDestroyPicDesc)(acldvppPicDesc *picDesc) noexcept nogil
        aclError (*acldvppSetPicDescData)(acldvppPicDesc *picDesc, void *dataDev) noexcept nogil
        aclError (*acldvppSetPicDescSize)(acldvppPicDesc *picDesc, uint32_t size) noexcept nogil
        aclError (*acldvppSetPicDescFormat)(acldvppPicDesc *picDesc, acldvppPixelFormat format) noexcept nogil
        aclError (*acldvppSetPicDescWidth)(acldvppPicDesc *picDesc, uint32_t width) noexcept nogil
        aclError (*acldvppSetPicDescHeight)(acldvppPicDesc *picDesc, uint32_t height) noexcept nogil
        aclError (*acldvppSetPicDescWidthStride)(acldvppPicDesc *picDesc, uint32_t widthStride) noexcept nogil
        aclError (*acldvppSetPicDescHeightStride)(acldvppPicDesc *picDesc, uint32_t heightStride) noexcept nogil
        aclError (*acldvppSetPicDescRetCode)(acldvppPicDesc *picDesc, uint32_t retCode) noexcept nogil
        void *(*acldvppGetPicDescData)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescSize)(const acldvppPicDesc *picDesc) noexcept nogil
        acldvppPixelFormat (*acldvppGetPicDescFormat)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescWidth)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescHeight)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescWidthStride)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescHeightStride)(const acldvppPicDesc *picDesc) noexcept nogil
        uint32_t (*acldvppGetPicDescRetCode)(const acldvppPicDesc *picDesc) noexcept nogil
        acldvppBatchPicDesc *(*acldvppCreateBatchPicDesc)(uint32_t batchSize) noexcept nogil
        acldvppPicDesc *(*acldvppGetPicDesc)(acldvppBatchPicDesc *batchPicDesc, uint32_t index) noexcept nogil
        aclError (*acldvppDestroyBatchPicDesc)(acldvppBatchPicDesc *batchPicDesc) noexcept nogil
        acldvppStreamDesc *(*acldvppCreateStreamDesc)() noexcept nogil
        aclError (*acldvppDestroyStreamDesc)(acldvppStreamDesc *streamDesc) noexcept nogil
        aclError (*acldvppSetStreamDescData)(acldvppStreamDesc *streamDesc, void *dataDev) noexcept nogil
        aclError (*acldvppSetStreamDescSize)(acldvppStreamDesc *streamDesc, uint32_t size) noexcept nogil
        aclError (*acldvppSetStreamDescFormat)(acldvppStreamDesc *streamDesc, acldvppStreamFormat format) noexcept nogil
        aclError (*acldvppSetStreamDescTimestamp)(acldvppStreamDesc *streamDesc, uint64_t timestamp) noexcept nogil
        aclError (*acldvppSetStreamDescRetCode)(acldvppStreamDesc *streamDesc, uint32_t retCode) noexcept nogil
        aclError (*acldvppSetStreamDescEos)(acldvppStreamDesc *streamDesc, uint8_t eos) noexcept nogil
        void *(*acldvppGetStreamDescData)(const acldvppStreamDesc *streamDesc) noexcept nogil
        uint32_t (*acldvppGetStreamDescSize)(const acldvppStreamDesc *streamDesc) noexcept nogil
        acldvppStreamFormat (*acldvppGetStreamDescFormat)(const acldvppStreamDesc *streamDesc) noexcept nogil
        uint64_t (*acldvppGetStreamDescTimestamp)(const acldvppStreamDesc *streamDesc) noexcept nogil
        uint32_t (*acldvppGetStreamDescRetCode)(const acldvppStreamDesc *streamDesc) noexcept nogil
        uint8_t (*acldvppGetStreamDescEos)(const acldvppStreamDesc *streamDesc) noexcept nogil
        aclvencChannelDesc *(*aclvencCreateChannelDesc)() noexcept nogil
        aclError (*aclvencDestroyChannelDesc)(aclvencChannelDesc *channelDesc) noexcept nogil
        aclError (*aclvencSetChannelDescThreadId)(aclvencChannelDesc *channelDesc, uint64_t threadId) noexcept nogil
        aclError (*aclvencSetChannelDescCallback)(aclvencChannelDesc *channelDesc, aclvencCallback callback) noexcept nogil
        aclError (*aclvencSetChannelDescEnType)(aclvencChannelDesc *channelDesc, acldvppStreamFormat enType) noexcept nogil
        aclError (*aclvencSetChannelDescPicFormat)(aclvencChannelDesc *channelDesc, acldvppPixelFormat picFormat) noexcept nogil
        aclError (*aclvencSetChannelDescPicWidth)(aclvencChannelDesc *channelDesc, uint32_t picWidth) noexcept nogil
        aclError (*aclvencSetChannelDescPicHeight)(aclvencChannelDesc *channelDesc, uint32_t picHeight) noexcept nogil
        aclError (*aclvencSetChannelDescKeyFrameInterval)(aclvencChannelDesc *channelDesc, uint32_t keyFrameInterval) noexcept nogil
        aclError (*aclvencSetChannelDescBufAddr)(aclvencChannelDesc *channelDesc, void *bufAddr) noexcept nogil
        aclError (*aclvencSetChannelDescBufSize)(aclvencChannelDesc *channelDesc, uint32_t bufSize) noexcept nogil
        aclError (*aclvencSetChannelDescRcMode)(aclvencChannelDesc *channelDesc, uint32_t rcMode) noexcept nogil
        aclError (*aclvencSetChannelDescSrcRate)(aclvencChannelDesc *channelDesc, uint32_t srcRate) noexcept nogil
        aclError (*aclvencSetChannelDescMaxBitRate)(aclvencChannelDesc *channelDesc, uint32_t maxBitRate) noexcept nogil
        aclError (*aclvencSetChannelDescParam)(aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType, size_t length, const void *param) noexcept nogil
        uint32_t (*aclvencGetChannelDescChannelId)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint64_t (*aclvencGetChannelDescThreadId)(const aclvencChannelDesc *channelDesc) noexcept nogil
        aclvencCallback (*aclvencGetChannelDescCallback)(const aclvencChannelDesc *channelDesc) noexcept nogil
        acldvppStreamFormat (*aclvencGetChannelDescEnType)(const aclvencChannelDesc *channelDesc) noexcept nogil
        acldvppPixelFormat (*aclvencGetChannelDescPicFormat)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescPicWidth)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescPicHeight)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescKeyFrameInterval)(const aclvencChannelDesc *channelDesc) noexcept nogil
        void *(*aclvencGetChannelDescBufAddr)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescBufSize)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescRcMode)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescSrcRate)(const aclvencChannelDesc *channelDesc) noexcept nogil
        uint32_t (*aclvencGetChannelDescMaxBitRate)(const aclvencChannelDesc *channelDesc) noexcept nogil
        aclError (*aclvencGetChannelDescParam)(const aclvencChannelDesc *channelDesc, aclvencChannelDescParamType paramType, size_t length, size_t *paramRetSize, void *param) noexcept nogil
        aclvencFrameConfig *(*aclvencCreateFrameConfig)() noexcept nogil
        aclError (*aclvencDestroyFrameConfig)(aclvencFrameConfig *config) noexcept nogil
        aclError (*aclvencSetFrameConfigForceIFrame)(aclvencFrameConfig *config, uint8_t forceIFrame) noexcept nogil
        aclError (*aclvencSetFrameConfigEos)(aclvencFrameConfig *config, uint8_t eos) noexcept nogil
        uint8_t (*aclvencGetFrameConfigForceIFrame)(const aclvencFrameConfig *config) noexcept nogil
        uint8_t (*aclvencGetFrameConfigEos)(const aclvencFrameConfig *config) noexcept nogil
        aclError (*aclvencCreateChannel)(aclvencChannelDesc *channelDesc) noexcept nogil
        aclError (*aclvencDestroyChannel)(aclvencChannelDesc *channelDesc) noexcept nogil
        aclError (*aclvencSendFrame)(aclvencChannelDesc *channelDesc, acldvppPicDesc *input, void *reserve, aclvencFrameConfig *config, void *userdata) noexcept nogil
