/*
 * EFA device model: how two devices agree on a pair of shared rings
 *
 * The messages on the unix socket between them, the region they describe, and
 * the checks that everything received must pass. docs/fabric-shm.md has the
 * rules.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_SHM_HANDSHAKE_H
#define HW_EFA_SHM_HANDSHAKE_H

#include "efa-fabric.h"
#include "shm-ring.h"

#define EFA_SHM_MAGIC           0x4d484645u     /* "EFHM" */
#define EFA_SHM_VERSION         1

/* The region: one header page with the control words, then the two rings. */
#define EFA_SHM_HEADER_SIZE     4096u
#define EFA_SHM_RING_SIZE       EFA_RING_MAX_SIZE
#define EFA_SHM_REGION_SIZE     (EFA_SHM_HEADER_SIZE + 2 * EFA_SHM_RING_SIZE)

typedef struct EfaShmHeader {
    uint32_t magic;             /* for people with a hex editor only */
    uint32_t version;
    uint8_t pad0[504];
    EfaRingCtl ring[2];         /* 0: connector to acceptor, 1: back */
    uint8_t pad1[2560];
} EfaShmHeader;
QEMU_BUILD_BUG_ON(offsetof(EfaShmHeader, ring) != 512);
QEMU_BUILD_BUG_ON(sizeof(EfaShmHeader) != EFA_SHM_HEADER_SIZE);

/* Connector to acceptor, with the descriptors of EfaShmFd. Host byte order. */
typedef struct EfaShmHello {
    uint32_t magic;
    uint16_t version;
    uint16_t length;            /* of this message */
    uint16_t packet_version;
    uint16_t reserved;          /* zero */
    uint32_t header_size;
    uint32_t ring_size;
    uint32_t reserved2;         /* zero */
    uint64_t instance;          /* random, differs after every restart */
    EfaGid src;                 /* the connector's address */
    EfaGid dst;                 /* the address it means to reach */
} EfaShmHello;
QEMU_BUILD_BUG_ON(sizeof(EfaShmHello) != 64);
QEMU_BUILD_BUG_ON(offsetof(EfaShmHello, ring_size) != 16);
QEMU_BUILD_BUG_ON(offsetof(EfaShmHello, instance) != 24);
QEMU_BUILD_BUG_ON(offsetof(EfaShmHello, dst) != 48);

typedef enum EfaShmFd {
    EFA_SHM_FD_REGION,          /* the sealed memfd */
    EFA_SHM_FD_WAKE_ACCEPTOR,   /* eventfds */
    EFA_SHM_FD_WAKE_CONNECTOR,
    EFA_SHM_FDS,
} EfaShmFd;

/* Acceptor to connector. The first 12 bytes are the same in all versions. */
typedef struct EfaShmAck {
    uint32_t magic;
    uint16_t version;           /* the acceptor's */
    uint16_t length;
    uint32_t status;            /* EfaShmStatus */
    uint32_t reserved;          /* zero */
    uint64_t instance;          /* the acceptor's */
} EfaShmAck;
QEMU_BUILD_BUG_ON(sizeof(EfaShmAck) != 24);
QEMU_BUILD_BUG_ON(offsetof(EfaShmAck, status) != 8);

typedef enum EfaShmStatus {
    EFA_SHM_OK,
    EFA_SHM_BAD_VERSION,        /* of handshake, region or packets */
    EFA_SHM_BAD_MESSAGE,        /* malformed, truncated, oversized, no EFA */
    EFA_SHM_BAD_GID,            /* not ours, or the sender claims ours */
    EFA_SHM_BAD_FDS,            /* wrong number or kind, not sealed, ... */
    EFA_SHM_BAD_OWNER,          /* another user's process */
    EFA_SHM_CROSSED,            /* the other of two connections is kept */
    EFA_SHM_NO_RESOURCES,       /* links, descriptors or memory exhausted */
    EFA_SHM_STATUS_MAX,
} EfaShmStatus;

const char *efa_shm_status_text(uint32_t status);

void efa_shm_hello_init(EfaShmHello *hello, const EfaGid *src,
                        const EfaGid *dst, uint64_t instance);

/* Judge @len bytes received as HELLO by the device @own. */
EfaShmStatus efa_shm_hello_check(const EfaShmHello *hello, size_t len,
                                 const EfaGid *own);

/* Judge the descriptors received with it. */
EfaShmStatus efa_shm_fds_check(const int *fds, unsigned n);

/*
 * Judge @len bytes received as HELLO_ACK; @status tells the acceptor's answer.
 * False if it is none.
 */
bool efa_shm_ack_check(const EfaShmAck *ack, size_t len, uint32_t *status);

/* A new sealed region with its header written, or -1 and errno. */
int efa_shm_region_new(void);

/* Map a region that is ours or was checked; NULL and errno on failure. */
EfaShmHeader *efa_shm_region_map(int fd);
void efa_shm_region_unmap(EfaShmHeader *map);

/* Attach to a mapped region as connector or as acceptor. */
void efa_shm_region_attach(EfaShmHeader *map, bool connector, EfaRingTx *tx,
                           EfaRingRx *rx);

/*
 * One message with descriptors, never blocking. Receiving returns the number
 * of bytes, 0 at the end, -1 with errno; a message longer than @size yields
 * @size + 1. The first @max descriptors land in @fds and belong to the caller;
 * should there be more, they are closed and counted in @n all the same.
 */
bool efa_shm_send(int sock, const void *msg, size_t len, const int *fds,
                  unsigned n);
ssize_t efa_shm_recv(int sock, void *msg, size_t size, int *fds, unsigned max,
                     unsigned *n);

#endif /* HW_EFA_SHM_HANDSHAKE_H */
