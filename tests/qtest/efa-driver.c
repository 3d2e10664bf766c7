/*
 * qtest tier: what a driver and an application know about the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-driver.h"

/* Guest memory of device 0, and where the BARs of device 0 and 1 go. */
#define MEM_BASE            0x100000ull
#define BAR_WINDOW(index)   (0xc0000000ull + (index) * 0x10000000ull)

/* ---- devices ---- */

EfaGid gid_of(unsigned n)
{
    EfaGid gid = { { 0xfe, 0x80 } };

    gid.raw[15] = n;
    return gid;
}

Efa *efa_new(Vm *vm, PciAddr at, unsigned index)
{
    Efa *e = g_new0(Efa, 1);

    e->vm = vm;
    e->at = at;
    e->mem = e->used = MEM_BASE + index * (uint64_t)DRV_MEM_SIZE;
    e->bar[0] = BAR_WINDOW(index);
    e->msi = efa_alloc(e, DRV_PAGE);
    e->resp = efa_alloc(e, DRV_PAGE);
    return e;
}

Efa *efa_new_first(Vm *vm)
{
    return efa_new(vm, (PciAddr) { .slot = 4 }, 0);
}

void efa_free(Efa *e)
{
    g_free(e);
}

uint64_t efa_alloc(Efa *e, size_t size)
{
    uint64_t addr = e->used;

    e->used += ROUND_UP(size, DRV_PAGE);
    g_assert_cmpuint(e->used, <=, e->mem + DRV_MEM_SIZE);
    return addr;
}

static uint64_t bar_get(Efa *e, unsigned i)
{
    unsigned at = PCI_BAR0 + 4 * i;

    return pci_load(e->vm, e->at, at, 4) |
           (uint64_t)pci_load(e->vm, e->at, at + 4, 4) << 32;
}

static void bar_set(Efa *e, unsigned i, uint64_t value)
{
    unsigned at = PCI_BAR0 + 4 * i;

    pci_store(e->vm, e->at, at, 4, value);
    pci_store(e->vm, e->at, at + 4, 4, value >> 32);
}

void efa_place_bars(Efa *e)
{
    uint64_t next = e->bar[0];
    unsigned i;

    for (i = 0; i < 6; i += 2) {
        bar_set(e, i, UINT64_MAX);
        e->bar_size[i] = -(bar_get(e, i) & ~15ull);
        g_assert_true(is_power_of_2(e->bar_size[i]));
        next = ROUND_UP(next, e->bar_size[i]);
        e->bar[i] = next;
        bar_set(e, i, next);
        g_assert_cmphex(bar_get(e, i) & ~15ull, ==, next);
        next += e->bar_size[i];
    }
}

void efa_set_command(Efa *e, uint16_t bits)
{
    pci_store(e->vm, e->at, PCI_COMMAND, 2, bits);
    g_assert_cmphex(pci_load(e->vm, e->at, PCI_COMMAND, 2), ==, bits);
}

static uint64_t msix_location(Efa *e, unsigned offset)
{
    uint32_t value = pci_load(e->vm, e->at, e->msix + offset, 4);

    g_assert_cmpuint(value & 7, ==, 0);
    return e->bar[0] + (value & ~7u);
}

void efa_msix_enable(Efa *e)
{
    unsigned i;

    e->msix = pci_capability(e->vm, e->at, PCI_CAP_ID_MSIX);
    g_assert_cmpuint(e->msix, !=, 0);
    e->msix_table = msix_location(e, 4);
    e->msix_pba = msix_location(e, 8);
    for (i = 0; i < DRV_VECTORS; i++) {
        uint64_t entry = e->msix_table + i * MSIX_ENTRY_SIZE;

        /* A message is a store: it may go to memory as well. */
        vm_store(e->vm, entry, 4, e->msi + 4 * i);
        vm_store(e->vm, entry + 4, 4, 0);
        vm_store(e->vm, entry + 8, 4, DRV_MSI_DATA + i);
        vm_store(e->vm, entry + MSIX_VECTOR_CONTROL, 4, 0);
    }
    pci_store(e->vm, e->at, e->msix + MSIX_CONTROL, 2, MSIX_CONTROL_ENABLE);
}

void efa_enable(Efa *e)
{
    efa_place_bars(e);
    efa_set_command(e, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    efa_msix_enable(e);
}

bool efa_irq_take(Efa *e, unsigned vector)
{
    uint64_t addr = e->msi + 4 * vector;
    uint32_t value = vm_load(e->vm, addr, 4);

    if (!value) {
        return false;
    }
    g_assert_cmphex(value, ==, DRV_MSI_DATA + vector);
    vm_store(e->vm, addr, 4, 0);
    return true;
}

void efa_settle(Efa *e)
{
    unsigned i;

    for (i = 0; i < 20; i++) {
        g_usleep(1000);
        vm_load(e->vm, e->msi, 4);
    }
}

/* ---- registers ---- */

void reg_write(Efa *e, uint32_t offset, uint32_t value)
{
    vm_store(e->vm, e->bar[0] + offset, 4, value);
}

uint32_t reg_load(Efa *e, uint32_t offset)
{
    return vm_load(e->vm, e->bar[0] + offset, 4);
}

/* The device answers within the write: there is nothing to wait for. */
static bool readless(Efa *e, uint32_t offset, uint32_t *value)
{
    struct {
        uint16_t req_id, reg_off;
        uint32_t reg_val;
    } resp = { .req_id = ++e->rr_seq + 0x9a };

    vm_write(e->vm, e->resp, &resp, sizeof(resp));
    reg_write(e, A_MMIO_REG_READ, offset << 16 | e->rr_seq);
    vm_read(e->vm, e->resp, &resp, sizeof(resp));
    if (resp.req_id != e->rr_seq) {
        return false;
    }
    g_assert_cmphex(resp.reg_off, ==, offset);
    *value = resp.reg_val;
    return true;
}

uint32_t reg_read(Efa *e, uint32_t offset)
{
    uint32_t value;

    g_assert_true(readless(e, offset, &value));
    return value;
}

bool reg_answers(Efa *e)
{
    uint32_t value;

    return readless(e, A_DEV_STS, &value);
}

void efa_set_resp(Efa *e)
{
    reg_write(e, A_MMIO_RESP_HI, e->resp >> 32);
    reg_write(e, A_MMIO_RESP_LO, e->resp);
}

/* 3.2 and 3.4, with the values of the reference trace */
void efa_reset_handshake(Efa *e)
{
    const uint32_t done = ~(uint32_t)R_DEV_STS_RESET_FINISHED_MASK;

    g_assert_cmphex(reg_read(e, A_DEV_STS) & done, ==, 0x00000001);
    g_assert_cmphex(reg_read(e, A_CAPS), ==, 0x0000300a);
    reg_write(e, A_DEV_CTL, 0x00000001);
    efa_set_resp(e);
    g_assert_cmphex(reg_read(e, A_DEV_STS), ==, 0x00000009);
    reg_write(e, A_DEV_CTL, 0x00000000);
    g_assert_cmphex(reg_read(e, A_DEV_STS) & done, ==, 0x00000001);
}

static void reg_write_pair(Efa *e, uint32_t lo, uint64_t value)
{
    reg_write(e, lo, value);
    reg_write(e, lo + 4, value >> 32);
}

/* 3.3 */
void efa_admin_init(Efa *e)
{
    e->aq = efa_alloc(e, AQ_DEPTH * EFA_AQ_ENTRY_SIZE);
    e->acq = efa_alloc(e, AQ_DEPTH * EFA_ACQ_ENTRY_SIZE);
    e->aenq = efa_alloc(e, AENQ_DEPTH * EFA_AENQ_ENTRY_SIZE);
    e->aq_prod = 0;
    e->acq_cons = 0;

    g_assert_cmphex(reg_read(e, A_VERSION), ==, 0x00000001);
    g_assert_cmphex(reg_read(e, A_CONTROLLER_VERSION), ==, 0x01000001);
    g_assert_cmphex(reg_read(e, A_CAPS), ==, 0x0000300a);
    g_assert_cmphex(reg_read(e, A_DEV_STS) & R_DEV_STS_READY_MASK, ==, 1);
    reg_write_pair(e, A_AQ_BASE_LO, e->aq);
    reg_write(e, A_AQ_CAPS, 0x00400020);
    reg_write_pair(e, A_ACQ_BASE_LO, e->acq);
    reg_write(e, A_ACQ_CAPS, 0x00400020);
    reg_write(e, A_INTR_MASK, e->polled);
    reg_write_pair(e, A_AENQ_BASE_LO, e->aenq);
    reg_write(e, A_AENQ_CAPS, 0x00400010);
    reg_write(e, A_AENQ_CONS_DB, 0);
    g_assert_cmphex(reg_read(e, A_CAPS), ==, 0x0000300a);
}

void efa_probe(Efa *e)
{
    efa_enable(e);
    efa_set_resp(e);
    efa_reset_handshake(e);
    efa_admin_init(e);
}

/* ---- admin queue ---- */

void aq_post(Efa *e, void *cmd)
{
    EfaAqCommon *common = cmd;

    common->command_id = e->aq_prod & 0xfff;
    common->flags |= !(e->aq_prod / AQ_DEPTH & 1);
    vm_write(e->vm, e->aq + e->aq_prod % AQ_DEPTH * EFA_AQ_ENTRY_SIZE, cmd,
             EFA_AQ_ENTRY_SIZE);
    e->aq_prod++;
    reg_write(e, A_AQ_PROD_DB, e->aq_prod);
}

bool acq_take(Efa *e, EfaAcqEntry *out)
{
    vm_read(e->vm, e->acq + e->acq_cons % AQ_DEPTH * EFA_ACQ_ENTRY_SIZE, out,
            sizeof(*out));
    if ((out->flags & 1) != !(e->acq_cons / AQ_DEPTH & 1)) {
        return false;
    }
    e->acq_cons++;
    return true;
}

EfaAcqEntry admin(Efa *e, void *cmd)
{
    EfaAqCommon *common = cmd;
    EfaAcqEntry done;

    aq_post(e, cmd);
    if (!e->polled) {
        assert_irq(e, 0);
        g_assert_true(acq_take(e, &done));
    } else {
        wait_until(acq_take(e, &done));
    }
    g_assert_cmphex(done.command, ==, common->command_id);
    g_assert_cmpuint(done.sq_head_indx, ==, e->aq_prod);
    return done;
}

void admin_ok(Efa *e, void *cmd, void *resp, size_t resp_len)
{
    EfaAcqEntry done = admin(e, cmd);

    if (done.status != EFA_ADMIN_SUCCESS) {
        g_error("opcode %u: status %u, extended status %u",
                ((EfaAqCommon *)cmd)->opcode, done.status,
                done.extended_status);
    }
    if (resp_len) {
        memcpy(resp, done.response, resp_len);
    }
}

/* ---- queues ---- */

Eq eq_create(Efa *e, uint8_t vector)
{
    Eq eq = { .ring = efa_alloc(e, EQ_DEPTH * EFA_EQ_ENTRY_SIZE) };
    EfaCreateEqCmd cmd = CMD(EfaCreateEqCmd, EFA_ADMIN_CREATE_EQ,
                             .depth = EQ_DEPTH, .msix_vec = vector,
                             .caps = EFA_EQ_ENTRY_SIZE / 4,
                             .ba_mem_addr_low = eq.ring,
                             .ba_mem_addr_high = eq.ring >> 32,
                             .event_bitmask = 1);
    EfaIdResp resp;

    admin_ok(e, &cmd, &resp, sizeof(resp));
    eq.eqn = resp.id;
    return eq;
}

void eq_arm(Efa *e, const Eq *eq)
{
    reg_write(e, A_EQ_DB, 1u << 31 | eq->eqn);
}

int eq_take(Efa *e, Eq *eq)
{
    EfaEqe eqe;

    vm_read(e->vm, eq->ring + eq->cons % EQ_DEPTH * EFA_EQ_ENTRY_SIZE, &eqe,
            sizeof(eqe));
    if (eqe.common != !(eq->cons / EQ_DEPTH & 1)) {
        return -1;
    }
    eq->cons++;
    return eqe.cqn;
}

Cq cq_create(Efa *e, uint16_t uar, const Eq *eq)
{
    Cq cq = { .ring = efa_alloc(e, CQ_DEPTH * sizeof(EfaIoCdesc)) };
    EfaCreateCqCmd cmd = CMD(EfaCreateCqCmd, EFA_ADMIN_CREATE_CQ,
                             .cq_caps_2 = sizeof(EfaIoCdesc) / 4,
                             .sub_cq_depth = CQ_DEPTH, .num_sub_cqs = 1,
                             .cq_ba_mem_addr_low = cq.ring,
                             .cq_ba_mem_addr_high = cq.ring >> 32,
                             .uar = uar);
    EfaCreateCqResp resp;

    if (eq) {
        cmd.cq_caps_1 = R_CQ_CAPS_1_INTERRUPT_MODE_ENABLED_MASK;
        cmd.eqn = eq->eqn;
    }
    admin_ok(e, &cmd, &resp, sizeof(resp));
    g_assert_cmpuint(resp.sub_cq_actual_depth, ==, CQ_DEPTH);
    g_assert_true(!eq || FIELD_EX32(resp.flags, CREATE_CQ_RESP_FLAGS,
                                    DB_VALID));
    cq.idx = resp.cq_idx;
    cq.db = resp.db_offset;
    return cq;
}

static void doorbell(Efa *e, uint32_t offset, uint32_t value)
{
    g_assert_cmpuint(offset, <=, e->bar_size[4] - 4);
    vm_store(e->vm, e->bar[4] + offset, 4, value);
}

void cq_arm(Efa *e, const Cq *cq)
{
    doorbell(e, cq->db, 1u << 31 | (cq->sn & 3u) << 29 |
                        (cq->cons & 0xffff));
}

bool cq_poll(Efa *e, Cq *cq, EfaIoCdesc *out)
{
    vm_read(e->vm, cq->ring + cq->cons % CQ_DEPTH * sizeof(*out), out,
            sizeof(*out));
    if (FIELD_EX8(out->flags, CDESC_FLAGS, PHASE) !=
        !(cq->cons / CQ_DEPTH & 1)) {
        return false;
    }
    cq->cons++;
    return true;
}

EfaIoCdesc cq_next(Efa *e, Cq *cq)
{
    EfaIoCdesc done;

    wait_until(cq_poll(e, cq, &done));
    return done;
}

/* ---- an application ---- */

static uint16_t alloc_id(Efa *e, uint8_t opcode)
{
    EfaIdCmd cmd = CMD(EfaIdCmd, opcode);
    EfaIdResp resp;

    admin_ok(e, &cmd, &resp, sizeof(resp));
    return resp.id;
}

static uint32_t register_page(End *end, uint64_t addr, uint8_t permissions)
{
    EfaRegMrCmd cmd = CMD(EfaRegMrCmd, EFA_ADMIN_REG_MR, .pd = end->pd,
                          .inline_pbl_array = { addr },
                          .mr_length = DRV_PAGE, .flags = 12, .page_num = 1,
                          .permissions = permissions,
                          .iova = addr + DRV_IOVA_SHIFT);
    EfaRegMrResp resp;

    admin_ok(end->e, &cmd, &resp, sizeof(resp));
    return resp.l_key;
}

static void create_qp(End *end)
{
    Efa *e = end->e;
    EfaCreateQpCmd cmd = CMD(EfaCreateQpCmd, EFA_ADMIN_CREATE_QP,
                             .pd = end->pd, .qp_type = EFA_QP_TYPE_SRD,
                             .send_cq_idx = end->scq.idx,
                             .recv_cq_idx = end->rcq.idx,
                             .send_queue_ring_size =
                                 SQ_DEPTH * EFA_IO_WQE_SIZE,
                             .send_queue_depth = SQ_DEPTH,
                             .recv_queue_ring_size =
                                 RQ_DESCS * EFA_IO_RX_DESC_SIZE,
                             .recv_queue_depth = RQ_DESCS / 2,
                             .uar = end->uar);
    EfaCreateQpResp resp;

    end->rq_ring = efa_alloc(e, RQ_DESCS * EFA_IO_RX_DESC_SIZE);
    cmd.rq_base_addr = end->rq_ring;
    admin_ok(e, &cmd, &resp, sizeof(resp));
    g_assert_cmpuint(resp.llq_descriptors_offset % 64, ==, 0);
    g_assert_cmpuint(resp.llq_descriptors_offset, <=,
                     e->bar_size[2] - SQ_DEPTH * EFA_IO_WQE_SIZE);
    end->qp_handle = resp.qp_handle;
    end->qpn = resp.qp_num;
    end->sq_db = resp.sq_db_offset;
    end->rq_db = resp.rq_db_offset;
    end->llq = resp.llq_descriptors_offset;
}

static void modify_qp(End *end, EfaQpState from, EfaQpState to, uint32_t more)
{
    EfaModifyQpCmd cmd = CMD(EfaModifyQpCmd, EFA_ADMIN_MODIFY_QP,
                             .modify_mask =
                                 R_MODIFY_QP_MASK_QP_STATE_MASK |
                                 R_MODIFY_QP_MASK_CUR_QP_STATE_MASK | more,
                             .qp_handle = end->qp_handle, .qp_state = to,
                             .cur_qp_state = from, .qkey = QKEY);

    admin_ok(end->e, &cmd, NULL, 0);
}

End end_new(Efa *e, const Eq *eq)
{
    End end = { .e = e };

    end.pd = alloc_id(e, EFA_ADMIN_ALLOC_PD);
    end.uar = alloc_id(e, EFA_ADMIN_ALLOC_UAR);
    end.scq = cq_create(e, end.uar, NULL);
    end.rcq = cq_create(e, end.uar, eq);
    end.tx = efa_alloc(e, DRV_PAGE);
    end.rx = efa_alloc(e, DRV_PAGE);
    end.tx_key = register_page(&end, end.tx, 0);
    end.rx_key = register_page(&end, end.rx,
                               R_REG_MR_PERM_LOCAL_WRITE_ENABLE_MASK);
    create_qp(&end);
    modify_qp(&end, EFA_QP_STATE_RESET, EFA_QP_STATE_INIT,
              R_MODIFY_QP_MASK_QKEY_MASK);
    modify_qp(&end, EFA_QP_STATE_INIT, EFA_QP_STATE_RTR, 0);
    modify_qp(&end, EFA_QP_STATE_RTR, EFA_QP_STATE_RTS,
              R_MODIFY_QP_MASK_SQ_PSN_MASK);
    return end;
}

uint16_t end_ah(End *end, EfaGid gid)
{
    EfaCreateAhCmd cmd = CMD(EfaCreateAhCmd, EFA_ADMIN_CREATE_AH,
                             .pd = end->pd);
    EfaIdResp resp;

    memcpy(cmd.dest_addr, gid.raw, sizeof(cmd.dest_addr));
    admin_ok(end->e, &cmd, &resp, sizeof(resp));
    return resp.id;
}

void end_recv(End *end, uint16_t req_id)
{
    uint64_t iova = end->rx + DRV_IOVA_SHIFT;
    EfaIoRxDesc desc = {
        .buf_addr_lo = iova, .buf_addr_hi = iova >> 32, .req_id = req_id,
        .length = DRV_PAGE,
        .lkey_ctrl = end->rx_key | 1u << R_RX_LKEY_CTRL_FIRST_SHIFT |
                     1u << R_RX_LKEY_CTRL_LAST_SHIFT,
    };

    vm_write(end->e->vm, end->rq_ring + end->rq_pc % RQ_DESCS * sizeof(desc),
             &desc, sizeof(desc));
    doorbell(end->e, end->rq_db, ++end->rq_pc);
}

void end_send(End *end, uint16_t req_id, uint16_t ah, uint16_t dest_qpn,
              uint32_t len)
{
    uint64_t iova = end->tx + DRV_IOVA_SHIFT;
    EfaIoTxWqe wqe = {
        .meta = {
            .req_id = req_id, .dest_qp_num = dest_qpn, .ah = ah,
            .qkey = QKEY, .length = 1,
            .ctrl1 = R_TX_CTRL1_META_DESC_MASK,
            .ctrl2 = R_TX_CTRL2_FIRST_MASK | R_TX_CTRL2_LAST_MASK |
                     R_TX_CTRL2_COMP_REQ_MASK | (end->sq_pc / SQ_DEPTH & 1),
        },
        .sgl = { {
            .length = len, .lkey = end->tx_key, .buf_addr_lo = iova,
            .buf_addr_hi = iova >> 32,
        } },
    };

    vm_write(end->e->vm, end->e->bar[2] + end->llq +
             end->sq_pc % SQ_DEPTH * EFA_IO_WQE_SIZE, &wqe, EFA_IO_WQE_SIZE);
    doorbell(end->e, end->sq_db, ++end->sq_pc);
}

/* ---- properties ---- */

char *prop_qmp(Vm *vm, const char *command, const char *property,
               const char *value)
{
    g_autofree char *args = g_strdup_printf(
        "\"path\": \"/machine/peripheral/efa0\", \"property\": \"%s\"%s%s",
        property, value ? ", \"value\": " : "", value ? value : "");

    return vm_qmp(vm, command, args);
}

void prop_set(Vm *vm, const char *property, const char *value)
{
    g_autofree char *reply = prop_qmp(vm, "qom-set", property, value);

    if (!g_str_has_prefix(reply, "{\"return\"")) {
        g_error("%s = %s: %s", property, value, reply);
    }
}

void prop_assert_refused(Vm *vm, const char *property, const char *value,
                         const char *const *words)
{
    g_autofree char *reply = prop_qmp(vm, "qom-set", property, value);
    bool ok = g_str_has_prefix(reply, "{\"error\"");

    for (; *words; words++) {
        ok = ok && strstr(reply, *words);
    }
    if (!ok) {
        g_error("%s = %s: %s", property, value, reply);
    }
}

char *prop_get(Vm *vm, const char *property)
{
    g_autofree char *reply = prop_qmp(vm, "qom-get", property, NULL);
    static const char head[] = "{\"return\": ";

    if (!g_str_has_prefix(reply, head)) {
        g_error("%s: %s", property, reply);
    }
    g_strchomp(reply);
    g_assert_cmpint(reply[strlen(reply) - 1], ==, '}');
    return g_strndup(reply + strlen(head), strlen(reply) - strlen(head) - 1);
}

void prop_assert_has(Vm *vm, const char *property, const char *const *words)
{
    g_autofree char *value = prop_get(vm, property);

    for (; *words; words++) {
        if (!strstr(value, *words)) {
            g_error("no '%s' in %s: %s", *words, property, value);
        }
    }
}
