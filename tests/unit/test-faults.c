/*
 * Unit tests: admin commands that go wrong because somebody asked for it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "harness.h"
#include "efa-internal.h"

/* @count commands of @opcode from the @nth on end with @status. */
static EfaFaultRule rule(uint8_t opcode, uint32_t nth, uint32_t count,
                         EfaAdminStatus status)
{
    return (EfaFaultRule) {
        .opcode = opcode, .nth = nth, .count = count, .status = status,
    };
}

/* The next command, whatever it is. */
static EfaFaultRule next(EfaFaultAction action)
{
    EfaFaultRule r;

    efa_fault_rule_init(&r);
    r.action = action;
    return r;
}

/* Set the rules that follow. */
#define SET(_h, ...) do {                                               \
        EfaFaultRule _rules[] = { __VA_ARGS__ };                        \
        EfaFaults _faults = { G_N_ELEMENTS(_rules), _rules };           \
        GError *_err = NULL;                                            \
                                                                        \
        efa_core_set_faults((_h)->core, &_faults, &_err);               \
        g_assert_no_error(_err);                                        \
    } while (0)

static void clear(Host *h)
{
    EfaFaults none = { 0 };

    g_assert_true(efa_core_set_faults(h->core, &none, NULL));
}

static void check_stats(Host *h, size_t rule, uint64_t seen, uint64_t fired)
{
    size_t num;
    g_autofree EfaFaultStats *stats = efa_core_fault_stats(h->core, &num);

    g_assert_cmpuint(rule, <, num);
    g_assert_cmpuint(stats[rule].seen, ==, seen);
    g_assert_cmpuint(stats[rule].fired, ==, fired);
}

static uint8_t alloc_pd(Host *h)
{
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);

    return admin_status(h, &cmd);
}

/* Send one whose completion is not waited for. */
static void send_alloc_pd(Host *h)
{
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);

    host_irqs(h, 0);
    aq_put(h, &cmd);
    aq_ring(h);
}

static size_t pds(Host *h)
{
    return h->core->pds.used;
}

/* It says so and has not happened. */
static void test_status(void)
{
    Host *h = host_new(1);
    EfaFaultRule r = rule(EFA_ADMIN_ALLOC_PD, 1, 1, EFA_ADMIN_RESOURCE_BUSY);
    EfaAqEntry cmd = CMD(EfaAqEntry, EFA_ADMIN_ALLOC_PD);
    EfaAcqEntry cqe;

    r.extended_status = 0x1234;
    SET(h, r);
    alloc_uar_ok(h);
    cqe = admin(h, &cmd);
    g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_RESOURCE_BUSY);
    g_assert_cmphex(cqe.extended_status, ==, 0x1234);
    g_assert_cmpuint(pds(h), ==, 0);
    check_stats(h, 0, 1, 1);
    /* once only */
    alloc_pd_ok(h);
    g_assert_cmpuint(pds(h), ==, 1);
    check_stats(h, 0, 2, 1);
    hosts_free();
}

/* The third and fourth; then all from the second on. */
static void test_nth(void)
{
    Host *h = host_new(1);
    unsigned i;

    SET(h, rule(EFA_ADMIN_ALLOC_PD, 3, 2, EFA_ADMIN_UNKNOWN_ERROR));
    for (i = 1; i <= 6; i++) {
        g_assert_cmpuint(alloc_pd(h), ==, i == 3 || i == 4
                         ? EFA_ADMIN_UNKNOWN_ERROR : EFA_ADMIN_SUCCESS);
    }
    check_stats(h, 0, 6, 2);
    SET(h, rule(EFA_ADMIN_ALLOC_PD, 2, 0, EFA_ADMIN_UNKNOWN_ERROR));
    for (i = 1; i <= 40; i++) {
        g_assert_cmpuint(alloc_pd(h), ==, i >= 2 ? EFA_ADMIN_UNKNOWN_ERROR
                                                 : EFA_ADMIN_SUCCESS);
    }
    clear(h);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    hosts_free();
}

/* The largest numbers are as good as others. */
static void test_bounds(void)
{
    EfaFaultRule r = rule(0, UINT32_MAX, UINT32_MAX, EFA_ADMIN_UNKNOWN_ERROR);
    EfaFaults faults = { 1, &r };
    Host *h = host_new(1);

    g_assert_true(efa_core_set_faults(h->core, &faults, NULL));
    h->core->fault_stats[0].seen = UINT32_MAX - 2ull;
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_UNKNOWN_ERROR);
    h->core->fault_stats[0].seen = 2ull * UINT32_MAX - 2;
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_UNKNOWN_ERROR);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    hosts_free();
}

/* Rules for any command count all; of several that are due the first wins. */
static void test_several(void)
{
    Host *h = host_new(1);

    SET(h, rule(0, 2, 1, EFA_ADMIN_BAD_OPCODE),
        rule(EFA_ADMIN_ALLOC_PD, 1, 2, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE));
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_BAD_OPCODE);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    alloc_uar_ok(h);
    check_stats(h, 0, 4, 1);
    check_stats(h, 1, 3, 1);
    hosts_free();
}

/* Neither completion nor effect; what comes behind it is answered. */
static void test_ignore(void)
{
    Host *h = host_new(1);
    EfaAcqEntry cqe;

    SET(h, next(EFA_FAULT_IGNORE));
    send_alloc_pd(h);
    g_assert_false(acq_take(h, &cqe));
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    g_assert_cmpuint(pds(h), ==, 0);
    alloc_pd_ok(h);
    g_assert_cmpuint(pds(h), ==, 1);
    hosts_free();
}

/* It has happened, but nobody hears of it. */
static void test_lose(void)
{
    Host *h = host_new(1);
    EfaAcqEntry cqe;

    SET(h, next(EFA_FAULT_LOSE));
    send_alloc_pd(h);
    g_assert_false(acq_take(h, &cqe));
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    g_assert_cmpuint(pds(h), ==, 1);
    alloc_pd_ok(h);
    hosts_free();
}

/* The completion is there for who looks. */
static void test_no_interrupt(void)
{
    Host *h = host_new(1);
    EfaAcqEntry cqe;

    SET(h, next(EFA_FAULT_NO_INTERRUPT));
    send_alloc_pd(h);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    g_assert_true(acq_take(h, &cqe));
    g_assert_cmpuint(cqe.status, ==, EFA_ADMIN_SUCCESS);
    g_assert_cmpuint(pds(h), ==, 1);
    alloc_pd_ok(h);
    hosts_free();
}

/* Not even unmasking signals what was to go without a signal. */
static void test_no_interrupt_masked(void)
{
    Host *h = host_new(1);
    EfaAcqEntry cqe;

    SET(h, next(EFA_FAULT_NO_INTERRUPT));
    reg_write(h, A_INTR_MASK, 1);
    send_alloc_pd(h);
    reg_write(h, A_INTR_MASK, 0);
    g_assert_cmpuint(host_irqs(h, 0), ==, 0);
    g_assert_true(acq_take(h, &cqe));
    hosts_free();
}

/* Rules and what they have seen outlive a reset: probes are counted through. */
static void test_reset(void)
{
    Host *h = host_new(1);

    SET(h, rule(EFA_ADMIN_ALLOC_PD, 3, 1, EFA_ADMIN_UNKNOWN_ERROR));
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    host_probe(h);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_SUCCESS);
    efa_core_reset(h->core);
    host_probe(h);
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_UNKNOWN_ERROR);
    check_stats(h, 0, 3, 1);
    hosts_free();
}

/* An opcode that does not exist goes wrong like others; so does one refused. */
static void test_unknown_opcode(void)
{
    Host *h = host_new(1);
    EfaAqEntry unknown = CMD(EfaAqEntry, 200);

    SET(h, rule(0, 1, 1, EFA_ADMIN_RESOURCE_BUSY));
    g_assert_cmpuint(admin_status(h, &unknown), ==, EFA_ADMIN_RESOURCE_BUSY);
    g_assert_cmpuint(admin_status(h, &unknown), ==, EFA_ADMIN_BAD_OPCODE);
    hosts_free();
}

static void test_illegal(void)
{
    const struct {
        EfaFaultRule rule;
        const char *word;
    } wrong[] = {
        { rule(21, 1, 1, EFA_ADMIN_BAD_OPCODE), "opcode=21" },
        { next(EFA_FAULT_ACTIONS), "action=4" },
        { rule(0, 1, 1, EFA_ADMIN_SUCCESS), "status=0" },
        { rule(0, 1, 1, 8), "status=8" },
        { rule(0, 0, 1, EFA_ADMIN_BAD_OPCODE), "nth=0" },
    };
    EfaFaultRule many[EFA_FAULTS_MAX_RULES + 1];
    EfaFaults faults = { 2, many };
    g_autoptr(GError) err = NULL;
    Host *h = host_new(1);
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(many); i++) {
        efa_fault_rule_init(&many[i]);
    }
    SET(h, rule(0, 1, 1, EFA_ADMIN_RESOURCE_BUSY));
    for (i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&err);
        many[1] = wrong[i].rule;
        g_assert_false(efa_core_set_faults(h->core, &faults, &err));
        g_assert_nonnull(strstr(err->message, wrong[i].word));
        g_assert_nonnull(strstr(err->message, "rule 1"));
    }
    efa_fault_rule_init(&many[1]);
    faults.num_rules = G_N_ELEMENTS(many);
    g_clear_error(&err);
    g_assert_false(efa_core_set_faults(h->core, &faults, &err));
    g_assert_nonnull(strstr(err->message, "257"));
    /* what was there is there */
    g_assert_cmpuint(alloc_pd(h), ==, EFA_ADMIN_RESOURCE_BUSY);
    faults.num_rules--;
    g_assert_true(efa_core_set_faults(h->core, &faults, NULL));
    hosts_free();
}

static void test_names(void)
{
    unsigned opcode, known = 0;

    for (opcode = 0; opcode < 256; opcode++) {
        g_autofree char *name = efa_opcode_to_string(opcode);

        if (name) {
            known++;
            g_assert_cmpuint(efa_opcode_parse(name), ==, opcode);
        }
    }
    g_assert_cmpuint(known, ==, 25);
    g_assert_cmpuint(efa_opcode_parse("create-qp"), ==, EFA_ADMIN_CREATE_QP);
    g_assert_cmpuint(efa_opcode_parse("CREATE_QP"), ==, 0);
    g_assert_cmpuint(efa_opcode_parse(""), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/faults/status", test_status);
    g_test_add_func("/faults/nth", test_nth);
    g_test_add_func("/faults/bounds", test_bounds);
    g_test_add_func("/faults/several", test_several);
    g_test_add_func("/faults/ignore", test_ignore);
    g_test_add_func("/faults/lose", test_lose);
    g_test_add_func("/faults/no-interrupt", test_no_interrupt);
    g_test_add_func("/faults/no-interrupt-masked", test_no_interrupt_masked);
    g_test_add_func("/faults/reset", test_reset);
    g_test_add_func("/faults/unknown-opcode", test_unknown_opcode);
    g_test_add_func("/faults/illegal", test_illegal);
    g_test_add_func("/faults/names", test_names);
    return g_test_run();
}
