/*
 * EFA device model: what all fabrics share, and the fabric that has no peers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include <arpa/inet.h>
#include "efa-fabric.h"
#include "fabric-shm.h"

char *efa_gid_to_string(const EfaGid *gid)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, gid->raw, text, sizeof(text));
    return g_strdup(text);
}

bool efa_gid_parse(const char *text, EfaGid *gid)
{
    EfaGid parsed;

    if (!text || inet_pton(AF_INET6, text, parsed.raw) != 1) {
        return false;
    }
    *gid = parsed;
    return true;
}

guint efa_gid_hash(gconstpointer gid)
{
    uint64_t half[2];

    memcpy(half, gid, sizeof(half));
    half[0] = (half[0] ^ half[1]) * 0x9e3779b97f4a7c15ull;
    return half[0] >> 32;
}

gboolean efa_gid_hash_equal(gconstpointer a, gconstpointer b)
{
    return efa_gid_equal(a, b);
}

EfaFabric *efa_fabric_none_new(const EfaGid *gid,
                               const EfaFabricClient *client, void *opaque)
{
    return efa_fabric_loopback_new(gid, client, opaque);
}
