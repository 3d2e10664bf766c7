// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: page lists, by which the device learns where memory is
 *
 * Up to four addresses go in the command. More go in pages of 4 KiB, 512
 * addresses each: the only one is named by the command itself, several by
 * chunks of pointers, each of which ends with a link to the next.
 */
#if __has_include(<rdma/iter.h>)
#include <rdma/iter.h>
#else
#include <rdma/ib_umem.h>
#endif
#include "efa.h"

/* One such page, mapped for the device. */
struct efa_list_page {
	void *cpu;
	dma_addr_t dma;
};

struct efa_page_list {
	struct efa_dev *dev;
	struct efa_list_page *page;	/* of addresses, then of chunks */
	unsigned int num;		/* of addresses */
	unsigned int num_chunks;
	unsigned int made;		/* of all */
};

static int efa_list_add(struct efa_page_list *list)
{
	struct efa_list_page *page = &list->page[list->made];

	page->cpu = kzalloc(EFA_CHUNK_SIZE, GFP_KERNEL);
	if (!page->cpu)
		return -ENOMEM;
	list->made++;
	return 0;
}

static int efa_list_map(struct efa_page_list *list, unsigned int i)
{
	struct device *parent = &list->dev->pdev->dev;
	struct efa_list_page *page = &list->page[i];

	page->dma = dma_map_single(parent, page->cpu, EFA_CHUNK_SIZE,
				   DMA_TO_DEVICE);
	return dma_mapping_error(parent, page->dma);
}

/* The first @mapped of them are known to the device. */
static void efa_list_free(struct efa_page_list *list, unsigned int mapped)
{
	unsigned int i;

	for (i = 0; i < list->made; i++) {
		if (i < mapped)
			dma_unmap_single(&list->dev->pdev->dev,
					 list->page[i].dma, EFA_CHUNK_SIZE,
					 DMA_TO_DEVICE);
		kfree(list->page[i].cpu);
	}
	kvfree(list->page);
}

static int efa_list_alloc(struct efa_page_list *list, unsigned int pages)
{
	unsigned int total;
	int err = 0;

	list->num = DIV_ROUND_UP(pages, EFA_PTRS_PER_PAGE);
	list->num_chunks = list->num > 1 ?
			   DIV_ROUND_UP(list->num, EFA_CHUNK_PTRS) : 0;
	total = list->num + list->num_chunks;
	list->page = kvcalloc(total, sizeof(*list->page), GFP_KERNEL);
	if (!list->page)
		return -ENOMEM;
	while (!err && list->made < total)
		err = efa_list_add(list);
	if (err)
		efa_list_free(list, 0);
	return err;
}

static void efa_list_fill(struct efa_page_list *list, struct ib_umem *umem,
			  unsigned long page_size)
{
	struct ib_block_iter iter;
	unsigned int i = 0;
	__le64 *addr;

	rdma_umem_for_each_dma_block(umem, &iter, page_size) {
		addr = list->page[i / EFA_PTRS_PER_PAGE].cpu;
		addr[i % EFA_PTRS_PER_PAGE] =
			cpu_to_le64(rdma_block_iter_dma_address(&iter));
		i++;
	}
}

static struct efa_ctrl_buff efa_list_ref(const struct efa_list_page *page,
					 u32 length)
{
	return (struct efa_ctrl_buff) {
		.length = cpu_to_le32(length),
		.mem_addr_low = cpu_to_le32(lower_32_bits(page->dma)),
		.mem_addr_high = cpu_to_le32(upper_32_bits(page->dma)),
	};
}

/* Pointers in chunk @c, and its length as the device is told. */
static unsigned int efa_chunk_ptrs(const struct efa_page_list *list,
				   unsigned int c)
{
	return min(list->num - c * EFA_CHUNK_PTRS, EFA_CHUNK_PTRS);
}

static u32 efa_chunk_len(const struct efa_page_list *list, unsigned int c)
{
	return efa_chunk_ptrs(list, c) * sizeof(__le64) +
	       sizeof(struct efa_ctrl_buff);
}

/*
 * Chunk by chunk, the last first: each names the one behind it, which is
 * mapped by then.
 */
static int efa_list_chain(struct efa_page_list *list, unsigned int *mapped)
{
	unsigned int c, i;
	int err = 0;

	for (i = 0; !err && i < list->num; i++) {
		err = efa_list_map(list, i);
		*mapped += !err;
	}
	for (c = 0; !err && c < list->num_chunks; c++) {
		/* chunk pages follow in reverse, so that they map in order */
		unsigned int which = list->num_chunks - 1 - c;
		struct efa_list_page *page = &list->page[list->num + c];
		struct efa_chunk *chunk = page->cpu;

		for (i = 0; i < efa_chunk_ptrs(list, which); i++)
			chunk->ptr[i] = cpu_to_le64(
				list->page[which * EFA_CHUNK_PTRS + i].dma);
		if (c)
			chunk->next = efa_list_ref(page - 1,
						   efa_chunk_len(list,
								 which + 1));
		err = efa_list_map(list, list->num + c);
		*mapped += !err;
	}
	return err ? -ENOMEM : 0;
}

/* The device reads no list any more when this returns. */
static int efa_reg(struct efa_dev *dev, unsigned int life,
		   const struct efa_reg_mr_cmd *req, u8 flags,
		   struct efa_reg_mr_resp *resp)
{
	int err = efa_life_enter(dev, life);

	if (err)
		return err;
	err = efa_cmd_reg_mr(dev, req, flags, resp);
	efa_life_leave(dev);
	efa_settle(dev, err);
	return err;
}

static int efa_reg_inline(struct efa_dev *dev, unsigned int life,
			  struct ib_umem *umem, unsigned long page_size,
			  struct efa_reg_mr_cmd *req,
			  struct efa_reg_mr_resp *resp)
{
	struct ib_block_iter iter;
	unsigned int i = 0;

	rdma_umem_for_each_dma_block(umem, &iter, page_size)
		req->pbl.pages[i++] =
			cpu_to_le64(rdma_block_iter_dma_address(&iter));
	return efa_reg(dev, life, req, 0, resp);
}

int efa_reg_pages(struct efa_dev *dev, unsigned int life,
		  struct ib_umem *umem, unsigned long page_size,
		  struct efa_reg_mr_cmd *req, struct efa_reg_mr_resp *resp)
{
	unsigned int pages = ib_umem_num_dma_blocks(umem, page_size);
	struct efa_page_list list = { .dev = dev };
	u8 flags = EFA_AQ_CTRL_DATA;
	unsigned int mapped = 0;
	int err;

	req->page_num = cpu_to_le32(pages);
	if (pages <= EFA_INLINE_PAGES)
		return efa_reg_inline(dev, life, umem, page_size, req, resp);
	err = efa_list_alloc(&list, pages);
	if (err)
		return err;
	efa_list_fill(&list, umem, page_size);
	err = efa_list_chain(&list, &mapped);
	if (!err) {
		if (list.num_chunks) {
			/* the first chunk is the last page */
			flags |= EFA_AQ_CTRL_INDIRECT;
			req->pbl.list = efa_list_ref(&list.page[list.made - 1],
						     efa_chunk_len(&list, 0));
		} else {
			req->pbl.list = efa_list_ref(list.page,
						     pages * sizeof(__le64));
		}
		err = efa_reg(dev, life, req, flags, resp);
	}
	efa_list_free(&list, mapped);
	return err;
}
