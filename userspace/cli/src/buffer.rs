// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright buffer`: buffers with names.

use crate::{
    map::{backing, caching, method},
    size::size,
    style,
};
use anyhow::{ensure, Context as _, Result};
use mapwright::{
    buffer::{NamedBuffer, Spec},
    Backing, Caching, Method,
};
use nix::errno::Errno;
use serde::Serialize;
use std::path::Path;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List those that can be opened
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make one: it lives until it is removed
    Create(Create),
    /// Remove one that was made with create
    Remove {
        /// Its name
        name: String,
        /// Take it away from programs that have it open or mapped: they get SIGBUS and ENODEV
        #[arg(long)]
        revoke: bool,
    },
    /// Tell all about one
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
struct Create {
    /// Its name: the device node is /dev/mapwright-NAME
    name: String,
    /// How much, in bytes or with K, M, G (powers of 1024)
    #[arg(long, value_parser = size)]
    size: u64,
    /// Where the memory comes from: pages, or coherent for a device
    #[arg(long, value_parser = backing())]
    backing: Option<Backing>,
    /// How it gets into the address space; without it, the first that goes with the backing
    #[arg(long, value_parser = method())]
    method: Option<Method>,
    /// The memory type it is mapped with
    #[arg(long, value_parser = caching())]
    caching: Option<Caching>,
    /// The device that it is for, which has a driver: its path in /sys, or BUS/NAME, as pci/0000:00:03.0
    #[arg(long)]
    device: Option<String>,
}

/// What is told of a buffer. What is not known is hidden, or there is none.
#[derive(Serialize)]
struct Description {
    name: String,
    node: String,
    bytes: Option<u64>,
    phys_addr: Option<String>,
    dma_addr: Option<String>,
    /// Of one that was made with create.
    settings: Vec<(&'static str, String)>,
}

/// What is told of the settings.
const SETTINGS: [&str; 4] = ["backing", "method", "caching", "device"];

impl Description {
    fn of(buffer: &NamedBuffer) -> Self {
        let text = |attribute| buffer.attribute(attribute).ok();
        let setting = |name| {
            let text = buffer.setting(name).ok()?;
            Some((name, text)).filter(|(_, text)| !text.is_empty())
        };
        Self {
            name: buffer.name().to_owned(),
            node: buffer.node().display().to_string(),
            bytes: text("size").and_then(|bytes| bytes.parse().ok()),
            phys_addr: text("phys_addr"),
            dma_addr: text("dma_addr"),
            settings: SETTINGS.into_iter().filter_map(setting).collect(),
        }
    }

    fn size(&self) -> String {
        self.bytes.map_or("gone".to_owned(), style::bytes)
    }
}

pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::List { json } => list(*json),
        Command::Create(create) => make(create),
        Command::Remove { name, revoke } => remove(name, *revoke),
        Command::Show { name, json } => show(name, *json),
    }
}

fn list(json: bool) -> Result<()> {
    ensure!(
        Path::new("/sys/module/mapwright_buffer").exists(),
        "mapwright_buffer is not loaded: run modprobe mapwright_buffer"
    );
    let all = NamedBuffer::all()?;
    let descriptions: Vec<Description> = all.iter().map(Description::of).collect();
    if json {
        anstream::println!("{}", serde_json::to_string(&descriptions)?);
        return Ok(());
    }
    let mut table = style::table(["name", "device node", "size"], 2);
    for buffer in &descriptions {
        table.add_row([buffer.name.clone(), buffer.node.clone(), buffer.size()]);
    }
    anstream::println!("{table}");
    Ok(())
}

fn make(create: &Create) -> Result<()> {
    let buffer = NamedBuffer::new(&create.name);
    let result = buffer.create(&Spec {
        bytes: create.size,
        backing: create.backing,
        method: create.method,
        caching: create.caching,
        device: create.device.clone(),
    });
    result.with_context(|| format!("cannot make the buffer {}", create.name))?;
    anstream::println!("{}", buffer.node().display());
    Ok(())
}

fn remove(name: &str, revoke: bool) -> Result<()> {
    let removed = NamedBuffer::new(name).remove(revoke);
    let what = match removed.as_ref().err().and_then(mapwright::Error::errno) {
        Some(Errno::EBUSY) => "a program has it open or mapped (--revoke takes it away)",
        Some(Errno::ENOENT) => "no such buffer was made with create",
        _ => "removing the buffer",
    };
    removed.with_context(|| format!("{name}: {what}"))
}

fn show(name: &str, json: bool) -> Result<()> {
    let buffer = NamedBuffer::new(name);
    buffer
        .attribute("sync_mode")
        .with_context(|| format!("there is no buffer {name}"))?;
    let description = Description::of(&buffer);
    if json {
        anstream::println!("{}", serde_json::to_string(&description)?);
        return Ok(());
    }
    anstream::println!("{}", style::paint(style::HEADING, &description.node));
    style::row("size", description.size());
    for (setting, text) in &description.settings {
        style::row(setting, text);
    }
    let address = |address: &Option<String>| match address {
        Some(address) => address.clone(),
        None => "hidden, or there is not one for all of it".to_owned(),
    };
    style::row("phys_addr", address(&description.phys_addr));
    style::row("dma_addr", address(&description.dma_addr));
    Ok(())
}
