// SPDX-License-Identifier: Apache-2.0
/* Freeing a channel. */
#include "channel.h"

#include <stdlib.h>

bool sim_channel_frees_output(const sim_channel *ch) {
    return ch->output != NULL && ch->own_output && !ch->borrowed_output;
}

void sim_channel_free(sim_channel *ch) {
    if (ch->out_desc != NULL)
        sim_handle_end(SIM_STREAM_DESC, ch->out_handle, "aclvencDestroyChannel");
    if (sim_channel_frees_output(ch)) {
        sim_memory_destroy(ch->output);
    } else if (ch->output != NULL) {
        if (!ch->borrowed_output)
            atomic_fetch_sub(&ch->output->lent, 1);
        sim_memory_release(ch->output);
    }
    sim_codec_close(ch->codec);
    free(ch->canned[0]);
    free(ch->canned[1]);
    free(ch->ring);
    pthread_cond_destroy(&ch->progress);
    pthread_cond_destroy(&ch->work);
    pthread_mutex_destroy(&ch->lock);
    free(ch);
}

void sim_channel_end_stopped(sim_channel *ch) {
    for (; ch->delivered < ch->sent; ch->delivered++)
        sim_picture_release(&ch->ring[ch->delivered % ch->ring_size], false);
    sim_reporter_release(ch->reporter);
    sim_stream_unreserve(ch->device, 2);
    sim_channel_free(ch);
}
