// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What rdma-core 65 has more of efadv, as a provider answers.
 *
 * Prints a line for each question. Addresses are not printed, only whether
 * there is one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <linux/udmabuf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define QKEY    0x5eed
#define TURNS   200000000       /* of polling, before we give up */
#define CQ_SIZE 4096            /* one page: the driver wants it contiguous */
#define MESSAGES 8

static struct ibv_context *context;
static struct ibv_pd *pd;
static struct ibv_ah *ah;
static struct ibv_mr *mr;
static char memory[4096];

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void open_device(void)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };

    context = list && list[0] ? ibv_open_device(list[0]) : NULL;
    pd = context ? ibv_alloc_pd(context) : NULL;
    mr = pd ? ibv_reg_mr(pd, memory, sizeof(memory), IBV_ACCESS_LOCAL_WRITE) : NULL;
    if (!mr || ibv_query_gid(context, 1, 0, &attr.grh.dgid)) {
        die("the device");
    }
    ah = ibv_create_ah(pd, &attr);
    if (!ah) {
        die("the address handle");
    }
}

static void ask_device(void)
{
    struct efadv_device_attr attr = { };
    char longer[sizeof(attr) + 8] = { };
    int err = efadv_query_device(context, &attr, sizeof(attr));

    printf("device: %d, inline %u and %u, caps 0x%x, RDMA %u\n", err, attr.inline_buf_size,
           attr.inline_buf_size_ex, attr.device_caps, attr.max_rdma_size);
    printf("device, short: %d\n", efadv_query_device(context, &attr, 12));
    printf("device, longer: %d\n", efadv_query_device(context, (void *)longer, sizeof(longer)));
    longer[sizeof(longer) - 1] = 1;
    printf("device, unknown: %d\n", efadv_query_device(context, (void *)longer, sizeof(longer)));
}

static void ask_depths(void)
{
    static const struct efadv_sq_depth_attr sq[] = {
        { .max_send_sge = 1 }, { .max_send_sge = 2, .max_rdma_sge = 1 }, { .max_inline_data = 32 },
        { .max_inline_data = 33 }, { .max_inline_data = 80 }, { .max_inline_data = 4096 },
        { .flags = EFADV_SQ_DEPTH_ATTR_INLINE_WRITE, .max_inline_data = 16 }, { .max_send_sge = 99 },
        { .max_rdma_sge = 99 }, { .comp_mask = 1 },
    };
    static const struct efadv_rq_depth_attr rq[] = {
        { .max_recv_sge = 1 }, { .max_recv_sge = 2 }, { .max_recv_sge = 99 }, { .comp_mask = 1 },
    };
    size_t i;

    for (i = 0; i < sizeof(sq) / sizeof(sq[0]); i++) {
        struct efadv_sq_depth_attr attr = sq[i];

        printf("send depth %zu: %d\n", i, efadv_get_max_sq_depth(context, &attr, sizeof(attr)));
    }
    for (i = 0; i < sizeof(rq) / sizeof(rq[0]); i++) {
        struct efadv_rq_depth_attr attr = rq[i];

        printf("receive depth %zu: %d\n", i, efadv_get_max_rq_depth(context, &attr, sizeof(attr)));
    }
}

static struct ibv_qp *create_qp(struct ibv_cq_ex *cq, struct ibv_qp_cap cap, void *efa, size_t size)
{
    struct ibv_qp_init_attr_ex attr = {
        .send_cq = ibv_cq_ex_to_cq(cq), .recv_cq = ibv_cq_ex_to_cq(cq), .cap = cap,
        .qp_type = IBV_QPT_DRIVER, .pd = pd,
        .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
        .send_ops_flags = IBV_QP_EX_WITH_SEND,
    };

    return efadv_create_qp_ex(context, &attr, efa, size);
}

static struct ibv_qp *make_qp(struct ibv_cq_ex *cq, uint32_t max_inline, uint16_t flags)
{
    struct ibv_qp_cap cap = {
        .max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1,
        .max_inline_data = max_inline,
    };
    struct efadv_qp_init_attr efa = {
        .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD, .flags = flags,
        .wr_flags = EFADV_WR_EX_WITH_PROCESSING_HINTS,
    };
    struct ibv_qp *qp = create_qp(cq, cap, &efa, sizeof(efa));
    struct ibv_qp_attr to = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY };

    if (!qp || ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY)) {
        die("a QP");
    }
    to.qp_state = IBV_QPS_RTR;
    if (ibv_modify_qp(qp, &to, IBV_QP_STATE)) {
        die("a QP to RTR");
    }
    to.qp_state = IBV_QPS_RTS;
    if (ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN)) {
        die("a QP to RTS");
    }
    return qp;
}

static void ask_queues(struct ibv_qp *qp, struct ibv_cq_ex *cq, const char *what)
{
    struct efadv_wq_attr sq = { }, rq = { };
    struct efadv_cq_attr of = { };
    int err = efadv_query_qp_wqs(qp, &sq, &rq, sizeof(sq));

    printf("%s: queues %d\n", what, err);
    printf("  send: %d %u %u %d %u 0x%x\n", !!sq.buffer, sq.entry_size, sq.num_entries, !!sq.doorbell,
           sq.max_batch, sq.caps);
    printf("  receive: %d %u %u %d %u 0x%x\n", !!rq.buffer, rq.entry_size, rq.num_entries,
           !!rq.doorbell, rq.max_batch, rq.caps);
    err = efadv_query_cq(ibv_cq_ex_to_cq(cq), &of, sizeof(of));
    printf("  completion: %d %d %u %u %d\n", err, !!of.buffer, of.entry_size, of.num_entries,
           !!of.doorbell);
    printf("  short: %d %d\n", efadv_query_qp_wqs(qp, &sq, &rq, 8),
           efadv_query_cq(ibv_cq_ex_to_cq(cq), &of, 8));
}

/* Messages to ourselves, with hints. */
static void exchange(struct ibv_qp *qp, struct ibv_cq_ex *cq, const char *what)
{
    struct ibv_qp_ex *ex = ibv_qp_to_qp_ex(qp);
    int good = 0, done = 0, i, turns;
    struct ibv_wc wc;

    for (i = 0; i < MESSAGES; i++) {
        struct ibv_sge sge = { (uintptr_t)memory + 256 * i, 256, mr->lkey };
        struct ibv_recv_wr wr = { .wr_id = i, .sg_list = &sge, .num_sge = 1 }, *bad;

        if (ibv_post_recv(qp, &wr, &bad)) {
            die("receiving");
        }
        ibv_wr_start(ex);
        ex->wr_id = 100 + i;
        ex->wr_flags = IBV_SEND_SIGNALED;
        ibv_wr_send(ex);
        ibv_wr_set_ud_addr(ex, ah, qp->qp_num, QKEY);
        ibv_wr_set_sge(ex, mr->lkey, (uintptr_t)memory + 2048, 100 + i);
        efadv_wr_set_processing_hints(efadv_qp_from_ibv_qp_ex(ex),
                                      EFADV_WR_PROCESSING_HINT_BURST_PPS_SENSITIVE);
        if (ibv_wr_complete(ex)) {
            die("sending");
        }
    }
    for (turns = 0; done < 2 * MESSAGES && turns < TURNS; turns++) {
        if (ibv_poll_cq(ibv_cq_ex_to_cq(cq), 1, &wc) == 1) {
            done++;
            good += wc.status == IBV_WC_SUCCESS;
        }
    }
    printf("%s: %d of %d completed, %d well\n", what, done, 2 * MESSAGES, good);
}

static int make_dmabuf(void **map)
{
    int file = memfd_create("cq", MFD_ALLOW_SEALING), device = open("/dev/udmabuf", O_RDWR);
    struct udmabuf_create create = { .memfd = file, .size = CQ_SIZE };
    int fd;

    if (file < 0 || device < 0 || ftruncate(file, CQ_SIZE) ||
        fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK)) {
        die("memory for a DMA-BUF");
    }
    fd = ioctl(device, UDMABUF_CREATE, &create);
    *map = mmap(NULL, CQ_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (fd < 0 || *map == MAP_FAILED) {
        die("a DMA-BUF");
    }
    return fd;
}

static struct ibv_cq_ex *make_external_cq(void *map, int fd, uint64_t length)
{
    struct ibv_cq_init_attr_ex attr = { .cqe = 64, .wc_flags = IBV_WC_STANDARD_FLAGS };
    struct efadv_cq_init_attr efa = {
        .flags = EFADV_CQ_INIT_FLAGS_EXT_MEM_DMABUF,
        .ext_mem_dmabuf = { .buffer = map, .length = length, .fd = fd },
    };

    return efadv_create_cq(context, &attr, &efa, sizeof(efa));
}

static void use_external_cq(void)
{
    struct ibv_cq_ex *cq;
    struct ibv_qp *qp;
    void *map;
    int fd = make_dmabuf(&map);

    cq = make_external_cq(map, fd, 64);
    printf("CQ in too little memory: %d\n", !!cq);
    cq = make_external_cq(map, fd, CQ_SIZE);
    printf("CQ in a DMA-BUF: %d\n", !!cq);
    if (!cq) {
        return;
    }
    qp = make_qp(cq, 0, 0);
    ask_queues(qp, cq, "DMA-BUF");
    exchange(qp, cq, "DMA-BUF");
    printf("its memory is written to: %d\n", !!((uint32_t *)map)[0]);
    if (ibv_destroy_qp(qp) || ibv_destroy_cq(ibv_cq_ex_to_cq(cq))) {
        die("destroying");
    }
    cq = make_external_cq(NULL, fd, CQ_SIZE);
    printf("CQ for others: %d\n", !!cq);
    if (cq && ibv_destroy_cq(ibv_cq_ex_to_cq(cq))) {
        die("destroying");
    }
}

static void ask_counters(void)
{
    struct ibv_comp_cntr_init_attr attr = { };
    struct efadv_comp_cntr_init_attr efa = { };
    struct ibv_comp_cntr *cntr = efadv_create_comp_cntr(context, &attr, &efa, sizeof(efa));

    printf("counter: %d\n", cntr ? 0 : errno);
}

/* A QP with such attributes: 0, or why there is none. */
static int try_qp(struct ibv_cq_ex *cq, uint32_t depth, uint32_t max_inline, void *efa, size_t size)
{
    struct ibv_qp_cap cap = {
        .max_send_wr = depth, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1,
        .max_inline_data = max_inline,
    };
    struct ibv_qp *qp = create_qp(cq, cap, efa, size);

    return qp ? ibv_destroy_qp(qp) : errno;
}

static int try_ud(struct ibv_cq_ex *cq, void *efa, size_t size)
{
    struct ibv_qp_init_attr_ex attr = {
        .send_cq = ibv_cq_ex_to_cq(cq), .recv_cq = ibv_cq_ex_to_cq(cq), .qp_type = IBV_QPT_UD,
        .pd = pd, .comp_mask = IBV_QP_INIT_ATTR_PD,
        .cap = { .max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1 },
    };
    struct ibv_qp *qp = efadv_create_qp_ex(context, &attr, efa, size);

    return qp ? ibv_destroy_qp(qp) : errno;
}

static int try_cq(void *efa, size_t size)
{
    struct ibv_cq_init_attr_ex attr = { .cqe = 64, .wc_flags = IBV_WC_STANDARD_FLAGS };
    struct ibv_cq_ex *cq = efadv_create_cq(context, &attr, efa, size);

    return cq ? ibv_destroy_cq(ibv_cq_ex_to_cq(cq)) : errno;
}

/* Queues as deep as we are told that they can be. */
static void use_depths(struct ibv_cq_ex *cq)
{
    struct efadv_qp_init_attr efa = { .driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD };
    const uint32_t inlined[] = { 0, 32, 80 };
    size_t i;

    for (i = 0; i < sizeof(inlined) / sizeof(inlined[0]); i++) {
        struct efadv_sq_depth_attr attr = { .max_send_sge = 1, .max_inline_data = inlined[i] };
        int depth = efadv_get_max_sq_depth(context, &attr, sizeof(attr));

        printf("%u bytes inline: %d, deeper %d\n", inlined[i],
               try_qp(cq, depth, inlined[i], &efa, sizeof(efa)),
               try_qp(cq, depth + 1, inlined[i], &efa, sizeof(efa)));
    }
}

/* Domains of threads, and whose QPs there are. */
static void ask_domains(struct ibv_cq_ex *cq)
{
    struct ibv_td_init_attr odd = { .comp_mask = 1 }, none = { };
    struct ibv_td *td = ibv_alloc_td(context, &odd);
    struct ibv_parent_domain_init_attr attr = {
        .pd = pd, .comp_mask = IBV_PARENT_DOMAIN_INIT_ATTR_PD_CONTEXT, .pd_context = &attr,
    };
    struct ibv_pd *parent, *grandparent, *device_pd = pd;
    struct ibv_qp *qp;

    printf("thread domain: %d\n", td ? 0 : errno);
    attr.td = ibv_alloc_td(context, &none);
    parent = ibv_alloc_parent_domain(context, &attr);
    if (!attr.td || !parent) {
        die("a parent domain");
    }
    attr.pd = parent;
    grandparent = ibv_alloc_parent_domain(context, &attr);
    printf("its parent domain: %d\n", grandparent ? 0 : errno);
    pd = parent;
    qp = make_qp(cq, 0, 0);
    pd = device_pd;
    printf("in use: %d %d\n", ibv_dealloc_pd(parent), ibv_dealloc_td(attr.td));
    ibv_destroy_qp(qp);
    printf("no more: %d %d\n", ibv_dealloc_pd(parent), ibv_dealloc_td(attr.td));
}

/* What programs say that are older or newer than the library, or wrong. */
static void ask_arguments(struct ibv_cq_ex *cq)
{
    struct efadv_qp_init_attr qp[7] = { };
    struct efadv_cq_init_attr of[6] = { };
    struct efadv_sq_depth_attr depth[2] = { { .max_send_sge = 1 } };
    struct efadv_ah_attr to[2];
    struct efadv_mr_attr region[2];
    const char *wrong[] = { "nothing", "comp_mask", "flags", "type", "reserved", "wr_flags" };
    const char *wrong_cq[] = { "nothing", "comp_mask", "wc_flags", "flags" };
    size_t i;

    for (i = 0; i < sizeof(qp) / sizeof(qp[0]); i++) {
        qp[i].driver_qp_type = EFADV_QP_DRIVER_TYPE_SRD;
    }
    qp[1].comp_mask = 1;
    qp[2].flags = 1 << 15;
    qp[3].driver_qp_type = 7;
    qp[4].reserved = 1;
    qp[5].wr_flags = 1 << 7;
    for (i = 0; i < 6; i++) {
        printf("QP, wrong %s: %d\n", wrong[i], try_qp(cq, 16, 0, &qp[i], sizeof(qp[i])));
    }
    printf("QP of UD: %d\n", try_ud(cq, &qp[0], sizeof(qp[0])));
    printf("QP, short: %d\n", try_qp(cq, 16, 0, &qp[0], 4));
    printf("QP, longer: %d\n", try_qp(cq, 16, 0, &qp[5], 2 * sizeof(qp[5])));
    memset(&qp[6], 0, sizeof(qp[6]));
    qp[5].wr_flags = 0;
    printf("QP, longer by zeros: %d\n", try_qp(cq, 16, 0, &qp[5], 2 * sizeof(qp[5])));

    of[1].comp_mask = 1;
    of[2].wc_flags = 1 << 9;
    of[3].flags = 1 << 9;
    for (i = 0; i < 4; i++) {
        printf("CQ, wrong %s: %d\n", wrong_cq[i], try_cq(&of[i], sizeof(of[i])));
    }
    printf("CQ, short: %d\n", try_cq(&of[0], 4));
    printf("CQ, longer: %d\n", try_cq(&of[0], 2 * sizeof(of[0])));
    printf("CQ, longer by zeros: %d\n", try_cq(&of[4], 2 * sizeof(of[0])));

    printf("depth, longer by zeros: %d\n", efadv_get_max_sq_depth(context, depth, sizeof(depth)));
    depth[1].max_send_sge = 1;
    printf("depth, longer: %d\n", efadv_get_max_sq_depth(context, depth, sizeof(depth)));
    printf("depth, short: %d\n", efadv_get_max_sq_depth(context, depth, 8));

    memset(to, 1, sizeof(to));
    printf("AH, longer: %d\n", efadv_query_ah(ah, to, sizeof(to)));
    printf("AH, short: %d\n", efadv_query_ah(ah, to, 8));
    memset(region, 1, sizeof(region));
    printf("MR, longer: %d\n", efadv_query_mr(mr, region, sizeof(region)));
    printf("MR, short: %d\n", efadv_query_mr(mr, region, 8));
}

int main(void)
{
    struct ibv_cq_init_attr_ex attr = { .cqe = 64, .wc_flags = IBV_WC_STANDARD_FLAGS };
    struct ibv_cq_ex *cq;
    struct ibv_qp *qp;

    setlinebuf(stdout);
    open_device();
    ask_device();
    ask_depths();
    cq = ibv_create_cq_ex(context, &attr);
    if (!cq) {
        die("a CQ");
    }
    qp = make_qp(cq, 32, 0);
    ask_queues(qp, cq, "narrow");
    exchange(qp, cq, "narrow");
    qp = make_qp(cq, 32, EFADV_QP_FLAGS_INLINE_WRITE);
    ask_queues(qp, cq, "wide");
    exchange(qp, cq, "wide");
    use_external_cq();
    ask_counters();
    use_depths(cq);
    ask_arguments(cq);
    ask_domains(cq);
    return 0;
}
