/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver says to mappings and to ioctls that are not as they should be
 *
 * For each variation one line tells its name and the name of the errno, or
 * "ok". Each of mmap() has a context of its own.
 */
#include "uverbs.h"
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>


#define PAGE        4096
#define WITH_DB     1           /* private flag of a CQ */
#define ATTRS       9

static void tell(const char *of, const char *name, int error)
{
    printf("%s, %s: %s\n", of, name, error ? strerrorname_np(error) : "ok");
    fflush(stdout);
}

/* ---- mmap() ---- */

enum key { CQ_RING, CQ_DB, SQ_DB, RQ_DB, LLQ, RQ_RING, KEYS };

static const char *const key_names[KEYS] = {
    "CQ's ring", "CQ's doorbell", "SQ's doorbell", "RQ's doorbell",
    "send queue", "RQ's ring",
};

/* How the mapping comes about, or what is done with it then */
enum how {
    FRESH, DESTROYED, IN_CHILD, OTHER_FILE, TWICE,
    MADE_EXECUTABLE, MADE_LONGER, MOVED, DISCARDED, REGISTERED, LOCKED_LATER,
};

static const struct mapping {
    const char *name;
    int prot, flags;
    int pages;                  /* more, or less */
    int64_t offset;             /* beyond the key, in pages */
    enum how how;
} mappings[] = {
#define RW      (PROT_READ | PROT_WRITE)
    { "as it should be", RW, MAP_SHARED, 0, 0, FRESH },
    { "to read", PROT_READ, MAP_SHARED, 0, 0, FRESH },
    { "to write", PROT_WRITE, MAP_SHARED, 0, 0, FRESH },
    { "to execute", RW | PROT_EXEC, MAP_SHARED, 0, 0, FRESH },
    { "to read and execute", PROT_READ | PROT_EXEC, MAP_SHARED, 0, 0, FRESH },
    { "no access", PROT_NONE, MAP_SHARED, 0, 0, FRESH },
    { "private", RW, MAP_PRIVATE, 0, 0, FRESH },
    { "private, to read", PROT_READ, MAP_PRIVATE, 0, 0, FRESH },
    { "validated", RW, MAP_SHARED_VALIDATE, 0, 0, FRESH },
    { "synchronous", RW, MAP_SHARED_VALIDATE | MAP_SYNC, 0, 0, FRESH },
    { "populated", RW, MAP_SHARED | MAP_POPULATE, 0, 0, FRESH },
    { "locked", RW, MAP_SHARED | MAP_LOCKED, 0, 0, FRESH },
    { "a page more", RW, MAP_SHARED, 1, 0, FRESH },
    { "a page less", RW, MAP_SHARED, -1, 0, FRESH },
    { "much more", RW, MAP_SHARED, 1 << 20, 0, FRESH },
    { "from its second page on", RW, MAP_SHARED, -1, 1, FRESH },
    { "a page before", RW, MAP_SHARED, 1, -1, FRESH },
    { "key unknown", RW, MAP_SHARED, 0, 1000, FRESH },
    { "key of more than 32 bits", RW, MAP_SHARED, 0, 1ll << 32, FRESH },
    { "key negative", RW, MAP_SHARED, 0, -(1ll << 40), FRESH },
    { "twice", RW, MAP_SHARED, 0, 0, TWICE },
    { "in a child", RW, MAP_SHARED, 0, 0, IN_CHILD },
    { "of another context", RW, MAP_SHARED, 0, 0, OTHER_FILE },
    { "after destruction", RW, MAP_SHARED, 0, 0, DESTROYED },
    { "made executable", RW, MAP_SHARED, 0, 0, MADE_EXECUTABLE },
    { "made longer", RW, MAP_SHARED, 0, 0, MADE_LONGER },
    { "moved", RW, MAP_SHARED, 0, 0, MOVED },
    { "discarded", RW, MAP_SHARED, 0, 0, DISCARDED },
    { "registered as memory", RW, MAP_SHARED, 0, 0, REGISTERED },
    { "locked later", RW, MAP_SHARED, 0, 0, LOCKED_LATER },
};

static void make_keys(uint64_t *keys, size_t *sizes)
{
    unsigned char command[512];
    struct cq_answer cq;
    struct qp_answer qp;
    int error;

    open_context();
    context.pd = make(PD);
    fill(CQ, command);
    ((struct cq_cmd *)command)->efa.flags = WITH_DB;
    ((struct cq_cmd *)command)->cqe = 512;          /* two pages */
    error = issue(&verbs[CQ], command, verbs[CQ].len);
    if (error) {
        fprintf(stderr, "CREATE_CQ: %s\n", strerror(error));
        exit(1);
    }
    memcpy(&context.cq, answer, sizeof(context.cq));
    memcpy(&cq, answer + verbs[CQ].core_resp, sizeof(cq));
    context.qp = make(QP);
    memcpy(&qp, answer + verbs[QP].core_resp, sizeof(qp));
    for (int i = 0; i < KEYS; i++) {
        sizes[i] = PAGE;
    }
    sizes[CQ_RING] = cq.ring_size;
    sizes[RQ_RING] = qp.rq_size;
    keys[CQ_RING] = cq.ring_key;
    keys[CQ_DB] = cq.db_key;
    keys[SQ_DB] = qp.sq_db_key;
    keys[RQ_DB] = qp.rq_db_key;
    keys[LLQ] = qp.llq_key;
    keys[RQ_RING] = qp.rq_key;
}

static int try_mmap(const struct mapping *mapping, uint64_t key, size_t size,
                    void **at)
{
    *at = mmap(NULL, size + (int64_t)mapping->pages * PAGE, mapping->prot,
               mapping->flags, context.fd, key + mapping->offset * PAGE);
    return *at == MAP_FAILED ? errno : 0;
}

static int do_with(enum how how, void *at, size_t size)
{
    unsigned char command[512];
    struct mr_cmd *mr = (struct mr_cmd *)command;

    switch (how) {
    case MADE_EXECUTABLE:
        return mprotect(at, size, RW | PROT_EXEC) ? errno : 0;
    case MADE_LONGER:
        return mremap(at, size, size + PAGE, MREMAP_MAYMOVE) == MAP_FAILED
            ? errno : 0;
    case MOVED:
        return mremap(at, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                      (char *)at - (1 << 24)) == MAP_FAILED ? errno : 0;
    case DISCARDED:
        return madvise(at, size, MADV_DONTNEED) ? errno : 0;
    case LOCKED_LATER:
        return mlock(at, size) ? errno : 0;
    case REGISTERED:
        fill(MR, command);
        mr->start = mr->hca_va = (uintptr_t)at;
        mr->length = size;
        return issue(&verbs[MR], command, sizeof(*mr));
    default:
        return 0;
    }
}

static void destroy_qp_and_cq(void)
{
    for (int i = 0; i < 2; i++) {
        struct {
            struct ib_uverbs_cmd_hdr hdr;
            struct ib_uverbs_destroy_cq command;    /* as for a QP */
        } destroy = {
            .hdr = {
                .command = i ? IB_USER_VERBS_CMD_DESTROY_CQ
                             : IB_USER_VERBS_CMD_DESTROY_QP,
                .in_words = sizeof(destroy) / 4,
                .out_words = i ? 2 : 1,
            },
            .command = {
                .response = (uintptr_t)answer,
                .cq_handle = i ? context.cq : context.qp,
            },
        };

        if (write(context.fd, &destroy, sizeof(destroy)) < 0) {
            perror("destruction");
            exit(1);
        }
    }
}

static int map_as(const struct mapping *mapping, enum key key)
{
    uint64_t keys[KEYS];
    size_t sizes[KEYS];
    int error, status, first_fd = -1;
    void *at;
    pid_t child;

    make_keys(keys, sizes);
    switch (mapping->how) {
    case DESTROYED:
        destroy_qp_and_cq();
        break;
    case OTHER_FILE:
        first_fd = context.fd;
        open_context();
        break;
    case IN_CHILD:
        child = fork();
        if (!child) {
            _exit(try_mmap(mapping, keys[key], sizes[key], &at));
        }
        waitpid(child, &status, 0);
        close(context.fd);
        return WEXITSTATUS(status);
    default:
        break;
    }
    error = try_mmap(mapping, keys[key], sizes[key], &at);
    if (!error && mapping->how == TWICE) {
        error = try_mmap(mapping, keys[key], sizes[key], &at);
    }
    if (!error) {
        error = do_with(mapping->how, at, sizes[key]);
    }
    if (!error && mapping->prot & PROT_READ && mapping->how != MOVED) {
        (void)*(volatile uint32_t *)at;
    }
    close(context.fd);
    close(first_fd);
    return error;
}

/* In a process of its own: what is mapped goes with it. */
static int map_apart(const struct mapping *mapping, enum key key)
{
    pid_t child = fork();
    int status;

    if (!child) {
        _exit(map_as(mapping, key));
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

/* ---- ioctl() ---- */

/* Of EFA's driver: the only method of its own that 6.12 has */
enum {
    METHOD_MR_QUERY = 1 << 12,
    ATTR_MR_HANDLE = 1 << 12,
    ATTR_MR_VALIDITY,
    ATTR_MR_RECV,
    ATTR_MR_READ,
    ATTR_MR_RDMA_RECV,
};

enum base { MR_QUERY, CQ_CREATE, REG_DMABUF, BASES };

static const char *const base_names[BASES] = {
    "MR_QUERY", "CQ_CREATE", "REG_DMABUF_MR",
};

struct call {
    struct ib_uverbs_ioctl_hdr hdr;
    struct ib_uverbs_attr attr[ATTRS];
};

static struct {
    uint16_t ic[4];
    uint32_t got_cqe, lkey, rkey;
    struct cq_udata in;
    struct cq_answer out;
} values;

#define HDR(field, value) \
    { offsetof(struct call, hdr.field), sizeof(((struct call *)0)->hdr.field), \
      value }
#define ATTR(n, field, value) \
    { offsetof(struct call, attr[n].field), \
      sizeof(((struct call *)0)->attr[n].field), value }

static const struct ioctl_variation {
    const char *name;
    enum base base;
    struct {
        size_t offset, size;
        uint64_t value;
    } patch[3];
} ioctls[] = {
    { "as it should be", MR_QUERY, {} },
    { "object unknown", MR_QUERY, { HDR(object_id, 999) } },
    { "object of the driver's, unknown", MR_QUERY, { HDR(object_id, 0x1000) } },
    { "object without that method", MR_QUERY,
      { HDR(object_id, UVERBS_OBJECT_PD) } },
    { "method unknown", MR_QUERY, { HDR(method_id, 99) } },
    { "next method of the driver's", MR_QUERY, { HDR(method_id, 0x1001) } },
    { "driver other", MR_QUERY, { HDR(driver_id, 1) } },
    { "reserved word", MR_QUERY, { HDR(reserved1, 1) } },
    { "second reserved word", MR_QUERY, { HDR(reserved2, 1) } },
    { "attributes 0", MR_QUERY, { HDR(num_attrs, 0) } },
    { "attributes more than length", MR_QUERY, { HDR(num_attrs, 6) } },
    { "attributes fewer than length", MR_QUERY, { HDR(num_attrs, 4) } },
    { "length 0", MR_QUERY, { HDR(length, 0) } },
    { "length of the head", MR_QUERY,
      { HDR(length, sizeof(struct ib_uverbs_ioctl_hdr)), HDR(num_attrs, 0) } },
    { "length odd", MR_QUERY, { HDR(length, 100) } },
    { "length enormous", MR_QUERY, { HDR(length, 65535) } },
    { "no MR of that number", MR_QUERY, { ATTR(0, data, 999) } },
    { "number of 64 bits", MR_QUERY, { ATTR(0, data, 1ull << 40) } },
    { "number with a length", MR_QUERY, { ATTR(0, len, 4) } },
    { "number reserved", MR_QUERY, { ATTR(0, attr_data.reserved, 1) } },
    { "attribute unknown, mandatory", MR_QUERY,
      { ATTR(4, attr_id, 0x1005) } },
    { "attribute unknown, optional", MR_QUERY,
      { ATTR(4, attr_id, 0x1005), ATTR(4, flags, 0) } },
    { "attribute of no namespace", MR_QUERY, { ATTR(4, attr_id, 0xf005) } },
    { "attribute twice", MR_QUERY, { ATTR(4, attr_id, ATTR_MR_READ) } },
    { "flag unknown", MR_QUERY, { ATTR(1, flags, 0x80) } },
    { "output of 0 bytes", MR_QUERY, { ATTR(1, len, 0) } },
    { "output of 1 byte", MR_QUERY, { ATTR(1, len, 1) } },
    { "output of 1 byte, last", MR_QUERY, { ATTR(4, len, 1) } },
    { "output of 4 bytes", MR_QUERY, { ATTR(1, len, 4) } },
    { "output of 8 bytes", MR_QUERY, { ATTR(2, len, 8) } },
    { "output to nowhere", MR_QUERY, { ATTR(1, data, 8) } },
    { "last output to nowhere", MR_QUERY, { ATTR(4, data, 8) } },
    { "output to the kernel", MR_QUERY, { ATTR(3, data, ~0xfffull) } },
    { "output reserved", MR_QUERY, { ATTR(1, attr_data.reserved, 1) } },
    { "no output", MR_QUERY,
      { HDR(num_attrs, 1),
        HDR(length, sizeof(struct ib_uverbs_ioctl_hdr) +
                    sizeof(struct ib_uverbs_attr)) } },
    { "as it should be", CQ_CREATE, {} },
    { "no private data", CQ_CREATE, { ATTR(5, len, 0) } },
    { "private data of 8 bytes", CQ_CREATE, { ATTR(5, len, 8) } },
    { "private data of 15 bytes", CQ_CREATE, { ATTR(5, len, 15) } },
    { "private data from nowhere", CQ_CREATE, { ATTR(5, data, 8) } },
    { "private answer of 0 bytes", CQ_CREATE, { ATTR(6, len, 0) } },
    { "private answer of 8 bytes", CQ_CREATE, { ATTR(6, len, 8) } },
    { "private answer of 80 bytes", CQ_CREATE, { ATTR(6, len, 80) } },
    { "private answer to nowhere", CQ_CREATE, { ATTR(6, data, 8) } },
    { "cqe 0", CQ_CREATE, { ATTR(1, data, 0) } },
    { "cqe 100", CQ_CREATE, { ATTR(1, data, 100) } },
    { "cqe 2^31", CQ_CREATE, { ATTR(1, data, 1ull << 31) } },
    { "cqe of 8 bytes", CQ_CREATE, { ATTR(1, len, 8) } },
    { "cqe of 2 bytes", CQ_CREATE, { ATTR(1, len, 2) } },
    { "user's number missing", CQ_CREATE, { ATTR(2, attr_id, 0x77) } },
    { "vector 1000", CQ_CREATE, { ATTR(3, data, 1000) } },
    { "resulting size to nowhere", CQ_CREATE, { ATTR(4, data, 8) } },
    { "for an event channel that is none", CQ_CREATE,
      { ATTR(4, attr_id, UVERBS_ATTR_CREATE_CQ_COMP_CHANNEL),
        ATTR(4, len, 0), ATTR(4, data, 1000) } },
    { "flags unknown", CQ_CREATE,
      { ATTR(4, attr_id, UVERBS_ATTR_CREATE_CQ_FLAGS), ATTR(4, data, 1 << 7) } },
    { "overrun ignored", CQ_CREATE,
      { ATTR(4, attr_id, UVERBS_ATTR_CREATE_CQ_FLAGS), ATTR(4, data, 2) } },
    { "of no DMA-BUF", REG_DMABUF, {} },
    { "no PD", REG_DMABUF, { ATTR(1, data, 999) } },
    { "access unknown", REG_DMABUF, { ATTR(6, data, 1 << 12) } },
    { "atomics", REG_DMABUF, { ATTR(6, data, 9) } },
    { "address and offset differ in the page", REG_DMABUF,
      { ATTR(2, data, 8) } },
    { "length 0", REG_DMABUF, { ATTR(3, data, 0) } },
};

/* Data of up to 8 bytes is in the attribute itself. */
static struct ib_uverbs_attr attr(uint16_t id, uint16_t len, uint64_t data)
{
    return (struct ib_uverbs_attr) {
        .attr_id = id,
        .len = len,
        .flags = UVERBS_ATTR_F_MANDATORY,
        .data = data,
    };
}

static struct ib_uverbs_attr out(uint16_t id, uint16_t len, void *to)
{
    return attr(id, len, (uintptr_t)to);
}

static void fill_call(enum base base, struct call *call)
{
    static const struct {
        uint16_t object, method, attrs;
    } head[BASES] = {
        [MR_QUERY] = { UVERBS_OBJECT_MR, METHOD_MR_QUERY, 5 },
        [CQ_CREATE] = { UVERBS_OBJECT_CQ, UVERBS_METHOD_CQ_CREATE, 7 },
        [REG_DMABUF] = { UVERBS_OBJECT_MR, UVERBS_METHOD_REG_DMABUF_MR, 9 },
    };
    struct ib_uverbs_attr *a = call->attr;

    memset(call, 0, sizeof(*call));
    call->hdr.object_id = head[base].object;
    call->hdr.method_id = head[base].method;
    call->hdr.num_attrs = head[base].attrs;
    call->hdr.length = sizeof(call->hdr) + head[base].attrs * sizeof(*a);
    call->hdr.driver_id = RDMA_DRIVER_EFA;
    values.in = (struct cq_udata) {
        .entry_size = 16,
        .num_sub_cqs = context.sub_cqs,
    };
    switch (base) {
    case MR_QUERY:
        a[0] = attr(ATTR_MR_HANDLE, 0, make(MR));
        for (int i = 0; i < 4; i++) {
            a[1 + i] = out(ATTR_MR_VALIDITY + i, 2, &values.ic[i]);
        }
        break;
    case CQ_CREATE:
        a[0] = attr(UVERBS_ATTR_CREATE_CQ_HANDLE, 0, 0);
        a[1] = attr(UVERBS_ATTR_CREATE_CQ_CQE, 4, 64);
        a[2] = attr(UVERBS_ATTR_CREATE_CQ_USER_HANDLE, 8, 1);
        a[3] = attr(UVERBS_ATTR_CREATE_CQ_COMP_VECTOR, 4, 0);
        a[4] = out(UVERBS_ATTR_CREATE_CQ_RESP_CQE, 4, &values.got_cqe);
        a[5] = out(UVERBS_ATTR_UHW_IN, sizeof(values.in), &values.in);
        a[6] = out(UVERBS_ATTR_UHW_OUT, sizeof(values.out), &values.out);
        break;
    default:
        a[0] = attr(UVERBS_ATTR_REG_DMABUF_MR_HANDLE, 0, 0);
        a[1] = attr(UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE, 0, context.pd);
        a[2] = attr(UVERBS_ATTR_REG_DMABUF_MR_OFFSET, 8, 0);
        a[3] = attr(UVERBS_ATTR_REG_DMABUF_MR_LENGTH, 8, PAGE);
        a[4] = attr(UVERBS_ATTR_REG_DMABUF_MR_IOVA, 8, PAGE);
        a[5] = attr(UVERBS_ATTR_REG_DMABUF_MR_FD, 0, context.fd);
        a[6] = attr(UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS, 4, 1);
        a[7] = out(UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY, 4, &values.lkey);
        a[8] = out(UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY, 4, &values.rkey);
        break;
    }
}

static void call_as(const struct ioctl_variation *variation)
{
    struct call call;
    int error;

    open_context();
    context.pd = make(PD);
    fill_call(variation->base, &call);
    for (int i = 0; i < 3; i++) {
        memcpy((char *)&call + variation->patch[i].offset,
               &variation->patch[i].value, variation->patch[i].size);
    }
    error = ioctl(context.fd, RDMA_VERBS_IOCTL, &call) ? errno : 0;
    tell(base_names[variation->base], variation->name, error);
    close(context.fd);
}

#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    for (int key = 0; key < KEYS; key++) {
        for (size_t i = 0; i < COUNT(mappings); i++) {
            char of[40];

            snprintf(of, sizeof(of), "mmap of %s", key_names[key]);
            tell(of, mappings[i].name, map_apart(&mappings[i], key));
        }
    }
    for (size_t i = 0; i < COUNT(ioctls); i++) {
        call_as(&ioctls[i]);
    }
    return 0;
}
