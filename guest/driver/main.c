// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: life of the device, from probe to removal
 *
 * A device can die before its driver: a command remains without an answer, or
 * the device says that it is lost. Then everybody who waits is told, verbs
 * users get events, and the device is reset into its next life. What they
 * made before is unknown to it; they can destroy it, and open the device anew.
 */
#include <linux/bitfield.h>
#include <linux/delay.h>
#include <linux/module.h>
#include "efa.h"

/* So often, each time after twice as long. */
#define EFA_RECOVERY_TRIES	6
#define EFA_RECOVERY_MS		100

static const struct pci_device_id efa_ids[] = {
	{ PCI_VDEVICE(AMAZON, 0xefa0) },
	{ PCI_VDEVICE(AMAZON, 0xefa1) },
	{ PCI_VDEVICE(AMAZON, 0xefa2) },
	{ PCI_VDEVICE(AMAZON, 0xefa3) },
	{ PCI_VDEVICE(AMAZON, 0xefa4) },
	{ }
};
MODULE_DEVICE_TABLE(pci, efa_ids);
MODULE_AUTHOR("The efa-emu developers");
MODULE_DESCRIPTION("Elastic Fabric Adapter, the driver to read");
MODULE_LICENSE("Dual BSD/GPL");

/* ---- lives ---- */

int efa_life_enter(struct efa_dev *dev, unsigned int life)
{
	down_read(&dev->life_lock);
	if (dev->state == EFA_DEV_LIVE && dev->life == life)
		return 0;
	up_read(&dev->life_lock);
	return -EIO;
}

int efa_new_enter(struct efa_dev *dev, struct efa_ucontext *uctx,
		  unsigned int *life)
{
	down_read(&dev->life_lock);
	if (dev->state == EFA_DEV_LIVE && (!uctx || !uctx->stale)) {
		*life = dev->life;
		return 0;
	}
	up_read(&dev->life_lock);
	return -EIO;
}

void efa_life_leave(struct efa_dev *dev)
{
	up_read(&dev->life_lock);
}

int efa_settle(struct efa_dev *dev, int err)
{
	if (err != -EIO && err != -ETIME)
		return err;
	flush_work(&dev->recovery);
	return 0;
}

int efa_forget(struct efa_dev *dev, unsigned int life,
	       enum efa_admin_opcode opcode, u32 handle, const void *owner)
{
	int err;

	if (efa_life_enter(dev, life))
		return 0;	/* of an earlier life */
	err = owner ? efa_cmd_free(dev, opcode, handle) :
		      efa_cmd_undo(dev, opcode, handle);
	efa_life_leave(dev);
	err = efa_settle(dev, err);
	if (err && !owner) {
		flush_work(&dev->recovery);
		err = 0;
	}
	return err;
}

/*
 * Also from interrupts and under the life lock, which the work takes. What
 * comes before there is a life is seen to at its beginning.
 */
void efa_schedule_recovery(struct efa_dev *dev)
{
	if (READ_ONCE(dev->state) != EFA_DEV_LIVE)
		set_bit(EFA_FATAL_EARLY, &dev->dying);
	else if (!test_and_set_bit(EFA_DYING, &dev->dying))
		queue_work(dev->wq, &dev->recovery);
}

static void efa_begin_life(struct efa_dev *dev)
{
	/* pairs with efa_is_alive() */
	smp_store_release(&dev->state, EFA_DEV_LIVE);
	if (test_and_clear_bit(EFA_FATAL_EARLY, &dev->dying))
		efa_schedule_recovery(dev);
}

/* From here on nobody rings a doorbell of this life. Under the life lock. */
static void efa_end_life(struct efa_dev *dev, enum efa_dev_state state)
{
	WRITE_ONCE(dev->state, state);
	synchronize_rcu();
}

/* From reset to where objects can be made. */
static int efa_bring_up(struct efa_dev *dev, enum efa_reset_reason reason)
{
	int err;

	err = efa_device_reset(dev, reason);
	if (err)
		return err;
	err = efa_admin_start(dev);
	if (err)
		return err;
	efa_aenq_start(dev);
	return 0;
}

static int efa_announce(struct efa_dev *dev)
{
	int err;

	err = efa_cmd_enable_aenq(dev);
	if (err)
		return err;
	err = efa_eqs_create(dev);
	if (err)
		return err;
	efa_cmd_host_info(dev);
	return 0;
}

/* Those who have made something in that life. */
static void efa_tell_users(struct efa_dev *dev, unsigned int life)
{
	struct ib_event event = {
		.device = &dev->ibdev,
		.event = IB_EVENT_DEVICE_FATAL,
	};
	struct efa_qp *qp;
	unsigned long i;

	xa_lock(&dev->qps);
	xa_for_each(&dev->qps, i, qp) {
		struct ib_event fatal = {
			.device = &dev->ibdev,
			.event = IB_EVENT_QP_FATAL,
			.element.qp = &qp->ibqp,
		};

		if (qp->life == life && qp->ibqp.event_handler)
			qp->ibqp.event_handler(&fatal, qp->ibqp.qp_context);
	}
	xa_unlock(&dev->qps);
	ib_dispatch_event(&event);
}

/* No handler is at work on an event queue, and none begins. */
static void efa_quiesce_eqs(struct efa_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_eqs; i++) {
		WRITE_ONCE(dev->eqs[i].live, false);
		synchronize_irq(pci_irq_vector(dev->pdev, i + 1));
	}
}

/*
 * It may never have been reset: have it begin one, which ends when a driver
 * comes that can talk to it, and touch nothing until then.
 */
static void efa_silence(struct efa_dev *dev)
{
	efa_reg_write(dev, EFA_REG_DEV_CTL, EFA_DEV_CTL_DEV_RESET);
	pci_clear_master(dev->pdev);
}

/*
 * The device touches nothing any more of what was made in lives that have
 * ended: kernel users get their requests back (efa_poll_cq()).
 */
static void efa_flush_kernel(struct efa_dev *dev)
{
	struct efa_cq *cq;
	unsigned long i;

	WRITE_ONCE(dev->first_held, dev->life);
	xa_lock_irq(&dev->cqs);
	xa_for_each(&dev->cqs, i, cq)
		if (!cq->ibcq.uobject && cq->life < dev->life &&
		    cq->ibcq.comp_handler)
			cq->ibcq.comp_handler(&cq->ibcq, cq->ibcq.cq_context);
	xa_unlock_irq(&dev->cqs);
}

static void efa_recover(struct work_struct *work)
{
	struct efa_dev *dev = container_of(work, struct efa_dev, recovery);
	unsigned int tries = 0;
	int err;

	/* those who wait for an answer hold the life lock: wake them first */
	efa_admin_stop(dev);
	down_write(&dev->life_lock);
	if (dev->state == EFA_DEV_DOWN) {
		up_write(&dev->life_lock);
		return;
	}
	efa_end_life(dev, EFA_DEV_BROKEN);
	WRITE_ONCE(dev->life, dev->life + 1);
	efa_take_pages(dev);
	do {
		if (tries)
			msleep(EFA_RECOVERY_MS << tries);
		efa_quiesce_eqs(dev);
		clear_bit(EFA_FATAL_EARLY, &dev->dying);
		err = efa_bring_up(dev, EFA_RESET_ADMIN_TO);
		if (!err)
			err = efa_announce(dev);
		/* not everything says that a command had no answer */
		if (!err && !READ_ONCE(dev->admin.running))
			err = -EIO;
		if (err)
			efa_admin_stop(dev);
	} while (err && !READ_ONCE(dev->removing) &&
		 ++tries < EFA_RECOVERY_TRIES);
	if (err)
		efa_silence(dev);
	clear_bit(EFA_DYING, &dev->dying);
	smp_mb__after_atomic();
	if (err)
		WRITE_ONCE(dev->state, EFA_DEV_DOWN);
	else
		efa_begin_life(dev);
	efa_flush_kernel(dev);
	if (!READ_ONCE(dev->removing))
		efa_tell_users(dev, dev->life - 1);
	up_write(&dev->life_lock);

	if (err)
		dev_err(&dev->pdev->dev, "the device does not recover: %d\n",
			err);
	else
		dev_info(&dev->pdev->dev, "recovered, life %u\n", dev->life);
}

/* ---- resources of the PCI function ---- */

static irqreturn_t efa_mgmt_irq(int irq, void *data)
{
	struct efa_dev *dev = data;

	efa_admin_poll(dev);
	efa_aenq_poll(dev);
	return IRQ_HANDLED;
}

static int efa_claim_bar(struct efa_dev *dev, unsigned int bar,
			 phys_addr_t *base, resource_size_t *len)
{
	if (bar >= PCI_STD_NUM_BARS ||
	    !(pci_resource_flags(dev->pdev, bar) & IORESOURCE_MEM)) {
		dev_err(&dev->pdev->dev, "BAR %u is not memory\n", bar);
		return -ENODEV;
	}
	*base = pci_resource_start(dev->pdev, bar);
	*len = pci_resource_len(dev->pdev, bar);
	/* else a process would get what lies next to it, too */
	return PAGE_ALIGNED(*base) && PAGE_ALIGNED(*len) ? 0 : -ENODEV;
}

static int efa_set_dma_mask(struct efa_dev *dev)
{
	u32 caps, width;
	int err;

	err = efa_reg_read(dev, EFA_REG_CAPS, &caps);
	if (err)
		return err;
	width = FIELD_GET(EFA_CAPS_DMA_ADDR_WIDTH, caps);
	if (width < 32 || width > 64) {
		dev_err(&dev->pdev->dev, "DMA addresses of %u bits\n", width);
		return -EINVAL;
	}
	dma_set_max_seg_size(&dev->pdev->dev, UINT_MAX);
	return dma_set_mask_and_coherent(&dev->pdev->dev,
					 DMA_BIT_MASK(width));
}

static int efa_check_versions(struct efa_dev *dev)
{
	u32 version, controller;
	int err;

	err = efa_reg_read(dev, EFA_REG_VERSION, &version);
	if (!err)
		err = efa_reg_read(dev, EFA_REG_CONTROLLER_VERSION,
				   &controller);
	if (err)
		return err;
	dev_dbg(&dev->pdev->dev, "version %u.%u, controller 0x%x\n",
		version >> 8, version & 0xff, controller);
	if (!version || !(controller & GENMASK(23, 0))) {
		dev_err(&dev->pdev->dev, "version 0x%x, controller 0x%x\n",
			version, controller);
		return -EOPNOTSUPP;
	}
	return 0;
}

static void efa_free_irqs(struct efa_dev *dev, unsigned int eqs)
{
	while (eqs--)
		free_irq(pci_irq_vector(dev->pdev, eqs + 1), &dev->eqs[eqs]);
}

static int efa_request_irqs(struct efa_dev *dev)
{
	unsigned int i;
	int err;

	for (i = 0; i < dev->num_eqs; i++) {
		err = request_irq(pci_irq_vector(dev->pdev, i + 1), efa_eq_irq,
				  0, EFA_DRV_NAME "-comp", &dev->eqs[i]);
		if (err) {
			efa_free_irqs(dev, i);
			return err;
		}
	}
	return 0;
}

static int efa_alloc_vectors(struct efa_dev *dev)
{
	int table = pci_msix_vec_count(dev->pdev);
	int got;

	if (table < 1)
		return -ENODEV;
	/* the device is told vectors of 8 bits */
	got = pci_alloc_irq_vectors(dev->pdev, 1,
				    min3(table, (int)num_online_cpus() + 1,
					 256), PCI_IRQ_MSIX);
	if (got < 0)
		return got;
	dev->num_vectors = got;
	return 0;
}

/*
 * No new life. What is under way ends by itself, or at once if the device is
 * gone, and so touches no memory. @reason: reset it, unless it is gone.
 */
static void efa_take_down(struct efa_dev *dev, bool gone,
			  enum efa_reset_reason reason)
{
	if (gone)
		efa_admin_stop(dev);
	down_write(&dev->life_lock);
	efa_admin_stop(dev);
	efa_end_life(dev, EFA_DEV_DOWN);
	WRITE_ONCE(dev->life, dev->life + 1);
	efa_quiesce_eqs(dev);
	if (!gone && efa_device_reset(dev, reason))
		efa_silence(dev);
	efa_flush_kernel(dev);
	up_write(&dev->life_lock);
}

/* ---- probe ---- */

/*
 * In layers: each undoes what it did if what is above fails.
 * Memory that it was told of is managed: it goes when all this is over.
 */

static int efa_probe_objects(struct efa_dev *dev)
{
	int err;

	err = efa_eqs_alloc(dev);
	if (err)
		return err;
	err = efa_request_irqs(dev);
	if (err)
		return err;
	err = efa_announce(dev);
	if (err)
		goto free_irqs;
	efa_begin_life(dev);
	err = efa_register(dev);
	if (err)
		goto take_down;
	return 0;

take_down:
	efa_take_down(dev, false, EFA_RESET_INIT_ERR);
	cancel_work_sync(&dev->recovery);
free_irqs:
	efa_free_irqs(dev, dev->num_eqs);
	return err;
}

static int efa_probe_queues(struct efa_dev *dev)
{
	int irq = pci_irq_vector(dev->pdev, 0);
	int err;

	err = efa_admin_init(dev);
	if (err)
		return err;
	err = efa_aenq_init(dev);
	if (err)
		return err;
	err = request_irq(irq, efa_mgmt_irq, 0, EFA_DRV_NAME "-mgmt", dev);
	if (err)
		return err;
	err = efa_admin_start(dev);
	if (err)
		goto free_irq;
	efa_aenq_start(dev);
	err = efa_cmd_get_caps(dev, &dev->caps);
	if (!err)
		err = efa_claim_bar(dev, dev->caps.db_bar, &dev->db_base,
				    &dev->db_len);
	if (!err)
		err = efa_probe_objects(dev);
	if (err)
		goto reset;
	return 0;

reset:
	efa_admin_stop(dev);
	/* before the memory goes that the device writes to */
	efa_device_reset(dev, EFA_RESET_INIT_ERR);
free_irq:
	free_irq(irq, dev);
	cancel_work_sync(&dev->recovery);
	return err;
}

static int efa_probe_device(struct efa_dev *dev)
{
	int err;

	err = efa_regs_init(dev);
	if (err)
		return err;
	err = efa_device_reset(dev, EFA_RESET_NORMAL);
	if (err)
		return err;
	err = efa_check_versions(dev);
	if (!err)
		err = efa_set_dma_mask(dev);
	if (!err)
		err = efa_alloc_vectors(dev);
	if (err)
		return err;
	err = efa_probe_queues(dev);
	if (err)
		pci_free_irq_vectors(dev->pdev);
	return err;
}

static struct efa_dev *efa_dev_alloc(struct pci_dev *pdev)
{
	struct efa_dev *dev = ib_alloc_device(efa_dev, ibdev);

	if (!dev)
		return NULL;
	dev->wq = alloc_workqueue(EFA_DRV_NAME, WQ_FREEZABLE | WQ_MEM_RECLAIM,
				  1);
	if (!dev->wq) {
		ib_dealloc_device(&dev->ibdev);
		return NULL;
	}
	dev->pdev = pdev;
	init_rwsem(&dev->life_lock);
	INIT_WORK(&dev->recovery, efa_recover);
	mutex_init(&dev->uctx_lock);
	mutex_init(&dev->kernel_lock);
	INIT_LIST_HEAD(&dev->ucontexts);
	xa_init_flags(&dev->cqs, XA_FLAGS_LOCK_IRQ);
	xa_init(&dev->qps);
	xa_init(&dev->bar_owner);
	pci_set_drvdata(pdev, dev);
	return dev;
}

static void efa_dev_free(struct efa_dev *dev)
{
	destroy_workqueue(dev->wq);
	xa_destroy(&dev->bar_owner);
	xa_destroy(&dev->qps);
	xa_destroy(&dev->cqs);
	ib_dealloc_device(&dev->ibdev);
}

static int efa_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct efa_dev *dev;
	int err;

	err = pci_enable_device_mem(pdev);
	if (err)
		return err;
	err = pci_request_mem_regions(pdev, EFA_DRV_NAME);
	if (err)
		goto disable;
	pci_set_master(pdev);
	dev = efa_dev_alloc(pdev);
	if (!dev) {
		err = -ENOMEM;
		goto release;
	}
	err = efa_claim_bar(dev, EFA_MEM_BAR, &dev->mem_base, &dev->mem_len);
	if (!err)
		err = efa_probe_device(dev);
	if (err)
		goto free;
	return 0;

free:
	efa_dev_free(dev);
release:
	pci_clear_master(pdev);
	pci_release_mem_regions(pdev);
disable:
	pci_disable_device(pdev);
	return err;
}

static void efa_remove(struct pci_dev *pdev)
{
	struct efa_dev *dev = pci_get_drvdata(pdev);
	bool present = pci_device_is_present(pdev);

	/* recovery is not tried again, and behind the lock nobody is told */
	WRITE_ONCE(dev->removing, true);
	down_write(&dev->life_lock);
	up_write(&dev->life_lock);
	/* a device that was pulled out answers no command */
	if (!present)
		efa_take_down(dev, true, 0);
	/* destroys what users have left; the lives can still change */
	ib_unregister_device(&dev->ibdev);
	cancel_work_sync(&dev->recovery);
	if (dev->state != EFA_DEV_DOWN)
		efa_take_down(dev, false, EFA_RESET_NORMAL);
	efa_free_irqs(dev, dev->num_eqs);
	free_irq(pci_irq_vector(pdev, 0), dev);
	cancel_work_sync(&dev->recovery);
	pci_free_irq_vectors(pdev);
	efa_dev_free(dev);
	pci_clear_master(pdev);
	pci_release_mem_regions(pdev);
	pci_disable_device(pdev);
}

/* Another kernel may use all memory next: the device must let go of it. */
static void efa_shutdown(struct pci_dev *pdev)
{
	struct efa_dev *dev = pci_get_drvdata(pdev);

	efa_take_down(dev, false, EFA_RESET_SHUTDOWN);
}

/* Sleep is the end of a life. */
static int efa_suspend(struct device *device)
{
	struct efa_dev *dev = dev_get_drvdata(device);

	down_write(&dev->life_lock);	/* what is under way is answered */
	efa_admin_stop(dev);
	efa_end_life(dev, EFA_DEV_BROKEN);
	efa_quiesce_eqs(dev);
	if (efa_device_reset(dev, EFA_RESET_NORMAL))
		efa_silence(dev);
	up_write(&dev->life_lock);
	return 0;
}

static int efa_resume(struct device *device)
{
	struct efa_dev *dev = dev_get_drvdata(device);

	/* not by the work queue, which is still frozen */
	cancel_work_sync(&dev->recovery);
	pci_set_master(dev->pdev);
	efa_recover(&dev->recovery);
	return dev->state == EFA_DEV_LIVE ? 0 : -EIO;
}

static DEFINE_SIMPLE_DEV_PM_OPS(efa_pm_ops, efa_suspend, efa_resume);

static struct pci_driver efa_driver = {
	.name = EFA_DRV_NAME,
	.id_table = efa_ids,
	.probe = efa_probe,
	.remove = efa_remove,
	.shutdown = efa_shutdown,
	.driver.pm = pm_sleep_ptr(&efa_pm_ops),
};
module_pci_driver(efa_driver);
