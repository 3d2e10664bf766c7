/*
 * EFA device model: what the files of the shared memory fabric share, and the
 * fabric without a directory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FABRIC_SHM_H
#define HW_EFA_FABRIC_SHM_H

#include <arpa/inet.h>
#include "efa-fabric.h"
#include "shm-handshake.h"
#include "shm-name.h"

typedef struct EfaShmLink EfaShmLink;

/* One socket and what came with it; replaced when a peer reconnects. */
typedef struct EfaShmConn {
    int sock;
    int wake_rx;                /* the peer writes, we sleep */
    int wake_tx;                /* we write */
    bool dead;                  /* closed, freed at the end of ->poll() */
    bool broken;                /* the peer wrote nonsense, to be cut */
    EfaShmHeader *map;
    EfaRingTx tx;
    EfaRingRx rx;
    EfaShmLink *link;           /* NULL until HELLO has arrived */
} EfaShmConn;

struct EfaShmLink {
    EfaLink link;
    EfaShmConn *conn;
    unsigned up_index;          /* in ->up while UP */
    bool dirty;                 /* in ->dirty */
    bool deferred;              /* in ->deferred: an outcome to be told */
    EfaLinkState outcome;
    EfaLinkDownReason why;
    uint64_t instance;          /* the peer's, while UP */
    char name[INET6_ADDRSTRLEN];
};

typedef struct EfaFabricShm {
    EfaFabric fabric;
    EfaShmName name;            /* without ->dir: loopback only */
    int sparefd;                /* given up to refuse when none are left */
    int epfd;
    int kickfd;                 /* wakes ourselves */
    uint64_t instance;
    bool in_poll;
    GHashTable *links;          /* EfaGid -> EfaShmLink */
    EfaShmLink overflow;        /* stands for every peer beyond the limit */
    GPtrArray *up;              /* EfaShmLink; changes only in ->poll() */
    GPtrArray *dirty;           /* committed to since the last ->flush() */
    GPtrArray *deferred;
    GPtrArray *graveyard;       /* EfaShmConn */
    GQueue half_open;           /* EfaShmConn, oldest first */
    unsigned turn;              /* whose ring is drained first */
    unsigned polls;             /* since the sockets were looked at */
    int64_t next_complaint;
} EfaFabricShm;

static inline EfaFabricShm *efa_shm_from(EfaFabric *f)
{
    return container_of(f, EfaFabricShm, fabric);
}

static inline EfaShmLink *efa_shm_link_from(EfaLink *link)
{
    return container_of(link, EfaShmLink, link);
}

/* shm-link.c: connections */
void efa_shm_wake(int fd);
void efa_shm_close_fd(int *fd);
/* For the operator; a peer cannot flood the log. */
void efa_shm_complain(EfaFabricShm *s, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);
EfaShmConn *efa_shm_conn_new(int sock);
void efa_shm_conn_close(EfaFabricShm *s, EfaShmConn *conn);
bool efa_shm_epoll_add(EfaFabricShm *s, int fd, uint32_t events, void *ptr);
bool efa_shm_watch_wake(EfaFabricShm *s, int fd);
bool efa_shm_watch_sock(EfaFabricShm *s, EfaShmConn *conn);

/* shm-link.c: link states */
/* Seen outside ->poll() perhaps: no more use of the rings, cut soon. */
void efa_shm_break(EfaFabricShm *s, EfaShmLink *l, const char *what);
void efa_shm_set_up(EfaFabricShm *s, EfaShmLink *l);
void efa_shm_set_down(EfaFabricShm *s, EfaShmLink *l, EfaLinkDownReason why);
/* Detach and close the connection, if any; true if the link was UP. */
bool efa_shm_detach(EfaFabricShm *s, EfaShmLink *l);
void efa_shm_tell_down(EfaFabricShm *s, EfaShmLink *l, EfaLinkDownReason why);
void efa_shm_tell_deferred(EfaFabricShm *s);

/* shm-link.c: the table of links, and connecting */
EfaLink *efa_shm_link_get(EfaFabric *f, const EfaGid *peer);
void efa_shm_connect(EfaFabric *f, EfaLink *link);
/* The answer to our HELLO. */
void efa_shm_handle_ack(EfaFabricShm *s, EfaShmConn *conn);

/* shm-accept.c */
void efa_shm_accept(EfaFabricShm *s);
/* A half-open connection has something to say. */
void efa_shm_handle_hello(EfaFabricShm *s, EfaShmConn *conn);
void efa_shm_half_open_scan(EfaFabricShm *s);

/* fabric-shm.c */
/* Deliver up to @max packets of a link that is UP. */
unsigned efa_shm_drain_link(EfaFabricShm *s, EfaShmLink *l, unsigned max);

/* A fabric that reaches only the device itself. Never fails. */
EfaFabric *efa_fabric_loopback_new(const EfaGid *gid,
                                   const EfaFabricClient *client,
                                   void *opaque);

#endif /* HW_EFA_FABRIC_SHM_H */
