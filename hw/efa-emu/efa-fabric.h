/*
 * EFA device model: the fabric interface
 *
 * A fabric backend moves packets between the devices of a cluster. It knows
 * nothing of queue pairs or reliability: a packet may be lost when a link goes
 * down, links come and go, and whatever a peer sends is untrusted. All it may
 * read of a packet is the EfaPktHdr at its start, whose GIDs must be true.
 *
 * Every function is called with the core lock held, from any thread. Backends
 * never block. Callbacks into the client are made from ->poll() only, never
 * from inside another fabric function, so that a client need not be prepared
 * for re-entry.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_EFA_FABRIC_H
#define HW_EFA_FABRIC_H

/* A device's address in the fabric: 16 bytes in network order. */
typedef struct EfaGid {
    uint8_t raw[16];
} EfaGid;

typedef struct EfaFabric EfaFabric;

/*
 * The way to one peer. Owned by the backend; looked up by GID. A link is DOWN
 * until connected by either side.
 */
typedef enum EfaLinkState {
    EFA_LINK_DOWN,
    EFA_LINK_CONNECTING,
    EFA_LINK_UP,
} EfaLinkState;

typedef enum EfaLinkDownReason {
    EFA_LINK_ABSENT,        /* nobody listens under that GID; or the link was
                               idle and given up, there being too many */
    EFA_LINK_HANGUP,        /* was up or connecting, the peer went away */
    EFA_LINK_REFUSED,       /* version mismatch, foreign owner, ... */
    EFA_LINK_PROTOCOL,      /* the peer wrote nonsense: link cut */
} EfaLinkDownReason;

typedef struct EfaLink {
    EfaGid peer;
    EfaLinkState state;
    /* for the client's use; survives link_down and reconnection */
    void *client_data;
} EfaLink;

typedef struct EfaFabricClient {
    /*
     * A packet of @len bytes arrived over @link. @data may lie in memory that
     * the peer can change at any moment: copy a field once, then judge it.
     * Valid during the call only.
     */
    void (*receive)(void *opaque, EfaLink *link, const uint8_t *data,
                    size_t len);
    void (*link_up)(void *opaque, EfaLink *link);
    void (*link_down)(void *opaque, EfaLink *link, EfaLinkDownReason why);
    /* space is available again after a failed ->reserve() */
    void (*link_writable)(void *opaque, EfaLink *link);
} EfaFabricClient;

typedef struct EfaFabricOps {
    const char *name;

    /*
     * Find or make the link to @peer. It stays valid until ->free() or while
     * it is not DOWN or has client_data; one without may be forgotten. With
     * too many peers a link with another address is returned, which can never
     * be connected.
     */
    EfaLink *(*link_get)(EfaFabric *f, const EfaGid *peer);

    /*
     * Begin to connect a DOWN link (no effect in other states). The outcome
     * is told by ->link_up or ->link_down from a later ->poll().
     */
    void (*connect)(EfaFabric *f, EfaLink *link);

    /*
     * Room for one packet of @len <= max_packet bytes, to be filled by the
     * caller. NULL if the link is not UP or has no room just now; in the
     * latter case ->link_writable follows. A reservation that is not
     * committed is void with the next call.
     */
    uint8_t *(*reserve)(EfaFabric *f, EfaLink *link, size_t len);
    void (*commit)(EfaFabric *f, EfaLink *link, size_t len);

    /* Wake those peers that sleep and were sent something. */
    void (*flush)(EfaFabric *f);

    /*
     * A file descriptor that is readable whenever ->poll() has work to do
     * while the consumer sleeps; -1 if there is none.
     */
    int (*fd)(EfaFabric *f);

    /* Cheap check without system calls: would ->poll() deliver packets now? */
    bool (*pending)(EfaFabric *f);

    /*
     * Deliver up to @budget packets and handle connection events. Returns
     * true if anything was delivered and more may follow. When it returns
     * false the backend has announced to its peers that this consumer sleeps.
     */
    bool (*poll)(EfaFabric *f, unsigned budget);

    void (*free)(EfaFabric *f);
} EfaFabricOps;

/* Backends embed this as their first member. */
struct EfaFabric {
    const EfaFabricOps *ops;
    const EfaFabricClient *client;
    void *opaque;               /* the client's */
    EfaGid gid;                 /* our own address */
    size_t max_packet;          /* largest packet ->reserve() can grant */
    bool checksum;              /* the way may damage packets: each carries a
                                   checksum, and one without is dropped */
};

/*
 * The shared memory fabric: peer to peer through unix sockets in @dir.
 *
 * Returns NULL and one line in @errp that names the thing and the remedy: @dir
 * missing, not a directory, not writable, not owned by this user or accessible
 * to others, GID already alive in @dir, no descriptors left.
 */
EfaFabric *efa_fabric_shm_new(const char *dir, const EfaGid *gid,
                              const EfaFabricClient *client, void *opaque,
                              GError **errp);

/* The fabric over an Ethernet: see fabric-netdev.h. */

/* Only loopback: every peer but oneself is absent. */
EfaFabric *efa_fabric_none_new(const EfaGid *gid,
                               const EfaFabricClient *client, void *opaque);

/* Sorted, printable: the colon form of an IPv6 address; free with g_free. */
char *efa_gid_to_string(const EfaGid *gid);
/* Parses the textual IPv6 form; false if malformed. */
bool efa_gid_parse(const char *text, EfaGid *gid);

static inline bool efa_gid_equal(const EfaGid *a, const EfaGid *b)
{
    return !memcmp(a->raw, b->raw, sizeof(a->raw));
}

/* For hash tables by EfaGid. */
guint efa_gid_hash(gconstpointer gid);
gboolean efa_gid_hash_equal(gconstpointer a, gconstpointer b);

/* Can a device have this address? Not the zero GID, no multicast (ff00::/8). */
static inline bool efa_gid_is_unicast(const EfaGid *gid)
{
    static const EfaGid none;

    return !efa_gid_equal(gid, &none) && gid->raw[0] != 0xff;
}

#endif /* HW_EFA_FABRIC_H */
