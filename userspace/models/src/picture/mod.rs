// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a model tells, as a picture: SVG that is dark where the page around it is.

mod buddy;
mod cow;
mod dma;
mod lru;
mod slub;
mod svg;
mod walk;
mod watermark;

use crate::transcript::{State, Transcript};
use svg::Svg;

/// The picture of a script's states over time, or of its last walk.
pub fn picture(transcript: &Transcript) -> String {
    let last = transcript.steps.last().map(|step| &step.state);
    let svg = match last {
        Some(State::Buddy(last)) => buddy::draw(transcript, last),
        Some(State::Watermark(_)) => watermark::draw(transcript),
        Some(State::Slub(last)) => slub::draw(transcript, last),
        Some(State::Walk(_)) => walk::draw(transcript),
        Some(State::Cow(last)) => cow::draw(transcript, last),
        Some(State::Lru(last)) => lru::draw(transcript, last),
        Some(State::Dma(last)) => dma::draw(transcript, last),
        None => Svg::new(400, 60),
    };
    svg.finish(transcript.title)
}

/// The name of a step, for the left margin.
fn name(step: &crate::Step) -> &str {
    match step.line {
        0 => "at first",
        _ => &step.text,
    }
}

/// What happened last in a step.
fn says(step: &crate::Step) -> &str {
    step.rows.last().map_or("", |row| &row.last)
}
