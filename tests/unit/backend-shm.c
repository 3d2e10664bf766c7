/*
 * Unit tests: the shared memory fabric as one among others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "fabric-harness.h"
#include <poll.h>
#include <glib/gstdio.h>

char *shm_dir;

static void shm_begin(void)
{
    shm_dir = g_dir_make_tmp(NULL, NULL);
    g_assert_nonnull(shm_dir);
}

/* Every test leaves no file. */
static void shm_end(void)
{
    g_assert_cmpint(g_rmdir(shm_dir), ==, 0);
    g_free(shm_dir);
}

static void shm_attach(Node *n, const EfaGid *id)
{
    GError *err = NULL;

    n->f = efa_fabric_shm_new(shm_dir, id, &node_client, n, &err);
    g_assert_no_error(err);
}

static void shm_detach(Node *n)
{
    n->f->ops->free(n->f);
}

static bool shm_awake(Node *n)
{
    struct pollfd p = { .fd = n->f->ops->fd(n->f), .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

const FabricBackend fabric_shm = {
    .name = "shm",
    .knows_peers = true,
    .reaches_self = true,
    .lossless = true,
    .begin = shm_begin,
    .end = shm_end,
    .attach = shm_attach,
    .detach = shm_detach,
    .awake = shm_awake,
};
