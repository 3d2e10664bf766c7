/*
 * EFA device model: a device's name in the fabric directory
 *
 * <32 hex digits of the GID>.sock is where a device listens, .lock is locked
 * for as long as it lives.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_SHM_NAME_H
#define HW_EFA_SHM_NAME_H

#include "efa-fabric.h"

typedef struct EfaShmName {
    char *dir;
    int dirfd;
    int lockfd;
    int listenfd;               /* non-blocking SOCK_SEQPACKET */
    EfaGid gid;
} EfaShmName;

/*
 * Check the directory, lock the name, replace what a dead owner left, listen.
 * @name may be released in any case.
 */
bool efa_shm_name_claim(EfaShmName *name, const char *dir, const EfaGid *gid,
                        GError **errp);

/* Remove both files, close, free. */
void efa_shm_name_release(EfaShmName *name);

/* A non-blocking socket connected to the device @peer, or -1 and errno. */
int efa_shm_name_dial(const EfaShmName *name, const EfaGid *peer);

/* Does the process at the other end of @sock belong to our user? */
bool efa_shm_same_user(int sock);

#endif /* HW_EFA_SHM_NAME_H */
