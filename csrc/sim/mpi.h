// SPDX-License-Identifier: Apache-2.0
/*
 * mpi.h - what the files of DVPP V2 (hi_mpi_*) share.
 *
 *     mpi_list.c      which channels there are, which device a call means, who uses a channel
 *     mpi_epoll.c     descriptors of channels, and waiting for many
 *     mpi_attr.c      what settings may be, and what they mean
 *     mpi_rate.c      rate control
 *     mpi_picture.c   the picture of a frame
 *     mpi_packet.c    an access unit as packs in the stream buffer
 *     mpi_encode.c    from an accepted frame to one that can be got
 *     mpi_frame.c     hi_mpi_venc_send_frame and its relatives
 *     mpi_stream.c    hi_mpi_venc_query_status, _get_stream, _release_stream
 *     mpi_channel.c   creating, starting, stopping, destroying
 *     mpi_settings.c, mpi_module.c, mpi_extra.c   settings of a channel, of the module; what no public header has
 *     mpi_system.c    the system and memory
 *
 * A frame is in one list of its channel: `waiting` (accepted; the head one may be being encoded), `ready` (can be got),
 * `held` (got and not released), `spare`. All lists are in the order of sends.
 *
 * Encoding is done by a worker thread of the channel. With the null codec and no timing a frame is finished by whoever
 * makes it possible: the sender, or who releases.
 *
 * A channel is freed by the one call that has marked it (sim_mpi_list_claim), when no other call is inside and its worker
 * has ended. Until then its id is taken; calls that come later find no channel, and those that wait inside leave.
 *
 * Codes are those of himpi.h; a code that is not documented for its case is guessed, unless a comment says otherwise.
 */
#ifndef ASCEND_VENC_SIM_MPI_H
#define ASCEND_VENC_SIM_MPI_H

#include "memory.h"
#include "codec.h"

enum {
    SIM_VENC_MODULE = (int)0xA0088000,
    SIM_SYS_MODULE = (int)0xA0028000,
    SIM_VENC_BAD_DEVICE = SIM_VENC_MODULE | HI_ERR_ID_INVALID_DEV_ID,
    SIM_SIZE_NOT_ENOUGH = SIM_VENC_MODULE | HI_ERR_ID_SIZE_NOT_ENOUGH,
    SIM_SLICE_NS = 50 * 1000 * 1000,
};

/* ---- mpi_epoll.c ------------------------------------------------------------------------------- */

/* What a channel is to hi_mpi_sys_wait_epoll. */
typedef struct sim_pollable {
    struct sim_pollable *next;
    int number;     /* the descriptor; below 1: none is open */
    int event_fd;   /* the same on a board, else -1 */
    bool ready;     /* a frame can be got */
    bool signalled; /* on a board: the event_fd says so */
    struct sim_registration *registrations;
} sim_pollable;

/* Each of them may be called with the channel's lock. */
int sim_pollable_open(sim_pollable *pollable); /* the descriptor, which may be open already; -1: none left */
/* Returns in how many epolls it still was. */
unsigned sim_pollable_close(sim_pollable *pollable);
/* `more`: there is one more than before. */
void sim_pollable_set(sim_pollable *pollable, bool ready, bool more);
void sim_mpi_close_epolls(void);

/* ---- mpi_attr.c ---------------------------------------------------------------------------------- */

typedef enum sim_rc_kind { SIM_CBR = 1, SIM_VBR, SIM_AVBR, SIM_QVBR, SIM_CVBR, SIM_FIXQP } sim_rc_kind;

/* What rate control works with; [0] of P, [1] of I pictures. */
typedef struct sim_rate_settings {
    sim_rc_kind kind;
    uint32_t kbit, fps, gop;
    int fixed_qp[2], least_qp[2], most_qp[2];
    uint32_t most_i_proportion;
    int first_qp; /* -1: none given */
} sim_rate_settings;

/* All the settings of a channel that count for a frame. */
typedef struct sim_mpi_settings {
    hi_venc_chn_attr attr;
    hi_venc_rc_param rc_param;
    hi_venc_roi_attr roi[SIM_CODEC_REGIONS];
} sim_mpi_settings;

/*
 * A value that no program means to set: a code, and a report. Documented: stray bytes in a structure give 03 or 08;
 * guessed: which of them.
 */
hi_s32 sim_mpi_stray(const char *function, hi_s32 code, const char *name, long long value, const char *should);
/* Whether attributes are good; `before`: those of a channel that is to change, NULL: it is to be created. */
hi_s32 sim_mpi_check_attr(const char *function, const hi_venc_chn_attr *attr, const hi_venc_chn_attr *before);
hi_s32 sim_mpi_check_rc_param(const char *function, const hi_venc_chn_attr *attr, const hi_venc_rc_param *param);
/* Rate control's parameters as a new channel has them. */
void sim_mpi_default_rc_param(const hi_venc_chn_attr *attr, hi_venc_rc_param *param);
sim_rate_settings sim_mpi_rate_settings(const sim_mpi_settings *settings);
bool sim_mpi_same_rate(const hi_venc_chn_attr *a, const hi_venc_chn_attr *b);

/* ---- mpi_rate.c ------------------------------------------------------------------------------------ */

typedef struct sim_rate {
    sim_rate_settings settings;
    double bits_per_frame;
    double cost[2]; /* bits that a picture takes at quantiser 0, of the last ones of its kind; 0: not known */
    double debt;    /* bits above the rate, not yet saved */
    bool any;       /* a picture has been encoded */
} sim_rate;

/* New settings, from the next picture on. What is known of the pictures is kept. */
void sim_rate_set(sim_rate *rate, const sim_rate_settings *settings);
int sim_rate_qp(const sim_rate *rate, bool idr, uint64_t pixels);
void sim_rate_encoded(sim_rate *rate, bool idr, int qp, size_t bytes);

/* ---- mpi_picture.c ----------------------------------------------------------------------------------- */

typedef struct sim_mpi_picture {
    const uint8_t *y, *uv; /* NULL: there is none any more */
    uint32_t width, height;
    size_t stride;
    hi_pixel_format format;
    sim_memory *memory; /* reference */
    uint64_t sum;       /* strict mode: of its bytes when sent */
    size_t bytes;
    bool watched; /* sum is valid */
} sim_mpi_picture;

struct sim_mpi_channel;
/* Check what a program sends, and take hold of the picture's memory. */
hi_s32 sim_mpi_picture_take(const char *function, const struct sim_mpi_channel *ch, const hi_video_frame_info *frame,
                            sim_mpi_picture *picture);
/* The device is done with it. `got`: its packet reaches the program now. */
void sim_mpi_picture_release(sim_mpi_picture *picture, uint32_t seq, bool got);

/* ---- mpi_packet.c -------------------------------------------------------------------------------------- */

typedef struct sim_mpi_part {
    int32_t type;          /* hi_venc_h264_nalu_type or hi_venc_h265_nalu_type */
    uint32_t offset, size; /* in the access unit */
} sim_mpi_part;

typedef struct sim_mpi_frame {
    struct sim_mpi_frame *next;
    /* as sent */
    sim_mpi_picture picture;
    hi_u64 pts, input_addr;
    int fault; /* SIM_FRAME_NONE or ACLSIM_FRAME_* */
    uint32_t fault_value;
    /* the result */
    uint32_t seq, first_pack; /* its number, and that of its first pack */
    bool failed, idr, no_address;
    int qp;
    size_t place, held; /* in the stream buffer */
    uint32_t size;      /* of the access unit, as its packs say it */
    uint32_t changes;   /* settings made before it was encoded */
    unsigned part_count;
    sim_mpi_part parts[HI_VENC_MAX_PACK_INFO_NUM];
    unsigned got, released; /* packs */
} sim_mpi_frame;

typedef struct sim_frame_list {
    sim_mpi_frame *head, *tail;
    unsigned count;
} sim_frame_list;

void sim_frame_push(sim_frame_list *list, sim_mpi_frame *frame);
sim_mpi_frame *sim_frame_pop(sim_frame_list *list); /* NULL: empty */

/* Divide an access unit into its NAL units. */
void sim_mpi_split(sim_mpi_frame *frame, const uint8_t *data, size_t size, bool h265);
/* Packs that a frame is given out in: one, or one for each NAL unit. */
unsigned sim_mpi_pack_count(const struct sim_mpi_channel *ch, const sim_mpi_frame *frame);
/* Bytes that it takes in the stream buffer. */
size_t sim_mpi_stored_size(const struct sim_mpi_channel *ch, const sim_mpi_frame *frame);
/* Write it there. Without the lock: the place is its own. */
void sim_mpi_store(const struct sim_mpi_channel *ch, const sim_mpi_frame *frame, const uint8_t *data, size_t real);
/* Describe pack `number`. */
void sim_mpi_describe_pack(const struct sim_mpi_channel *ch, const sim_mpi_frame *frame, unsigned number,
                           hi_venc_pack *pack);

/* ---- a channel ------------------------------------------------------------------------------------------- */

typedef struct sim_canned {
    uint8_t *data; /* NULL: none yet */
    size_t size, wanted;
    uint32_t width, height;
} sim_canned;

typedef struct sim_mpi_channel {
    struct sim_mpi_channel *next; /* list lock, as the next three */
    unsigned users;               /* calls inside */
    bool listed;                  /* calls may enter */
    bool claimed;                 /* somebody ends it */

    /* constant */
    sim_origin origin;
    int32_t device;
    hi_venc_chn id;
    bool h265, by_frame, one_pack;
    uint32_t pack_offset;
    uint64_t input_slots;
    size_t null_size; /* 0: a real codec */
    bool marked, null_rate;
    sim_memory *output, *work; /* the stream buffer, and what stands for reference pictures */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t progress, todo;
    sim_pollable pollable;

    sim_mpi_settings settings; /* as set */
    hi_venc_chn_param param;
    hi_venc_scene_mode scene_mode;
    hi_venc_h264_vui h264_vui;
    hi_venc_h265_vui h265_vui;
    hi_venc_intra_refresh intra_refresh;
    hi_venc_ref_param ref_param;
    uint32_t changes; /* settings made */
    bool ever_started;
    bool changed;             /* `settings` are not yet those of the next frame */
    uint64_t frames_to_apply; /* encoded before they are */
    bool started, idr_wanted;
    int64_t room_to_receive; /* frames that hi_mpi_venc_start_chn still allows; -1: any number */

    sim_frame_list waiting, ready, held, spare;
    uint64_t sent, encoded, packs;
    size_t write_at; /* in the stream buffer, behind the last access unit */
    uint64_t since_idr;
    uint32_t last_width, last_height; /* of the picture that was encoded last */
    hi_u64 released_pts;
    bool any_idr, encoding, closing, stop, has_worker;
    pthread_t worker;
    uint64_t device_free_ns, progress_ns;

    /* of whoever encodes: the worker, or the holder of the lock where there is none */
    sim_mpi_settings in_effect;
    sim_rate rate;
    sim_codec *codec; /* for pictures of the next two */
    uint32_t codec_width, codec_height;
    sim_canned canned[2]; /* access units of the null codec: P, IDR */
} sim_mpi_channel;

/* ---- mpi_list.c ---------------------------------------------------------------------------------------------- */

/* The device that a call of this thread means. 0, or a code of the module SIM_VENC_MODULE or SIM_SYS_MODULE. */
hi_s32 sim_mpi_device(const char *function, int module, int32_t *device);
/* The same, where hi_mpi_sys_init has been called for it. */
hi_s32 sim_mpi_ready_device(const char *function, int module, int32_t *device);
bool sim_mpi_is_ready(int32_t device);
void sim_mpi_set_ready(int32_t device, bool ready);
/* The code of a device that is lost, 0 while it is not. */
hi_s32 sim_mpi_lost(const char *function, int module, int32_t device);

/* Whether the chip has such a channel. */
hi_s32 sim_mpi_check_id(const char *function, hi_venc_chn id);
/* The channel of a call, in use until sim_mpi_leave. 0, or a code. */
hi_s32 sim_mpi_enter(const char *function, hi_venc_chn id, sim_mpi_channel **out);
/* The same, where NULL, for a channel that is not there, is no failure. */
hi_s32 sim_mpi_enter_any(const char *function, hi_venc_chn id, sim_mpi_channel **out);
/* sim_mpi_enter, where the device is not lost. */
hi_s32 sim_mpi_enter_alive(const char *function, hi_venc_chn id, sim_mpi_channel **out);
void sim_mpi_leave(sim_mpi_channel *ch);
/* List a new channel. 0, or that its id is taken, or that there are too many. */
hi_s32 sim_mpi_list_add(const char *function, sim_mpi_channel *ch);
/* Let no more calls in. False: another one ends it. */
bool sim_mpi_list_claim(sim_mpi_channel *ch);
/* Any channel of a device (-1: of all), claimed and in use. NULL: none is left. */
sim_mpi_channel *sim_mpi_list_claim_any(int32_t device);
/* Until only the caller uses it. */
void sim_mpi_wait_alone(sim_mpi_channel *ch);
void sim_mpi_list_remove(sim_mpi_channel *ch);
bool sim_mpi_has_channels(int32_t device);
void sim_mpi_each(void (*visit)(sim_mpi_channel *ch));

/* ---- mpi_encode.c ---------------------------------------------------------------------------------------------- */

/* Open the codec, where there is a real one. 0, or a code. */
hi_s32 sim_mpi_open_codec(const char *function, sim_mpi_channel *ch);
/* There may be something to do. */
void sim_mpi_kick_locked(sim_mpi_channel *ch);
/* Tell who waits for it in an epoll what there is; `more`: a frame more. */
void sim_mpi_announce_locked(sim_mpi_channel *ch, bool more);
/* With the lock, or before anybody else can enter. 0, or an errno: there is no thread. */
int sim_mpi_start_worker(sim_mpi_channel *ch);
/* Let the worker end, and wait for it. Nobody else is inside. */
void sim_mpi_stop_worker(sim_mpi_channel *ch);
/*
 * Sleep until the channel makes progress, `deadline` (0: none) is over, or it ends. 0, a code, or `late`. *last: when it
 * last made progress; a wait for frames in flight without any ends after the option wait_limit_ms.
 */
hi_s32 sim_mpi_wait_locked(const char *function, sim_mpi_channel *ch, uint64_t deadline, hi_s32 late, uint64_t *last);

/* ---- mpi_channel.c ------------------------------------------------------------------------------------------------ */

/* End a channel that the caller has claimed and uses. */
void sim_mpi_end(const char *function, sim_mpi_channel *ch);

/* ---- mpi_module.c ------------------------------------------------------------------------------------------------- */

bool sim_mpi_one_stream_buf(int32_t device, hi_payload_type type);
void sim_mpi_module_reset(void);

/* ---- mpi_frame.c -------------------------------------------------------------------------------------------------- */

hi_s32 sim_mpi_send(const char *function, hi_venc_chn chn, const hi_video_frame_info *frame, hi_s32 milli_sec);

#endif /* ASCEND_VENC_SIM_MPI_H */
