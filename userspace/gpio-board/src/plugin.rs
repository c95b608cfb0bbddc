// SPDX-License-Identifier: MIT OR Apache-2.0

//! Between QEMU and the board.

use crate::board::{Board, BANKS, HOLES};
use crate::qemu::{self, Input, Operations, Qemu, MEMTX_ERROR, MEMTX_OK};
use anyhow::{bail, ensure, Context, Result};
use gpio_model::{Night, Reply, Request, Width, DUSK};
use libc::{c_char, c_int, c_uint, c_void};
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// The version of the plugin interface, which QEMU looks at first.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static qemu_plugin_version: c_int = 4;

/// All that there is.
struct Plugin {
    qemu: Qemu,
    board: Mutex<Board>,
    directory: PathBuf,
    /// The interrupt controller's inputs, by number.
    inputs: OnceLock<Vec<(u32, Wire)>>,
}

/// An input, which any thread with QEMU's lock may use.
struct Wire(Mutex<Input>);

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

static OPERATIONS: Operations = Operations::new(load, store);

/// What QEMU calls first. A plugin that does not return 0 ends it.
///
/// # Safety
///
/// `arguments` must be so many strings.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    plugin: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let arguments: Vec<*const c_char> = (0..count)
        // SAFETY: By this function's requirement.
        .map(|at| unsafe { *arguments.add(at) })
        .collect();
    match install(plugin, &arguments) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("mapwright-gpio-board: {error:#}");
            1
        }
    }
}

fn install(plugin: u64, arguments: &[*const c_char]) -> Result<()> {
    let (mut control, mut directory) = (None, None);
    for argument in arguments {
        match qemu::text(*argument)?.split_once('=') {
            Some(("control", path)) => control = Some(PathBuf::from(path)),
            Some(("directory", path)) => directory = Some(PathBuf::from(path)),
            _ => bail!("the arguments are control=SOCKET and directory=DIR"),
        }
    }
    let (Some(control), Some(directory)) = (control, directory) else {
        bail!("the arguments are control=SOCKET and directory=DIR");
    };
    let qemu = Qemu::find()?;
    let board = Mutex::new(Board::new(&directory)?);
    let result = PLUGIN.set(Plugin {
        qemu,
        board,
        directory,
        inputs: OnceLock::new(),
    });
    ensure!(result.is_ok(), "there is a board already");
    gpio_model::listen(&control, answer)
        .with_context(|| format!("cannot listen at {}", control.display()))?;
    qemu.when_ready(|| {
        let put_in = PLUGIN.get().map_or(Ok(()), Plugin::put_in);
        if let Err(error) = put_in {
            eprintln!("mapwright-gpio-board: {error:#}");
            process::exit(1);
        }
    });
    qemu.at_exit(plugin, || {
        let finished = PLUGIN
            .get()
            .map_or(Ok(()), |plugin| plugin.board().finish(&plugin.directory));
        if let Err(error) = finished {
            eprintln!("mapwright-gpio-board: {error:#}");
        }
    });
    Ok(())
}

impl Plugin {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the board into the VM, and tries whether that did what it should.
    fn put_in(&self) -> Result<()> {
        for (start, size) in HOLES {
            let data = usize::try_from(start)?;
            self.qemu
                .add_device(c"mapwright-gpio-board", start, size, &OPERATIONS, data);
        }
        let wire = |number| -> Result<_> {
            let input = self.qemu.interrupt(number)?;
            Ok((number, Wire(Mutex::new(input))))
        };
        let numbers = BANKS.iter().flat_map(|(_, first)| [*first, first + 1]);
        let inputs = numbers.map(wire).collect::<Result<Vec<_>>>()?;
        ensure!(
            self.inputs.set(inputs).is_ok(),
            "the board is there already"
        );

        // A clock that is off, and an address that nothing is at.
        let (clock, nothing) = (HOLES[0].0 + 0xac, HOLES[1].0);
        let answers = [self.qemu.load(clock)?, self.qemu.load(nothing)?];
        let records = match self.board().answer(&Request::Others(0))? {
            Reply::Records(records) => records,
            other => bail!("the board answers {other:?}"),
        };
        let accesses: Vec<_> = records
            .iter()
            .map(|r| (u64::from(r.offset), r.width))
            .collect();
        ensure!(
            answers == [Some(0x3_0000), None] && accesses == [(clock, 32), (nothing, 32)],
            "QEMU does not reach the board as it should ({answers:x?}, {accesses:x?}): use the qemu-system-arm \
             that scripts/setup installs"
        );
        self.board().forget();
        Ok(())
    }

    /// Does something to the board, and tells the interrupt controller.
    ///
    /// # Safety
    ///
    /// As of [`Qemu::set`].
    unsafe fn act<T>(&self, act: impl FnOnce(&mut Board) -> io::Result<T>) -> io::Result<T> {
        let mut board = self.board();
        let result = act(&mut board)?;
        for (number, active) in board.interrupts() {
            let mut inputs = self.inputs.get().into_iter().flatten();
            if let Some((_, wire)) = inputs.find(|(of, _)| *of == number) {
                let input = *wire.0.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: By this function's requirement.
                unsafe { self.qemu.set(input, active) };
            }
        }
        Ok(result)
    }
}

/// Does what a test asks for.
fn answer(request: &Request) -> io::Result<Reply> {
    let plugin = PLUGIN
        .get()
        .ok_or_else(|| io::Error::other("there is no board yet"))?;
    let _lock = plugin.qemu.lock();
    // SAFETY: The lock is held.
    unsafe { plugin.act(|board| board.answer(request)) }
}

/// Lets that happen to the bank of this number after dusk.
fn pass(number: usize, night: Night) {
    thread::spawn(move || {
        thread::sleep(DUSK);
        let Some(plugin) = PLUGIN.get() else {
            return;
        };
        let _lock = plugin.qemu.lock();
        // SAFETY: The lock is held.
        or_exit(unsafe { plugin.act(|board| board.pass(number, &night)) });
    });
}

/// What goes wrong with a file must not go unseen, and cannot be told to the guest.
fn or_exit<T>(done: io::Result<T>) -> T {
    done.unwrap_or_else(|error| {
        eprintln!("mapwright-gpio-board: cannot write what happened: {error}");
        process::abort()
    })
}

/// A load of a processor's.
///
/// # Safety
///
/// `data` must be the start of a hole, `value` a place for the value, and QEMU's lock must be held.
unsafe extern "C" fn load(
    data: *mut c_void,
    offset: u64,
    value: *mut u64,
    bytes: c_uint,
    _attributes: u64,
) -> u32 {
    let address = (data as u64).wrapping_add(offset);
    let (Some(plugin), Some(width)) = (PLUGIN.get(), Width::of(bytes as usize)) else {
        return MEMTX_ERROR;
    };
    // SAFETY: By this function's requirement, the lock is held.
    match or_exit(unsafe { plugin.act(|board| board.load(address, width)) }) {
        Ok(loaded) => {
            // SAFETY: By this function's requirement.
            unsafe { *value = loaded.into() };
            MEMTX_OK
        }
        Err(_) => MEMTX_ERROR,
    }
}

/// A store of a processor's.
///
/// # Safety
///
/// `data` must be the start of a hole, and QEMU's lock must be held.
unsafe extern "C" fn store(
    data: *mut c_void,
    offset: u64,
    value: u64,
    bytes: c_uint,
    _attributes: u64,
) -> u32 {
    let address = (data as u64).wrapping_add(offset);
    let (Some(plugin), Some(width)) = (PLUGIN.get(), Width::of(bytes as usize)) else {
        return MEMTX_ERROR;
    };
    // SAFETY: By this function's requirement, the lock is held.
    let stored = unsafe {
        plugin.act(|board| {
            let stored = board.store(address, width, value as u32);
            for (number, night) in board.nights() {
                pass(number, night);
            }
            stored
        })
    };
    match or_exit(stored) {
        Ok(()) => MEMTX_OK,
        Err(_) => MEMTX_ERROR,
    }
}
