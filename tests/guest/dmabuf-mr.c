// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A message from one piece of a DMA-BUF to another, each a memory region of its own.
 *
 * The regions are where the process does not see them, so that nothing but their addresses and keys can be right. Any
 * error ends the program with status 1.
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

#define PAGE    4096
#define PAGES   4               /* of the DMA-BUF */
#define FROM    (1 * PAGE)      /* where in it the sent message is, and the received one */
#define TO      (3 * PAGE)
#define SHIFT   256             /* of the messages in their regions */
#define LENGTH  1000
#define IOVA    0x700000000000ull
#define QKEY    0x5eed
#define TURNS   200000000       /* of polling, before we give up */

#define CHECK(what, good) do {                                          \
        if (!(good)) {                                                  \
            fprintf(stderr, "%s: %s\n", what, strerror(errno));         \
            exit(1);                                                    \
        }                                                               \
    } while (0)
#define OK(what, err) CHECK(what, !(errno = (err)))

static int make_dmabuf(uint8_t **map)
{
    int device = open("/dev/udmabuf", O_RDWR), file = memfd_create("region", MFD_ALLOW_SEALING);
    struct udmabuf_create create = { .memfd = file, .size = PAGES * PAGE };

    CHECK("memory", device >= 0 && file >= 0 && !ftruncate(file, PAGES * PAGE) &&
          !fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
    *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK("mmap", *map != MAP_FAILED);
    return ioctl(device, UDMABUF_CREATE, &create);
}

static struct ibv_qp *make_qp(struct ibv_pd *pd, struct ibv_cq *cq)
{
    struct ibv_qp_init_attr attr = {
        .send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_DRIVER, .sq_sig_all = 1,
        .cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
    };
    struct ibv_qp *qp = efadv_create_driver_qp(pd, &attr, EFADV_QP_DRIVER_TYPE_SRD);
    struct ibv_qp_attr to = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY };

    CHECK("efadv_create_driver_qp", qp);
    OK("INIT", ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY));
    to.qp_state = IBV_QPS_RTR;
    OK("RTR", ibv_modify_qp(qp, &to, IBV_QP_STATE));
    to.qp_state = IBV_QPS_RTS;
    OK("RTS", ibv_modify_qp(qp, &to, IBV_QP_STATE | IBV_QP_SQ_PSN));
    return qp;
}

static void exchange(struct ibv_qp *qp, struct ibv_cq *cq, struct ibv_ah *ah, struct ibv_mr *from, struct ibv_mr *to)
{
    struct ibv_sge in = { IOVA + TO + SHIFT, LENGTH, to->lkey }, out = { IOVA + FROM + SHIFT, LENGTH, from->lkey };
    struct ibv_recv_wr recv = { .sg_list = &in, .num_sge = 1 }, *bad_recv;
    struct ibv_send_wr send = {
        .sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND, .wr.ud = { ah, qp->qp_num, QKEY },
    }, *bad_send;
    struct ibv_wc wc;
    int done = 0;

    OK("ibv_post_recv", ibv_post_recv(qp, &recv, &bad_recv));
    OK("ibv_post_send", ibv_post_send(qp, &send, &bad_send));
    for (uint32_t turn = 0; done < 2 && turn < TURNS; turn++) {
        if (ibv_poll_cq(cq, 1, &wc)) {
            CHECK(ibv_wc_status_str(wc.status), !wc.status);
            done++;
        }
    }
    CHECK("both have completed", done == 2);
}

int main(void)
{
    struct ibv_device **list = ibv_get_device_list(NULL);
    struct ibv_context *context = list && list[0] ? ibv_open_device(list[0]) : NULL;
    struct ibv_pd *pd = context ? ibv_alloc_pd(context) : NULL;
    struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };
    uint8_t *map;
    int fd = make_dmabuf(&map);

    CHECK("the device", pd && fd >= 0 && !ibv_query_gid(context, 1, 0, &attr.grh.dgid));
    struct ibv_mr *from = ibv_reg_dmabuf_mr(pd, FROM, PAGE, IOVA + FROM, fd, 0);
    struct ibv_mr *to = ibv_reg_dmabuf_mr(pd, TO, PAGE, IOVA + TO, fd, IBV_ACCESS_LOCAL_WRITE);
    struct ibv_ah *ah = ibv_create_ah(pd, &attr);
    struct ibv_cq *cq = ibv_create_cq(context, 2, NULL, NULL, 0);
    CHECK("ibv_reg_dmabuf_mr", from && to);
    CHECK("ibv_create_cq, ibv_create_ah", ah && cq);
    struct ibv_qp *qp = make_qp(pd, cq);

    for (int i = 0; i < LENGTH; i++) {
        map[FROM + SHIFT + i] = i * 7;
    }
    exchange(qp, cq, ah, from, to);
    CHECK("what arrived is what was sent", !memcmp(map + FROM, map + TO, PAGE));
    OK("ibv_destroy_qp", ibv_destroy_qp(qp));
    OK("ibv_destroy_cq", ibv_destroy_cq(cq));
    OK("ibv_dereg_mr", ibv_dereg_mr(from));
    OK("ibv_dereg_mr", ibv_dereg_mr(to));
    OK("ibv_destroy_ah", ibv_destroy_ah(ah));
    OK("ibv_dealloc_pd", ibv_dealloc_pd(pd));
    OK("ibv_close_device", ibv_close_device(context));
    printf("well\n");
    return 0;
}
