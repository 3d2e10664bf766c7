// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: registers and reset
 *
 * Registers are written by plain stores and never read by a load: the driver
 * writes which one it wants, and the device answers in memory. That spares a
 * virtual machine a slow round trip to an emulated or shared PCI function.
 */
#include <linux/bitfield.h>
#include <linux/delay.h>
#include <linux/iopoll.h>
#include "efa.h"

#define EFA_REG_READ_TIMEOUT_US	50000
#define EFA_RESET_UNIT_MS	100
/* What req_id of the answer is before it comes: never the number asked for. */
#define EFA_REG_POISON		0x9a9a

void efa_reg_write(struct efa_dev *dev, enum efa_reg reg, u32 value)
{
	writel(value, dev->regs.base + reg);
}

void efa_reg_write_addr(struct efa_dev *dev, enum efa_reg lo, dma_addr_t addr)
{
	efa_reg_write(dev, lo, lower_32_bits(addr));
	efa_reg_write(dev, lo + 4, upper_32_bits(addr));
}

/* Here the low half goes last: it is what makes the address complete. */
static void efa_regs_set_resp(struct efa_dev *dev)
{
	efa_reg_write(dev, EFA_REG_MMIO_RESP_HI,
		      upper_32_bits(dev->regs.resp_dma));
	efa_reg_write(dev, EFA_REG_MMIO_RESP_LO,
		      lower_32_bits(dev->regs.resp_dma));
}

int efa_regs_init(struct efa_dev *dev)
{
	struct efa_regs *regs = &dev->regs;

	mutex_init(&regs->lock);
	regs->timeout_us = EFA_REG_READ_TIMEOUT_US;
	regs->base = devm_ioremap(&dev->pdev->dev,
				  pci_resource_start(dev->pdev, EFA_REG_BAR),
				  pci_resource_len(dev->pdev, EFA_REG_BAR));
	if (!regs->base)
		return -EFAULT;
	regs->resp = dmam_alloc_coherent(&dev->pdev->dev, sizeof(*regs->resp),
					 &regs->resp_dma, GFP_KERNEL);
	if (!regs->resp)
		return -ENOMEM;
	efa_regs_set_resp(dev);
	return 0;
}

int efa_reg_read(struct efa_dev *dev, enum efa_reg reg, u32 *value)
{
	struct efa_regs *regs = &dev->regs;
	u16 id, got;
	int err;

	mutex_lock(&regs->lock);
	id = ++regs->seq;
	WRITE_ONCE(regs->resp->req_id, cpu_to_le16(id ^ EFA_REG_POISON));
	/* writel() orders the poison before the request */
	efa_reg_write(dev, EFA_REG_MMIO_REG_READ,
		      FIELD_PREP(EFA_REG_READ_REG_OFF, reg) |
		      FIELD_PREP(EFA_REG_READ_REQ_ID, id));
	err = read_poll_timeout(le16_to_cpu, got, got == id, 1,
				regs->timeout_us, false,
				READ_ONCE(regs->resp->req_id));
	if (!err) {
		dma_rmb();	/* the value was written before its number */
		*value = le32_to_cpu(regs->resp->reg_val);
		if (le16_to_cpu(regs->resp->reg_off) != reg)
			err = -EIO;
	}
	mutex_unlock(&regs->lock);
	if (err)
		dev_err(&dev->pdev->dev, "register 0x%x cannot be read: %d\n",
			reg, err);
	return err;
}

static int efa_wait_in_reset(struct efa_dev *dev, bool on, unsigned int units)
{
	u32 sts;
	int err;

	while (units--) {
		err = efa_reg_read(dev, EFA_REG_DEV_STS, &sts);
		if (err)
			return err;
		if (!!(sts & EFA_DEV_STS_RESET_IN_PROGRESS) == on)
			return 0;
		msleep(EFA_RESET_UNIT_MS);
	}
	return -ETIME;
}

/*
 * Off and on again: the device forgets all objects and queues, and where to
 * answer register reads, and touches memory no more until told to.
 */
int efa_device_reset(struct efa_dev *dev, enum efa_reset_reason reason)
{
	u32 caps, sts, units;
	int err;

	efa_regs_set_resp(dev);
	err = efa_reg_read(dev, EFA_REG_DEV_STS, &sts);
	if (err)
		return err;
	err = efa_reg_read(dev, EFA_REG_CAPS, &caps);
	if (err)
		return err;
	units = FIELD_GET(EFA_CAPS_RESET_TIMEOUT, caps);
	if (!(sts & EFA_DEV_STS_READY) || !units) {
		dev_err(&dev->pdev->dev, "not ready to be reset: status 0x%x\n",
			sts);
		return -EINVAL;
	}
	efa_reg_write(dev, EFA_REG_DEV_CTL, EFA_DEV_CTL_DEV_RESET |
		      FIELD_PREP(EFA_DEV_CTL_RESET_REASON, reason));
	efa_regs_set_resp(dev);
	err = efa_wait_in_reset(dev, true, units);
	if (err) {
		dev_err(&dev->pdev->dev, "reset does not begin\n");
		return err;
	}
	efa_reg_write(dev, EFA_REG_DEV_CTL, 0);
	err = efa_wait_in_reset(dev, false, units);
	if (!err)
		err = efa_reg_read(dev, EFA_REG_DEV_STS, &sts);
	if (!err && !(sts & EFA_DEV_STS_READY))
		err = -ENODEV;
	if (err)
		dev_err(&dev->pdev->dev, "reset does not end: %d\n", err);
	return err;
}
