/*
 * Unit tests: the fabric over an Ethernet as one among others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "segment.h"

Segment segment;

static void port_input(Port *port, const uint8_t *frame, size_t len)
{
    if (port->backlog.head || !efa_fabric_netdev_can_input(port->f)) {
        g_queue_push_tail(&port->backlog, g_bytes_new(frame, len));
    } else {
        g_assert_true(efa_fabric_netdev_input(port->f, frame, len));
    }
}

static void port_flush_backlog(Port *port)
{
    while (port->backlog.head && efa_fabric_netdev_can_input(port->f)) {
        g_autoptr(GBytes) frame = g_queue_pop_head(&port->backlog);

        efa_fabric_netdev_input(port->f, g_bytes_get_data(frame, NULL),
                                g_bytes_get_size(frame));
    }
}

/* Delivered at once, from inside the sender's send(), as a hub does it. */
void segment_inject(const uint8_t *frame, size_t len)
{
    guint i;

    for (i = 0; i < segment.ports->len; i++) {
        Port *port = g_ptr_array_index(segment.ports, i);

        port_input(port, frame, len);
    }
}

static bool every(unsigned n)
{
    return n && segment.frames % n == 0;
}

static void segment_send(const uint8_t *frame, size_t len)
{
    segment.frames++;
    g_byte_array_set_size(segment.last, 0);
    g_byte_array_append(segment.last, frame, len);
    if (segment.record) {
        g_ptr_array_add(segment.log, g_bytes_new(frame, len));
    }
    if (every(segment.lose)) {
        return;
    }
    if (every(segment.late) && !segment.held->len) {
        g_byte_array_append(segment.held, frame, len);
        return;
    }
    segment_inject(frame, len);
    if (every(segment.repeat)) {
        segment_inject(frame, len);
    }
    if (segment.held->len) {
        segment_inject(segment.held->data, segment.held->len);
        g_byte_array_set_size(segment.held, 0);
    }
}

static bool port_send(void *opaque, const uint8_t *frame, size_t len)
{
    Port *port = opaque;

    g_assert_cmpuint(port->depth++, ==, 0);
    g_assert_cmpuint(len, >=, EFA_FRAME_MIN_SIZE);
    g_assert_cmpuint(len, <=, segment.mtu + EFA_FRAME_ETH_SIZE);
    g_assert_false(port->refused);
    segment_send(frame, len);
    /* others call in while we send: nothing may come of it */
    efa_fabric_netdev_transmit(port->f);
    port->depth--;
    port->refused = segment.slow && ++port->taken % segment.slow == 0;
    return !port->refused;
}

static void port_kick(void *opaque)
{
    Port *port = opaque;

    port->kicked = true;
}

static void port_tx_ready(void *opaque)
{
    Port *port = opaque;

    port->tx_ready = true;
}

static int64_t port_clock_ns(void *opaque)
{
    return segment.now;
}

const EfaNetdevOps port_ops = {
    .send = port_send,
    .kick = port_kick,
    .tx_ready = port_tx_ready,
    .clock_ns = port_clock_ns,
};

void segment_begin(size_t mtu)
{
    memset(&segment, 0, sizeof(segment));
    segment.mtu = mtu;
    segment.ports = g_ptr_array_new();
    segment.held = g_byte_array_new();
    segment.last = g_byte_array_new();
    segment.log = g_ptr_array_new_with_free_func(
        (GDestroyNotify)g_bytes_unref);
}

void segment_end(void)
{
    g_assert_cmpuint(segment.ports->len, ==, 0);
    g_ptr_array_free(segment.ports, true);
    g_ptr_array_free(segment.log, true);
    g_byte_array_free(segment.held, true);
    g_byte_array_free(segment.last, true);
}

Port *node_port(Node *n)
{
    return n->backend;
}

/* the backend */

static void netdev_begin(void)
{
    segment_begin(1500);
}

static void netdev_begin_small(void)
{
    segment_begin(EFA_NETDEV_MIN_MTU);
}

static void netdev_begin_large(void)
{
    segment_begin(EFA_NETDEV_MAX_MTU);
}

static void netdev_begin_slow(void)
{
    segment_begin(1500);
    segment.slow = 3;
}

static void netdev_begin_lossy(void)
{
    segment_begin(1500);
    segment.lose = 23;
    segment.repeat = 7;
    segment.late = 5;
}

static void netdev_attach(Node *n, const EfaGid *id)
{
    Port *port = g_new0(Port, 1);

    port->segment = &segment;
    port->f = efa_fabric_netdev_new(id, segment.mtu, &port_ops, port,
                                    &node_client, n);
    n->f = port->f;
    n->backend = port;
    g_ptr_array_add(segment.ports, port);
}

static void netdev_detach(Node *n)
{
    Port *port = n->backend;

    g_ptr_array_remove(segment.ports, port);
    n->f->ops->free(n->f);
    g_queue_clear_full(&port->backlog, (GDestroyNotify)g_bytes_unref);
    g_free(port);
}

static bool netdev_awake(Node *n)
{
    Port *port = n->backend;
    bool pending = n->f->ops->pending(n->f);

    /* a host that sleeps must have been told */
    g_assert_true(!pending || port->kicked);
    return pending || port->tx_ready || port->refused;
}

static void netdev_pump(Node *n)
{
    Port *port = n->backend;

    port->kicked &= n->f->ops->pending(n->f);
    port->tx_ready = false;
    if (port->refused) {
        port->refused = false;
        efa_fabric_netdev_writable(port->f);
    }
    efa_fabric_netdev_transmit(port->f);
    if (efa_fabric_netdev_room_again(port->f)) {
        port_flush_backlog(port);
    }
}

#define NETDEV_BACKEND(_name, _begin, _lossless)    \
    {                                               \
        .name = (_name),                            \
        .lossless = (_lossless),                    \
        .begin = (_begin),                          \
        .end = segment_end,                         \
        .attach = netdev_attach,                    \
        .detach = netdev_detach,                    \
        .awake = netdev_awake,                      \
        .pump = netdev_pump,                        \
    }

const FabricBackend fabric_netdev =
    NETDEV_BACKEND("netdev", netdev_begin, true);
const FabricBackend fabric_netdev_small =
    NETDEV_BACKEND("netdev-small", netdev_begin_small, true);
const FabricBackend fabric_netdev_large =
    NETDEV_BACKEND("netdev-large", netdev_begin_large, true);
const FabricBackend fabric_netdev_slow =
    NETDEV_BACKEND("netdev-slow", netdev_begin_slow, true);
const FabricBackend fabric_netdev_lossy =
    NETDEV_BACKEND("netdev-lossy", netdev_begin_lossy, false);
