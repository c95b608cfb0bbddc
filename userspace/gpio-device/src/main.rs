// SPDX-License-Identifier: MIT OR Apache-2.0

//! The modelled GPIO bank as a PCI device: a `vfio-user` server, which QEMU's `vfio-user-pci`
//! connects to. It ends when QEMU does, and leaves the record of all accesses and the waveform.

mod config;
mod device;
mod shared;

use anyhow::{Context, Result};
use clap::Parser;
use gpio_model::Request;
use shared::Shared;
use std::path::PathBuf;
use std::sync::Arc;

/// A GPIO bank of the AM335x as a PCI device, for QEMU's vfio-user-pci.
#[derive(Parser)]
#[command(name = "mapwright-gpio-device", version)]
struct Args {
    /// Where QEMU connects to
    #[arg(long, value_name = "SOCKET")]
    device: PathBuf,
    /// Where tests connect to
    #[arg(long, value_name = "SOCKET")]
    control: PathBuf,
    /// Write each access to this file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// Write the lines over time to this file, as VCD
    #[arg(long, value_name = "FILE")]
    waveform: PathBuf,
    /// What the waveform calls the bank
    #[arg(long, value_name = "NAME", default_value = "gpio1")]
    name: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let shared = Arc::new(Shared::new(&args.name, &args.waveform, &args.record)?);
    let answering = shared.clone();
    gpio_model::listen(&args.control, move |request| {
        if *request == Request::Die {
            answering.die();
        }
        answering.answer(request)
    })
    .with_context(|| format!("cannot listen at {}", args.control.display()))?;
    let server = device::server(&args.device)
        .with_context(|| format!("cannot listen at {}", args.device.display()))?;
    let served = server.run(&mut device::Device::new(shared.clone()));
    shared.finish()?;
    served.context("QEMU ended the connection in an unusual way")
}
