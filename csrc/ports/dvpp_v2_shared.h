// SPDX-License-Identifier: Apache-2.0
/*
 * DVPP V2 (hi_mpi_venc_*), what its files share. dvpp_v2_channel.c: channels, and frames going in. dvpp_v2.c: the
 * device, and the thread that gets its streams.
 *
 * A frame goes in with a time stamp that rises by one frame's time, since programs are seen to need that; it comes back
 * unchanged (documented) with the frame's packs, and stands in a list for the number under which the engine knows the
 * frame. The device keeps the order of a channel's frames, so those in front of one that came will not come any more.
 */
#ifndef ASCEND_VENC_PORTS_DVPP_V2_SHARED_H
#define ASCEND_VENC_PORTS_DVPP_V2_SHARED_H

#include "ports/runtime.h"

enum { AVI_V2_MOST_IDS = 256 }; /* of any chip (documented) */

typedef struct avi_v2_sent {
    hi_u64 pts;
    uint64_t number;
} avi_v2_sent;

typedef struct avi_v2_channel {
    hi_venc_chn id;
    hi_s32 fd;
    bool h265;
    bool created, started, has_fd, registered; /* what there is to end */
    hi_u64 frame_us;                           /* this and the next six: only who has the right to send */
    hi_u64 last_us;                            /* time stamp of the last frame that was sent */
    hi_u32 count;                              /* frames that were sent */
    hi_venc_chn_attr attr;
    avenc_channel_config config; /* that these were made of */
    hi_venc_rc_param base;       /* rate control's parameters without our limits, in `base_mode` */
    hi_venc_rc_mode base_mode;   /* 0: not asked for yet */
    bool served;                 /* the device's lock: this and the rest. Its streams are being got: it cannot end */
    avi_v2_sent *sent;
    unsigned first, pending, room; /* a ring in `sent` of `room`: what may be in the device, in the order of sends */
} avi_v2_channel;

typedef struct avi_v2_device {
    avi_runtime runtime;
    const himpi_api *mpi;
    hi_s32 epoll;
    pthread_mutex_t lock; /* the rest. A leaf */
    pthread_cond_t changed;
    bool stop;
    unsigned inside; /* frames that may be in the device */
    bool taken[AVI_V2_MOST_IDS];
    avi_v2_channel *channels[AVI_V2_MOST_IDS]; /* whose streams are to be got */
} avi_v2_device;

static inline avi_v2_device *avi_v2_of(const avenc_device *device) {
    return device->port_data;
}

/* dvpp_v2_status.c: that one of V2's functions returned `code`: as avi_fail_acl. */
int avi_v2_fail(avenc_device *device, hi_s32 code, const char *call);

#define TRY_MPI(device, call, ...)                                                                                     \
    do {                                                                                                               \
        hi_s32 rc_ = avi_v2_of(device)->mpi->call(__VA_ARGS__);                                                        \
        if (rc_ != HI_SUCCESS)                                                                                         \
            return avi_v2_fail(device, rc_, #call);                                                                    \
    } while (0)

/* The channel of an event, kept from ending until avi_v2_leave; NULL: it ends. */
avi_v2_channel *avi_v2_enter(avi_v2_device *v2, hi_venc_chn id);
void avi_v2_leave(avi_v2_device *v2, avi_v2_channel *channel);

/* The number of the frame with that time stamp, which has left the device; 0: none has it. */
uint64_t avi_v2_take_number(avi_v2_device *v2, avi_v2_channel *channel, hi_u64 pts);

/* dvpp_v2_rate.c: attributes of rate control, and limits in its parameters. */
void avi_v2_fill_rate(hi_venc_rc_attr *rc, const avenc_channel_config *config, bool h265);
void avi_v2_limit(hi_venc_rc_param *param, hi_venc_rc_mode mode, const avenc_channel_config *config);

/*
 * dvpp_v2_quality.c. Before a channel is made: AVENC_E_UNSUPPORTED, the library lacks what this needs. Before it is
 * started. And regions of interest, where `before` of them were set.
 */
int avi_v2_check_quality(const avenc_device *device, const avenc_channel_config *config);
int avi_v2_begin_quality(avenc_device *device, const avi_v2_channel *channel, const avenc_channel_config *config);
int avi_v2_set_regions(avenc_device *device, const avi_v2_channel *channel, uint32_t before,
                       const avenc_channel_config *config);

/* As port.h has them. */
int avi_v2_create(avenc_device *device, const avenc_channel_config *config, void **channel);
int avi_v2_destroy(avenc_device *device, void *channel);
bool avi_v2_changes(const avenc_device *device);
int avi_v2_change(avenc_device *device, void *channel, const avenc_channel_config *config, bool *whole);
int avi_v2_create_picture(avenc_device *device, const avenc_channel_config *config, void **picture);
int avi_v2_place_picture(avenc_device *device, void *picture, const avi_placement *placement);
void avi_v2_free_picture(avenc_device *device, void *picture);
int avi_v2_send(avenc_device *device, void *channel, void *picture, bool idr, uint64_t number, bool *gone);

#endif
