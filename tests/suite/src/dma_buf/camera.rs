// SPDX-License-Identifier: MIT OR Apache-2.0

//! A camera that captures into exported memory.

use super::Shared;
use crate::{camera::Camera, cells::Cell, raw::Map, runner::skip};
use anyhow::{ensure, Context as _, Result};
use mapwright::{block_size, page_bytes, page_size, Backing, Method, Session};
use nix::errno::Errno;
use std::os::fd::{AsFd as _, OwnedFd};

/// `V4L2_MEMORY_DMABUF`, of a driver that stores with the CPU.
pub(super) fn a_camera_captures_into_it(cell: Cell) -> Result<()> {
    let mut camera = Camera::open()?;
    let shared = [(); 2].map(|()| Shared::new(cell, true));
    let mut buffers = Vec::new();
    for shared in shared {
        match shared? {
            Some(shared) => buffers.push(shared),
            None => return Ok(()),
        }
    }
    capture(&mut camera, &buffers)
}

/// Has the camera fill a buffer, and looks at the region.
fn capture(camera: &mut Camera, buffers: &[Shared]) -> Result<()> {
    let files: Vec<_> = buffers.iter().map(|it| it.file.as_fd()).collect();
    let filled = camera.capture(&files)?;
    let it = buffers.get(filled).context("a buffer that is not ours")?;
    let contents = it.bytes()?;
    camera.expect_frame(&contents)?;
    ensure!(
        contents[camera.frame_bytes()..]
            .iter()
            .all(|byte| *byte == 0),
        "something was stored behind the frame"
    );
    let map = Map::shared(&it.file, 0, it.bytes)?;
    ensure!(
        (0..it.bytes).all(|at| map.load(at) == contents[at]),
        "the program sees something else"
    );
    let mut before = vec![1; page_bytes()];
    it.session.read_at(&it.region, 0, &mut before)?;
    ensure!(
        before.iter().all(|byte| *byte == 0),
        "something was stored before it"
    );
    Ok(())
}

/// Across the blocks that large contiguous memory is made of.
pub(super) fn a_camera_captures_into_pieces() -> Result<()> {
    let mut camera = Camera::open()?;
    let bytes = camera.frame_bytes().next_multiple_of(page_bytes()) as u64;
    // The first block of memory ends in the middle of the frame.
    let largest = crate::raw::largest_block()?.min(block_size() * 2);
    let first = largest - bytes / 2 / page_size() * page_size();
    let mut buffers = Vec::new();
    for _ in 0..2 {
        let session = Session::open()?;
        let region = session.create(Backing::Pages, Method::Remap, largest + bytes)?;
        let file = session.export(&region, (first, bytes), true);
        if file.as_ref().err() == Some(&Errno::ENOTTY) {
            return skip("this kernel has no DMA-bufs");
        }
        buffers.push((session, region, file?));
    }
    let files: Vec<_> = buffers.iter().map(|(.., file)| file.as_fd()).collect();
    let filled = camera.capture(&files)?;
    let (session, region, _) = buffers.get(filled).context("a buffer that is not ours")?;
    let mut contents = vec![0; camera.frame_bytes()];
    session.read_at(region, first, &mut contents)?;
    camera.expect_frame(&contents)
}

pub(super) fn memory_outlives_its_session() -> Result<()> {
    let mut camera = Camera::open()?;
    let mut files = Vec::new();
    for _ in 0..2 {
        let session = Session::open()?;
        let bytes = camera.frame_bytes().next_multiple_of(page_bytes()) as u64;
        let region = session.create(Backing::Folio, Method::Insert, bytes)?;
        files.push(session.export(&region, (0, bytes), true)?);
    }
    let borrowed: Vec<_> = files.iter().map(OwnedFd::as_fd).collect();
    let filled = camera.capture(&borrowed)?;
    let map = Map::shared(&files[filled], 0, camera.frame_bytes())?;
    camera.close();
    drop(files);
    let contents: Vec<u8> = (0..map.length).map(|at| map.load(at)).collect();
    Camera::open()?.expect_frame(&contents)
}
