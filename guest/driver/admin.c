// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: admin queues
 *
 * A command takes one of 32 places, is written to the submission queue and
 * announced by a doorbell; whoever issued it sleeps until the interrupt finds
 * its completion. A command without an answer is the end of this life of the
 * device: it is reset, everybody who waits is told, and a new life begins
 * (main.c).
 */
#include <linux/bitfield.h>
#include "efa.h"

#define EFA_ADMIN_TIMEOUT_MS	30000
#define EFA_ADMIN_TIMEOUT_UNIT	100

/* Command ids: where its issuer waits, and how often that place was used. */
#define EFA_ID_PLACE		GENMASK(4, 0)
#define EFA_ID_GENERATION	GENMASK(11, 5)

static int efa_status_errno(u8 status)
{
	switch (status) {
	case EFA_ADMIN_SUCCESS:
		return 0;
	case EFA_ADMIN_RESOURCE_ALLOCATION_FAILURE:
		return -ENOMEM;
	case EFA_ADMIN_UNSUPPORTED_OPCODE:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}

int efa_admin_init(struct efa_dev *dev)
{
	const size_t size = EFA_AQ_DEPTH * EFA_ADMIN_ENTRY_SIZE;
	struct efa_admin *admin = &dev->admin;
	struct device *parent = &dev->pdev->dev;
	int i;

	spin_lock_init(&admin->lock);
	sema_init(&admin->slots, EFA_AQ_DEPTH);
	for (i = 0; i < EFA_AQ_DEPTH; i++)
		init_completion(&admin->wait[i].done);
	admin->aq = dmam_alloc_coherent(parent, size, &admin->aq_dma,
					GFP_KERNEL);
	admin->acq = dmam_alloc_coherent(parent, size, &admin->acq_dma,
					 GFP_KERNEL);
	return admin->aq && admin->acq ? 0 : -ENOMEM;
}

int efa_admin_start(struct efa_dev *dev)
{
	const u32 queue = FIELD_PREP(EFA_QUEUE_CAPS_DEPTH, EFA_AQ_DEPTH) |
			  FIELD_PREP(EFA_QUEUE_CAPS_ENTRY_SIZE,
				     EFA_ADMIN_ENTRY_SIZE);
	struct efa_admin *admin = &dev->admin;
	u32 caps;
	int err;

	err = efa_reg_read(dev, EFA_REG_CAPS, &caps);
	if (err)
		return err;
	admin->timeout_ms = FIELD_GET(EFA_CAPS_ADMIN_CMD_TO, caps) *
			    EFA_ADMIN_TIMEOUT_UNIT;
	if (!admin->timeout_ms)
		admin->timeout_ms = EFA_ADMIN_TIMEOUT_MS;
	if (admin->hint_ms)
		admin->timeout_ms = admin->hint_ms;
	memset(admin->aq, 0, EFA_AQ_DEPTH * EFA_ADMIN_ENTRY_SIZE);
	memset(admin->acq, 0, EFA_AQ_DEPTH * EFA_ADMIN_ENTRY_SIZE);

	spin_lock_irq(&admin->lock);
	admin->sq_count = 0;
	admin->cq_count = 0;
	spin_unlock_irq(&admin->lock);
	/* a queue takes effect with its CAPS register */
	efa_reg_write_addr(dev, EFA_REG_AQ_BASE_LO, admin->aq_dma);
	efa_reg_write(dev, EFA_REG_AQ_CAPS, queue);
	efa_reg_write_addr(dev, EFA_REG_ACQ_BASE_LO, admin->acq_dma);
	efa_reg_write(dev, EFA_REG_ACQ_CAPS, queue);
	efa_reg_write(dev, EFA_REG_INTR_MASK, 0);
	spin_lock_irq(&admin->lock);
	admin->running = true;
	spin_unlock_irq(&admin->lock);
	return 0;
}

static void efa_admin_finish(struct efa_admin_wait *wait, int err)
{
	wait->err = err;
	wait->state = EFA_PLACE_DONE;
	complete(&wait->done);
}

void efa_admin_stop(struct efa_dev *dev)
{
	struct efa_admin *admin = &dev->admin;
	int i;

	spin_lock_irq(&admin->lock);
	admin->running = false;
	for (i = 0; i < EFA_AQ_DEPTH; i++)
		if (admin->wait[i].state == EFA_PLACE_WAITING)
			efa_admin_finish(&admin->wait[i], -EIO);
	spin_unlock_irq(&admin->lock);
}

/* The next completion, if there is one. Under the lock. */
static bool efa_admin_next(struct efa_admin *admin, struct efa_acq_entry *out)
{
	struct efa_acq_entry *entry =
		&admin->acq[admin->cq_count % EFA_AQ_DEPTH];
	bool phase = !(admin->cq_count / EFA_AQ_DEPTH & 1);

	if ((READ_ONCE(entry->flags) & EFA_ACQ_PHASE) != phase)
		return false;
	dma_rmb();	/* the phase was written last */
	*out = *entry;
	admin->cq_count++;
	return true;
}

void efa_admin_poll(struct efa_dev *dev)
{
	struct efa_admin *admin = &dev->admin;
	struct efa_acq_entry entry;
	struct efa_admin_wait *wait;
	unsigned long flags;
	u16 id;

	spin_lock_irqsave(&admin->lock, flags);
	while (admin->running && efa_admin_next(admin, &entry)) {
		id = FIELD_GET(EFA_AQ_COMMAND_ID, le16_to_cpu(entry.command));
		wait = &admin->wait[FIELD_GET(EFA_ID_PLACE, id)];
		if (wait->state != EFA_PLACE_WAITING || wait->id != id) {
			dev_err_ratelimited(&dev->pdev->dev,
					    "completion of command 0x%x, which nobody waits for\n",
					    id);
			continue;
		}
		wait->answer = entry;
		efa_count(dev, EFA_COMPLETED_CMDS);
		efa_admin_finish(wait, 0);
	}
	spin_unlock_irqrestore(&admin->lock, flags);
}

/* Take a free place and announce the command; NULL: not now. */
static struct efa_admin_wait *efa_admin_submit(struct efa_dev *dev,
					       const struct efa_cmd *cmd)
{
	struct efa_admin *admin = &dev->admin;
	struct efa_admin_wait *wait = NULL;
	struct efa_aq_entry *entry;
	int i;

	spin_lock_irq(&admin->lock);
	for (i = 0; admin->running && i < EFA_AQ_DEPTH; i++) {
		if (admin->wait[i].state == EFA_PLACE_FREE) {
			wait = &admin->wait[i];
			break;
		}
	}
	if (wait) {
		wait->state = EFA_PLACE_WAITING;
		wait->id = FIELD_PREP(EFA_ID_PLACE, i) |
			   FIELD_PREP(EFA_ID_GENERATION,
				      admin->generation++ & 0x7f);
		reinit_completion(&wait->done);
		entry = &admin->aq[admin->sq_count % EFA_AQ_DEPTH];
		memset(entry, 0, sizeof(*entry));
		memcpy(entry->data, cmd->req, cmd->req_len);
		entry->command_id = cpu_to_le16(wait->id);
		entry->opcode = cmd->opcode;
		entry->flags = cmd->flags;
		if (!(admin->sq_count / EFA_AQ_DEPTH & 1))
			entry->flags |= EFA_AQ_PHASE;
		admin->sq_count++;
		efa_count(dev, EFA_SUBMITTED_CMDS);
		/* writel() comes after all stores to the entry */
		efa_reg_write(dev, EFA_REG_AQ_PROD_DB, admin->sq_count);
	}
	spin_unlock_irq(&admin->lock);
	return wait;
}

/* Nobody will answer any more. */
static void efa_admin_give_up(struct efa_dev *dev, struct efa_admin_wait *wait)
{
	struct efa_admin *admin = &dev->admin;

	spin_lock_irq(&admin->lock);
	if (wait->state == EFA_PLACE_WAITING) {
		/* first, for whoever sees the error and calls efa_settle() */
		efa_schedule_recovery(dev);
		admin->running = false;
		efa_admin_finish(wait, -ETIME);
	}
	spin_unlock_irq(&admin->lock);
}

static int efa_admin_wait_for(struct efa_dev *dev, struct efa_admin_wait *wait,
			      const struct efa_cmd *cmd)
{
	unsigned long timeout = msecs_to_jiffies(dev->admin.timeout_ms);

	if (!wait_for_completion_timeout(&wait->done, timeout)) {
		/* the completion without its interrupt is good enough */
		efa_admin_poll(dev);
		efa_admin_give_up(dev, wait);
		if (wait->err == -ETIME) {
			efa_count(dev, EFA_NO_COMPLETION_CMDS);
			dev_err(&dev->pdev->dev,
				"no answer to command %u within %u ms\n",
				cmd->opcode, dev->admin.timeout_ms);
		}
	}
	return wait->err;
}

int efa_admin_exec(struct efa_dev *dev, const struct efa_cmd *cmd)
{
	struct efa_admin_wait *wait;
	struct efa_acq_entry answer;
	int err;

	might_sleep();
	down(&dev->admin.slots);
	wait = efa_admin_submit(dev, cmd);
	if (!wait) {
		up(&dev->admin.slots);
		efa_count(dev, EFA_CMDS_ERR);
		return -EIO;
	}
	err = efa_admin_wait_for(dev, wait, cmd);
	answer = wait->answer;
	spin_lock_irq(&dev->admin.lock);
	wait->state = EFA_PLACE_FREE;
	spin_unlock_irq(&dev->admin.lock);
	up(&dev->admin.slots);
	if (!err) {
		err = efa_status_errno(answer.status);
		if (err)
			dev_dbg_ratelimited(&dev->pdev->dev,
					    "command %u: status %u, extended %u\n",
					    cmd->opcode, answer.status,
					    le16_to_cpu(answer.extended_status));
	}
	if (err)
		efa_count(dev, EFA_CMDS_ERR);
	else if (cmd->resp)
		memcpy(cmd->resp, answer.response, cmd->resp_len);
	return err;
}
