// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: processes, and what they map
 *
 * A process that opens the device gets a UAR, which tells the device in which
 * pages to put its doorbells and send queues. Pages of one process are never
 * given to another while it may still have them mapped: the device promises
 * that, and bar_owner sees to it that it keeps the promise.
 */
#include <linux/delay.h>
#include <linux/sched/mm.h>
#include "efa.h"

/* Offsets to mmap() from here on are of pages of a BAR, below of rings. */
#define EFA_BAR_KEYS	((loff_t)SZ_4G)

/* How long recovery waits for a process that maps something, at least. */
#define EFA_UNMAP_MS	1000

struct efa_mmap_entry {
	struct rdma_user_mmap_entry rdma;
	enum efa_mmap_kind kind;
	u64 addr;			/* physical, or virtual for a ring */
};

static struct efa_mmap_entry *to_emmap(struct rdma_user_mmap_entry *entry)
{
	return container_of(entry, struct efa_mmap_entry, rdma);
}

int efa_copy_req(struct ib_udata *udata, void *req, size_t len)
{
	size_t have = min(len, udata->inlen);

	if (udata->inlen > len &&
	    !ib_is_udata_cleared(udata, len, udata->inlen - len))
		return -EINVAL;
	memset(req, 0, len);
	return ib_copy_from_udata(req, udata, have);
}

int efa_no_req(struct ib_udata *udata)
{
	if (udata && udata->inlen &&
	    !ib_is_udata_cleared(udata, 0, udata->inlen))
		return -EINVAL;
	return 0;
}

int efa_copy_resp(struct ib_udata *udata, const void *resp, size_t len)
{
	if (!udata || !udata->outlen)
		return 0;
	return ib_copy_to_udata(udata, (void *)resp, min(len, udata->outlen));
}

/*
 * A provider that does not know of these limits would break them, so it must
 * say that it does.
 */
static int efa_check_provider(const struct efa_dev *dev, u32 knows)
{
	if (dev->caps.max_tx_batch &&
	    !(knows & EFA_ABI_KNOWS_TX_BATCH))
		return -EOPNOTSUPP;
	if (dev->caps.min_sq_depth &&
	    !(knows & EFA_ABI_KNOWS_MIN_SQ_WR))
		return -EOPNOTSUPP;
	return 0;
}

/* Tell the process what it has to know. */
static int efa_open_answer(struct efa_dev *dev, struct ib_udata *udata)
{
	struct efa_abi_alloc_ucontext_resp resp = {
		.cmds_supp_udata_mask =
			EFA_ABI_UDATA_QUERY_DEVICE |
			EFA_ABI_UDATA_CREATE_AH,
		.sub_cqs_per_cq = dev->caps.sub_cqs,
		.inline_buf_size = dev->caps.inline_size,
		.max_llq_size = dev->caps.max_llq_size,
		.max_tx_batch = dev->caps.max_tx_batch,
		.min_sq_wr = dev->caps.min_sq_depth,
		.inline_buf_size_ex = dev->caps.inline_size_ex,
	};

	return efa_copy_resp(udata, &resp, sizeof(resp));
}

static int efa_open(struct efa_dev *dev, struct efa_ucontext *uctx)
{
	int err = efa_new_enter(dev, NULL, &uctx->life);

	if (err)
		return err;
	uctx->ibucontext.device = &dev->ibdev;
	xa_init(&uctx->maps);
	err = efa_cmd_alloc(dev, EFA_ADMIN_ALLOC_UAR, &uctx->uar);
	if (!err) {
		mutex_lock(&dev->uctx_lock);
		list_add(&uctx->list, &dev->ucontexts);
		mutex_unlock(&dev->uctx_lock);
	}
	efa_life_leave(dev);
	return err;
}

int efa_alloc_ucontext(struct ib_ucontext *ibucontext, struct ib_udata *udata)
{
	struct efa_dev *dev = to_edev(ibucontext->device);
	struct efa_abi_alloc_ucontext cmd = {};
	int err;

	/* a newer provider may say more: the answer tells it what we know */
	err = ib_copy_from_udata(&cmd, udata, min(sizeof(cmd), udata->inlen));
	if (!err)
		err = efa_check_provider(dev, cmd.supported_caps);
	if (!err)
		err = efa_open(dev, to_euctx(ibucontext));
	/* user memory can take long to touch: not while a life waits to end */
	if (!err) {
		err = efa_open_answer(dev, udata);
		if (err)
			efa_dealloc_ucontext(ibucontext);
	}
	if (err)
		efa_count(dev, EFA_ALLOC_UCONTEXT_ERR);
	return err;
}

/*
 * The kernel's context is as if it were a process, which ends when its last
 * queue does. After a recovery the next queue makes a new one.
 */
int efa_uctx_get(struct efa_dev *dev, struct ib_udata *udata,
		 struct efa_ucontext **ret)
{
	struct efa_ucontext *uctx;
	int err = 0;

	if (udata) {
		*ret = rdma_udata_to_drv_context(udata, struct efa_ucontext,
						 ibucontext);
		return 0;
	}
	mutex_lock(&dev->kernel_lock);
	uctx = dev->kernel_uctx;
	if (!uctx || READ_ONCE(uctx->stale)) {
		uctx = kzalloc(sizeof(*uctx), GFP_KERNEL);
		err = uctx ? efa_open(dev, uctx) : -ENOMEM;
		if (err)
			kfree(uctx);
		else
			dev->kernel_uctx = uctx;
	}
	if (!err) {
		uctx->users++;
		*ret = uctx;
	}
	mutex_unlock(&dev->kernel_lock);
	return err;
}

void efa_uctx_put(struct efa_dev *dev, struct efa_ucontext *uctx)
{
	if (!uctx || !uctx->users)
		return;		/* a process's */
	mutex_lock(&dev->kernel_lock);
	if (!--uctx->users) {
		if (dev->kernel_uctx == uctx)
			dev->kernel_uctx = NULL;
		efa_dealloc_ucontext(&uctx->ibucontext);
		kfree(uctx);
	}
	mutex_unlock(&dev->kernel_lock);
}

static void efa_disown_bars(struct efa_dev *dev, struct efa_ucontext *uctx)
{
	struct efa_ucontext *owner;
	unsigned long pfn;

	xa_for_each(&dev->bar_owner, pfn, owner)
		if (owner == uctx)
			xa_cmpxchg(&dev->bar_owner, pfn, uctx, NULL,
				   GFP_KERNEL);
}

/* All of its mappings are gone: its pages may have another owner. */
void efa_dealloc_ucontext(struct ib_ucontext *ibucontext)
{
	struct efa_ucontext *uctx = to_euctx(ibucontext);
	struct efa_dev *dev = to_edev(ibucontext->device);
	unsigned long mm;
	void *map;

	mutex_lock(&dev->uctx_lock);
	list_del(&uctx->list);
	mutex_unlock(&dev->uctx_lock);
	efa_disown_bars(dev, uctx);
	xa_for_each(&uctx->maps, mm, map)
		mmdrop((void *)mm);
	xa_destroy(&uctx->maps);
	/* one that the device keeps is lost until the next reset */
	efa_forget(dev, uctx->life, EFA_ADMIN_DEALLOC_UAR, uctx->uar, uctx);
}

/*
 * Who is in the middle of mmap() holds the mm's lock; once it does not, its
 * pages can be found. It may hold it for long, and all wait for us: false,
 * if it does.
 */
static bool efa_unmap_bars(struct mm_struct *mm, struct address_space *map)
{
	unsigned int tries = EFA_UNMAP_MS;

	if (mmget_not_zero(mm)) {
		while (!mmap_read_trylock(mm)) {
			if (!tries--) {
				mmput_async(mm);
				return false;
			}
			usleep_range(1000, 2000);
		}
		unmap_mapping_range(map, EFA_BAR_KEYS, 0, true);
		mmap_read_unlock(mm);
		mmput_async(mm);
	} else {
		unmap_mapping_range(map, EFA_BAR_KEYS, 0, true);
	}
	return true;
}

/*
 * What lies in the BARs will be given to others. From whom it cannot be taken,
 * it stays his: who is given the same is refused.
 */
void efa_take_pages(struct efa_dev *dev)
{
	struct efa_ucontext *uctx;
	unsigned long mm;
	void *map;

	mutex_lock(&dev->uctx_lock);
	list_for_each_entry(uctx, &dev->ucontexts, list) {
		bool all = true;

		smp_store_mb(uctx->stale, true);
		xa_for_each(&uctx->maps, mm, map)
			all &= efa_unmap_bars((void *)mm, map);
		if (all)
			efa_disown_bars(dev, uctx);
	}
	mutex_unlock(&dev->uctx_lock);
}

/* Pages of a BAR are this process's until it has gone. */
static int efa_bar_claim(struct efa_dev *dev, struct efa_ucontext *uctx,
			 phys_addr_t addr, size_t size)
{
	unsigned long pfn, last = PHYS_PFN(addr + size - 1);
	struct efa_ucontext *owner;

	for (pfn = PHYS_PFN(addr); pfn <= last; pfn++) {
		owner = xa_cmpxchg(&dev->bar_owner, pfn, NULL, uctx,
				   GFP_KERNEL);
		if (xa_is_err(owner))
			return xa_err(owner);
		if (owner && owner != uctx) {
			dev_err_ratelimited(&dev->pdev->dev,
					    "page 0x%lx is given to a second process\n",
					    pfn);
			return -EIO;
		}
	}
	return 0;
}

/* ---- memory that is mapped ---- */

/*
 * Whole pages with a count of their own: they live on in a process that has
 * them mapped, after the device has let go of them. The kernel's are coherent.
 */
int efa_ring_alloc(struct efa_dev *dev, struct efa_ring *ring, size_t size,
		   enum dma_data_direction dir)
{
	ring->dir = dir;
	ring->size = PAGE_ALIGN(size);
	if (dir == DMA_BIDIRECTIONAL) {
		ring->cpu = dma_alloc_coherent(&dev->pdev->dev, ring->size,
					       &ring->dma, GFP_KERNEL);
		return ring->cpu ? 0 : -ENOMEM;
	}
	ring->cpu = alloc_pages_exact(ring->size, GFP_KERNEL | __GFP_ZERO |
				      __GFP_NOWARN);
	if (!ring->cpu)
		return -ENOMEM;
	ring->dma = dma_map_single(&dev->pdev->dev, ring->cpu, ring->size,
				   dir);
	if (dma_mapping_error(&dev->pdev->dev, ring->dma)) {
		free_pages_exact(ring->cpu, ring->size);
		ring->cpu = NULL;
		return -ENOMEM;
	}
	return 0;
}

void efa_ring_free(struct efa_dev *dev, struct efa_ring *ring)
{
	rdma_user_mmap_entry_remove(ring->entry);
	if (!ring->cpu)
		return;
	if (ring->dir == DMA_BIDIRECTIONAL) {
		dma_free_coherent(&dev->pdev->dev, ring->size, ring->cpu,
				  ring->dma);
	} else {
		dma_unmap_single(&dev->pdev->dev, ring->dma, ring->size,
				 ring->dir);
		free_pages_exact(ring->cpu, ring->size);
	}
	ring->cpu = NULL;
}

/* The pages of a ring are its entry's, too: it may outlast the ring. */
static void efa_entry_pages(struct efa_mmap_entry *entry, size_t size,
			    void (*do_page)(struct page *page))
{
	size_t off;

	for (off = 0; entry->kind == EFA_MMAP_RING && off < size;
	     off += PAGE_SIZE)
		do_page(virt_to_page((void *)(uintptr_t)entry->addr + off));
}

/* Let @uctx map @size bytes from @addr on; the key to do so by in @key. */
static struct rdma_user_mmap_entry *
efa_mmap_add(struct efa_ucontext *uctx, enum efa_mmap_kind kind, u64 addr,
	     size_t size, __u64 *key)
{
	struct efa_mmap_entry *entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	bool ring = kind == EFA_MMAP_RING;
	u32 first = ring ? 0 : PHYS_PFN(EFA_BAR_KEYS);
	u32 last = ring ? PHYS_PFN(EFA_BAR_KEYS) - 1 : U32_MAX;

	if (!entry)
		return NULL;
	entry->kind = kind;
	entry->addr = addr;
	efa_entry_pages(entry, size, get_page);
	if (rdma_user_mmap_entry_insert_range(&uctx->ibucontext, &entry->rdma,
					      PAGE_ALIGN(size), first, last)) {
		efa_entry_pages(entry, size, put_page);
		kfree(entry);
		return NULL;
	}
	*key = rdma_user_mmap_get_offset(&entry->rdma);
	return &entry->rdma;
}

int efa_ring_share(struct efa_ring *ring, struct efa_ucontext *uctx,
		   __u64 *key)
{
	if (uctx->users)
		return 0;	/* the kernel's */
	ring->entry = efa_mmap_add(uctx, EFA_MMAP_RING, (uintptr_t)ring->cpu,
				   ring->size, key);
	return ring->entry ? 0 : -ENOMEM;
}

int efa_window_open(struct efa_dev *dev, struct efa_window *win,
		    struct efa_ucontext *uctx, enum efa_mmap_kind kind,
		    u32 offset, size_t size, __u64 *key)
{
	bool db = kind == EFA_MMAP_DB;
	phys_addr_t addr = (db ? dev->db_base : dev->mem_base) + offset;
	resource_size_t len = db ? dev->db_len : dev->mem_len;
	int err;

	size = max_t(size_t, size, 1);
	if (offset > len || size > len - offset ||
	    offset % (db ? sizeof(u32) : sizeof(u64))) {
		dev_err(&dev->pdev->dev, "%s at 0x%x of the BAR\n",
			db ? "doorbell" : "send queue", offset);
		return -EIO;
	}
	err = efa_bar_claim(dev, uctx, addr, size);
	if (err)
		return err;
	if (uctx->users) {
		win->io = db ? ioremap(addr, size) : ioremap_wc(addr, size);
		return win->io ? 0 : -ENOMEM;
	}
	win->entry = efa_mmap_add(uctx, kind, addr & PAGE_MASK,
				  offset_in_page(addr) + size, key);
	return win->entry ? 0 : -ENOMEM;
}

void efa_window_close(struct efa_window *win)
{
	rdma_user_mmap_entry_remove(win->entry);
	if (win->io)
		iounmap(win->io);
}

void efa_mmap_free(struct rdma_user_mmap_entry *rdma_entry)
{
	struct efa_mmap_entry *entry = to_emmap(rdma_entry);

	efa_entry_pages(entry, rdma_entry->npages * PAGE_SIZE, put_page);
	kfree(entry);
}

static int efa_mmap_ring(struct vm_area_struct *vma, u64 addr, size_t size)
{
	size_t off;
	int err;

	for (off = 0; off < size; off += PAGE_SIZE) {
		err = vm_insert_page(vma, vma->vm_start + off,
				     virt_to_page((void *)(uintptr_t)addr +
						  off));
		if (err)
			return err;
	}
	return 0;
}

static int efa_mmap_entry(struct efa_ucontext *uctx,
			  struct vm_area_struct *vma,
			  struct efa_mmap_entry *entry)
{
	size_t size = entry->rdma.npages * PAGE_SIZE;
	int err;

	if (entry->kind == EFA_MMAP_RING)
		return efa_mmap_ring(vma, entry->addr, size);
	err = xa_insert(&uctx->maps, (unsigned long)vma->vm_mm,
			vma->vm_file->f_mapping, GFP_KERNEL);
	if (!err)
		mmgrab(vma->vm_mm);
	else if (err != -EBUSY)
		return err;
	smp_mb();	/* efa_take_pages() does it the other way round */
	if (READ_ONCE(uctx->stale))
		return -EIO;
	return rdma_user_mmap_io(&uctx->ibucontext, vma, PHYS_PFN(entry->addr),
				 size, entry->kind == EFA_MMAP_DB ?
				 pgprot_noncached(vma->vm_page_prot) :
				 pgprot_writecombine(vma->vm_page_prot),
				 &entry->rdma);
}

int efa_mmap(struct ib_ucontext *ibucontext, struct vm_area_struct *vma)
{
	struct efa_dev *dev = to_edev(ibucontext->device);
	struct rdma_user_mmap_entry *entry;
	int err = -EINVAL;

	entry = rdma_user_mmap_entry_get(ibucontext, vma);
	if (entry) {
		err = efa_mmap_entry(to_euctx(ibucontext), vma,
				     to_emmap(entry));
		rdma_user_mmap_entry_put(entry);
	}
	if (err) {
		dev_dbg(&dev->pdev->dev, "mmap of offset 0x%lx: %d\n",
			vma->vm_pgoff, err);
		efa_count(dev, EFA_MMAP_ERR);
	}
	return err;
}
