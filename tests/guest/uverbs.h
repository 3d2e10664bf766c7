/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the verbs, as they should be
 *
 * For programs that write them to /dev/infiniband/uverbs0 themselves, without
 * libibverbs: each is one file that includes this one.
 */
#ifndef UVERBS_H
#define UVERBS_H

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
#define REGION      8192
#define NO_CHANNEL  -1
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

struct open_answer {
    uint32_t comp_mask;
    uint32_t cmds_supp_udata_mask;
    uint16_t sub_cqs_per_cq;
    uint16_t inline_buf_size;
    uint32_t max_llq_size;
    uint16_t max_tx_batch;
    uint16_t min_sq_wr;
    uint16_t inline_buf_size_ex;
    uint8_t reserved[2];
};

struct cq_answer {
    uint32_t comp_mask;
    uint8_t reserved[4];
    uint64_t ring_key;
    uint64_t ring_size;
    uint16_t cq_idx;
    uint8_t reserved2[2];
    uint32_t db_off;
    uint64_t db_key;
};

struct qp_answer {
    uint32_t comp_mask;
    uint32_t rq_db_offset;
    uint32_t sq_db_offset;
    uint32_t llq_offset;
    uint64_t rq_key;
    uint64_t rq_size;
    uint64_t rq_db_key;
    uint64_t sq_db_key;
    uint64_t llq_key;
    uint16_t send_sub_cq_idx;
    uint16_t recv_sub_cq_idx;
    uint8_t reserved[4];
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

/* A verb's good command: its sizes without private data, and with it */
struct verb {
    const char *name;
    uint32_t number;
    bool ex;                    /* an extended command */
    size_t core, len;
    size_t core_resp, resp;
};

enum { OPEN, PD, CQ, EX_CQ, QP, MODIFY, MR, AH, QUERY, VERBS };

#define PLAIN(name, number, type, efa, core_resp, more) \
    { name, IB_USER_VERBS_CMD_##number, false, sizeof(type) - (efa), \
      sizeof(type), core_resp, (core_resp) + (more) }
#define EXTENDED(name, number, type, efa, core_resp, more) \
    { name, IB_USER_VERBS_EX_CMD_##number, true, sizeof(type) - (efa), \
      sizeof(type), core_resp, (core_resp) + (more) }

static const struct verb verbs[VERBS] = {
    [OPEN] = PLAIN("GET_CONTEXT", GET_CONTEXT, struct open_cmd,
                   sizeof(struct open_udata),
                   sizeof(struct ib_uverbs_get_context_resp), 24),
    [PD] = PLAIN("ALLOC_PD", ALLOC_PD, struct pd_cmd, 0,
                 sizeof(struct ib_uverbs_alloc_pd_resp), 8),
    [CQ] = PLAIN("CREATE_CQ", CREATE_CQ, struct cq_cmd,
                 sizeof(struct cq_udata),
                 sizeof(struct ib_uverbs_create_cq_resp), 40),
    [EX_CQ] = EXTENDED("EX_CREATE_CQ", CREATE_CQ, struct ex_cq_cmd,
                       sizeof(struct cq_udata),
                       sizeof(struct ib_uverbs_ex_create_cq_resp), 40),
    [QP] = PLAIN("CREATE_QP", CREATE_QP, struct qp_cmd,
                 sizeof(struct qp_udata),
                 sizeof(struct ib_uverbs_create_qp_resp), 64),
    [MODIFY] = EXTENDED("EX_MODIFY_QP", MODIFY_QP,
                        struct ib_uverbs_ex_modify_qp, 0,
                        sizeof(struct ib_uverbs_ex_modify_qp_resp), 0),
    [MR] = PLAIN("REG_MR", REG_MR, struct mr_cmd, 0,
                 sizeof(struct ib_uverbs_reg_mr_resp), 0),
    [AH] = PLAIN("CREATE_AH", CREATE_AH, struct ah_cmd, 0,
                 sizeof(struct ib_uverbs_create_ah_resp), 8),
    [QUERY] = EXTENDED("EX_QUERY_DEVICE", QUERY_DEVICE,
                       struct ib_uverbs_ex_query_device, 0,
                       sizeof(struct ib_uverbs_ex_query_device_resp), 24),
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

/* What a program builds on must work. Every answer begins with a handle. */
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

/* A context of its own, nothing in it yet */
static inline void open_context(void)
{
    struct open_answer efa;
    int async_fd;

    open_device();
    async_fd = make(OPEN);
    memcpy(&efa, answer + sizeof(struct ib_uverbs_get_context_resp),
           sizeof(efa));
    context.sub_cqs = efa.sub_cqs_per_cq;
    close(async_fd);
}

#endif /* UVERBS_H */
