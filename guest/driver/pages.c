// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * EFA driver: page lists, by which the device learns where memory is
 *
 * Up to four addresses go in the command. More go in pages of 4 KiB, 512
 * addresses each: the only one is named by the command itself, several by
 * chunks of pointers, each of which ends with a link to the next.
 */
#ifdef __CHECKER__
#include <rdma/iter.h>			/* sparse cannot ask */
#elif __has_include(<rdma/iter.h>)
#include <rdma/iter.h>
#else
#include <rdma/ib_umem.h>
#endif
#include "efa.h"

/* One such page. */
struct efa_list_page {
	void *cpu;
	dma_addr_t dma;
};

struct efa_page_list {
	struct efa_dev *dev;
	struct efa_list_page *page;	/* of addresses, then chunks */
	unsigned int num;		/* of addresses */
	unsigned int num_chunks;
};

static void efa_list_free(struct efa_page_list *list)
{
	unsigned int i;

	for (i = 0; i < list->num + list->num_chunks && list->page[i].cpu; i++)
		dma_free_coherent(&list->dev->pdev->dev, EFA_CHUNK_SIZE,
				  list->page[i].cpu, list->page[i].dma);
	kvfree(list->page);
}

static int efa_list_alloc(struct efa_page_list *list, unsigned int pages)
{
	unsigned int i, total;

	list->num = DIV_ROUND_UP(pages, EFA_PTRS_PER_PAGE);
	list->num_chunks = list->num > 1 ?
			   DIV_ROUND_UP(list->num, EFA_CHUNK_PTRS) : 0;
	total = list->num + list->num_chunks;
	list->page = kvcalloc(total, sizeof(*list->page), GFP_KERNEL);
	if (!list->page)
		return -ENOMEM;
	for (i = 0; i < total; i++) {
		list->page[i].cpu = dma_alloc_coherent(&list->dev->pdev->dev,
						       EFA_CHUNK_SIZE,
						       &list->page[i].dma,
						       GFP_KERNEL);
		if (!list->page[i].cpu) {
			efa_list_free(list);
			return -ENOMEM;
		}
	}
	return 0;
}

/* Into the list, or into the command if there is none. */
static void efa_list_fill(struct efa_page_list *list, struct ib_umem *umem,
			  unsigned long page_size, struct efa_reg_mr_cmd *req)
{
	struct ib_block_iter iter;
	unsigned int i = 0;
	__le64 *addr;

	rdma_umem_for_each_dma_block(umem, &iter, page_size) {
		addr = list->num ? list->page[i / EFA_PTRS_PER_PAGE].cpu :
				   req->pbl.pages;
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

/* Chunk @c and its length, as the device is told. */
static struct efa_ctrl_buff efa_chunk_ref(const struct efa_page_list *list,
					  unsigned int c)
{
	unsigned int ptrs = min(list->num - c * EFA_CHUNK_PTRS, EFA_CHUNK_PTRS);

	return efa_list_ref(&list->page[list->num + c],
			    ptrs * sizeof(__le64) +
			    sizeof(struct efa_ctrl_buff));
}

static void efa_list_chain(struct efa_page_list *list)
{
	struct efa_chunk *chunk;
	unsigned int c, i;

	for (i = 0; i < list->num; i++) {
		chunk = list->page[list->num + i / EFA_CHUNK_PTRS].cpu;
		chunk->ptr[i % EFA_CHUNK_PTRS] = cpu_to_le64(list->page[i].dma);
	}
	for (c = 0; c + 1 < list->num_chunks; c++) {
		chunk = list->page[list->num + c].cpu;
		chunk->next = efa_chunk_ref(list, c + 1);
	}
}

int efa_reg(struct efa_dev *dev, unsigned int life,
	    const struct efa_reg_mr_cmd *req, u8 flags,
	    struct efa_reg_mr_resp *resp)
{
	const struct efa_cmd cmd = {
		.opcode = EFA_ADMIN_REG_MR,
		.flags = flags,
		.req = req,
		.req_len = sizeof(*req),
		.resp = resp,
		.resp_len = sizeof(*resp),
	};
	int err = efa_life_enter(dev, life);

	if (err)
		return err;
	err = efa_admin_exec(dev, &cmd);
	efa_life_leave(dev);
	efa_settle(dev, err);
	return err;
}

int efa_reg_pages(struct efa_dev *dev, unsigned int life,
		  struct ib_umem *umem, unsigned long page_size,
		  struct efa_reg_mr_cmd *req, struct efa_reg_mr_resp *resp)
{
	unsigned int pages = ib_umem_num_dma_blocks(umem, page_size);
	struct efa_page_list list = { .dev = dev };
	u8 flags = 0;
	int err;

	req->page_num = cpu_to_le32(pages);
	if (pages > EFA_INLINE_PAGES) {
		err = efa_list_alloc(&list, pages);
		if (err)
			return err;
		flags = EFA_AQ_CTRL_DATA;
	}
	efa_list_fill(&list, umem, page_size, req);
	if (list.num_chunks) {
		efa_list_chain(&list);
		flags |= EFA_AQ_CTRL_INDIRECT;
		req->pbl.list = efa_chunk_ref(&list, 0);
	} else if (list.num) {
		req->pbl.list = efa_list_ref(list.page, pages * sizeof(__le64));
	}
	err = efa_reg(dev, life, req, flags, resp);
	efa_list_free(&list);
	return err;
}
