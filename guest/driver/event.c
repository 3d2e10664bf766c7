// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: what the device tells by itself
 *
 * The AENQ carries events of the device, an event queue those of completion
 * queues. Both are rings that only the device writes; an entry is there when
 * its phase bit says so.
 */
#include <linux/bitfield.h>
#include "efa.h"

#define EFA_AENQ_SIZE	(EFA_AENQ_DEPTH * EFA_ADMIN_ENTRY_SIZE)

int efa_aenq_init(struct efa_dev *dev)
{
	dev->aenq.ring = dmam_alloc_coherent(&dev->pdev->dev, EFA_AENQ_SIZE,
					     &dev->aenq.dma, GFP_KERNEL);
	return dev->aenq.ring ? 0 : -ENOMEM;
}

void efa_aenq_start(struct efa_dev *dev)
{
	/* of the life before, perhaps */
	synchronize_irq(pci_irq_vector(dev->pdev, 0));
	memset(dev->aenq.ring, 0, EFA_AENQ_SIZE);
	dev->aenq.count = 0;
	efa_reg_write_addr(dev, EFA_REG_AENQ_BASE_LO, dev->aenq.dma);
	efa_reg_write(dev, EFA_REG_AENQ_CAPS,
		      FIELD_PREP(EFA_QUEUE_CAPS_DEPTH, EFA_AENQ_DEPTH) |
		      FIELD_PREP(EFA_QUEUE_CAPS_ENTRY_SIZE,
				 EFA_ADMIN_ENTRY_SIZE));
	efa_reg_write(dev, EFA_REG_AENQ_CONS_DB, 0);
}

static void efa_aenq_event(struct efa_dev *dev,
			   const struct efa_aenq_entry *entry)
{
	u16 syndrome = le16_to_cpu(entry->syndrome);

	switch (le16_to_cpu(entry->group)) {
	case EFA_AENQ_KEEP_ALIVE:
		efa_count(dev, EFA_KEEP_ALIVE_RCVD);
		break;
	case EFA_AENQ_FATAL_ERROR:
		dev_err(&dev->pdev->dev, "fatal error, syndrome %u\n",
			syndrome);
		efa_schedule_recovery(dev);
		break;
	case EFA_AENQ_WARNING:
		dev_warn_ratelimited(&dev->pdev->dev, "warning %u\n",
				     syndrome);
		break;
	case EFA_AENQ_NOTIFICATION:
		dev_info_ratelimited(&dev->pdev->dev, "notification %u\n",
				     syndrome);
		break;
	default:
		dev_warn_ratelimited(&dev->pdev->dev,
				     "event of unknown group %u\n",
				     le16_to_cpu(entry->group));
		break;
	}
}

/* Only the interrupt handler of vector 0 comes here. */
void efa_aenq_poll(struct efa_dev *dev)
{
	struct efa_aenq *aenq = &dev->aenq;
	u32 before = aenq->count;

	for (;;) {
		struct efa_aenq_entry *entry =
			&aenq->ring[aenq->count % EFA_AENQ_DEPTH];
		bool phase = !(aenq->count / EFA_AENQ_DEPTH & 1);

		if ((READ_ONCE(entry->flags) & EFA_AENQ_PHASE) != phase)
			break;
		dma_rmb();	/* the phase was written last */
		efa_aenq_event(dev, entry);
		aenq->count++;
	}
	if (aenq->count != before)
		efa_reg_write(dev, EFA_REG_AENQ_CONS_DB, aenq->count);
}

/* ---- event queues ---- */

/* One for each vector but the first. */
int efa_eqs_alloc(struct efa_dev *dev)
{
	unsigned int i;

	dev->num_eqs = min(dev->caps.max_eq, dev->num_vectors - 1);
	dev->eqs = devm_kcalloc(&dev->pdev->dev, max(dev->num_eqs, 1u),
				sizeof(*dev->eqs), GFP_KERNEL);
	if (!dev->eqs)
		return -ENOMEM;
	for (i = 0; i < dev->num_eqs; i++) {
		struct efa_eq *eq = &dev->eqs[i];

		eq->dev = dev;
		eq->vector = i + 1;
		eq->size = array_size(dev->caps.max_eq_depth,
				      sizeof(*eq->ring));
		eq->ring = dmam_alloc_coherent(&dev->pdev->dev, eq->size,
					       &eq->dma, GFP_KERNEL);
		if (!eq->ring)
			return -ENOMEM;
	}
	return 0;
}

static void efa_eq_arm(struct efa_eq *eq)
{
	efa_reg_write(eq->dev, EFA_REG_EQ_DB,
		      FIELD_PREP(EFA_EQ_DB_EQN, eq->eqn) | EFA_EQ_DB_ARM);
}

static int efa_eq_create(struct efa_dev *dev, struct efa_eq *eq)
{
	const struct efa_create_eq_cmd req = {
		.depth = cpu_to_le16(dev->caps.max_eq_depth),
		.msix_vec = eq->vector,
		.caps = EFA_EQ_ENTRY_WORDS,
		.ba_low = cpu_to_le32(lower_32_bits(eq->dma)),
		.ba_high = cpu_to_le32(upper_32_bits(eq->dma)),
		.event_bitmask = cpu_to_le32(EFA_EQ_COMPLETION_EVENTS),
	};
	struct efa_id resp;
	int err;

	err = efa_exec(dev, EFA_ADMIN_CREATE_EQ, &req, sizeof(req), &resp,
		       sizeof(resp));
	if (!err)
		eq->eqn = le16_to_cpu(resp.id);
	return err;
}

/* In each life of the device: its numbers may be others than before. */
int efa_eqs_create(struct efa_dev *dev)
{
	unsigned int i;
	int err;

	for (i = 0; i < dev->num_eqs; i++) {
		struct efa_eq *eq = &dev->eqs[i];

		memset(eq->ring, 0, eq->size);
		eq->count = 0;
		err = efa_eq_create(dev, eq);
		if (err)
			return err;
		smp_store_release(&eq->live, true);
		efa_eq_arm(eq);
	}
	return 0;
}

static void efa_eq_event(struct efa_eq *eq, const struct efa_eqe *eqe)
{
	u32 common = le32_to_cpu(eqe->common);
	u16 cqn = le16_to_cpu(eqe->cqn);
	struct efa_cq *cq;

	if (FIELD_GET(EFA_EQE_EVENT_TYPE, common) != EFA_EQE_COMPLETION) {
		dev_warn_ratelimited(&eq->dev->pdev->dev,
				     "event of unknown type 0x%x\n", common);
		return;
	}
	/* efa_destroy_cq() waits for this handler before the CQ goes */
	cq = xa_load(&eq->dev->cqs, cqn);
	if (!cq)
		return;
	WRITE_ONCE(cq->events, cq->events + 1);
	if (cq->ibcq.comp_handler)
		cq->ibcq.comp_handler(&cq->ibcq, cq->ibcq.cq_context);
}

irqreturn_t efa_eq_irq(int irq, void *data)
{
	struct efa_eq *eq = data;
	u32 depth = eq->dev->caps.max_eq_depth;

	if (!smp_load_acquire(&eq->live))
		return IRQ_HANDLED;
	for (;;) {
		struct efa_eqe *eqe = &eq->ring[eq->count % depth];
		bool phase = !(eq->count / depth & 1);

		if ((le32_to_cpu(READ_ONCE(eqe->common)) & EFA_EQE_PHASE) !=
		    phase)
			break;
		dma_rmb();	/* the phase was written last */
		efa_eq_event(eq, eqe);
		eq->count++;
	}
	efa_eq_arm(eq);
	return IRQ_HANDLED;
}
