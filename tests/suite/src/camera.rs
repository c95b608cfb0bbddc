// SPDX-License-Identifier: MIT OR Apache-2.0

//! A camera that is none: the kernel's driver vivid, which stores a test picture with the CPU where a camera's DMA
//! would. Structures and numbers are those of `linux/videodev2.h`.

use crate::runner::skip;
use anyhow::{ensure, Context as _, Result};
use nix::errno::Errno;
use std::{
    fs::{self, File, OpenOptions},
    os::fd::{AsRawFd as _, BorrowedFd},
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

/// Pixels, of two bytes each: the smallest that it has.
const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

const CAPTURE: u32 = 1;
const DMABUF: u32 = 4;
const YUYV: u32 = u32::from_le_bytes(*b"YUYV");

/// `struct v4l2_format`.
#[repr(C)]
struct Format {
    kind: u32,
    pix: Aligned<[u32; 50]>,
}

/// As a union that has pointers.
#[repr(C)]
struct Aligned<T> {
    value: T,
    _pointer: [usize; 0],
}

/// `struct v4l2_requestbuffers`.
#[repr(C)]
struct Request {
    count: u32,
    kind: u32,
    memory: u32,
    capabilities: u32,
    flags: u32,
}

/// `struct v4l2_buffer`, with 64 bits for the time.
#[repr(C)]
struct Buffer {
    index: u32,
    kind: u32,
    bytesused: u32,
    flags: u32,
    field: u32,
    timestamp: [i64; 2],
    timecode: [u32; 4],
    sequence: u32,
    memory: u32,
    fd: Aligned<i32>,
    length: u32,
    reserved: u32,
    request: i32,
}

impl Buffer {
    fn new(index: u32, fd: i32) -> Self {
        Self {
            index,
            kind: CAPTURE,
            bytesused: 0,
            flags: 0,
            field: 0,
            timestamp: [0; 2],
            timecode: [0; 4],
            sequence: 0,
            memory: DMABUF,
            fd: Aligned {
                value: fd,
                _pointer: [],
            },
            length: 0,
            reserved: 0,
            request: 0,
        }
    }
}

nix::ioctl_readwrite!(set_format, b'V', 5, Format);
nix::ioctl_readwrite!(request_buffers, b'V', 8, Request);
nix::ioctl_readwrite!(queue, b'V', 15, Buffer);
nix::ioctl_readwrite!(dequeue, b'V', 17, Buffer);
nix::ioctl_write_ptr!(stream_on, b'V', 18, u32);
nix::ioctl_write_ptr!(stream_off, b'V', 19, u32);

/// The camera's node, set to a format.
pub struct Camera {
    file: File,
    frame_bytes: usize,
}

impl Camera {
    /// The first one, or a skip.
    pub fn open() -> Result<Self> {
        let node = node()?;
        let file = OpenOptions::new().read(true).write(true).open(&node)?;
        let mut pix = [0; 50];
        (pix[0], pix[1], pix[2], pix[3]) = (WIDTH, HEIGHT, YUYV, 1);
        let mut format = Format {
            kind: CAPTURE,
            pix: Aligned {
                value: pix,
                _pointer: [],
            },
        };
        // SAFETY: The structure is that of this request.
        unsafe { set_format(file.as_raw_fd(), &mut format)? };
        let pix = format.pix.value;
        ensure!((pix[0], pix[1], pix[2]) == (WIDTH, HEIGHT, YUYV), "{pix:?}");
        let frame_bytes = usize::try_from(pix[5])?;
        Ok(Self { file, frame_bytes })
    }

    /// Bytes of a picture.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Fills one of the DMA-bufs with a picture, and says which. An `Errno`, if a call fails.
    pub fn capture(&mut self, files: &[BorrowedFd<'_>]) -> Result<usize> {
        let captured = self.try_to_capture(files);
        // Whatever happened, the buffers are given back.
        let fd = self.file.as_raw_fd();
        // SAFETY: The word is what this request takes.
        let _ = unsafe { stream_off(fd, &CAPTURE) };
        self.request(0)?;
        captured
    }

    fn request(&self, count: usize) -> Result<u32, Errno> {
        let mut request = Request {
            count: count as u32,
            kind: CAPTURE,
            memory: DMABUF,
            capabilities: 0,
            flags: 0,
        };
        // SAFETY: The structure is that of this request.
        unsafe { request_buffers(self.file.as_raw_fd(), &mut request)? };
        Ok(request.count)
    }

    fn try_to_capture(&self, files: &[BorrowedFd<'_>]) -> Result<usize> {
        let count = self.request(files.len())? as usize;
        ensure!(count == files.len(), "{count} buffers for {}", files.len());
        let fd = self.file.as_raw_fd();
        for (index, file) in files.iter().enumerate() {
            let mut buffer = Buffer::new(index as u32, file.as_raw_fd());
            // SAFETY: The structure is that of this request.
            unsafe { queue(fd, &mut buffer)? };
        }
        // SAFETY: The word is what this request takes.
        unsafe { stream_on(fd, &CAPTURE)? };
        let mut buffer = Buffer::new(0, -1);
        // SAFETY: The structure is that of this request.
        unsafe { dequeue(fd, &mut buffer)? };
        ensure!(
            buffer.bytesused as usize == self.frame_bytes,
            "{} bytes",
            buffer.bytesused
        );
        Ok(buffer.index as usize)
    }

    /// Fails unless the bytes begin with its test picture: bars of several colours, alike in each line.
    pub fn expect_frame(&self, bytes: &[u8]) -> Result<()> {
        let line = |number: usize| {
            let line = bytes.chunks_exact(WIDTH as usize * 2).nth(number);
            line.context("too few bytes for a picture")
        };
        let first = line(0)?;
        let mut lumas: Vec<u8> = first.iter().step_by(2).copied().collect();
        lumas.sort_unstable();
        lumas.dedup();
        ensure!(
            lumas.len() >= 6,
            "a line with {} shades: {lumas:?}",
            lumas.len()
        );
        let last = line(HEIGHT as usize - 1)?;
        let alike = first.iter().zip(last).filter(|(one, other)| one == other);
        ensure!(
            alike.count() > first.len() / 2,
            "the last line is another picture"
        );
        Ok(())
    }

    /// Lets go of it.
    pub fn close(self) {}
}

const CLASS: &str = "/sys/class/video4linux";

/// Its node, which devtmpfs makes in a thread of its own.
fn node() -> Result<PathBuf> {
    if !Path::new("/sys/module/vivid").exists() {
        let modprobe = Command::new("modprobe")
            .args(["vivid", "n_devs=1", "node_types=0x1"])
            .output()?;
        if !modprobe.status.success() {
            return skip("this kernel has no vivid, a driver of cameras that are none");
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let node = fs::read_dir(CLASS).ok().and_then(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names
                .filter(|name| is_vivid(&Path::new(CLASS).join(name)))
                .map(|name| Path::new("/dev").join(name))
                .find(|node| node.exists())
        });
        match node {
            Some(node) => return Ok(node),
            None if Instant::now() < deadline => sleep(Duration::from_millis(20)),
            None => anyhow::bail!("vivid has no node in /dev"),
        }
    }
}

fn is_vivid(device: &Path) -> bool {
    fs::read_to_string(device.join("name")).is_ok_and(|name| name.starts_with("vivid"))
}
