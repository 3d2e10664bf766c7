/*
 * EFA device model: UARs, protection domains, address handles
 *
 * Control path specification, sections 5.5, 5.6, 5.14, 5.15 and 10.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "efa-osdep.h"
#include "efa-srd.h"

/*
 * AHs are known by (PD, GID). The reverse look-up of a sender goes by the PD
 * of the receiving QP, never device-wide (data path, 8.2).
 */
static guint efa_ah_hash(gconstpointer key)
{
    const EfaAh *ah = key;
    uint64_t a, b;

    memcpy(&a, ah->peer->gid.raw, sizeof(a));
    memcpy(&b, ah->peer->gid.raw + 8, sizeof(b));
    a = (a ^ (b * 0x9e3779b97f4a7c15ull)) + ah->pd->index;
    return a ^ (a >> 32);
}

static gboolean efa_ah_equal(gconstpointer a, gconstpointer b)
{
    const EfaAh *x = a, *y = b;

    return x->pd == y->pd && x->peer == y->peer;
}

void efa_objects_init(EfaCore *core)
{
    const EfaConfig *cfg = &core->cfg;

    efa_table_init(&core->uars, EFA_MAX_UARS);
    efa_table_init(&core->pds, cfg->max_pd);
    efa_table_init(&core->mrs, cfg->max_mr);
    efa_table_init(&core->fast_mrs, EFA_MAX_FAST_MRS);
    efa_table_init(&core->ahs, cfg->max_ah);
    efa_table_init(&core->cqs, cfg->max_cq);
    efa_table_init(&core->eqs, MAX(cfg->max_eq, 1));
    efa_table_init(&core->qps, cfg->max_qp);
    efa_table_init(&core->counters, cfg->max_event_counters);
    core->ah_by_dest = g_hash_table_new(efa_ah_hash, efa_ah_equal);
    core->llq_owner = g_new0(uint32_t, cfg->max_qp);
}

void efa_objects_destroy(EfaCore *core)
{
    g_hash_table_destroy(core->ah_by_dest);
    g_free(core->llq_owner);
    efa_table_destroy(&core->counters);
    efa_table_destroy(&core->qps);
    efa_table_destroy(&core->eqs);
    efa_table_destroy(&core->cqs);
    efa_table_destroy(&core->ahs);
    efa_table_destroy(&core->fast_mrs);
    efa_table_destroy(&core->mrs);
    efa_table_destroy(&core->pds);
    efa_table_destroy(&core->uars);
}

static void efa_ah_free(EfaCore *core, EfaAh *ah)
{
    EfaPeer *peer = ah->peer;

    g_hash_table_remove(core->ah_by_dest, ah);
    efa_table_remove(&core->ahs, ah->index);
    ah->pd->refs--;
    peer->ah_refs--;
    g_free(ah);
    efa_peer_maybe_free(core, peer);
}

static void efa_simple_free(EfaTable *t, uint32_t index)
{
    g_free(efa_table_get(t, index));
    efa_table_remove(t, index);
}

/* Children before parents, so that no reference dangles. */
void efa_objects_reset(EfaCore *core)
{
    uint32_t i;

#define EACH(_table)                                            \
    for (i = 0; core->_table.used && i < core->_table.size; i++) \
        if (efa_table_get(&core->_table, i))

    EACH(qps) {
        efa_qp_free(core, efa_table_get(&core->qps, i));
    }
    EACH(counters) {
        efa_counter_free(core, efa_table_get(&core->counters, i));
    }
    EACH(cqs) {
        efa_cq_free(core, efa_table_get(&core->cqs, i));
    }
    EACH(eqs) {
        efa_simple_free(&core->eqs, i);
    }
    EACH(ahs) {
        efa_ah_free(core, efa_table_get(&core->ahs, i));
    }
    EACH(mrs) {
        efa_mr_free(core, efa_table_get(&core->mrs, i));
    }
    EACH(fast_mrs) {
        efa_mr_free(core, efa_table_get(&core->fast_mrs, i));
    }
    EACH(pds) {
        efa_simple_free(&core->pds, i);
    }
    EACH(uars) {
        efa_simple_free(&core->uars, i);
    }
#undef EACH
    memset(core->llq_owner, 0, core->cfg.max_qp * sizeof(*core->llq_owner));
}

static EfaAdminStatus efa_table_full(EfaAdminCmd *cmd, const EfaTable *t)
{
    return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE,
                          EFA_EXT_NONE, "all %u are in use", t->size);
}

static void efa_answer_id(EfaAdminCmd *cmd, uint16_t id)
{
    EfaIdResp resp = { .id = cpu_to_le16(id) };

    memcpy(cmd->resp, &resp, sizeof(resp));
}

EfaAdminStatus efa_cmd_alloc_pd(EfaCore *core, EfaAdminCmd *cmd)
{
    EfaPd *pd = g_new0(EfaPd, 1);

    pd->index = efa_table_add(&core->pds, pd);
    if (pd->index == EFA_NO_INDEX) {
        g_free(pd);
        return efa_table_full(cmd, &core->pds);
    }
    trace_efa_object("PD", "create", pd->index);
    efa_answer_id(cmd, pd->index);
    return EFA_ADMIN_SUCCESS;
}

/* The checks that commands naming one 16-bit id share. */
static EfaAdminStatus efa_id_check(EfaAdminCmd *cmd, const EfaTable *t,
                                   const char *what, uint32_t *index)
{
    const EfaIdCmd *req = (const EfaIdCmd *)&cmd->req;

    *index = le16_to_cpu(req->id);
    if (req->reserved) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!efa_table_get(t, *index)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "%s %u", what, *index);
    }
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_dealloc_pd(EfaCore *core, EfaAdminCmd *cmd)
{
    uint32_t index;
    EfaAdminStatus status = efa_id_check(cmd, &core->pds, "PD", &index);
    const EfaPd *pd;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    pd = efa_table_get(&core->pds, index);
    if (pd->refs) {
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_BUSY, EFA_EXT_BUSY,
                              "PD %u has %u objects", index, pd->refs);
    }
    efa_simple_free(&core->pds, index);
    trace_efa_object("PD", "destroy", index);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_alloc_uar(EfaCore *core, EfaAdminCmd *cmd)
{
    EfaUar *uar = g_new0(EfaUar, 1);

    uar->index = efa_table_add(&core->uars, uar);
    if (uar->index == EFA_NO_INDEX) {
        g_free(uar);
        return efa_table_full(cmd, &core->uars);
    }
    trace_efa_object("UAR", "create", uar->index);
    efa_answer_id(cmd, uar->index);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_dealloc_uar(EfaCore *core, EfaAdminCmd *cmd)
{
    uint32_t index, i;
    EfaAdminStatus status = efa_id_check(cmd, &core->uars, "UAR", &index);
    const EfaUar *uar;

    if (status != EFA_ADMIN_SUCCESS) {
        return status;
    }
    uar = efa_table_get(&core->uars, index);
    if (uar->refs) {
        return efa_admin_fail(cmd, EFA_ADMIN_RESOURCE_BUSY, EFA_EXT_BUSY,
                              "UAR %u has %u queues and counters", index,
                              uar->refs);
    }
    /* Only now may its send queue windows go to somebody else (1.10). */
    for (i = 0; i < core->cfg.max_qp; i++) {
        if (core->llq_owner[i] == index + 1) {
            core->llq_owner[i] = 0;
        }
    }
    efa_simple_free(&core->uars, index);
    trace_efa_object("UAR", "destroy", index);
    return EFA_ADMIN_SUCCESS;
}

static EfaAh *efa_ah_lookup(EfaCore *core, const EfaPd *pd, EfaPeer *peer)
{
    EfaAh key = { .pd = (EfaPd *)pd, .peer = peer };

    return g_hash_table_lookup(core->ah_by_dest, &key);
}

uint16_t efa_ah_reverse(EfaCore *core, const EfaPd *pd, EfaPeer *peer)
{
    const EfaAh *ah = efa_ah_lookup(core, pd, peer);

    return ah ? ah->index : EFA_IO_NO_AH;
}

/*
 * Drivers up to 7.2 create a handle for each verb, also for one destination:
 * the same number is returned and the references are counted (5.5). With
 * unique-ah the device refuses it, as the newest hardware does.
 */
EfaAdminStatus efa_cmd_create_ah(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaCreateAhCmd *req = (const EfaCreateAhCmd *)&cmd->req;
    EfaPd *pd = efa_table_get(&core->pds, le16_to_cpu(req->pd));
    EfaPeer *peer;
    EfaGid gid;
    EfaAh *ah;

    memcpy(gid.raw, req->dest_addr, sizeof(gid.raw));
    if (req->reserved) {
        return efa_admin_fail(cmd, EFA_ADMIN_MALFORMED_REQUEST,
                              EFA_EXT_RESERVED_SET, "reserved field set");
    }
    if (!pd) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_UNKNOWN_ID, "PD %u",
                              le16_to_cpu(req->pd));
    }
    if (!efa_gid_is_unicast(&gid)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              EFA_EXT_OUT_OF_RANGE,
                              "destination is no unicast GID (a caller that "
                              "leaves is_global at 0 asks for the zero GID)");
    }

    peer = efa_peer_get(core, &gid);
    ah = efa_ah_lookup(core, pd, peer);
    if (ah && efa_can(core, EFA_CAP_UNIQUE_AH)) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER, EFA_EXT_BUSY,
                              "PD %u has AH %u for that destination",
                              pd->index, ah->index);
    }
    if (!ah) {
        ah = g_new0(EfaAh, 1);
        ah->pd = pd;
        ah->peer = peer;
        ah->index = efa_table_add(&core->ahs, ah);
        if (ah->index == EFA_NO_INDEX) {
            g_free(ah);
            efa_peer_maybe_free(core, peer);
            return efa_table_full(cmd, &core->ahs);
        }
        g_hash_table_add(core->ah_by_dest, ah);
        pd->refs++;
        peer->ah_refs++;
    }
    ah->refs++;
    trace_efa_ah("create", ah->index, pd->index, ah->refs);
    efa_answer_id(cmd, ah->index);
    return EFA_ADMIN_SUCCESS;
}

EfaAdminStatus efa_cmd_destroy_ah(EfaCore *core, EfaAdminCmd *cmd)
{
    const EfaIdCmd *req = (const EfaIdCmd *)&cmd->req;
    uint16_t pd = le16_to_cpu(req->reserved);
    EfaAh *ah = efa_table_get(&core->ahs, le16_to_cpu(req->id));

    if (!ah || ah->pd->index != pd) {
        return efa_admin_fail(cmd, EFA_ADMIN_ILLEGAL_PARAMETER,
                              ah ? EFA_EXT_WRONG_OWNER : EFA_EXT_UNKNOWN_ID,
                              "AH %u of PD %u", le16_to_cpu(req->id), pd);
    }
    ah->refs--;
    trace_efa_ah("destroy", ah->index, pd, ah->refs);
    if (!ah->refs) {
        efa_sq_flush_ah(core, ah);
        efa_ah_free(core, ah);
    }
    return EFA_ADMIN_SUCCESS;
}
