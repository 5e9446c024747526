// SPDX-License-Identifier: Apache-2.0
/*
 * Encoder channels.
 *
 * A frame's way, by three counters of its channel: `sent` (aclvencSendFrame took it), `encoded` (the
 * device finished it), `delivered` (its callback has returned). Frame k lives in ring[k % ring_size].
 *
 *   - sent - encoded  < input_slots, else aclvencSendFrame blocks;
 *   - encoded - delivered <= output_slots: the device starts no frame that it could not put anywhere;
 *   - one report of a channel is outstanding, that of frame `delivered`; the next is posted after its
 *     callback has returned. So callbacks come in send order, one at a time.
 *
 * Encoding is done by a worker thread of the channel. With the null codec and no timing the frame is
 * finished by whoever makes it possible: the sender, or the report thread after a callback.
 *
 * A channel is freed only when its descriptor does not name it any more, nobody uses it (`users`), its
 * worker has ended and its report is neither posted nor running.
 */
#include "sim.h"
#include "codec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    POISONED = 64, /* bytes of an access unit that are overwritten after its callback */
    POISON = 0xdb,
    NS_PER_US = 1000,
    SLICE_NS = 50 * 1000 * 1000,
    RESET_PATIENCE_MS = 2000,
    BASE_ALIGNMENT = 16, /* documented, of a picture's address */
    CANNED_MIN = 1024,
};

typedef struct frame {
    uint64_t index;
    void *picture; /* handle that was sent */
    void *user_data;
    aclvencCallback callback; /* documented: the one at send time */
    bool force_idr;

    /* the picture; all NULL for the null codec */
    const uint8_t *y, *uv;
    size_t stride;
    sim_memory *memory; /* reference; NULL: not our memory */
    uint8_t *copy;      /* of memory that is not ours */
    const void *address;
    size_t bytes; /* read by the device from `address` */
    uint64_t sum; /* strict mode: of these bytes at send time */
    bool watched; /* sum is valid */

    int fault; /* SIM_FRAME_NONE or ACLSIM_FRAME_* */
    uint32_t fault_value;

    /* the result */
    uint32_t ret_code;
    size_t offset, held; /* in the output buffer */
    uint32_t size;       /* as the descriptor says it */
    bool idr;
} frame;

struct sim_channel {
    sim_channel *next;       /* channels_lock, as the next two */
    unsigned users;          /* calls inside */
    sim_channel_desc *owner; /* NULL: orphan */
    sim_origin origin;

    /* constant */
    int32_t device;
    uint32_t id;
    uint32_t width, height, gop;
    acldvppStreamFormat en_type;
    acldvppPixelFormat pic_format;
    sim_reporter *reporter;
    sim_codec *codec; /* NULL: null codec. Used by the worker */
    uint8_t *canned[2];
    size_t canned_size[2]; /* of a P and of an IDR */
    uint64_t input_slots, output_slots;
    frame *ring;
    size_t ring_size;
    sim_memory *output; /* reference; NULL: the program's own buffer outside of our memory */
    uint8_t *out_data;
    uintptr_t out_address;
    size_t out_size;
    bool own_output;
    sim_stream_desc *out_desc; /* one for all frames; NULL on the 310 generation: one for each */
    void *out_handle;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t progress, work;
    uint64_t sent, encoded, delivered;
    uint64_t since_idr;
    bool any_idr;
    bool encoding; /* the worker is at frame `encoded` */
    bool reported; /* the report of frame `delivered` is posted or running */
    bool in_callback;
    bool closing; /* no more frames are taken */
    bool stop;    /* the worker is to leave */
    bool has_worker;
    bool busy_destroying;
    pthread_t worker;
    sim_report report;
    uint64_t device_free_ns; /* when the modelled chip is done with its last frame */
    uint64_t progress_ns, idle_since_ns;
    aclsim_channel_stats stats;
};

static pthread_mutex_t channels_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t channels_changed;
static sim_channel *channels;

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&channels_changed);
}

/* ---- finding ------------------------------------------------------------------------------------------- */

/* The open channel of a descriptor, in use until leave_channel. NULL: none. */
static sim_channel *enter_channel(sim_channel_desc *desc) {
    pthread_mutex_lock(&channels_lock);
    sim_channel *ch = desc->channel;
    if (ch != NULL)
        ch->users++;
    pthread_mutex_unlock(&channels_lock);
    return ch;
}

static void leave_channel(sim_channel *ch) {
    pthread_mutex_lock(&channels_lock);
    if (--ch->users <= 1)
        pthread_cond_broadcast(&channels_changed);
    pthread_mutex_unlock(&channels_lock);
}

static bool on_report_thread(const sim_channel *ch) {
    return sim_reporter_thread(ch->reporter) == (uint64_t)pthread_self();
}

/* ---- input --------------------------------------------------------------------------------------------- */

static uint64_t sum_of(const uint8_t *data, size_t size) {
    uint64_t sum = 0x9e3779b97f4a7c15u ^ size, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, data + i, 8);
        sum = (sum ^ word) * 0x9fb21c651e98df25u;
        sum ^= sum >> 32;
    }
    for (; i < size; i++)
        sum = (sum ^ data[i]) * 0x9fb21c651e98df25u;
    return sum;
}

/*
 * Where the picture's planes are. Met in real programs: strides and sizes left at 0, a height stride
 * that the buffer does not have. So the width stride counts if it is set, else the channel's width up
 * to 16 (documented); the number of luma rows comes from the size.
 */
typedef struct geometry {
    size_t stride, rows, bytes;
} geometry;

static geometry lay_out(const sim_channel *ch, uint32_t width_stride, uint32_t height_stride, uint32_t size) {
    geometry g;
    g.stride = width_stride != 0 ? width_stride : (ch->width + 15) / 16 * 16;
    size_t from_size = (size_t)size * 2 / 3 / g.stride;
    enum { MOST_PADDING = 128 };
    if (from_size >= ch->height && from_size < (size_t)ch->height + MOST_PADDING)
        g.rows = from_size;
    else if (height_stride >= ch->height && g.stride * height_stride * 3 / 2 <= size)
        g.rows = height_stride;
    else
        g.rows = ch->height;
    g.bytes = g.stride * g.rows + g.stride * (ch->height / 2 - 1) + ch->width;
    return g;
}

static aclError bad_picture(frame *f, const char *function, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* The send succeeds, the device gives the frame back with a ret_code (guessed). */
static aclError bad_picture(frame *f, const char *function, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    f->ret_code = ACLSIM_RET_BAD_PICTURE;
    sim_log("%s: %s", function, text);
    if (sim_is_strict())
        sim_report_at("bad-picture", function, "set data, size and width stride of the picture descriptor", "%s", text);
    return ACL_SUCCESS;
}

/* Take hold of the picture's memory. A picture that cannot be read makes a failed frame, not a failed call. */
static aclError take_picture(const sim_channel *ch, const sim_pic_desc *desc, frame *f, const char *function) {
    const uint8_t *data = desc->data;
    uint32_t size = desc->size;
    if (data == NULL || size == 0)
        return bad_picture(f, function, "the picture has %s", data == NULL ? "no data" : "size 0");
    geometry g = lay_out(ch, desc->width_stride, desc->height_stride, size);
    if (g.stride < ch->width)
        return bad_picture(f, function, "width stride %zu is less than the channel's width %u", g.stride, ch->width);
    if (sim_is_strict() && g.bytes > size)
        sim_report_at("bad-picture", function, "size = stride * height * 3 / 2",
                      "size %u is less than the %zu bytes of a %u x %u picture with stride %zu", size, g.bytes,
                      ch->width, ch->height, g.stride);
    if (sim_is_strict() && (uintptr_t)data % BASE_ALIGNMENT != 0)
        sim_report_at("bad-picture", function, "align the picture's address to 16 bytes", "address %p is not aligned",
                      (const void *)data);
    f->address = data;
    f->bytes = g.bytes;
    f->stride = g.stride;
    sim_memory *memory = sim_memory_at(data);
    if (memory != NULL && sim_memory_rest(memory, data) < g.bytes) {
        size_t rest = sim_memory_rest(memory, data);
        sim_memory_release(memory);
        return bad_picture(f, function, "the device would read %zu bytes at %p, where the allocation ends after %zu",
                           g.bytes, (const void *)data, rest);
    }
    const uint8_t *readable = data;
    if (memory != NULL) {
        readable = memory->data + ((uintptr_t)data - memory->address);
        f->memory = memory;
        atomic_fetch_add(&memory->in_flight, 1);
    }
    bool device_memory = memory != NULL && memory->kind == SIM_DEVICE_MEMORY;
    if (sim_is_strict() && sim_host_mode() && !device_memory)
        sim_report_at("foreign-memory", function, "copy pictures into memory of acldvppMalloc",
                      "the picture at %p is not in device memory", (const void *)data);
    if (memory == NULL && (ch->codec != NULL || sim_is_strict())) {
        /* The program may free its own memory whenever it likes: what is read now is what was sent. */
        f->copy = malloc(g.bytes);
        if (f->copy == NULL)
            return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
        if (!sim_read_foreign(f->copy, data, g.bytes))
            return bad_picture(f, function, "%zu bytes at %p cannot be read", g.bytes, (const void *)data);
        readable = f->copy;
    }
    f->watched = sim_is_strict();
    if (f->watched)
        f->sum = sum_of(readable, g.bytes);
    f->y = readable;
    f->uv = readable + g.stride * g.rows;
    return ACL_SUCCESS;
}

static void check_untouched(const frame *f) {
    bool same;
    if (f->memory != NULL) {
        same = sum_of(f->y, f->bytes) == f->sum;
    } else {
        uint8_t *now = malloc(f->bytes);
        if (now == NULL)
            return;
        if (!sim_read_foreign(now, f->address, f->bytes)) {
            sim_report_at("input-unmapped", "aclvencSendFrame", "keep a picture's memory until its callback",
                          "the picture of frame %llu at %p was unmapped before its callback",
                          (unsigned long long)f->index, f->address);
            free(now);
            return;
        }
        same = sum_of(now, f->bytes) == f->sum;
        free(now);
    }
    if (!same)
        sim_report_at("input-modified", "aclvencSendFrame", "leave a picture's memory alone until its callback",
                      "the picture of frame %llu at %p changed between its send and its callback",
                      (unsigned long long)f->index, f->address);
}

/* The device is done with the picture. `arrived`: as it should be, with a callback to come. */
static void let_picture_go(frame *f, bool arrived) {
    if (arrived && f->watched && sim_is_strict())
        check_untouched(f);
    sim_pic_desc *desc = sim_handle_get(SIM_PIC_DESC, f->picture);
    if (desc != NULL)
        atomic_fetch_sub(&desc->in_flight, 1);
    if (f->memory != NULL) {
        atomic_fetch_sub(&f->memory->in_flight, 1);
        sim_memory_release(f->memory);
        f->memory = NULL;
    }
    free(f->copy);
    f->copy = NULL;
    f->y = f->uv = NULL;
}

/* ---- the device ------------------------------------------------------------------------------------------ */

static bool timing_is_set(void) {
    return atomic_load_explicit(&sim_option.encode_time_us, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&sim_option.callback_delay_us, memory_order_relaxed) != 0;
}

static bool device_may_run(const sim_channel *ch) {
    return !atomic_load_explicit(&sim_option.stall, memory_order_relaxed) && sim_device_lost(ch->device) == 0;
}

static bool output_is_full_locked(const sim_channel *ch) {
    return ch->encoded - ch->delivered >= ch->output_slots;
}

static bool next_is_idr_locked(sim_channel *ch, bool forced) {
    bool idr = !ch->any_idr || forced || ch->since_idr >= ch->gop;
    if (idr)
        ch->since_idr = 0; /* guessed: a forced one restarts the count too */
    ch->any_idr = true;
    ch->since_idr++;
    return idr;
}

/* A place in the output buffer for `size` bytes, low first. False: the callbacks must return first. */
static bool find_place_locked(const sim_channel *ch, size_t size, size_t *offset) {
    size_t candidate = 0;
    /* Frames that hold output are few; the place is free if it overlaps none of them. */
    for (uint64_t tried = 0; tried <= ch->output_slots; tried++) {
        size_t clash = 0;
        for (uint64_t k = ch->delivered; k < ch->encoded; k++) {
            const frame *f = &ch->ring[k % ch->ring_size];
            if (f->held != 0 && candidate < f->offset + f->held && f->offset < candidate + size)
                clash = f->offset + f->held;
        }
        if (clash == 0) {
            *offset = candidate;
            return size <= ch->out_size - candidate;
        }
        candidate = (clash + 63) / 64 * 64;
        if (candidate > ch->out_size || size > ch->out_size - candidate)
            return false;
    }
    return false;
}

static void note_idle_locked(sim_channel *ch) {
    bool idle = ch->sent > ch->encoded && !ch->encoding && output_is_full_locked(ch);
    if (idle && ch->idle_since_ns == 0) {
        ch->idle_since_ns = sim_now_ns();
    } else if (!idle && ch->idle_since_ns != 0) {
        ch->stats.host_idle_ns += sim_now_ns() - ch->idle_since_ns;
        ch->idle_since_ns = 0;
    }
}

static void post_locked(sim_channel *ch) {
    while (!ch->reported && ch->delivered < ch->encoded) {
        frame *f = &ch->ring[ch->delivered % ch->ring_size];
        if (f->fault != ACLSIM_FRAME_DROP) {
            ch->reported = true;
            sim_reporter_post(ch->reporter, &ch->report);
            return;
        }
        let_picture_go(f, false);
        f->held = 0;
        ch->delivered++;
        ch->progress_ns = sim_now_ns();
        pthread_cond_broadcast(&ch->progress);
    }
}

/* Frame `encoded` is finished, its data (if any) is in the output buffer. */
static void finish_frame_locked(sim_channel *ch) {
    ch->encoded++;
    ch->encoding = false;
    ch->stats.encoded++;
    ch->progress_ns = sim_now_ns();
    pthread_cond_broadcast(&ch->progress);
    post_locked(ch);
    note_idle_locked(ch);
}

/* What a fault makes of an encoded frame. *data may be replaced by NULL: fill the place with a filler. */
static void apply_fault(frame *f, const uint8_t **data, size_t *size, size_t capacity) {
    switch (f->fault) {
    case ACLSIM_FRAME_RET_CODE:
        f->ret_code = f->fault_value;
        *size = 0;
        break;
    case ACLSIM_FRAME_EMPTY:
        *size = 0;
        break;
    case ACLSIM_FRAME_HUGE:
        f->size = f->fault_value;
        if (f->fault_value > *size)
            *size = f->fault_value < capacity ? f->fault_value : capacity;
        return;
    default:
        break;
    }
    if (*size == 0)
        *data = NULL;
    f->size = (uint32_t)*size;
}

/* Copy `real` bytes of an access unit into its place and fill up. */
static void store(const sim_channel *ch, const frame *f, const uint8_t *data, size_t real) {
    if (f->held == 0)
        return;
    uint8_t *to = ch->out_data + f->offset;
    if (real > f->held)
        real = f->held;
    memcpy(to, data, real);
    enum { LEAST_FILLER = 8 };
    if (f->held - real >= LEAST_FILLER)
        sim_filler(to + real, f->held - real, ch->en_type);
    else
        memset(to + real, 0, f->held - real); /* trailing zero bytes are allowed */
}

/* Finish frames with the null codec, as many as possible. Only without timing. */
static void run_inline_locked(sim_channel *ch) {
    while (ch->sent > ch->encoded && !ch->encoding && !output_is_full_locked(ch) && device_may_run(ch)) {
        frame *f = &ch->ring[ch->encoded % ch->ring_size];
        if (f->fault == ACLSIM_FRAME_DELAY)
            break;
        bool good = f->ret_code == 0;
        f->idr = good && next_is_idr_locked(ch, f->force_idr);
        const uint8_t *data = good ? ch->canned[f->idr] : NULL;
        size_t real = good ? ch->canned_size[f->idr] : 0, size = real;
        apply_fault(f, &data, &size, ch->out_size);
        size_t offset = 0;
        if (size != 0 && !find_place_locked(ch, size, &offset)) {
            if (ch->encoded != ch->delivered)
                break;
            f->ret_code = ACLSIM_RET_NO_SPACE;
            size = f->size = 0;
        }
        f->offset = offset;
        f->held = size;
        store(ch, f, data, real);
        finish_frame_locked(ch);
    }
}

/* ---- worker ----------------------------------------------------------------------------------------------- */

/* Sleep with the lock until a time, or until the worker is to stop. */
static void sleep_until_locked(sim_channel *ch, uint64_t until) {
    while (!ch->stop && sim_now_ns() < until)
        sim_cond_wait_until(&ch->work, &ch->lock, until);
}

static void encode_one_locked(sim_channel *ch) {
    frame *f = &ch->ring[ch->encoded % ch->ring_size];
    ch->encoding = true;
    note_idle_locked(ch);
    uint64_t now = sim_now_ns();
    uint64_t start = now > ch->device_free_ns ? now : ch->device_free_ns;
    uint64_t due = start + atomic_load(&sim_option.encode_time_us) * NS_PER_US;
    if (f->ret_code == 0)
        f->idr = next_is_idr_locked(ch, f->force_idr);
    const uint8_t *data = NULL;
    size_t real = 0;
    if (f->ret_code == 0 && ch->codec == NULL) {
        data = ch->canned[f->idr];
        real = ch->canned_size[f->idr];
    } else if (f->ret_code == 0) {
        char why[512] = "";
        pthread_mutex_unlock(&ch->lock);
        if (sim_codec_encode(ch->codec, f->y, f->stride, f->uv, f->stride, f->idr, &data, &real, why, sizeof why) !=
            0) {
            f->ret_code = ACLSIM_RET_CODEC;
            real = 0;
            sim_log("frame %llu is not encoded: %s", (unsigned long long)f->index, why);
        }
        pthread_mutex_lock(&ch->lock);
    }
    size_t size = real;
    apply_fault(f, &data, &size, ch->out_size);
    sleep_until_locked(ch, due);
    ch->device_free_ns = due > sim_now_ns() ? due : sim_now_ns();
    if (atomic_load(&sim_option.encode_time_us) != 0 && due < ch->device_free_ns &&
        ch->device_free_ns - due < 20000000u)
        ch->device_free_ns = due; /* a late wake-up of ours is not the chip's slowness */
    if (size > ch->out_size) {
        f->ret_code = ACLSIM_RET_NO_SPACE;
        size = f->size = 0;
    }
    size_t offset = 0;
    while (!ch->stop && size != 0 && !find_place_locked(ch, size, &offset))
        sim_cond_wait_until(&ch->work, &ch->lock, sim_now_ns() + SLICE_NS);
    if (!ch->stop) {
        f->offset = offset;
        f->held = size;
        pthread_mutex_unlock(&ch->lock);
        store(ch, f, data, real);
        pthread_mutex_lock(&ch->lock);
        uint64_t delay =
            atomic_load(&sim_option.callback_delay_us) + (f->fault == ACLSIM_FRAME_DELAY ? f->fault_value : 0);
        if (delay != 0)
            sleep_until_locked(ch, sim_now_ns() + delay * NS_PER_US);
        finish_frame_locked(ch);
    }
    ch->encoding = false;
}

static void *work(void *arg) {
    sim_channel *ch = arg;
    pthread_mutex_lock(&ch->lock);
    while (!ch->stop) {
        if (ch->sent > ch->encoded && !output_is_full_locked(ch) && device_may_run(ch)) {
            encode_one_locked(ch);
            continue;
        }
        note_idle_locked(ch);
        sim_cond_wait_until(&ch->work, &ch->lock, UINT64_MAX / 2);
    }
    pthread_mutex_unlock(&ch->lock);
    return NULL;
}

static int start_worker(sim_channel *ch) {
    sigset_t all, before;
    sigfillset(&all); /* signals are the program's threads' business */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&ch->worker, NULL, work, ch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return rc;
    char name[16];
    snprintf(name, sizeof name, "aclsim-venc%u", ch->id % 1000);
    pthread_setname_np(ch->worker, name);
    ch->has_worker = true;
    sim_live_add(SIM_THREAD, 1);
    return 0;
}

/* There may be something to do. */
static void kick_locked(sim_channel *ch) {
    note_idle_locked(ch);
    if (ch->sent == ch->encoded || ch->stop)
        return;
    if (ch->codec == NULL && !timing_is_set())
        run_inline_locked(ch);
    if (ch->sent == ch->encoded)
        return;
    if (!ch->has_worker && !output_is_full_locked(ch) && device_may_run(ch) && start_worker(ch) != 0)
        sim_log("no thread for channel %u: it stands still", ch->id);
    if (ch->has_worker)
        pthread_cond_signal(&ch->work);
}

void sim_channel_kick_all(void) {
    pthread_mutex_lock(&channels_lock);
    for (sim_channel *ch = channels; ch != NULL; ch = ch->next) {
        pthread_mutex_lock(&ch->lock);
        pthread_cond_broadcast(&ch->progress);
        kick_locked(ch);
        pthread_mutex_unlock(&ch->lock);
    }
    pthread_mutex_unlock(&channels_lock);
}

/* ---- callbacks ------------------------------------------------------------------------------------------- */

static void call_program(void *arg) {
    sim_channel *ch = arg;
    frame *f = &ch->ring[ch->delivered % ch->ring_size]; /* only this thread advances `delivered` now */
    void *output = f->fault == ACLSIM_FRAME_NO_OUTPUT ? NULL : ch->out_handle;
    f->callback(f->picture, output, f->user_data);
    if (f->fault == ACLSIM_FRAME_TWICE)
        f->callback(f->picture, output, f->user_data);
}

static void hide_output(sim_channel *ch, const frame *f) {
    sim_stream_desc *desc = sim_handle_get(SIM_STREAM_DESC, ch->out_handle);
    if (desc != NULL)
        atomic_store(&desc->readable, false);
    if (ch->out_desc == NULL && ch->out_handle != NULL) {
        sim_handle_end(SIM_STREAM_DESC, ch->out_handle, "the end of the callback");
        ch->out_handle = NULL;
    }
    if (ch->own_output) {
        atomic_store(&ch->output->readable, false);
        sim_memory_show(ch->output, false);
    }
    /* What is read too late shall look wrong. */
    size_t poisoned = sim_is_strict() || f->held < POISONED ? f->held : POISONED;
    memset(ch->out_data + f->offset, POISON, poisoned);
}

static void callback_done(void *arg) {
    sim_channel *ch = arg;
    frame *f = &ch->ring[ch->delivered % ch->ring_size];
    hide_output(ch, f);
    pthread_mutex_lock(&ch->lock);
    f->held = 0;
    ch->delivered++;
    ch->stats.delivered++;
    ch->reported = false;
    ch->in_callback = false;
    ch->progress_ns = sim_now_ns();
    post_locked(ch);
    kick_locked(ch);
    pthread_cond_broadcast(&ch->progress);
    pthread_mutex_unlock(&ch->lock); /* from here on the channel may be gone */
}

static bool show_output(sim_channel *ch, const frame *f) {
    if (ch->out_desc == NULL) {
        sim_stream_desc *desc = sim_handle_new(SIM_STREAM_DESC, "aclrtProcessReport", NULL, true);
        if (desc == NULL)
            return false;
        desc->output = true;
        ch->out_handle = sim_handle_of(SIM_STREAM_DESC, desc);
    }
    sim_stream_desc *desc = sim_handle_get(SIM_STREAM_DESC, ch->out_handle);
    if (desc == NULL)
        return false;
    desc->data = (void *)(ch->out_address + f->offset);
    desc->size = f->size;
    desc->format = ch->en_type; /* guessed, as the next three */
    desc->timestamp = f->index;
    desc->eos = 0;
    desc->ret_code = f->ret_code;
    atomic_store(&desc->readable, true);
    if (ch->own_output) {
        atomic_store(&ch->output->readable, true);
        sim_memory_show(ch->output, true);
    }
    return true;
}

static void run_report(sim_report *report) {
    sim_channel *ch = (sim_channel *)((char *)report - offsetof(sim_channel, report));
    pthread_mutex_lock(&ch->lock);
    frame *f = &ch->ring[ch->delivered % ch->ring_size];
    ch->in_callback = true;
    pthread_mutex_unlock(&ch->lock);
    let_picture_go(f, true); /* the callback may free it */
    bool no_context = sim_host_mode() && sim_current() == NULL;
    /* Documented: in host run mode the output descriptor is copied here first; if that is not possible, or there
     * is no callback, the program's callback is silently left out. */
    if (no_context || f->callback == NULL || !show_output(ch, f)) {
        sim_log("the callback of frame %llu is left out: %s", (unsigned long long)f->index,
                no_context ? "the report thread has no current context" : "the channel has none");
        if (sim_is_strict() && no_context)
            sim_report_at("no-context", "aclrtProcessReport",
                          "call aclrtSetCurrentContext in the report thread before its first aclrtProcessReport",
                          "the callback of frame %llu is left out: this thread has no current context",
                          (unsigned long long)f->index);
        else if (sim_is_strict())
            sim_report_at("no-callback", "aclrtProcessReport",
                          "call aclvencSetChannelDescCallback before the first send",
                          "the callback of frame %llu is left out: the channel has none", (unsigned long long)f->index);
        pthread_mutex_lock(&ch->lock);
        ch->stats.skipped++;
        pthread_mutex_unlock(&ch->lock);
        callback_done(ch);
        return;
    }
    if (sim_tracing())
        sim_trace_event("callback", ", \"channel\": %u, \"frame\": %llu, \"bytes\": %u, \"idr\": %s, \"ret_code\": %u",
                        ch->id, (unsigned long long)f->index, f->size, f->idr ? "true" : "false", f->ret_code);
    sim_run_callback(call_program, ch, callback_done);
}

/* ---- waiting ---------------------------------------------------------------------------------------------- */

/*
 * Sleep until the channel makes progress. A wait without any ends after the limit with 507046 and a
 * diagnosis (hardware: never; guessed). Encoding counts as progress.
 */
static aclError wait_locked(sim_channel *ch, const char *function, uint64_t *last) {
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    uint64_t limit = atomic_load(&sim_option.wait_limit_ms) * 1000000u;
    uint64_t now = sim_now_ns();
    if (ch->progress_ns > *last)
        *last = ch->progress_ns;
    if (ch->encoding)
        *last = now;
    if (limit != 0 && now - *last >= limit) {
        uint64_t waiting = ch->sent - ch->delivered;
        unsigned long long thread = sim_reporter_thread(ch->reporter);
        const char *why = ch->in_callback                       ? "its callback has not returned"
                          : atomic_load(&sim_option.stall)      ? "the device is stalled"
                          : sim_reporter_has_pump(ch->reporter) ? "the report thread is busy with another callback"
                                                                : "nobody runs aclrtProcessReport there";
        if (sim_is_strict())
            sim_report_at("no-pump", function,
                          "keep the report thread in aclrtProcessReport until the channel is destroyed",
                          "%llu frame(s) of channel %u wait for their callback on thread %#llx, and %s",
                          (unsigned long long)waiting, ch->id, thread, why);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT,
                           "no progress in %llu ms: %llu frame(s) wait for their callback on thread %#llx, and %s",
                           (unsigned long long)(limit / 1000000u), (unsigned long long)waiting, thread, why);
    }
    sim_cond_wait_until(&ch->progress, &ch->lock, now + SLICE_NS);
    return ACL_SUCCESS;
}

/* Documented: EOS and destroy wait until every callback has returned. On the report thread that can never be. */
static aclError wait_delivered_locked(sim_channel *ch, const char *function) {
    uint64_t target = ch->sent, last = sim_now_ns();
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    if (ch->delivered < target && on_report_thread(ch)) {
        bool inside = sim_self.callbacks != 0;
        if (sim_is_strict())
            sim_report_at(inside ? "destroy-in-callback" : "no-pump", function,
                          "call it on another thread than the channel's report thread",
                          "%llu frame(s) of channel %u wait for their callback on this very thread",
                          (unsigned long long)(target - ch->delivered), ch->id);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_SYNC_TIMEOUT,
                           "this is the channel's report thread: waiting here for its callbacks would never end");
    }
    aclError rc = ACL_SUCCESS;
    while (ch->delivered < target && rc == ACL_SUCCESS)
        rc = wait_locked(ch, function, &last);
    return rc;
}

aclError sim_channel_wait_device(const char *function, int32_t device) {
    for (;;) {
        sim_channel *busy = NULL;
        pthread_mutex_lock(&channels_lock);
        for (sim_channel *ch = channels; ch != NULL && busy == NULL; ch = ch->next) {
            pthread_mutex_lock(&ch->lock);
            if (ch->device == device && ch->delivered < ch->sent && !ch->stop)
                busy = ch;
            pthread_mutex_unlock(&ch->lock);
        }
        if (busy != NULL)
            busy->users++;
        pthread_mutex_unlock(&channels_lock);
        if (busy == NULL)
            return ACL_SUCCESS;
        pthread_mutex_lock(&busy->lock);
        aclError rc = wait_delivered_locked(busy, function);
        pthread_mutex_unlock(&busy->lock);
        leave_channel(busy);
        if (rc != ACL_SUCCESS)
            return rc;
    }
}

/* ---- creating ---------------------------------------------------------------------------------------------- */

static aclError out_of_range(const char *function, const char *name, uint32_t value, sim_range range, bool zero) {
    return sim_fail_at(function, ACL_ERROR_RT_AICPU_EXCEPTION, "%s %u err, should be %sin [%u, %u] on %s", name, value,
                       zero ? "0 or " : "", range.min, range.max, sim_profile_get()->name);
}

static bool is_in(uint32_t value, sim_range range) {
    return value >= range.min && value <= range.max;
}

/* What the device checks: observed 507018 for the GOP and the bit rate, guessed to be the same for the others. */
static aclError check_ranges(const char *function, const sim_channel_desc *desc) {
    const sim_profile *profile = sim_profile_get();
    const aclError code = ACL_ERROR_RT_AICPU_EXCEPTION;
    if (desc->en_type < H265_MAIN_LEVEL || desc->en_type > H264_HIGH_LEVEL)
        return sim_fail_at(function, code, "enType %d err, should be in [0, 3]", desc->en_type);
    if (desc->pic_format != PIXEL_FORMAT_YUV_SEMIPLANAR_420 && desc->pic_format != PIXEL_FORMAT_YVU_SEMIPLANAR_420)
        return sim_fail_at(function, code, "picFormat %d err, should be 1 (NV12) or 2 (NV21)", desc->pic_format);
    if (!is_in(desc->pic_width, profile->width))
        return out_of_range(function, "width", desc->pic_width, profile->width, false);
    if (!is_in(desc->pic_height, profile->height))
        return out_of_range(function, "height", desc->pic_height, profile->height, false);
    if (desc->pic_width % 2 != 0 || desc->pic_height % 2 != 0)
        return sim_fail_at(function, code, "size %u x %u err, width and height should be even", desc->pic_width,
                           desc->pic_height);
    uint64_t area = (uint64_t)desc->pic_width * desc->pic_height;
    if (desc->en_type != H265_MAIN_LEVEL && profile->h264_area != 0 && area > profile->h264_area)
        return sim_fail_at(function, code, "size %u x %u err, should be at most %llu pixels for H.264 on %s",
                           desc->pic_width, desc->pic_height, (unsigned long long)profile->h264_area, profile->name);
    if (!is_in(desc->key_frame_interval, profile->gop))
        return out_of_range(function, "gop", desc->key_frame_interval, profile->gop, false);
    if (desc->rc_mode > 2)
        return sim_fail_at(function, code, "rcMode %u err, should be 0, 1 (VBR) or 2 (CBR)", desc->rc_mode);
    if (!is_in(desc->src_rate, profile->src_rate) && desc->src_rate != 0)
        return out_of_range(function, "srcRate", desc->src_rate, profile->src_rate, true);
    if (!is_in(desc->max_bit_rate, profile->bit_rate) && desc->max_bit_rate != 0)
        return out_of_range(function, "maxBitRate (kbit/s)", desc->max_bit_rate, profile->bit_rate, true);
    if (profile->ip_prop_settable && !is_in(desc->ip_prop, profile->ip_prop) && desc->ip_prop != 0)
        return out_of_range(function, "ipProp", desc->ip_prop, profile->ip_prop, true);
    return ACL_SUCCESS;
}

static void free_channel(sim_channel *ch) {
    if (ch->out_desc != NULL)
        sim_handle_end(SIM_STREAM_DESC, ch->out_handle, "aclvencDestroyChannel");
    if (ch->output != NULL && ch->own_output)
        sim_memory_destroy(ch->output);
    else
        sim_memory_release(ch->output);
    sim_codec_close(ch->codec);
    free(ch->canned[0]);
    free(ch->canned[1]);
    free(ch->ring);
    pthread_cond_destroy(&ch->progress);
    pthread_cond_destroy(&ch->work);
    pthread_mutex_destroy(&ch->lock);
    free(ch);
}

static aclError open_codec(sim_channel *ch, const sim_channel_desc *desc, const char *function) {
    const sim_profile *profile = sim_profile_get();
    size_t null_size = (size_t)atomic_load(&sim_option.null_codec);
    if (null_size != 0) {
        size_t capacity = null_size < CANNED_MIN ? CANNED_MIN : null_size;
        for (int idr = 0; idr < 2; idr++) {
            ch->canned[idr] = malloc(capacity);
            if (ch->canned[idr] == NULL)
                return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
            ch->canned_size[idr] = sim_null_access_unit(ch->canned[idr], capacity, null_size, ch->en_type, ch->width,
                                                        ch->height, idr != 0);
        }
        return ACL_SUCCESS;
    }
    /* Documented: 0 stands for the chip's default. */
    const sim_codec_config config = {
        .en_type = desc->en_type,
        .pic_format = desc->pic_format,
        .width = desc->pic_width,
        .height = desc->pic_height,
        .rc_mode = desc->rc_mode != 0 ? desc->rc_mode : profile->default_rc_mode,
        .src_rate = desc->src_rate != 0 ? desc->src_rate : profile->default_src_rate,
        .bit_rate = desc->max_bit_rate != 0 ? desc->max_bit_rate : profile->default_bit_rate,
    };
    char why[1500] = "";
    if (sim_codec_load(sim_codec_choice(), why, sizeof why) != 0 ||
        sim_codec_open(&config, &ch->codec, why, sizeof why) != 0)
        return sim_fail_at(function, ACL_ERROR_RT_AICPU_EXCEPTION, "the encoder cannot be opened: %s", why);
    return ACL_SUCCESS;
}

/* Documented: either both or none of address and size; else the library's own buffer. */
static aclError open_output(sim_channel *ch, const sim_channel_desc *desc, const char *function, void *caller) {
    if ((desc->buf_addr != NULL) != (desc->buf_size != 0))
        return sim_fail_at(function, ACL_ERROR_RT_FAILURE, "only one of bufAddr and bufSize is set");
    if (desc->buf_addr == NULL) {
        ch->output =
            sim_memory_create(SIM_DEVICE_MEMORY, sim_profile_get()->buffer_size, ch->device, true, function, caller);
        if (ch->output == NULL)
            return sim_fail_at(function, ACL_ERROR_RT_MEMORY_ALLOCATION, "no memory for the output buffer");
        ch->own_output = true;
        ch->out_data = ch->output->data;
        ch->out_address = ch->output->address;
        ch->out_size = ch->output->size;
        return ACL_SUCCESS;
    }
    ch->output = sim_memory_at(desc->buf_addr);
    ch->out_address = (uintptr_t)desc->buf_addr;
    ch->out_size = desc->buf_size;
    ch->out_data = desc->buf_addr;
    if (ch->output != NULL) {
        size_t rest = sim_memory_rest(ch->output, desc->buf_addr);
        ch->out_data = ch->output->data + (ch->out_address - ch->output->address);
        if (rest < ch->out_size && sim_is_strict())
            sim_report_at("out-of-bounds", function, "bufSize is the size of the allocation at bufAddr",
                          "bufSize is %zu, but the allocation at %p ends after %zu bytes", ch->out_size, desc->buf_addr,
                          rest);
        if (rest < ch->out_size)
            ch->out_size = rest;
    }
    if (sim_is_strict() && (ch->output == NULL || ch->output->kind != SIM_DEVICE_MEMORY))
        sim_report_at("foreign-memory", function, "allocate bufAddr with acldvppMalloc",
                      "bufAddr %p is not device memory", desc->buf_addr);
    return ACL_SUCCESS;
}

static aclError open_parts(sim_channel *ch, const sim_channel_desc *desc, const char *function, void *caller) {
    const sim_profile *profile = sim_profile_get();
    aclError rc = open_output(ch, desc, function, caller);
    if (rc == ACL_SUCCESS)
        rc = check_ranges(function, desc);
    if (rc == ACL_SUCCESS)
        rc = open_codec(ch, desc, function);
    if (rc != ACL_SUCCESS)
        return rc;
    ch->input_slots = atomic_load(&sim_option.input_slots);
    ch->output_slots = atomic_load(&sim_option.output_slots);
    ch->ring_size = (size_t)(ch->input_slots + ch->output_slots);
    ch->ring = calloc(ch->ring_size, sizeof *ch->ring);
    if (ch->ring == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    if (!profile->v100) { /* documented: one output descriptor for all frames of a channel */
        ch->out_desc = sim_handle_new(SIM_STREAM_DESC, function, caller, true);
        if (ch->out_desc == NULL)
            return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
        ch->out_desc->output = true;
        ch->out_handle = sim_handle_of(SIM_STREAM_DESC, ch->out_desc);
    }
    return ACL_SUCCESS;
}

/* Lowest free channel id of the device, or the limit. */
static uint32_t free_id_locked(int32_t device, uint64_t limit) {
    uint32_t id = 0;
    for (bool taken = true; taken && id < limit; id += taken) {
        taken = false;
        for (const sim_channel *ch = channels; ch != NULL; ch = ch->next)
            taken = taken || (ch->device == device && ch->id == id);
    }
    return id;
}

static bool list_channel(sim_channel *ch) {
    uint64_t limit = atomic_load(&sim_option.channel_limit);
    if (limit == 0)
        limit = sim_profile_get()->max_channels;
    pthread_mutex_lock(&channels_lock);
    ch->id = free_id_locked(ch->device, limit);
    bool fits = ch->id < limit;
    if (fits) {
        ch->next = channels;
        channels = ch;
    }
    pthread_mutex_unlock(&channels_lock);
    return fits;
}

static void unlist_locked(sim_channel *ch) {
    sim_channel **link = &channels;
    while (*link != ch)
        link = &(*link)->next;
    *link = ch->next;
}

static aclError create_channel(sim_channel_desc *desc, int32_t device, const char *function, void *caller,
                               sim_channel **out) {
    sim_channel *ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    ch->device = device;
    ch->width = desc->pic_width;
    ch->height = desc->pic_height;
    ch->gop = desc->key_frame_interval;
    ch->en_type = desc->en_type;
    ch->pic_format = desc->pic_format;
    ch->report.run = run_report;
    sim_origin_set(&ch->origin, function, caller);
    pthread_mutex_init(&ch->lock, NULL);
    sim_cond_init(&ch->progress);
    sim_cond_init(&ch->work);
    /* Documented order: the streams, the subscription, the output buffer, then the device's own checks. */
    aclError rc = ACL_SUCCESS;
    bool streams = sim_stream_reserve(device, 2);
    if (!streams)
        rc = sim_fail_at(function, ACL_ERROR_RT_NO_STREAM_RESOURCE, "the device has no two more streams");
    if (rc == ACL_SUCCESS && (rc = sim_reporter_acquire(desc->thread_id, device, &ch->reporter)) != ACL_SUCCESS)
        sim_fail_at(function, rc, "thread %#llx serves another device, or there are too many threads",
                    (unsigned long long)desc->thread_id);
    if (rc == ACL_SUCCESS)
        rc = open_parts(ch, desc, function, caller);
    bool listed = rc == ACL_SUCCESS && list_channel(ch);
    if (rc == ACL_SUCCESS && !listed) /* guessed code */
        rc = sim_fail_at(function, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "the device has no more channels");
    if (rc == ACL_SUCCESS && ch->codec != NULL && start_worker(ch) != 0)
        rc = sim_fail_at(function, ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "no thread for the channel: %s", strerror(errno));
    if (rc == ACL_SUCCESS) {
        *out = ch;
        return rc;
    }
    if (listed) {
        pthread_mutex_lock(&channels_lock);
        unlist_locked(ch);
        pthread_mutex_unlock(&channels_lock);
    }
    if (ch->reporter != NULL)
        sim_reporter_release(ch->reporter);
    if (streams)
        sim_stream_unreserve(device, 2);
    free_channel(ch);
    return rc;
}

static aclError find_desc(const char *function, const aclvencChannelDesc *handle, sim_channel_desc **out) {
    if (!sim_dvpp_ready())
        return sim_fail_at(function, ACL_ERROR_INTERNAL_ERROR,
                           "the media library is not up: no thread with a current context has called it yet");
    *out = sim_handle_get(SIM_CHANNEL_DESC, handle);
    if (*out == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_CHANNEL_DESC, handle, function);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live channel descriptor", (const void *)handle);
    }
    return ACL_SUCCESS;
}

aclError aclvencCreateChannel(aclvencChannelDesc *channelDesc) {
    SIM_ENTER(aclvencCreateChannel);
    sim_channel_desc *desc;
    aclError rc = find_desc(__func__, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!sim_profile_get()->has_venc) /* guessed code */
        return FAIL(ACL_ERROR_API_NOT_SUPPORT, "%s has no video encoder", sim_profile_get()->name);
    sim_context *context = sim_current();
    if (context == NULL) /* documented: its streams need one */
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", context->device);
    /* Guessed: refused. Documented is that a destroyed channel is unusable, and that nothing guards against it. */
    pthread_mutex_lock(&channels_lock);
    bool used = desc->used, open = desc->channel != NULL;
    desc->used = true;
    pthread_mutex_unlock(&channels_lock);
    if (used) {
        STRICT("descriptor-reuse", "one channel descriptor for each channel", "channel descriptor %p %s; it was %s",
               (void *)channelDesc, open ? "has an open channel" : "has had its channel",
               sim_origin_format(&desc->object.origin).text);
        return FAIL(ACL_ERROR_INVALID_PARAM, "the descriptor %s: use one for each channel",
                    open ? "has an open channel" : "has had its channel");
    }
    sim_channel *ch = NULL;
    rc = create_channel(desc, context->device, __func__, __builtin_return_address(0), &ch);
    pthread_mutex_lock(&channels_lock);
    if (rc == ACL_SUCCESS) {
        ch->owner = desc;
        desc->channel = ch;
        desc->channel_id = ch->id;
    } else {
        desc->used = false;
    }
    pthread_mutex_unlock(&channels_lock);
    if (rc == ACL_SUCCESS)
        sim_live_add(SIM_CHANNEL, 1);
    return rc;
}

/* ---- ending ------------------------------------------------------------------------------------------------ */

/* Stop worker and report. False: a callback did not return in time. No call is inside the channel. */
static bool stop_channel(sim_channel *ch) {
    pthread_mutex_lock(&ch->lock);
    ch->stop = ch->closing = true;
    pthread_cond_broadcast(&ch->work);
    pthread_cond_broadcast(&ch->progress);
    bool has_worker = ch->has_worker;
    pthread_mutex_unlock(&ch->lock);
    if (has_worker) {
        pthread_join(ch->worker, NULL);
        sim_live_add(SIM_THREAD, -1);
    }
    uint64_t deadline = sim_now_ns() + RESET_PATIENCE_MS * 1000000ull;
    pthread_mutex_lock(&ch->lock);
    while (ch->reported) {
        if (!ch->in_callback && sim_reporter_withdraw(ch->reporter, &ch->report)) {
            ch->reported = false;
            break;
        }
        if (sim_now_ns() >= deadline)
            break;
        sim_cond_wait_until(&ch->progress, &ch->lock, sim_now_ns() + 1000000u);
    }
    bool quiet = !ch->reported;
    if (quiet) {
        for (; ch->delivered < ch->sent; ch->delivered++)
            let_picture_go(&ch->ring[ch->delivered % ch->ring_size], false);
    }
    pthread_mutex_unlock(&ch->lock);
    return quiet;
}

/* The descriptor does not name it and it is not listed any more. */
static bool end_channel(sim_channel *ch) {
    pthread_mutex_lock(&channels_lock);
    while (ch->users > 1) {
        pthread_mutex_lock(&ch->lock);
        pthread_cond_broadcast(&ch->progress);
        pthread_mutex_unlock(&ch->lock);
        sim_cond_wait_until(&channels_changed, &channels_lock, sim_now_ns() + SLICE_NS);
    }
    pthread_mutex_unlock(&channels_lock);
    sim_live_add(SIM_CHANNEL, -1);
    if (!stop_channel(ch))
        return false; /* leaked: its callback is still running */
    sim_reporter_release(ch->reporter);
    sim_stream_unreserve(ch->device, 2);
    free_channel(ch);
    return true;
}

static aclError destroy_channel(aclvencChannelDesc *channelDesc, const char *function) {
    sim_channel_desc *desc;
    aclError rc = find_desc(function, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_channel *ch = enter_channel(desc);
    if (ch == NULL) /* guessed: hardware may hang */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the descriptor has no open channel");
    pthread_mutex_lock(&ch->lock);
    bool mine = !ch->busy_destroying;
    if (mine) {
        ch->busy_destroying = ch->closing = true;
        pthread_cond_broadcast(&ch->progress);
        rc = wait_delivered_locked(ch, function);
        bool lost = sim_device_lost(ch->device) != 0 && rc == sim_device_lost(ch->device);
        if (rc != ACL_SUCCESS && !lost) /* it stays as it was, and can be destroyed later */
            ch->busy_destroying = ch->closing = mine = false;
    } else {
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "another thread is destroying the channel");
    }
    pthread_mutex_unlock(&ch->lock);
    if (!mine) {
        leave_channel(ch);
        return rc;
    }
    /* Documented: after an early failure (a lost device) it frees what it has and returns the code. */
    pthread_mutex_lock(&channels_lock);
    bool owned = ch->owner == desc && desc->channel == ch;
    if (owned) {
        desc->channel = NULL;
        ch->owner = NULL;
        unlist_locked(ch);
    }
    pthread_mutex_unlock(&channels_lock);
    if (owned)
        end_channel(ch);
    else
        leave_channel(ch); /* the descriptor was destroyed meanwhile */
    return rc;
}

/* Documented: when a step of it fails, the channel is freed all the same and the code returned. So is an armed fault. */
static aclError destroy_and_fail(aclvencChannelDesc *channelDesc, aclError fault) {
    destroy_channel(channelDesc, "aclvencDestroyChannel");
    return fault;
}

aclError aclvencDestroyChannel(aclvencChannelDesc *channelDesc) {
    SIM_ENTER_VALUE(aclvencDestroyChannel, destroy_and_fail(channelDesc, fault_));
    return destroy_channel(channelDesc, __func__);
}

bool sim_channel_orphan(sim_channel_desc *desc) {
    pthread_mutex_lock(&channels_lock);
    sim_channel *ch = desc->channel;
    if (ch != NULL) {
        desc->channel = NULL;
        ch->owner = NULL;
    }
    pthread_mutex_unlock(&channels_lock);
    return ch != NULL;
}

bool sim_venc_reset(void) {
    bool clean = true;
    for (;;) {
        pthread_mutex_lock(&channels_lock);
        sim_channel *ch = channels;
        if (ch != NULL) {
            unlist_locked(ch);
            if (ch->owner != NULL)
                ch->owner->channel = NULL;
            ch->owner = NULL;
            ch->users++;
            pthread_mutex_lock(&ch->lock);
            ch->closing = true;
            pthread_cond_broadcast(&ch->progress);
            pthread_mutex_unlock(&ch->lock);
        }
        pthread_mutex_unlock(&channels_lock);
        if (ch == NULL)
            return clean;
        clean = end_channel(ch) && clean;
    }
}

void sim_venc_after_fork(void) {
    pthread_mutex_init(&channels_lock, NULL);
    sim_cond_init(&channels_changed);
    channels = NULL;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

static aclError send_frame(sim_channel *ch, frame *f, const char *function) {
    uint64_t start = 0, last = 0;
    aclError rc = ACL_SUCCESS;
    pthread_mutex_lock(&ch->lock);
    /* Documented: returns when the device has taken the frame. */
    while (!ch->closing && rc == ACL_SUCCESS && ch->sent - ch->encoded >= ch->input_slots) {
        if (start == 0)
            start = last = sim_now_ns();
        rc = wait_locked(ch, function, &last);
    }
    if (start != 0)
        ch->stats.send_blocked_ns += sim_now_ns() - start;
    if (rc == ACL_SUCCESS && ch->closing)
        rc = sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "the channel is being destroyed");
    if (rc == ACL_SUCCESS) {
        f->fault = sim_frame_fault(&f->fault_value);
        f->index = ch->sent;
        ch->ring[ch->sent % ch->ring_size] = *f;
        ch->sent++;
        ch->stats.sent++;
        kick_locked(ch);
    }
    pthread_mutex_unlock(&ch->lock);
    return rc;
}

static void take_time(void) {
    uint64_t us = atomic_load_explicit(&sim_option.send_time_us, memory_order_relaxed);
    if (us == 0)
        return;
    struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    pthread_setcancelstate(state, NULL);
}

static aclError check_sender(const sim_channel *ch, const char *function) {
    sim_context *context = sim_current();
    if (context == NULL) /* documented of every task on a stream */
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(ch->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", ch->device);
    if (context->device != ch->device)
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_CONTEXT, "the channel belongs to another device");
    return ACL_SUCCESS;
}

static aclError send_eos(sim_channel *ch, const char *function) {
    pthread_mutex_lock(&ch->lock);
    aclError rc = wait_delivered_locked(ch, function);
    pthread_mutex_unlock(&ch->lock);
    return rc;
}

static aclError send_picture(sim_channel *ch, const sim_channel_desc *desc, acldvppPicDesc *input, frame *f,
                             const char *function) {
    sim_pic_desc *picture = sim_handle_get(SIM_PIC_DESC, input);
    if (picture == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_PIC_DESC, input, function);
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "%p is no live picture descriptor", (void *)input);
    }
    uint64_t least = (uint64_t)ch->width * ch->height * 3 / 2;
    if (sim_profile_get()->checks_picture_size &&
        (picture->size < least || picture->size >= 2 * least)) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "picture size %u err, should be in [%llu, %llu)",
                           picture->size, (unsigned long long)least, (unsigned long long)(2 * least));
    aclError rc = check_sender(ch, function);
    if (rc != ACL_SUCCESS)
        return rc;
    f->picture = input;
    f->callback = desc->callback;
    atomic_fetch_add(&picture->in_flight, 1);
    rc = take_picture(ch, picture, f, function);
    if (rc == ACL_SUCCESS)
        rc = send_frame(ch, f, function);
    if (rc != ACL_SUCCESS)
        let_picture_go(f, false);
    else
        take_time();
    return rc;
}

aclError aclvencSendFrame(aclvencChannelDesc *channelDesc, acldvppPicDesc *input, void *reserve,
                          aclvencFrameConfig *config, void *userdata) {
    SIM_ENTER(aclvencSendFrame);
    (void)reserve; /* documented: ignored */
    sim_channel_desc *desc;
    aclError rc = find_desc(__func__, channelDesc, &desc);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_channel *ch = enter_channel(desc);
    if (ch == NULL) /* documented */
        return FAIL(ACL_ERROR_INVALID_PARAM, "the descriptor has no open channel");
    const sim_frame_config *settings = sim_handle_get(SIM_FRAME_CONFIG, config);
    if (settings == NULL) {
        STALE(SIM_FRAME_CONFIG, config);
        rc = FAIL(ACL_ERROR_INVALID_PARAM, "%p is no live frame config", (void *)config);
    } else if (settings->eos != 0) { /* documented: the other arguments are ignored */
        rc = send_eos(ch, __func__);
    } else {
        frame f = {.user_data = userdata, .force_idr = settings->force_i_frame != 0, .fault = SIM_FRAME_NONE};
        rc = send_picture(ch, desc, input, &f, __func__);
    }
    leave_channel(ch);
    return rc;
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

int aclsim_get_channel_stats(const void *channel_desc, aclsim_channel_stats *stats) {
    sim_channel_desc *desc = sim_handle_get(SIM_CHANNEL_DESC, channel_desc);
    sim_channel *ch = desc != NULL && stats != NULL ? enter_channel(desc) : NULL;
    if (ch == NULL)
        return -1;
    pthread_mutex_lock(&ch->lock);
    *stats = ch->stats;
    if (ch->idle_since_ns != 0)
        stats->host_idle_ns += sim_now_ns() - ch->idle_since_ns;
    pthread_mutex_unlock(&ch->lock);
    leave_channel(ch);
    return 0;
}
