// SPDX-License-Identifier: Apache-2.0
/*
 * Descriptors of channels, and waiting for many of them. One lock over all, a leaf.
 *
 * An epoll lists what is ready, each registration once, in the order in which it became so. A level-triggered one is put
 * back behind the others when it has been reported, for as long as a frame can be got (guessed: nothing but the names of
 * the flags is documented); an edge-triggered one when there is a frame more.
 */
#include "mpi.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Numbers that no descriptor of this process has: on a host the vendor's cannot be given to the kernel (documented). */
enum { FIRST_CHANNEL_FD = 0x40000000, FIRST_EPOLL_FD = 0x50000000 };

typedef struct sim_epoll sim_epoll;

typedef struct sim_registration {
    struct sim_registration *next; /* of its pollable */
    struct sim_registration *next_ready;
    sim_epoll *epoll;
    sim_pollable *pollable;
    hi_u32 events;
    void *data;
    bool queued; /* in the list of those that are ready */
} sim_registration;

struct sim_epoll {
    sim_epoll *next;
    int number;
    int32_t device;
    unsigned users;
    bool closed;
    pthread_cond_t changed;
    sim_registration *head, *tail; /* ready */
};

static pthread_mutex_t poll_lock = PTHREAD_MUTEX_INITIALIZER; /* all of it */
static sim_epoll *epolls;
static sim_pollable *pollables; /* those with a descriptor */
static int next_channel_fd = FIRST_CHANNEL_FD, next_epoll_fd = FIRST_EPOLL_FD;

/* ---- ready ----------------------------------------------------------------------------------------------- */

static void queue_locked(sim_registration *registration) {
    if (registration->queued || !(registration->events & HI_DVPP_EPOLL_IN))
        return;
    sim_epoll *epoll = registration->epoll;
    registration->queued = true;
    registration->next_ready = NULL;
    if (epoll->tail != NULL)
        epoll->tail->next_ready = registration;
    else
        epoll->head = registration;
    epoll->tail = registration;
    pthread_cond_broadcast(&epoll->changed);
}

static void unqueue_locked(sim_registration *registration) {
    if (!registration->queued)
        return;
    sim_epoll *epoll = registration->epoll;
    sim_registration *before = NULL, **link = &epoll->head;
    while (*link != registration) {
        before = *link;
        link = &before->next_ready;
    }
    *link = registration->next_ready;
    if (epoll->tail == registration)
        epoll->tail = before;
    registration->queued = false;
}

static void tell_board_locked(sim_pollable *pollable) {
    if (pollable->event_fd < 0 || pollable->signalled == pollable->ready)
        return;
    pollable->signalled = pollable->ready;
    uint64_t count = 1;
    ssize_t done = pollable->ready ? write(pollable->event_fd, &count, sizeof count)
                                   : read(pollable->event_fd, &count, sizeof count);
    (void)done;
}

void sim_pollable_set(sim_pollable *pollable, bool ready, bool more) {
    pthread_mutex_lock(&poll_lock);
    bool rises = ready && !pollable->ready;
    pollable->ready = ready;
    tell_board_locked(pollable);
    for (sim_registration *r = pollable->registrations; r != NULL; r = r->next) {
        if (rises || (ready && more))
            queue_locked(r);
        else if (!ready)
            unqueue_locked(r);
    }
    pthread_mutex_unlock(&poll_lock);
}

/* ---- descriptors of channels -------------------------------------------------------------------------------- */

/* Above 0 (guessed: the documentation calls 0 both), also in a daemon, which has closed its standard input. */
static int open_event_fd(void) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd != 0)
        return fd;
    fd = fcntl(0, F_DUPFD_CLOEXEC, 1);
    close(0);
    return fd;
}

int sim_pollable_open(sim_pollable *pollable) {
    pthread_mutex_lock(&poll_lock);
    if (pollable->number <= 0) {
        /* Documented: on the device's own processor the kernel's select and poll take it. */
        pollable->event_fd = sim_host_mode() ? -1 : open_event_fd();
        pollable->number = sim_host_mode() ? next_channel_fd++ : pollable->event_fd;
        pollable->signalled = false;
        if (pollable->number > 0) {
            pollable->next = pollables;
            pollables = pollable;
            tell_board_locked(pollable);
        }
    }
    int number = pollable->number;
    pthread_mutex_unlock(&poll_lock);
    return number > 0 ? number : -1;
}

static void end_registration_locked(sim_registration *registration) {
    sim_registration **link = &registration->pollable->registrations;
    while (*link != registration)
        link = &(*link)->next;
    *link = registration->next;
    unqueue_locked(registration);
    free(registration);
}

unsigned sim_pollable_close(sim_pollable *pollable) {
    unsigned left = 0;
    pthread_mutex_lock(&poll_lock);
    if (pollable->number > 0) {
        for (; pollable->registrations != NULL; left++)
            end_registration_locked(pollable->registrations);
        sim_pollable **link = &pollables;
        while (*link != pollable)
            link = &(*link)->next;
        *link = pollable->next;
        if (pollable->event_fd >= 0)
            close(pollable->event_fd);
        pollable->number = pollable->event_fd = -1;
    }
    pthread_mutex_unlock(&poll_lock);
    return left;
}

static sim_pollable *find_pollable_locked(int number) {
    sim_pollable *pollable = pollables;
    while (pollable != NULL && pollable->number != number)
        pollable = pollable->next;
    return pollable;
}

/* ---- epolls ---------------------------------------------------------------------------------------------------- */

static sim_epoll *find_epoll_locked(int number) {
    sim_epoll *epoll = epolls;
    while (epoll != NULL && (epoll->number != number || epoll->closed))
        epoll = epoll->next;
    return epoll;
}

static hi_s32 no_epoll(const char *function, int number) {
    return sim_fail_at(function, HI_ERR_SYS_UNEXIST, "%d is no open epoll", number);
}

hi_s32 hi_mpi_sys_create_epoll(hi_s32 size, hi_s32 *epoll_fd) {
    SIM_ENTER(hi_mpi_sys_create_epoll);
    if (epoll_fd == NULL)
        return FAIL(HI_ERR_SYS_NULL_PTR, "epoll_fd must not be NULL");
    if (size <= 0) /* documented: ignored, but positive */
        return FAIL(HI_ERR_SYS_ILLEGAL_PARAM, "size %d err, should be above 0", size);
    int32_t device;
    hi_s32 rc = sim_mpi_ready_device(__func__, SIM_SYS_MODULE, &device);
    if (rc == HI_SUCCESS)
        rc = sim_mpi_lost(__func__, SIM_SYS_MODULE, device);
    if (rc != HI_SUCCESS)
        return rc;
    sim_epoll *epoll = calloc(1, sizeof *epoll);
    if (epoll == NULL)
        return FAIL(HI_ERR_SYS_NO_MEM, "out of memory");
    sim_cond_init(&epoll->changed);
    epoll->device = device;
    pthread_mutex_lock(&poll_lock);
    *epoll_fd = epoll->number = next_epoll_fd++;
    epoll->next = epolls;
    epolls = epoll;
    pthread_mutex_unlock(&poll_lock);
    sim_live_add(SIM_MPI_EPOLL, 1);
    return HI_SUCCESS;
}

static hi_s32 control_locked(const char *function, sim_epoll *epoll, sim_pollable *pollable, hi_s32 operation,
                             const hi_dvpp_epoll_event *event) {
    sim_registration *found = pollable->registrations;
    while (found != NULL && found->epoll != epoll)
        found = found->next;
    if (operation == HI_DVPP_EPOLL_CTL_ADD ? found != NULL : found == NULL)
        return sim_fail_at(function, found != NULL ? HI_ERR_SYS_EXIST : HI_ERR_SYS_UNEXIST,
                           "descriptor %d is %s epoll %d", pollable->number, found != NULL ? "already in" : "not in",
                           epoll->number);
    if (operation == HI_DVPP_EPOLL_CTL_DEL) {
        end_registration_locked(found);
        return HI_SUCCESS;
    }
    if (found == NULL) {
        found = calloc(1, sizeof *found);
        if (found == NULL)
            return sim_fail_at(function, HI_ERR_SYS_NO_MEM, "out of memory");
        found->epoll = epoll;
        found->pollable = pollable;
        found->next = pollable->registrations;
        pollable->registrations = found;
    }
    unqueue_locked(found);
    found->events = event->events;
    found->data = event->data;
    if (pollable->ready)
        queue_locked(found);
    return HI_SUCCESS;
}

hi_s32 hi_mpi_sys_ctl_epoll(hi_s32 epoll_fd, hi_s32 operation, hi_s32 fd, hi_dvpp_epoll_event *event) {
    SIM_ENTER(hi_mpi_sys_ctl_epoll);
    if (operation < HI_DVPP_EPOLL_CTL_ADD || operation > HI_DVPP_EPOLL_CTL_DEL)
        return FAIL(HI_ERR_SYS_ILLEGAL_PARAM, "operation %d err, should be in [1, 3]", operation);
    if (event == NULL && operation != HI_DVPP_EPOLL_CTL_DEL) /* documented: NULL for DEL only */
        return FAIL(HI_ERR_SYS_NULL_PTR, "event must not be NULL to add or to modify");
    pthread_mutex_lock(&poll_lock);
    sim_epoll *epoll = find_epoll_locked(epoll_fd);
    sim_pollable *pollable = find_pollable_locked(fd);
    hi_s32 rc = HI_SUCCESS;
    if (epoll == NULL)
        rc = no_epoll(__func__, epoll_fd);
    else if (pollable == NULL)
        rc = FAIL(HI_ERR_SYS_ILLEGAL_PARAM, "%d is no open descriptor of a channel", fd);
    else
        rc = control_locked(__func__, epoll, pollable, operation, event);
    pthread_mutex_unlock(&poll_lock);
    return rc;
}

/* Take what is ready. Returns how many. */
static hi_s32 take_locked(sim_epoll *epoll, hi_dvpp_epoll_event *events, hi_s32 most) {
    hi_s32 count = 0;
    sim_registration *last = epoll->tail;
    while (count < most && epoll->head != NULL) {
        sim_registration *r = epoll->head;
        bool at_end = r == last;
        unqueue_locked(r);
        events[count++] = (hi_dvpp_epoll_event){HI_DVPP_EPOLL_IN, r->data};
        if (!(r->events & HI_DVPP_EPOLL_ET))
            queue_locked(r); /* what is ready stays so until its frames have been got */
        if (at_end)
            break;
    }
    return count;
}

hi_s32 hi_mpi_sys_wait_epoll(hi_s32 epoll_fd, hi_dvpp_epoll_event *events, hi_s32 max_events, hi_s32 timeout,
                             hi_s32 *event_num) {
    SIM_ENTER(hi_mpi_sys_wait_epoll);
    if (events == NULL || event_num == NULL)
        return FAIL(HI_ERR_SYS_NULL_PTR, "events and event_num must not be NULL");
    if (max_events <= 0 || timeout < -1)
        return FAIL(HI_ERR_SYS_ILLEGAL_PARAM, "max_events %d should be above 0, timeout %d not below -1", max_events,
                    timeout);
    *event_num = 0;
    uint64_t deadline = timeout < 0 ? UINT64_MAX / 2 : sim_now_ns() + (uint64_t)timeout * 1000000u;
    hi_s32 rc = HI_SUCCESS;
    pthread_mutex_lock(&poll_lock);
    sim_epoll *epoll = find_epoll_locked(epoll_fd);
    if (epoll == NULL) {
        pthread_mutex_unlock(&poll_lock);
        return no_epoll(__func__, epoll_fd);
    }
    epoll->users++;
    for (;;) {
        if (epoll->closed)
            rc = no_epoll(__func__, epoll_fd);
        else if (!sim_mpi_is_ready(epoll->device))
            rc = FAIL(HI_ERR_SYS_NOT_READY, "hi_mpi_sys_exit has been called for device %d", epoll->device);
        else
            rc = sim_mpi_lost(__func__, SIM_SYS_MODULE, epoll->device);
        if (rc != HI_SUCCESS)
            break;
        *event_num = take_locked(epoll, events, max_events);
        /* observed: 0 and no event when the time is over */
        if (*event_num != 0 || timeout == 0 || sim_now_ns() >= deadline)
            break;
        sim_cond_wait_until(&epoll->changed, &poll_lock, deadline);
    }
    epoll->users--;
    pthread_cond_broadcast(&epoll->changed); /* who closes it waits for this */
    pthread_mutex_unlock(&poll_lock);
    return rc;
}

/* Off the list, with everything in it; threads that wait in it leave. */
static void close_locked(sim_epoll *epoll) {
    epoll->closed = true;
    pthread_cond_broadcast(&epoll->changed);
    while (epoll->users != 0)
        sim_cond_wait_until(&epoll->changed, &poll_lock, sim_now_ns() + SIM_SLICE_NS);
    for (sim_pollable *pollable = pollables; pollable != NULL; pollable = pollable->next) {
        sim_registration *r = pollable->registrations;
        while (r != NULL) {
            sim_registration *next = r->next;
            if (r->epoll == epoll)
                end_registration_locked(r);
            r = next;
        }
    }
    sim_epoll **link = &epolls;
    while (*link != epoll)
        link = &(*link)->next;
    *link = epoll->next;
    pthread_cond_destroy(&epoll->changed);
    free(epoll);
    sim_live_add(SIM_MPI_EPOLL, -1);
}

static hi_s32 close_epoll(const char *function, hi_s32 epoll_fd) {
    pthread_mutex_lock(&poll_lock);
    sim_epoll *epoll = find_epoll_locked(epoll_fd);
    if (epoll != NULL)
        close_locked(epoll);
    pthread_mutex_unlock(&poll_lock);
    return epoll != NULL ? HI_SUCCESS : no_epoll(function, epoll_fd);
}

hi_s32 hi_mpi_sys_close_epoll(hi_s32 epoll_fd) {
    SIM_CALL(hi_mpi_sys_close_epoll, close_epoll(__func__, epoll_fd));
}

/* ---- reset and fork --------------------------------------------------------------------------------------------- */

void sim_mpi_wake_pollers(void) {
    pthread_mutex_lock(&poll_lock);
    for (sim_epoll *epoll = epolls; epoll != NULL; epoll = epoll->next)
        pthread_cond_broadcast(&epoll->changed);
    pthread_mutex_unlock(&poll_lock);
}

void sim_mpi_close_epolls(void) {
    pthread_mutex_lock(&poll_lock);
    for (sim_epoll *epoll = epolls; epoll != NULL; epoll = epolls) {
        while (epoll != NULL && epoll->closed)
            epoll = epoll->next;
        if (epoll == NULL)
            break; /* another thread is closing what is left */
        close_locked(epoll);
    }
    pthread_mutex_unlock(&poll_lock);
}

void sim_mpi_epoll_after_fork(void) {
    pthread_mutex_init(&poll_lock, NULL);
    epolls = NULL;
    pollables = NULL;
}
