// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright tour`: two regions, mapped two ways, seen from both sides; and an LED, where there is one.

use crate::{
    gpio,
    observation::Observation,
    stat,
    style::{more, paint, DIM, HEADING},
};
use anyhow::{ensure, Result};
use mapwright::{gpio::Bank, Backing, Error, Method, Session, Tables};
use nix::errno::Errno;

/// Bytes of each region.
const BYTES: u64 = 1 << 20;

/// A stop of the tour: a way to map memory, and what it is for.
struct Stop {
    backing: Backing,
    method: Method,
    title: &'static str,
    about: &'static str,
}

const STOPS: [Stop; 2] = [
    Stop {
        backing: Backing::Pages,
        method: Method::Remap,
        title: "contiguous pages, mapped by frame number: remap_pfn_range()",
        about:
            "What a driver does with a buffer for its device. The kernel fills in all page-table\n\
                entries at mmap, from one frame number, and does not look at the pages.",
    },
    Stop {
        backing: Backing::Vmalloc,
        method: Method::Insert,
        title: "vmalloc memory, mapped page by page: vm_insert_page()",
        about:
            "What a driver does with a large buffer of its own. Its pages lie anywhere in memory;\n\
                each is put in by itself, and counted, so that O_DIRECT and pins work on it.",
    },
];

const GPIO: &str =
    "The driver mapwright_gpio maps the registers of a GPIO bank, as the BeagleBone Black's\n\
                    processor has it. Each edge is one store; a timer in the kernel makes it.";

pub fn run() -> Result<()> {
    let session = Session::open()?;
    anstream::println!(
        "{}\nOne device, /dev/mapwright, gives this program real kernel memory. Both sides use the\n\
         same frames: a store here is seen by the kernel at once, with no system call.",
        paint(HEADING, "A tour of mapwright"),
    );
    for (number, stop) in STOPS.iter().enumerate() {
        visit(&session, number + 1, stop)?;
    }
    anstream::println!("\n{}", paint(HEADING, "What the module counted"));
    match Tables::read() {
        Ok(tables) => {
            stat::show_counters(&tables, None, false);
            stat::show_regions(&tables);
        }
        Err(err) if is_denied(&err) => more(paint(
            DIM,
            "hidden: the tables are in /sys/kernel/debug, for root",
        )),
        Err(err) => return Err(err.into()),
    }
    // Lines are for who may open the bank.
    if Bank::path(0).exists() && !Bank::open(0).is_err_and(|err| is_denied(&err)) {
        anstream::println!(
            "\n{}\n{}\n",
            paint(
                HEADING,
                "An LED that blinks through ioremap, readl and writel"
            ),
            paint(DIM, GPIO),
        );
        gpio::show_blinking()?;
    }
    anstream::println!(
        "{}",
        paint(DIM, "More: mapwright map --help, mapwright stat, README.md"),
    );
    Ok(())
}

/// Whether something is for others.
fn is_denied(err: &Error) -> bool {
    matches!(err.errno(), Some(Errno::EACCES | Errno::EPERM))
}

fn visit(session: &Session, number: usize, stop: &Stop) -> Result<()> {
    anstream::println!(
        "\n{}",
        paint(HEADING, format_args!("{number}. {}", stop.title))
    );
    anstream::println!("{}\n", paint(DIM, stop.about));
    let region = session.create(stop.backing, stop.method, BYTES)?;
    let mut observation = Observation::make(session, &region)?;
    observation.show_region();
    observation.show_frames();
    let coherent = observation.show_coherence(session)?;
    observation.show_vma();
    observation.show_cost();
    ensure!(
        coherent,
        "the program and the kernel saw different bytes: please report this"
    );
    Ok(())
}
