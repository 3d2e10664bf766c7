/*
 * Unit tests: a fake host with a driver's habits
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness-thread.h"
#include <poll.h>
#include <sys/mman.h>

int64_t host_now = 1000000000;
uint64_t host_epoch = 1000000;
static GPtrArray *hosts;

/* ---- what the core asks of its host ---- */

static bool bus_reaches(Host *h, unsigned kind, uint64_t addr, size_t len)
{
    uint64_t offset = addr - HOST_DMA_BASE;

    h->dma_seen = true;
    if (!h->dma_on || (h->fail_at && --h->fail_at == 0)) {
        return false;
    }
    if ((h->fault_kinds & kind) && addr < h->fault_hi &&
        addr + len > h->fault_lo) {
        h->fault_hits++;
        return false;
    }
    return addr >= HOST_DMA_BASE && offset <= h->mem_size &&
           len <= h->mem_size - offset;
}

static void bus_tell(Host *h, unsigned kind, uint64_t addr, size_t len,
                     bool ok)
{
    if (h->watch) {
        h->watch(h, kind, addr, len, ok);
    }
}

static bool op_dma_read(void *opaque, uint64_t addr, void *buf, size_t len)
{
    Host *h = opaque;
    bool ok = bus_reaches(h, FAULT_READ, addr, len);

    if (ok) {
        h->max_read_end = MAX(h->max_read_end, addr + len);
        memcpy(buf, h->mem + (addr - HOST_DMA_BASE), len);
    }
    bus_tell(h, FAULT_READ, addr, len, ok);
    return ok;
}

static bool op_dma_write(void *opaque, uint64_t addr, const void *buf,
                         size_t len)
{
    Host *h = opaque;
    bool ok = bus_reaches(h, FAULT_WRITE, addr, len);

    if (ok) {
        efa_copy_in_order(h->mem + (addr - HOST_DMA_BASE), buf, len);
    }
    if (ok && h->logged < G_N_ELEMENTS(h->log)) {
        h->log[h->logged].addr = addr;
        h->log[h->logged].len = len;
        h->log[h->logged++].irq = false;
    }
    bus_tell(h, FAULT_WRITE, addr, len, ok);
    return ok;
}

static bool op_dma_publish32(void *opaque, uint64_t addr, uint32_t value)
{
    g_assert_cmpuint(addr % 4, ==, 0);
    return op_dma_write(opaque, addr, &value, sizeof(value));
}

static bool op_dma_enabled(void *opaque)
{
    return ((Host *)opaque)->dma_on;
}

static void op_irq(void *opaque, unsigned vector)
{
    Host *h = opaque;

    g_assert_cmpuint(vector, <, h->cfg.num_vectors);
    h->irqs[vector]++;
    if (h->logged < G_N_ELEMENTS(h->log)) {
        h->log[h->logged++].irq = true;
    }
}

static void op_irq_forget(void *opaque)
{
    ((Host *)opaque)->irqs_forgotten++;
}

static int64_t op_clock_ns(void *opaque)
{
    return ((Host *)opaque)->thread ? host_thread_now() : host_now;
}

static uint64_t op_epoch(void *opaque)
{
    return host_epoch++;
}

static void op_timer(void *opaque, int64_t deadline)
{
    Host *h = opaque;

    qatomic_set(&h->deadline, deadline);
    if (h->thread) {
        host_thread_kick(h);
    }
}

static void op_defer(void *opaque)
{
    Host *h = opaque;

    /* other threads look at it */
    qatomic_set(&h->deferred, true);
    if (h->thread) {
        host_thread_kick(h);
    }
}

static const EfaHostOps host_ops = {
    .dma_read = op_dma_read,
    .dma_write = op_dma_write,
    .dma_publish32 = op_dma_publish32,
    .dma_enabled = op_dma_enabled,
    .irq = op_irq,
    .irq_forget = op_irq_forget,
    .clock_ns = op_clock_ns,
    .epoch = op_epoch,
    .timer = op_timer,
    .defer = op_defer,
};

/* ---- life ---- */

EfaGid test_gid(unsigned n)
{
    EfaGid gid = { { 0xfe, 0x80 } };

    gid.raw[14] = n >> 8;
    gid.raw[15] = n;
    return gid;
}

EfaConfig test_config(unsigned n)
{
    return test_config_of(n, 2);
}

EfaConfig test_config_of(unsigned n, uint8_t generation)
{
    EfaConfig cfg;

    efa_config_init(&cfg, generation);
    cfg.gid = test_gid(n);
    cfg.max_llq_size = 65536;
    cfg.reorder = 0;            /* the test decides */
    return cfg;
}

static uint8_t *map_zeroed(size_t size)
{
    uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert_true(p != MAP_FAILED);
    return p;
}

EfaFabric *wire_fabric(Wire *w, const EfaGid *gid,
                       const EfaFabricClient *client, void *opaque);

Host *host_new_sized(const EfaConfig *cfg, Wire *wire, const char *shm_dir,
                     uint64_t mem_size)
{
    Host *h = g_new0(Host, 1);
    GError *err = NULL;

    h->cfg = *cfg;
    efa_config_resolve(&h->cfg);
    g_assert_true(efa_config_check(&h->cfg, &err));
    h->mem_size = mem_size;
    h->mem = map_zeroed(mem_size);
    h->llq = map_zeroed(efa_config_llq_bar_size(cfg));
    h->used = HOST_PAGE;
    h->garbage = g_ptr_array_new_with_free_func(g_free);
    h->dma_on = true;
    h->deadline = INT64_MAX;
    h->core = efa_core_new(cfg, &host_ops, h, h->llq);
    if (shm_dir) {
        h->fabric = efa_fabric_shm_new(shm_dir, &cfg->gid, &efa_fabric_client,
                                       h->core, &err);
        g_assert_no_error(err);
    } else if (wire) {
        h->fabric = wire_fabric(wire, &cfg->gid, &efa_fabric_client, h->core);
    } else {
        h->fabric = efa_fabric_none_new(&cfg->gid, &efa_fabric_client,
                                        h->core);
    }
    efa_core_set_fabric(h->core, h->fabric);
    efa_core_set_running(h->core, true);
    if (!hosts) {
        hosts = g_ptr_array_new();
    }
    g_ptr_array_add(hosts, h);
    return h;
}

Host *host_new_raw(const EfaConfig *cfg, Wire *wire, const char *shm_dir)
{
    return host_new_sized(cfg, wire, shm_dir, HOST_MEM_SIZE);
}

Host *host_new_cfg(const EfaConfig *cfg)
{
    Host *h = host_new_raw(cfg, NULL, NULL);

    host_probe(h);
    return h;
}

Host *host_new(unsigned n)
{
    EfaConfig cfg = test_config(n);

    return host_new_cfg(&cfg);
}

Host *host_new_on(unsigned n, Wire *wire)
{
    EfaConfig cfg = test_config(n);
    Host *h = host_new_raw(&cfg, wire, NULL);

    host_probe(h);
    return h;
}

void host_free(Host *h)
{
    g_ptr_array_remove(hosts, h);
    if (h->thread) {
        host_thread_stop(h);
    }
    efa_core_free(h->core);
    munmap(h->mem, h->mem_size);
    munmap(h->llq, efa_config_llq_bar_size(&h->cfg));
    g_ptr_array_free(h->garbage, TRUE);
    g_free(h);
}

void hosts_free(void)
{
    while (hosts && hosts->len) {
        host_free(hosts->pdata[0]);
    }
}

static bool fd_ready(Host *h)
{
    struct pollfd p = { .fd = h->fabric->ops->fd(h->fabric),
                        .events = POLLIN };

    return !h->stopped && p.fd >= 0 && poll(&p, 1, 0) > 0;
}

void settle(void)
{
    unsigned rounds = 0, i;
    bool again = true;

    while (again) {
        again = false;
        for (i = 0; i < hosts->len; i++) {
            Host *h = hosts->pdata[i];

            if (h->deferred || h->more || efa_core_pending(h->core) ||
                fd_ready(h)) {
                h->deferred = false;
                h->more = efa_core_run(h->core);
                again = true;
            }
        }
        /* a device that never comes to rest is a bug */
        g_assert_cmpuint(++rounds, <, 100000);
    }
}

void advance(int64_t ns)
{
    int64_t target = host_now + ns;

    settle();
    for (;;) {
        int64_t first = INT64_MAX;
        unsigned i;

        for (i = 0; i < hosts->len; i++) {
            first = MIN(first, ((Host *)hosts->pdata[i])->deadline);
        }
        if (first > target) {
            break;
        }
        host_now = MAX(host_now, first);
        for (i = 0; i < hosts->len; i++) {
            Host *h = hosts->pdata[i];

            if (h->deadline <= host_now) {
                h->deadline = INT64_MAX;
                h->deferred = true;
            }
        }
        settle();
    }
    host_now = target;
}

uint64_t host_alloc(Host *h, size_t size, size_t align)
{
    uint64_t addr = ROUND_UP(h->used, align);

    g_assert_cmpuint(addr + size, <=, h->mem_size);
    h->used = addr + size;
    return HOST_DMA_BASE + addr;
}

void *host_ptr(Host *h, uint64_t dma)
{
    g_assert_cmpuint(dma - HOST_DMA_BASE, <, h->mem_size);
    return h->mem + (dma - HOST_DMA_BASE);
}

void host_fault(Host *h, unsigned kinds, uint64_t addr, uint64_t len)
{
    h->fault_kinds = len ? kinds : 0;
    h->fault_hits = 0;
    h->fault_lo = addr;
    h->fault_hi = addr + len;
}

unsigned host_irqs(Host *h, unsigned vector)
{
    unsigned n = h->irqs[vector];

    h->irqs[vector] = 0;
    return n;
}

void *host_keep(Host *h, void *p)
{
    g_ptr_array_add(h->garbage, p);
    return p;
}

/* ---- registers ---- */

void reg_write(Host *h, uint32_t offset, uint32_t value)
{
    efa_core_reg_write(h->core, offset, value, 4);
}

void reg_write_pair(Host *h, uint32_t lo, uint64_t value)
{
    reg_write(h, lo, value);
    reg_write(h, lo + 4, value >> 32);
}

void host_set_resp(Host *h)
{
    if (!h->resp) {
        h->resp = host_alloc(h, 8, HOST_PAGE);
    }
    reg_write(h, A_MMIO_RESP_HI, h->resp >> 32);
    reg_write(h, A_MMIO_RESP_LO, h->resp);
}

uint32_t reg_read(Host *h, uint32_t offset)
{
    uint16_t seq = ++h->rr_seq;
    struct {
        uint16_t req_id, reg_off;
        uint32_t reg_val;
    } *resp = host_ptr(h, h->resp);

    resp->req_id = seq + 0x9a;
    reg_write(h, A_MMIO_REG_READ, offset << 16 | seq);
    g_assert_cmphex(resp->req_id, ==, seq);
    g_assert_cmphex(resp->reg_off, ==, offset);
    return resp->reg_val;
}

void host_reset_handshake(Host *h)
{
    g_assert_cmphex(reg_read(h, A_DEV_STS) & R_DEV_STS_READY_MASK, !=, 0);
    reg_write(h, A_DEV_CTL, R_DEV_CTL_DEV_RESET_MASK);
    host_set_resp(h);
    g_assert_cmphex(reg_read(h, A_DEV_STS), ==,
                    R_DEV_STS_READY_MASK | R_DEV_STS_RESET_IN_PROGRESS_MASK);
    reg_write(h, A_DEV_CTL, 0);
    g_assert_cmphex(reg_read(h, A_DEV_STS) &
                    (R_DEV_STS_READY_MASK |
                     R_DEV_STS_RESET_IN_PROGRESS_MASK), ==,
                    R_DEV_STS_READY_MASK);
}

static uint64_t zeroed_ring(Host *h, uint64_t old, size_t size)
{
    uint64_t ring = old ? old : host_alloc(h, size, HOST_PAGE);

    memset(host_ptr(h, ring), 0, size);
    return ring;
}

static uint32_t aq_entry_size(const Host *h)
{
    return h->cfg.admin_version >= EFA_ADMIN_VERSION_V2 ? EFA_AQ_ENTRY_SIZE_V2
                                                        : 64;
}

void host_admin_init(Host *h)
{
    h->aq = zeroed_ring(h, h->aq, AQ_DEPTH * EFA_AQ_ENTRY_SIZE_V2);
    h->acq = zeroed_ring(h, h->acq, AQ_DEPTH * 64);
    h->aenq = zeroed_ring(h, h->aenq, AENQ_DEPTH * 64);
    h->aq_prod = 0;
    h->acq_cons = 0;
    h->aenq_cons = 0;
    reg_write_pair(h, A_AQ_BASE_LO, h->aq);
    reg_write(h, A_AQ_CAPS, aq_entry_size(h) << 16 | AQ_DEPTH);
    reg_write_pair(h, A_ACQ_BASE_LO, h->acq);
    reg_write(h, A_ACQ_CAPS, 64 << 16 | AQ_DEPTH);
    reg_write(h, A_INTR_MASK, 0);
    reg_write_pair(h, A_AENQ_BASE_LO, h->aenq);
    reg_write(h, A_AENQ_CAPS, 64 << 16 | AENQ_DEPTH);
    reg_write(h, A_AENQ_CONS_DB, 0);
}

void host_probe(Host *h)
{
    host_set_resp(h);
    host_reset_handshake(h);
    host_admin_init(h);
}

void db_write(Host *h, uint32_t offset, uint32_t value)
{
    efa_core_doorbell_write(h->core, offset, value, 4);
}

/* ---- admin queue ---- */

/* Bit by bit, from the end of the definition (CRC-16/USB) to its beginning. */
uint16_t admin_crc(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = 0xffff;
    size_t i;

    for (i = 0; i < len * 8; i++) {
        unsigned in = (p[i / 8] >> (i % 8) ^ crc) & 1;

        crc >>= 1;
        if (in) {
            crc ^= 0xa001;
        }
    }
    return crc ^ 0xffff;
}

void aq_put(Host *h, EfaAqEntry *cmd)
{
    uint16_t pc = h->aq_prod++;
    uint32_t size = aq_entry_size(h);
    uint8_t *slot = (uint8_t *)host_ptr(h, h->aq) + pc % AQ_DEPTH * size;

    /* an id as new drivers make it: nothing to do with the slot */
    h->cmd_id = (h->cmd_id * 5 + 0x123) & 0xfff;
    cmd->common.command_id = h->cmd_id;
    cmd->common.flags = (cmd->common.flags & ~1) | !(pc / AQ_DEPTH & 1);
    if (size == sizeof(*cmd)) {
        memcpy(slot, cmd, size);
    } else {
        EfaAqEntryV2 wide = { .common = cmd->common };

        memcpy(wide.payload, cmd->data, sizeof(cmd->data));
        wide.checksum = admin_crc(&wide, sizeof(wide));
        memcpy(slot, &wide, size);
    }
}

void aq_ring(Host *h)
{
    reg_write(h, A_AQ_PROD_DB, h->aq_prod);
}

bool acq_take(Host *h, EfaAcqEntry *out)
{
    *out = ((EfaAcqEntry *)host_ptr(h, h->acq))[h->acq_cons % AQ_DEPTH];
    if ((out->flags & 1) != !(h->acq_cons / AQ_DEPTH & 1)) {
        return false;
    }
    g_assert_cmphex(out->flags & ~1, ==, 0);
    if (h->cfg.admin_version >= EFA_ADMIN_VERSION_CHECKSUM) {
        uint16_t checksum = out->checksum;

        out->checksum = 0;
        g_assert_cmphex(checksum, ==, admin_crc(out, sizeof(*out)));
        g_assert_cmphex(out->reserved, ==, 0);
        out->sq_head_indx = h->acq_cons + 1;
    }
    h->acq_cons++;
    return true;
}

EfaAcqEntry admin(Host *h, void *cmd)
{
    EfaAqEntry entry;
    EfaAcqEntry cqe;

    memcpy(&entry, cmd, sizeof(entry));
    aq_put(h, &entry);
    host_irqs(h, 0);
    aq_ring(h);
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmphex(cqe.command, ==, h->cmd_id);
    g_assert_cmphex(cqe.sq_head_indx, ==, h->aq_prod);
    g_assert_cmpuint(host_irqs(h, 0), ==, 1);
    return cqe;
}

uint8_t admin_status(Host *h, void *cmd)
{
    return admin(h, cmd).status;
}

void admin_ok(Host *h, void *cmd, void *resp, size_t resp_len)
{
    EfaAcqEntry cqe = admin(h, cmd);

    g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_SUCCESS);
    g_assert_cmpuint(cqe.extended_status, ==, 0);
    if (resp) {
        memcpy(resp, cqe.response, resp_len);
    }
}

bool aenq_take(Host *h, EfaAenqEntry *out)
{
    *out = ((EfaAenqEntry *)host_ptr(h, h->aenq))[h->aenq_cons % AENQ_DEPTH];
    if ((out->flags & 1) != !(h->aenq_cons / AENQ_DEPTH & 1)) {
        return false;
    }
    h->aenq_cons++;
    return true;
}

static uint16_t alloc_id(Host *h, uint8_t opcode)
{
    EfaAqEntry cmd = CMD(EfaAqEntry, opcode);
    EfaIdResp resp;

    admin_ok(h, &cmd, &resp, sizeof(resp));
    return resp.id;
}

uint16_t alloc_pd_ok(Host *h)
{
    return alloc_id(h, EFA_ADMIN_ALLOC_PD);
}

uint16_t alloc_uar_ok(Host *h)
{
    return alloc_id(h, EFA_ADMIN_ALLOC_UAR);
}

uint8_t id_cmd(Host *h, uint8_t opcode, uint16_t id)
{
    EfaIdCmd cmd = CMD(EfaIdCmd, opcode, .id = id);

    return admin_status(h, &cmd);
}

uint16_t create_ah_ok(Host *h, uint16_t pd, EfaGid gid)
{
    EfaCreateAhCmd cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH, .pd = pd);
    EfaIdResp resp;

    memcpy(cmd.dest_addr, gid.raw, 16);
    admin_ok(h, &cmd, &resp, sizeof(resp));
    g_assert_cmphex(resp.id, !=, EFA_IO_NO_AH);
    return resp.id;
}

uint8_t destroy_ah(Host *h, uint16_t pd, uint16_t ah)
{
    EfaIdCmd cmd = CMD(EfaIdCmd, EFA_ADMIN_DESTROY_AH, .id = ah,
                       .reserved = pd);

    return admin_status(h, &cmd);
}

uint64_t stat_get(Host *h, EfaStatsType type, unsigned index)
{
    EfaGetStatsCmd cmd = CMD(EfaGetStatsCmd, EFA_ADMIN_GET_STATS,
                             .type = type);
    uint64_t counters[7];

    admin_ok(h, &cmd, counters, sizeof(counters));
    return counters[index];
}
