// SPDX-License-Identifier: Apache-2.0
/*
 * Rate control: a quantiser for each picture. Guessed, all of it: what hardware does is not known, only what its modes are
 * for. Bits halve with every six steps of the quantiser; what a picture costs is what the last one of its kind did.
 */
#include "mpi.h"

enum {
    P = 0,
    I = 1,
    MOST_QP = 51,
    FIRST_QP = 30,
    I_TIMES_P = 8, /* how much more an I picture costs than a P, until both are known */
    I_SHARE = 6,   /* and how much more it may */
    FEWEST_TO_REPAY = 12,
};

static const double step = 1.1224620483093730; /* the sixth root of 2 */

static double bits_at(double cost, int qp) {
    while (qp-- > 0)
        cost /= step;
    return cost;
}

/* The quantiser at which a cost comes nearest to a number of bits. */
static int qp_for(double cost, double bits) {
    int qp = 0;
    for (cost /= 1 + (step - 1) / 2; qp < MOST_QP && cost > bits; qp++)
        cost /= step;
    return qp;
}

/* Pictures over which a debt is paid back: half a second. */
static double horizon(const sim_rate *rate) {
    uint32_t frames = rate->settings.fps / 2;
    return frames < FEWEST_TO_REPAY ? FEWEST_TO_REPAY : frames;
}

void sim_rate_set(sim_rate *rate, const sim_rate_settings *settings) {
    rate->settings = *settings;
    rate->bits_per_frame = settings->kind == SIM_FIXQP ? 0 : settings->kbit * 1000.0 / settings->fps;
    rate->debt = 0; /* documented: it is initialised anew */
}

/* The quantiser below which a mode does not go, however many bits it might spend. */
static int quality_of(sim_rc_kind kind) {
    return kind == SIM_CBR ? 0 : kind == SIM_AVBR ? 26 : kind == SIM_QVBR ? 22 : 24;
}

int sim_rate_qp(const sim_rate *rate, bool idr, uint64_t pixels) {
    const sim_rate_settings *s = &rate->settings;
    int kind = idr ? I : P;
    if (s->kind == SIM_FIXQP)
        return s->fixed_qp[kind];
    int qp;
    if (!rate->any && s->first_qp >= 0) {
        qp = s->first_qp;
    } else {
        double cost = rate->cost[kind];
        if (cost == 0 && rate->cost[I] != 0)
            cost = rate->cost[I] / I_TIMES_P;
        if (cost == 0)
            cost = (double)pixels / 4 / bits_at(1, FIRST_QP);
        double mean = rate->bits_per_frame, wanted = mean - rate->debt / horizon(rate);
        if (idr && s->gop > 1) {
            double share = s->gop < I_SHARE ? s->gop : I_SHARE;
            wanted *= share < s->most_i_proportion ? share : s->most_i_proportion;
        }
        if (wanted < mean / 5)
            wanted = mean / 5;
        qp = qp_for(cost, wanted);
        if (qp < quality_of(s->kind))
            qp = quality_of(s->kind);
    }
    if (qp < s->least_qp[kind])
        qp = s->least_qp[kind];
    return qp > s->most_qp[kind] ? s->most_qp[kind] : qp;
}

void sim_rate_encoded(sim_rate *rate, bool idr, int qp, size_t bytes) {
    int kind = idr ? I : P;
    double bits = 8.0 * (double)bytes, cost = bits / bits_at(1, qp), most = rate->bits_per_frame * horizon(rate);
    rate->cost[kind] = rate->cost[kind] == 0 ? cost : (rate->cost[kind] + cost) / 2;
    rate->any = true;
    rate->debt += bits - rate->bits_per_frame;
    /* Still content would earn a long burst, and a scene cut a long famine. */
    if (rate->debt < -most)
        rate->debt = -most;
    if (rate->debt > 2 * most)
        rate->debt = 2 * most;
}
