/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver says to malformed commands of the verbs
 *
 * Commands as they should be, and variations of each, are written to
 * /dev/infiniband/uverbs0. For each variation one line tells its name and the
 * name of the errno, or "ok". Each has a context of its own.
 */
#include "uverbs.h"

#define PATCHES     4
#define NO_OBJECT   0xffffff

struct patch {
    size_t offset, size;
    uint64_t value;
};

struct variation {
    const char *name;
    int more;                   /* bytes of private data, or less */
    struct patch patch[PATCHES];
};

#define SET(type, field, value) \
    { offsetof(type, field), sizeof(((type *)0)->field), value }
#define BEYOND(type, value)     { sizeof(type), 4, value }

#define CQ(field, value)        { SET(struct cq_cmd, field, value) }
static const struct variation cq_variations[] = {
    { "as it should be", 0, {} },
    { "comp_mask", 0, CQ(efa.comp_mask, 1) },
    { "first reserved byte", 0, CQ(efa.reserved[0], 1) },
    { "last reserved byte", 0, CQ(efa.reserved[4], 1) },
    { "flag unknown", 0, CQ(efa.flags, 0x80) },
    { "flag of a source GID, entries of 16", 0, CQ(efa.flags, 2) },
    { "flag of a channel without one", 0, CQ(efa.flags, 1) },
    { "entries of 32", 0, CQ(efa.entry_size, 32) },
    { "source GIDs in entries of 32", 0,
      { SET(struct cq_cmd, efa.flags, 2),
        SET(struct cq_cmd, efa.entry_size, 32) } },
    { "entries of 0", 0, CQ(efa.entry_size, 0) },
    { "entries of 8", 0, CQ(efa.entry_size, 8) },
    { "entries of 24", 0, CQ(efa.entry_size, 24) },
    { "entries of 64", 0, CQ(efa.entry_size, 64) },
    { "no sub CQs", 0, CQ(efa.num_sub_cqs, 0) },
    { "sub CQs too many", 0, CQ(efa.num_sub_cqs, 100) },
    { "cqe 0", 0, CQ(cqe, 0) },
    { "cqe 100", 0, CQ(cqe, 100) },
    { "cqe 65536", 0, CQ(cqe, 65536) },
    { "cqe negative", 0, CQ(cqe, 0x80000000) },
    { "vector 1000", 0, CQ(comp_vector, 1000) },
    { "channel not a file", 0, CQ(comp_channel, 1000) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct cq_cmd, 1) } },
    { "8 bytes less", -8, {} },
    { "no private data", -(int)sizeof(struct cq_udata), {} },
};

#define EX_CQ(field, value)     { SET(struct ex_cq_cmd, field, value) }
static const struct variation ex_cq_variations[] = {
    { "as it should be", 0, {} },
    { "timestamps", 0, EX_CQ(core.flags, 1) },
    { "overrun ignored", 0, EX_CQ(core.flags, 2) },
    { "flag unknown", 0, EX_CQ(core.flags, 0x80000000) },
    { "core's comp_mask", 0, EX_CQ(core.comp_mask, 1) },
    { "reserved", 0, EX_CQ(core.reserved, 1) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct ex_cq_cmd, 1) } },
};

#define OPEN(field, value)      { SET(struct open_cmd, field, value) }
static const struct variation open_variations[] = {
    { "as it should be", 0, {} },
    { "nothing supported", 0, OPEN(efa.supported_caps, 0) },
    { "support of the unknown", 0, OPEN(efa.supported_caps, ~0) },
    { "reserved byte", 0, OPEN(efa.reserved[0], 1) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct open_cmd, 1) } },
    { "4 bytes less", -4, {} },
    { "no private data", -(int)sizeof(struct open_udata), {} },
};

static const struct variation pd_variations[] = {
    { "as it should be", 0, {} },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct pd_cmd, 1) } },
};

#define QP(field, value)        { SET(struct qp_cmd, field, value) }
static const struct variation qp_variations[] = {
    { "as it should be", 0, {} },
    { "UD", 0, QP(qp_type, IB_UVERBS_QPT_UD) },
    { "UD with a type of the driver's", 0,
      { SET(struct qp_cmd, qp_type, IB_UVERBS_QPT_UD),
        SET(struct qp_cmd, efa.driver_qp_type, 1) } },
    { "RC", 0, QP(qp_type, IB_UVERBS_QPT_RC) },
    { "type unknown", 0, QP(qp_type, 77) },
    { "driver's type unknown", 0, QP(efa.driver_qp_type, 1) },
    { "comp_mask", 0, QP(efa.comp_mask, 1) },
    { "first reserved byte", 0, QP(efa.reserved[0], 1) },
    { "last reserved byte", 0, QP(efa.reserved[4], 1) },
    { "flag unknown", 0, QP(efa.flags, 0x8000) },
    { "flag of unsolicited writes", 0, QP(efa.flags, 1) },
    { "service level 200", 0, QP(efa.sl, 200) },
    { "send ring of 0", 0, QP(efa.sq_ring_size, 0) },
    { "send ring too short", 0, QP(efa.sq_ring_size, 64) },
    { "send ring odd", 0, QP(efa.sq_ring_size, 1001) },
    { "send ring too long", 0, QP(efa.sq_ring_size, 1 << 20) },
    { "send ring of 4 GiB", 0, QP(efa.sq_ring_size, 0xffffffff) },
    { "receive ring of 0", 0, QP(efa.rq_ring_size, 0) },
    { "receive ring too short", 0, QP(efa.rq_ring_size, 16) },
    { "receive ring odd", 0, QP(efa.rq_ring_size, 1001) },
    { "receive ring too long", 0, QP(efa.rq_ring_size, 1 << 23) },
    { "receive ring of 4 GiB", 0, QP(efa.rq_ring_size, 0xffffffff) },
    { "no requests at all", 0,
      { SET(struct qp_cmd, max_send_wr, 0),
        SET(struct qp_cmd, max_recv_wr, 0),
        SET(struct qp_cmd, efa.sq_ring_size, 0),
        SET(struct qp_cmd, efa.rq_ring_size, 0) } },
    { "sends too many", 0, QP(max_send_wr, 65537) },
    { "receives too many", 0, QP(max_recv_wr, 65537) },
    { "send pieces too many", 0, QP(max_send_sge, 100) },
    { "receive pieces too many", 0, QP(max_recv_sge, 100) },
    { "inline data too long", 0, QP(max_inline_data, 4096) },
    { "shared receives", 0, QP(is_srq, 1) },
    { "no PD", 0, QP(pd_handle, NO_OBJECT) },
    { "no send CQ", 0, QP(send_cq_handle, NO_OBJECT) },
    { "no receive CQ", 0, QP(recv_cq_handle, NO_OBJECT) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct qp_cmd, 1) } },
    { "8 bytes less", -8, {} },
    { "12 bytes less", -12, {} },
    { "no private data", -(int)sizeof(struct qp_udata), {} },
};

#define MODIFY(field, value) \
    { SET(struct ib_uverbs_ex_modify_qp, field, value) }
#define MASK(mask)      SET(struct ib_uverbs_ex_modify_qp, base.attr_mask, mask)
#define TO(state)       SET(struct ib_uverbs_ex_modify_qp, base.qp_state, state)
#define FROM(state) \
    SET(struct ib_uverbs_ex_modify_qp, base.cur_qp_state, state)
static const struct variation modify_variations[] = {
    { "as it should be", 0, {} },
    { "nothing", 0, { MASK(0) } },
    { "no P_Key index", 0, { MASK(QP_TO_INIT & ~QP_PKEY_INDEX) } },
    { "no port", 0, { MASK(QP_TO_INIT & ~QP_PORT) } },
    { "no Q_Key", 0, { MASK(QP_TO_INIT & ~QP_QKEY) } },
    { "access flags", 0, { MASK(QP_TO_INIT | QP_ACCESS_FLAGS) } },
    { "timeout", 0, { MASK(QP_TO_INIT | QP_TIMEOUT) } },
    { "address", 0, { MASK(QP_TO_INIT | QP_AV) } },
    { "attribute of the future", 0, { MASK(QP_TO_INIT | 1u << 30) } },
    { "RNR retries too early", 0, { MASK(QP_TO_INIT | QP_RNR_RETRY) } },
    { "PSN too early", 0, { MASK(QP_TO_INIT | QP_SQ_PSN) } },
    { "P_Key index 1", 0, MODIFY(base.pkey_index, 1) },
    { "port 0", 0, MODIFY(base.port_num, 0) },
    { "port 2", 0, MODIFY(base.port_num, 2) },
    { "RESET to RESET", 0, { MASK(QP_STATE), TO(RESET) } },
    { "RESET to RTR", 0, { MASK(QP_STATE), TO(RTR) } },
    { "RESET to RTS", 0, { MASK(QP_STATE | QP_SQ_PSN), TO(RTS) } },
    { "RESET to SQD", 0, { MASK(QP_STATE), TO(SQD) } },
    { "RESET to ERR", 0, { MASK(QP_STATE), TO(ERR) } },
    { "state unknown", 0, { TO(50) } },
    { "from RTR, which it is not", 0,
      { MASK(QP_STATE | QP_CUR_STATE | QP_SQ_PSN), TO(RTS), FROM(RTR) } },
    { "from INIT, which it is not", 0,
      { MASK(QP_STATE | QP_CUR_STATE), TO(RTR), FROM(INIT) } },
    { "from a state unknown", 0,
      { MASK(QP_TO_INIT | QP_CUR_STATE), FROM(50) } },
    { "no QP", 0, MODIFY(base.qp_handle, NO_OBJECT) },
    { "rate limit", 0, { MASK(QP_TO_INIT | 1u << 25) } },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct ib_uverbs_ex_modify_qp, 1) } },
};

#define MR(field, value)        { SET(struct mr_cmd, field, value) }
#define ACCESS(value)           MR(access_flags, value)
static const struct variation mr_variations[] = {
    { "as it should be", 0, {} },
    { "read only", 0, ACCESS(0) },
    { "remote read", 0, ACCESS(IB_UVERBS_ACCESS_REMOTE_READ) },
    { "remote write without local", 0, ACCESS(IB_UVERBS_ACCESS_REMOTE_WRITE) },
    { "remote write", 0, ACCESS(IB_UVERBS_ACCESS_REMOTE_WRITE | 1) },
    { "atomics", 0, ACCESS(IB_UVERBS_ACCESS_REMOTE_ATOMIC | 1) },
    { "windows", 0, ACCESS(IB_UVERBS_ACCESS_MW_BIND | 1) },
    { "from zero", 0, ACCESS(IB_UVERBS_ACCESS_ZERO_BASED | 1) },
    { "on demand", 0, ACCESS(IB_UVERBS_ACCESS_ON_DEMAND | 1) },
    { "huge pages", 0, ACCESS(IB_UVERBS_ACCESS_HUGETLB | 1) },
    { "any order", 0, ACCESS(IB_UVERBS_ACCESS_RELAXED_ORDERING | 1) },
    { "access unknown, optional", 0, ACCESS(1 << 29 | 1) },
    { "access unknown", 0, ACCESS(1 << 12 | 1) },
    { "access unknown, last bit", 0, ACCESS(1u << 31 | 1) },
    { "length 0", 0, MR(length, 0) },
    { "length 2^62", 0, MR(length, 1ull << 62) },
    { "length -1", 0, MR(length, ~0ull) },
    { "memory not there", 0,
      { SET(struct mr_cmd, start, 4096), SET(struct mr_cmd, hca_va, 4096) } },
    { "offset other than IOVA's", 0, MR(hca_va, 100) },
    { "no PD", 0, MR(pd_handle, NO_OBJECT) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct mr_cmd, 1) } },
};

#define AH(field, value)        { SET(struct ah_cmd, field, value) }
static const struct variation ah_variations[] = {
    { "as it should be", 0, {} },
    { "no GID", 0, AH(attr.is_global, 0) },
    { "GID of zeros", 0,
      { SET(struct ah_cmd, attr.grh.dgid[0], 0),
        SET(struct ah_cmd, attr.grh.dgid[1], 0),
        SET(struct ah_cmd, attr.grh.dgid[15], 0) } },
    { "port 0", 0, AH(attr.port_num, 0) },
    { "port 2", 0, AH(attr.port_num, 2) },
    { "GID index 1", 0, AH(attr.grh.sgid_index, 1) },
    { "service level 15", 0, AH(attr.sl, 15) },
    { "no PD", 0, AH(pd_handle, NO_OBJECT) },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct ah_cmd, 1) } },
};

static const struct variation query_variations[] = {
    { "as it should be", 0, {} },
    { "core's comp_mask", 0,
      { SET(struct ib_uverbs_ex_query_device, comp_mask, 1) } },
    { "8 zeros more", 8, {} },
    { "8 bytes more", 8, { BEYOND(struct ib_uverbs_ex_query_device, 1) } },
};

#define VARIATIONS(of)  { of##_variations, \
    sizeof(of##_variations) / sizeof((of##_variations)[0]) }

static const struct {
    const struct variation *all;
    size_t count;
} variations[VERBS] = {
    [OPEN] = VARIATIONS(open),
    [PD] = VARIATIONS(pd),
    [CQ] = VARIATIONS(cq),
    [EX_CQ] = VARIATIONS(ex_cq),
    [QP] = VARIATIONS(qp),
    [MODIFY] = VARIATIONS(modify),
    [MR] = VARIATIONS(mr),
    [AH] = VARIATIONS(ah),
    [QUERY] = VARIATIONS(query),
};

/* A context and the objects that the verb refers to */
static void prepare(int verb)
{
    if (verb == OPEN) {
        open_device();
        return;
    }
    open_context();
    if (verb == PD || verb == CQ || verb == EX_CQ) {
        return;
    }
    context.pd = make(PD);
    if (verb == QP || verb == MODIFY) {
        context.cq = make(CQ);
    }
    if (verb == MODIFY) {
        context.qp = make(QP);
    }
}

static void vary(int index, const struct variation *variation)
{
    const struct verb *verb = &verbs[index];
    unsigned char command[512];
    int async_fd, error;

    prepare(index);
    fill(index, command);
    for (int i = 0; i < PATCHES; i++) {
        const struct patch *patch = &variation->patch[i];

        memcpy(command + patch->offset, &patch->value, patch->size);
    }
    error = issue(verb, command, verb->len + variation->more);
    if (!error && index == OPEN) {
        memcpy(&async_fd, answer, sizeof(async_fd));
        close(async_fd);
    }
    printf("%s, %s: %s\n", verb->name, variation->name,
           error ? strerrorname_np(error) : "ok");
    close(context.fd);
}

int main(void)
{
    for (int verb = 0; verb < VERBS; verb++) {
        for (size_t i = 0; i < variations[verb].count; i++) {
            vary(verb, &variations[verb].all[i]);
        }
    }
    return 0;
}
