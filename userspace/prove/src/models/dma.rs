// SPDX-License-Identifier: MIT OR Apache-2.0

//! F7: the three addresses of a buffer, with a device that does DMA.

use super::{ComparedStep, Comparison};
use crate::{
    engine::{hex, Engine, NEEDS as DEVICE},
    not_testable, Need, Table,
};
use anyhow::{Context as _, Result};
use mapwright::{
    page_size, uapi, uapi::Request as _, Direction, DmaMapping, Endpoint, MapCall, Region, Transfer,
};
use mapwright_models::{
    dma::state::{Direction as Way, Mapping, State as Model},
    run, Kind, State,
};

pub const NEEDS: &[Need] = DEVICE;
const REASONS: [&str; 3] = [
    "Physical and bus addresses are the kernel's choice: whether they are the same, and that the offset in the page \
     stays, is compared.",
    "Memory that the device does not reach is copied to where it does (swiotlb): then the addresses differ without an \
     IOMMU, too.",
    "With iommu=pt, or for a device that is trusted, an IOMMU maps each address to itself.",
];
/// Bytes that the device writes at a time.
const BYTES: u64 = 16;

/// A buffer of the script's, as the kernel has it.
struct Buffer {
    model: Mapping,
    region: Region,
    /// Where it begins in the region.
    offset: u64,
    physical: u64,
    mapping: DmaMapping,
    bus: u64,
}

pub fn check(script: &str) -> Result<Comparison> {
    let transcript = run(Kind::Dma, script)?;
    let device = Device {
        engine: Engine::open()?,
    };
    let translated = device.engine.is_translated();
    let mut table = crate::engine::address_table("Where the script's buffers are, by the kernel");
    let source = device.engine.coherent(page_size())?;
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut compared = Vec::new();
    let mut left_out = 0;
    let mut before: Option<&Model> = None;
    for step in &transcript.steps {
        let State::Dma(after) = &step.state else {
            continue;
        };
        let words: Vec<&str> = step.text.split_whitespace().collect();
        let done = match words[..] {
            [] | ["iommu", _] => None,
            _ if after.iommu != translated => {
                left_out += 1;
                None
            }
            ["map", ..] => {
                let mapping = after.mappings.last().context("the model mapped nothing")?;
                let buffer = device.map(mapping)?;
                table_row(&mut table, &buffer);
                let places = (
                    place(mapping.physical, mapping.bus),
                    place(buffer.physical, buffer.bus),
                );
                buffers.push(buffer);
                Some(places)
            }
            ["unmap", bus] => {
                let bus = number(bus)?;
                let at = buffers.iter().position(|buffer| buffer.model.bus == bus);
                let buffer = buffers.remove(at.context("nothing is mapped there")?);
                device
                    .engine
                    .session
                    .dma_unmap(buffer.mapping.id)
                    .context("ending the mapping")?;
                None
            }
            ["device", "write", bus] => {
                let used = after.used.context("the device did nothing")?;
                let known = before.map_or(&[][..], |before| &before.mappings[..]);
                device.write(
                    &source,
                    &buffers,
                    known,
                    number(bus)?,
                    used.physical.is_some(),
                )?
            }
            _ => None,
        };
        if let Some((model, kernel)) = done {
            compared.push(ComparedStep {
                line: step.line,
                step: step.text.clone(),
                agrees: model == kernel,
                model,
                kernel,
            });
        }
        before = Some(after);
    }
    for buffer in buffers {
        device
            .engine
            .session
            .dma_unmap(buffer.mapping.id)
            .context("ending the mapping")?;
    }
    if compared.is_empty() {
        return not_testable(format!(
            "this machine has {}, and the script is about another",
            device.engine.path()
        ));
    }
    let mut about = vec![format!(
        "The edu device, with {}. Each buffer is contiguous pages of the kernel's.",
        device.engine.path()
    )];
    if left_out > 0 {
        about.push(format!(
            "{left_out} steps are about a machine that is other in this, and were left out."
        ));
    }
    let mut comparison = Comparison::new(about, compared, &REASONS);
    comparison.evidence.push(table);
    Ok(comparison)
}

fn number(word: &str) -> Result<u64> {
    mapwright_models::number(word).map_err(anyhow::Error::msg)
}

/// How a bus address is related to the physical one.
fn place(physical: u64, bus: u64) -> String {
    match physical == bus {
        true => "bus = physical".to_owned(),
        false if physical % page_size() == bus % page_size() => {
            "another bus address, the same offset in the page".to_owned()
        }
        false => "another bus address".to_owned(),
    }
}

fn table_row(table: &mut Table, buffer: &Buffer) {
    let model = hex(buffer.model.virt);
    table.row([
        format!("{model} of the script's"),
        "–".to_owned(),
        hex(buffer.physical),
        hex(buffer.bus),
    ]);
}

/// What a write of the device's came to.
fn outcome(reached: bool) -> String {
    match reached {
        true => "reaches the buffer",
        false => "stopped",
    }
    .to_owned()
}

struct Device {
    engine: Engine,
}

impl Device {
    /// Lends the device a buffer like the model's.
    fn map(&self, model: &Mapping) -> Result<Buffer> {
        let offset = model.physical % page_size();
        let bytes = (offset + model.bytes).next_multiple_of(page_size());
        if bytes > 1 << 20 {
            return not_testable("beside the kernel a buffer has at most 1 MiB");
        }
        let region = self.engine.pages(bytes)?;
        let direction = match model.direction {
            Way::To => Direction::ToDevice,
            Way::From => Direction::FromDevice,
            Way::Both => Direction::Bidirectional,
        };
        let mapped =
            self.engine
                .session
                .dma_map(&region, (offset, model.bytes), MapCall::Single, direction);
        let mapping = mapped.context("mapping a buffer for the device")?;
        let (page, _) = self.engine.addresses(&region, 0)?;
        let bus = mapping.bus.context("root is told the bus address")?;
        Ok(Buffer {
            model: *model,
            region,
            offset,
            physical: page + offset,
            mapping,
            bus,
        })
    }

    /// Has the device write to a bus address of the script's. `None` where that would hit somebody's memory.
    fn write(
        &self,
        source: &Region,
        buffers: &[Buffer],
        known: &[Mapping],
        bus: u64,
        reaches: bool,
    ) -> Result<Option<(String, String)>> {
        let holds = |mapping: &Mapping| (mapping.bus..mapping.bus + mapping.bytes).contains(&bus);
        let own = buffers.iter().find(|buffer| holds(&buffer.model));
        let mapped = known.iter().any(holds);
        if let (Some(buffer), true) = (own, mapped) {
            let within = bus - buffer.model.bus;
            let bytes = BYTES.min(buffer.model.bytes - within);
            self.write_to(source, buffer, within, bytes)?;
            // What the device wrote is in the buffer when it was given back, or synchronized: here it is coherent.
            let mut contents = vec![0; usize::try_from(bytes)?];
            self.engine
                .session
                .read_at(&buffer.region, buffer.offset + within, &mut contents)?;
            return Ok(Some((
                outcome(reaches),
                outcome(contents.iter().all(|byte| *byte == 0x66)),
            )));
        }
        if !self.engine.is_translated() {
            return Ok(None);
        }
        // A page of the kernel's that was never mapped: the device must not reach it, by its physical address.
        let victim = self.engine.pages(page_size())?;
        let (physical, _) = self.engine.addresses(&victim, 0)?;
        let is_bus = buffers
            .iter()
            .any(|buffer| buffer.bus / page_size() == physical / page_size());
        if is_bus || physical + page_size() > 1 << self.engine.info.address_bits {
            return Ok(None);
        }
        self.aim(source, physical, BYTES)?;
        let bytes = self.engine.contents(&victim, usize::try_from(BYTES)?)?;
        Ok(Some((
            outcome(reaches),
            outcome(bytes.iter().all(|byte| *byte == 0x66)),
        )))
    }

    /// Has the device write to a buffer that it was lent. Only behind an IOMMU may a program say at which bus address.
    fn write_to(&self, source: &Region, buffer: &Buffer, within: u64, bytes: u64) -> Result<()> {
        if self.engine.is_translated() {
            return self.aim(source, buffer.bus + within, bytes);
        }
        let session = &self.engine.session;
        session.write_at(source, 0, &[0x66; BYTES as usize])?;
        let transfer = Transfer {
            source: Endpoint::Region(*source, 0),
            target: Endpoint::Region(buffer.region, buffer.offset + within),
            bytes,
            map_call: MapCall::Single,
        };
        session
            .transfer(&transfer)
            .context("a transfer to a buffer")
    }

    /// Has the device write to a bus address, whatever is there.
    fn aim(&self, source: &Region, bus: u64, bytes: u64) -> Result<()> {
        self.engine
            .session
            .write_at(source, 0, &[0x66; BYTES as usize])?;
        let mut request = uapi::Transfer {
            flags: uapi::TRANSFER_RAW_TARGET,
            source: source.id,
            target_offset: bus,
            bytes,
            ..uapi::Transfer::new()
        };
        let done = self.engine.session.request(&mut request);
        done.with_context(|| format!("a transfer to {bus:#x}"))
    }
}
