// SPDX-License-Identifier: MIT OR Apache-2.0

//! B4: the largest `kmalloc()`.

use crate::{read::free_lists, Claim, Document, Finding, Lab, Need, Table, Verdict, Vm};
use anyhow::{ensure, Result};
use mapwright::{
    alloc::{AllocDevice, Allocator, Plan},
    Error,
};

pub const CLAIM: Claim = Claim {
    id: "B4",
    title: "Limit of kmalloc",
    sources: &[
        Document::Reference.section("10, kmalloc() Function"),
        Document::Reference.section("3, kmalloc Maximum Size"),
    ],
    says:
        "kmalloc() gives 4 MB at most, the largest block of the page allocator (MAX_ORDER is 11).",
    needs: &[Need::Module("mapwright_alloc")],
    vms: &[Vm::Normal],
    prove,
};

const CLAIMED: u64 = 4 << 20;

fn prove(lab: &Lab) -> Result<Finding> {
    let device = AllocDevice::open()?;
    let lists = free_lists::orders()?;
    let block = lab.machine.page_size << (lists - 1);
    let mut table = Table::new(
        "kmalloc() around the size of the largest block",
        ["bytes", "", "what came of it"],
    );
    let mut largest = 0;
    let mut beyond = None;
    for (bytes, name) in [
        (block / 4, "a quarter of the largest block"),
        (block / 2, "half of it"),
        (block, "all of it"),
        (block + 1, "a byte more"),
        (2 * block, "twice as much"),
    ] {
        let report = match device.run(&Plan::new(Allocator::Kmalloc, bytes)) {
            // Large pages make large blocks.
            Err(Error::OverBudget { .. }) => {
                let outcome = "not tried: more than mapwright_alloc may take";
                table.row([bytes.to_string(), name.to_owned(), outcome.to_owned()]);
                continue;
            }
            report => report?,
        };
        let outcome = match () {
            _ if report.allocated > 0 => "allocated",
            _ if report.failed_size > 0 => {
                "refused at once, whatever is free: a null pointer, which is ENOMEM"
            }
            _ => "no memory: such a block is not free now",
        };
        if report.allocated > 0 {
            largest = largest.max(bytes);
        } else if report.failed_size > 0 {
            beyond = beyond.or(Some(bytes));
        }
        table.row([bytes.to_string(), name.to_owned(), outcome.to_owned()]);
    }
    let limit = device.info()?.kmalloc_max_bytes;
    ensure!(
        largest <= limit && beyond.is_none_or(|bytes| bytes > limit),
        "KMALLOC_MAX_SIZE is {limit}, but {largest} were allocated and {beyond:?} refused"
    );
    let decides = largest == block && beyond == Some(block + 1);
    Ok(Finding::new(format!("{largest} bytes succeed, one more fails"))
        .statement(
            "The largest block of the page allocator is the limit",
            Verdict::of(decides),
            format!("a block of order {} has {block} bytes: {largest} is the largest that succeeded", lists - 1),
        )
        .statement(
            "It is 4 MB",
            Verdict::Confirmed.if_else(largest == CLAIMED, Verdict::Config),
            format!("{} MiB on this machine", largest >> 20),
        )
        .table(table)
        .instead(
            "The limit is a page, 2^MAX_PAGE_ORDER times: 4 MiB with pages of 4 KiB and order 10. Other pages or \
             CONFIG_ARCH_FORCE_MAX_ORDER make it another one. The order is 10 and called MAX_PAGE_ORDER; what \
             the documents call MAX_ORDER, 11, was one more than that.",
        ))
}
