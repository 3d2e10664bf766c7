/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver says to malformed commands of the verbs
 *
 * Commands as they should be, and variations of each, are written to
 * /dev/infiniband/uverbs0. For each variation one line tells its name and the
 * name of the errno, or "ok". Each has a context of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE      "/dev/infiniband/uverbs0"
#define PATCHES     4
#define REGION      8192
#define NO_CHANNEL  -1
#define NO_OBJECT   0xffffff
#define DEPTH       16          /* of each queue */

/* Private data of EFA's commands, as of the newest version of the ABI */
struct open_udata {
    uint32_t supported_caps;
    uint8_t reserved[4];
};

struct cq_udata {
    uint32_t comp_mask;
    uint32_t entry_size;
    uint16_t num_sub_cqs;
    uint8_t flags;
    uint8_t reserved[5];
};

struct qp_udata {
    uint32_t comp_mask;
    uint32_t rq_ring_size;
    uint32_t sq_ring_size;
    uint32_t driver_qp_type;
    uint16_t flags;
    uint8_t sl;
    uint8_t reserved[5];
};

/* Commands with their private data, where good ones have any */
struct open_cmd {
    uint64_t response;
    struct open_udata efa;
};

struct pd_cmd {
    uint64_t response;
};

struct cq_cmd {
    uint64_t response;
    uint64_t user_handle;
    uint32_t cqe;
    uint32_t comp_vector;
    int32_t comp_channel;
    uint32_t reserved;
    struct cq_udata efa;
};

struct ex_cq_cmd {
    struct ib_uverbs_ex_create_cq core;
    struct cq_udata efa;
};

struct qp_cmd {
    uint64_t response;
    uint64_t user_handle;
    uint32_t pd_handle;
    uint32_t send_cq_handle;
    uint32_t recv_cq_handle;
    uint32_t srq_handle;
    uint32_t max_send_wr;
    uint32_t max_recv_wr;
    uint32_t max_send_sge;
    uint32_t max_recv_sge;
    uint32_t max_inline_data;
    uint8_t sq_sig_all;
    uint8_t qp_type;
    uint8_t is_srq;
    uint8_t reserved;
    struct qp_udata efa;
};

struct mr_cmd {
    uint64_t response;
    uint64_t start;
    uint64_t length;
    uint64_t hca_va;
    uint32_t pd_handle;
    uint32_t access_flags;
};

struct ah_cmd {
    uint64_t response;
    uint64_t user_handle;
    uint32_t pd_handle;
    uint32_t reserved;
    struct ib_uverbs_ah_attr attr;
};

/* What the kernel has outside its uapi headers */
enum {
    QP_STATE = 1 << 0,
    QP_CUR_STATE = 1 << 1,
    QP_ACCESS_FLAGS = 1 << 3,
    QP_PKEY_INDEX = 1 << 4,
    QP_PORT = 1 << 5,
    QP_QKEY = 1 << 6,
    QP_AV = 1 << 7,
    QP_TIMEOUT = 1 << 9,
    QP_RNR_RETRY = 1 << 11,
    QP_SQ_PSN = 1 << 16,
    QP_TO_INIT = QP_STATE | QP_PKEY_INDEX | QP_PORT | QP_QKEY,
};

enum { RESET, INIT, RTR, RTS, SQD, SQE, ERR };

struct patch {
    size_t offset, size;
    uint64_t value;
};

struct variation {
    const char *name;
    int more;                   /* bytes of private data, or less */
    struct patch patch[PATCHES];
};

/* A verb's good command: its sizes, and what it consists of */
struct verb {
    const char *name;
    uint32_t number;
    bool ex;                    /* an extended command */
    size_t core, len;           /* without private data, and with it */
    size_t core_resp, resp;
    const struct variation *variations;
    size_t count;
};

static struct {
    int fd;
    uint16_t sub_cqs;
    uint32_t pd, cq, qp;
} context;

static unsigned char answer[1024];
static unsigned char region[REGION] __attribute__((aligned(4096)));

/* Issue a command of @len bytes; return 0 or the errno. */
static int issue(const struct verb *verb, void *command, size_t len)
{
    uint64_t response = (uintptr_t)answer;
    struct ib_uverbs_cmd_hdr hdr = { .command = verb->number };
    struct ib_uverbs_ex_cmd_hdr ex = { .response = response };
    unsigned char buf[1024];
    size_t head = sizeof(hdr);

    memset(answer, 0, sizeof(answer));
    if (verb->ex) {
        hdr.command |= IB_USER_VERBS_CMD_FLAG_EXTENDED;
        hdr.in_words = verb->core / 8;
        hdr.out_words = verb->core_resp / 8;
        ex.provider_in_words = (len - verb->core) / 8;
        ex.provider_out_words = (verb->resp - verb->core_resp) / 8;
        memcpy(buf + head, &ex, sizeof(ex));
        head += sizeof(ex);
    } else {
        memcpy(command, &response, sizeof(response));
        hdr.in_words = (head + len) / 4;
        hdr.out_words = verb->resp / 4;
    }
    memcpy(buf, &hdr, sizeof(hdr));
    memcpy(buf + head, command, len);
    return write(context.fd, buf, head + len) < 0 ? errno : 0;
}

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

enum { OPEN, PD, CQ, EX_CQ, QP, MODIFY, MR, AH, QUERY, VERBS };

#define VARIATIONS(of)  of##_variations, \
    sizeof(of##_variations) / sizeof((of##_variations)[0])
#define PLAIN(name, number, type, efa, core_resp, more, of) \
    { name, IB_USER_VERBS_CMD_##number, false, sizeof(type) - (efa), \
      sizeof(type), core_resp, (core_resp) + (more), VARIATIONS(of) }
#define EXTENDED(name, number, type, efa, core_resp, more, of) \
    { name, IB_USER_VERBS_EX_CMD_##number, true, sizeof(type) - (efa), \
      sizeof(type), core_resp, (core_resp) + (more), VARIATIONS(of) }

static const struct verb verbs[VERBS] = {
    [OPEN] = PLAIN("GET_CONTEXT", GET_CONTEXT, struct open_cmd,
                   sizeof(struct open_udata),
                   sizeof(struct ib_uverbs_get_context_resp), 24, open),
    [PD] = PLAIN("ALLOC_PD", ALLOC_PD, struct pd_cmd, 0,
                 sizeof(struct ib_uverbs_alloc_pd_resp), 8, pd),
    [CQ] = PLAIN("CREATE_CQ", CREATE_CQ, struct cq_cmd,
                 sizeof(struct cq_udata),
                 sizeof(struct ib_uverbs_create_cq_resp), 40, cq),
    [EX_CQ] = EXTENDED("EX_CREATE_CQ", CREATE_CQ, struct ex_cq_cmd,
                       sizeof(struct cq_udata),
                       sizeof(struct ib_uverbs_ex_create_cq_resp), 40, ex_cq),
    [QP] = PLAIN("CREATE_QP", CREATE_QP, struct qp_cmd,
                 sizeof(struct qp_udata),
                 sizeof(struct ib_uverbs_create_qp_resp), 64, qp),
    [MODIFY] = EXTENDED("EX_MODIFY_QP", MODIFY_QP,
                        struct ib_uverbs_ex_modify_qp, 0,
                        sizeof(struct ib_uverbs_ex_modify_qp_resp), 0, modify),
    [MR] = PLAIN("REG_MR", REG_MR, struct mr_cmd, 0,
                 sizeof(struct ib_uverbs_reg_mr_resp), 0, mr),
    [AH] = PLAIN("CREATE_AH", CREATE_AH, struct ah_cmd, 0,
                 sizeof(struct ib_uverbs_create_ah_resp), 8, ah),
    [QUERY] = EXTENDED("EX_QUERY_DEVICE", QUERY_DEVICE,
                       struct ib_uverbs_ex_query_device, 0,
                       sizeof(struct ib_uverbs_ex_query_device_resp), 24,
                       query),
};

/* Fill in a command as it should be. */
static void fill(int verb, void *command)
{
    const struct cq_udata cq = {
        .entry_size = 16,
        .num_sub_cqs = context.sub_cqs,
    };

    memset(command, 0, 512);
    switch (verb) {
    case OPEN:
        *(struct open_cmd *)command = (struct open_cmd) {
            .efa.supported_caps = 3,
        };
        break;
    case CQ:
        *(struct cq_cmd *)command = (struct cq_cmd) {
            .cqe = 64,
            .comp_channel = NO_CHANNEL,
            .efa = cq,
        };
        break;
    case EX_CQ:
        *(struct ex_cq_cmd *)command = (struct ex_cq_cmd) {
            .core = { .cqe = 64, .comp_channel = NO_CHANNEL },
            .efa = cq,
        };
        break;
    case QP:
        *(struct qp_cmd *)command = (struct qp_cmd) {
            .pd_handle = context.pd,
            .send_cq_handle = context.cq,
            .recv_cq_handle = context.cq,
            .max_send_wr = DEPTH,
            .max_recv_wr = DEPTH,
            .max_send_sge = 1,
            .max_recv_sge = 1,
            .qp_type = IB_UVERBS_QPT_DRIVER,
            .efa.sq_ring_size = DEPTH * 64,
            .efa.rq_ring_size = DEPTH * 16,
        };
        break;
    case MODIFY:
        *(struct ib_uverbs_ex_modify_qp *)command =
            (struct ib_uverbs_ex_modify_qp) {
            .base = {
                .qp_handle = context.qp,
                .attr_mask = QP_TO_INIT,
                .qkey = 1,
                .qp_state = INIT,
                .port_num = 1,
            },
        };
        break;
    case MR:
        *(struct mr_cmd *)command = (struct mr_cmd) {
            .start = (uintptr_t)region,
            .length = REGION,
            .hca_va = (uintptr_t)region,
            .pd_handle = context.pd,
            .access_flags = IB_UVERBS_ACCESS_LOCAL_WRITE,
        };
        break;
    case AH:
        *(struct ah_cmd *)command = (struct ah_cmd) {
            .pd_handle = context.pd,
            .attr = {
                .grh.dgid = { 0xfe, 0x80, [15] = 9 },
                .is_global = 1,
                .port_num = 1,
            },
        };
        break;
    }
}

/* What variations build on must work. Every answer begins with a handle. */
static uint32_t make(int verb)
{
    unsigned char command[512];
    uint32_t handle;
    int error;

    fill(verb, command);
    error = issue(&verbs[verb], command, verbs[verb].len);
    if (error) {
        fprintf(stderr, "%s: %s\n", verbs[verb].name, strerror(error));
        exit(1);
    }
    memcpy(&handle, answer, sizeof(handle));
    return handle;
}

static void open_device(void)
{
    context.fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (context.fd < 0) {
        perror(DEVICE);
        exit(1);
    }
}

/* A context and the objects that the verb refers to */
static void prepare(int verb)
{
    open_device();
    if (verb == OPEN) {
        return;
    }
    int async_fd = make(OPEN);
    memcpy(&context.sub_cqs, answer + 16, sizeof(context.sub_cqs));
    close(async_fd);
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
        for (size_t i = 0; i < verbs[verb].count; i++) {
            vary(verb, &verbs[verb].variations[i]);
        }
    }
    return 0;
}
