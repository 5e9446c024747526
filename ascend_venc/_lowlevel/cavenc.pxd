# SPDX-License-Identifier: Apache-2.0
# The engine's C API, csrc/include/avenc.h: contracts are there.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from .cascendcl cimport *

include "acl_api.pxi"  # acl_api, the table of AscendCL's functions: made of ascendcl.h by scripts/generate_pyacl.py
include "himpi_api.pxi"  # himpi_api, the same of DVPP V2, and its structures: made of himpi.h

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
        AVENC_E_REPLACED
        AVENC_E_AGAIN
        AVENC_E_LOOK
        AVENC_E_MIXED

    const uint64_t AVENC_FOR_EVER

    ctypedef struct avenc_wait:
        uint64_t since_ns
        uint64_t deadline_ns
        uint64_t stall_ns
        uint64_t look_ns

    avenc_wait avenc_wait_for(uint32_t timeout_ms)

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
        const char *warned

    ctypedef struct avenc_library_info:
        int simulated
        const char *runtime_path
        const char *media_path
        int mpi_state
        const char *mpi_path
        const char *mpi_problem
        const char *found_by
        const char *fallback
        const char *warnings
        uint32_t device_count
        const char *soc_name
        int32_t version[3]

    ctypedef struct avenc_opening:
        pass

    int avenc_library_open(const avenc_library_options *options, avenc_opening **opening)
    int avenc_library_open_mpi(avenc_library *library, const avenc_library_options *options, avenc_opening **opening)
    int avenc_library_wait_open(avenc_opening *opening, const avenc_wait *wait, avenc_library **library,
                                const char **warned)
    void avenc_opening_release(avenc_opening *opening)
    const acl_api *avenc_library_api(const avenc_library *library)
    const himpi_api *avenc_library_himpi(const avenc_library *library)
    const avenc_library_info *avenc_library_info_get(const avenc_library *library)
    int avenc_library_has(const avenc_library *library, const char *function)
    const char *avenc_function_name(size_t index)
    const char *avenc_function_library(size_t index)
    int avenc_function_required(size_t index)
    int avenc_library_finalize(avenc_library *library, const avenc_wait *wait)

    ctypedef struct avenc_device:
        pass

    ctypedef struct avenc_device_info:
        int32_t device_id
        int32_t run_mode
        char soc_name[64]

    enum:
        AVENC_MPI_UNTRIED
        AVENC_MPI_BROKEN
        AVENC_DVPP_V1
        AVENC_DVPP_V2

    int avenc_interface_in_use()
    int avenc_interface_wait_settled(int interface, const avenc_wait *wait)
    int avenc_interface_use(int interface)
    void avenc_interface_expect(int interface)
    int avenc_interface_expected()
    int avenc_interface_begin_exit()
    void avenc_interface_end_exit()
    int avenc_device_open(avenc_library *library, int32_t device_id, int interface, avenc_device **device)
    int avenc_device_wait_open(avenc_device *device, const avenc_wait *wait)
    void avenc_device_release(avenc_device *device)
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
        uint64_t tag
        uint32_t epoch
        int promised
        int32_t device_kind
        int32_t mean_qp
        uint64_t picture_bits
        int32_t en_type

    void avenc_packet_release(avenc_packet *packet)
    int avenc_next_nal(const uint8_t *data, size_t size, size_t *position, size_t *start, size_t *length)

    ctypedef struct avenc_sei:
        uint32_t type
        const uint8_t *payload
        size_t size

    size_t avenc_unescape(const uint8_t *nal, size_t size, uint8_t *to)
    int avenc_next_sei(const uint8_t *rbsp, size_t size, size_t *position, avenc_sei *message)
    int avenc_sei_put(int32_t en_type, const avenc_sei *messages, size_t count, uint8_t *to, size_t room,
                      size_t *written)

    ctypedef struct avenc_recovery_point:
        int32_t count
        uint8_t exact_match
        uint8_t broken_link

    enum:
        AVENC_RECOVERY_POINT_SIZE

    int avenc_recovery_point_get(int32_t en_type, const uint8_t *payload, size_t size, avenc_recovery_point *point)
    int avenc_recovery_point_put(int32_t en_type, const avenc_recovery_point *point, uint8_t *to, size_t *size)

    int avenc_to_length_prefixed(int32_t en_type, const uint8_t *data, size_t size, uint32_t length_size,
                                 int parameter_sets, uint8_t *to, size_t room, size_t *written)
    int avenc_to_annex_b(const uint8_t *data, size_t size, uint32_t length_size, uint8_t *to, size_t room,
                         size_t *written)
    int avenc_description_put(int32_t en_type, const uint8_t *data, size_t size, int in_band, uint8_t *to,
                              size_t room, size_t *written)
    int avenc_description_get(int32_t en_type, const uint8_t *record, size_t size, uint8_t *to, size_t room,
                              size_t *written, uint32_t *length_size)

    ctypedef struct avenc_waitset:
        pass

    int avenc_waitset_create(avenc_waitset **waitset)
    void avenc_waitset_release(avenc_waitset *waitset)
    void avenc_waitset_signal(avenc_waitset *waitset, uint32_t key)
    int avenc_waitset_take(avenc_waitset *waitset, const avenc_wait *wait, uint32_t coalesce_us, uint32_t *keys,
                           uint32_t max, uint32_t *count)
    int avenc_waitset_fd(avenc_waitset *waitset)
    void avenc_waitset_arm(avenc_waitset *waitset)

    ctypedef struct avenc_channel:
        pass

    ctypedef struct avenc_vui:
        uint32_t tells
        uint8_t primaries, transfer, matrix
        uint8_t full_range
        uint8_t fixed_rate
        uint16_t sar_width, sar_height
        uint32_t units_in_tick, time_scale

    int avenc_vui_put(const avenc_vui *vui, int32_t en_type, const uint8_t *nal, size_t size, uint8_t *to, size_t room,
                      size_t *written)

    ctypedef struct avenc_region:
        uint32_t x, y, width, height
        int32_t qp
        int relative

    ctypedef struct avenc_channel_config:
        uint32_t scene
        uint32_t refresh_count
        int refresh_columns
        uint32_t refresh_i_qp
        uint32_t region_count
        avenc_region *regions
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
        int64_t time_num
        int64_t time_den
        uint32_t limits_given
        uint32_t *limits
        uint32_t i_qp
        uint32_t p_qp
        avenc_vui vui
        int aud

    enum:
        AVENC_MAX_DEPTH
        AVENC_MAX_SEI

    ctypedef struct avenc_picture:
        const uint8_t *y
        size_t y_stride
        const uint8_t *uv
        size_t uv_stride
        uint32_t width
        uint32_t y_height
        uint32_t uv_height

    ctypedef struct avenc_submission:
        avenc_picture picture
        int64_t pts
        int number_pts
        int force_idr
        int converted
        uint64_t tag
        int promised
        const uint8_t *sei
        size_t sei_size

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
        uint64_t refused_sends
        uint64_t undescribed
        uint64_t failed_destroys
        uint32_t in_flight
        uint32_t queued
        uint32_t ready
        uint32_t held

    ctypedef struct avenc_channel_histograms:
        uint64_t latency[AVENC_BUCKETS]
        uint64_t hold[AVENC_BUCKETS]

    int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor,
                             avenc_channel **channel)
    int avenc_channel_wait_open(avenc_channel *channel, const avenc_wait *wait)
    int avenc_channel_succeed(avenc_channel *channel, uint64_t *first_index)

    ctypedef struct avenc_change:
        pass

    uint32_t avenc_channel_epoch(avenc_channel *channel)
    int avenc_channel_change(avenc_channel *channel, uint32_t epoch, const avenc_channel_config *config,
                             avenc_change **change)
    int avenc_change_wait(avenc_change *change, const avenc_wait *wait, uint64_t *first_index)
    void avenc_change_release(avenc_change *change)
    void avenc_channel_distrust(avenc_channel *channel)
    int avenc_channel_wait_changes(avenc_channel *channel, const avenc_wait *wait)

    void avenc_channel_pause(avenc_channel *channel, int paused)
    void avenc_channel_retire(avenc_channel *channel)
    int avenc_channel_wait_retired(avenc_channel *channel, const avenc_wait *wait)
    void avenc_channel_retain(avenc_channel *channel)
    void avenc_channel_release(avenc_channel *channel)

    int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, const avenc_wait *wait,
                             uint64_t *frame_index)
    int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                                  const avenc_wait *wait, uint64_t *indices, size_t *accepted)
    int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                    const avenc_submission *submission, const avenc_wait *wait, uint64_t *frame_index)
    uint32_t avenc_channel_refused_pending(avenc_channel *channel)
    int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now,
                              int drop_oldest, uint64_t *frame_index)
    int avenc_channel_drop_oldest(avenc_channel *channel)
    int avenc_channel_wait_room(avenc_channel *channel, int memory, const avenc_wait *wait)

    ctypedef struct avenc_frame:
        pass

    ctypedef struct avenc_frame_memory:
        uint8_t *y
        uint8_t *uv
        size_t stride
        int device_memory

    int avenc_channel_acquire(avenc_channel *channel, const avenc_wait *wait, avenc_frame **frame,
                              avenc_frame_memory *memory)

    enum:
        AVENC_FRAME_QUEUE

    int avenc_frame_submit(avenc_frame *frame, const avenc_submission *submission, int flags, const avenc_wait *wait,
                           uint64_t *frame_index)
    void avenc_frame_release(avenc_frame *frame)

    int avenc_channel_take(avenc_channel *channel, int promised, avenc_packet **packets, size_t max, size_t *count)
    void avenc_channel_give_back(avenc_channel *channel, avenc_packet **packets, size_t count)
    size_t avenc_channel_take_dropped(avenc_channel *channel, uint64_t *tags, size_t max)

    enum:
        AVENC_WAIT_FOR_FRAMES, AVENC_WAIT_IN_PLACE

    int avenc_channel_wait(avenc_channel *channel, uint32_t at_least, const avenc_wait *wait, uint32_t coalesce_us,
                           int flags)
    int avenc_channel_set_sink(avenc_channel *channel, int fd, uint32_t coalesce_us, const avenc_wait *wait)
    int avenc_channel_end(avenc_channel *channel)
    int avenc_channel_wait_idle(avenc_channel *channel, const avenc_wait *wait)
    uint64_t avenc_channel_stalled_ns(avenc_channel *channel)
    int avenc_channel_close(avenc_channel *channel)
    int avenc_channel_wait_closed(avenc_channel *channel, const avenc_wait *wait)
    int avenc_channel_has_ended(avenc_channel *channel)
    void avenc_channel_abandon_sink(avenc_channel *channel)
    void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats,
                                 avenc_channel_histograms *histograms)
    int avenc_channel_attach(avenc_channel *channel, avenc_waitset *waitset, uint32_t key)
    void avenc_channel_detach(avenc_channel *channel, avenc_waitset *waitset)

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
        AVENC_SHORT_COPY_BYTES

    enum:
        AVENC_LIVE_COUNT

    int64_t avenc_live(int kind)
    const char *avenc_live_name(int kind)
