// SPDX-License-Identifier: GPL-2.0-only

//! An open file of `/dev/mapwright-gpioN`.

use crate::{
    bank::{
        poll_bits,
        Bank,
        Mode, //
    },
    watch::Watch, //
};
use kernel::{
    fs,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        poll::PollTable,
        Arc,
        Mutex, //
    },
    uaccess::UserPtr, //
};
use mapkit::{
    base::{
        capability,
        gfp::GFP_FOR_CALLER,
        lockdown,
        param,
        uaccess::UserStruct, //
    },
    device::chardev::CharDevice,
    map::vma::{
        Mapped,
        NewVma, //
    },
    sync::deadline::Deadline, //
};
use mapwright_uapi::{
    gpio as uapi,
    Request, //
};

/// What is its own is what `poll(2)` tells it.
#[pin_data(PinnedDrop)]
pub(crate) struct File {
    bank: Arc<Bank>,
    #[pin]
    watch: Mutex<Watch>,
    /// Until when those waited whom a signal has interrupted, and who may go on. The oldest is the first.
    #[pin]
    interrupted: Mutex<KVec<Interrupted>>,
}

/// A wait that its thread begins again with these arguments.
struct Interrupted {
    /// The number of the thread.
    thread: i32,
    line: u32,
    edges: u32,
    timeout: u32,
    deadline: Deadline,
}

/// More than that are forgotten, and begin again with the time that they had left.
const MAX_INTERRUPTED: usize = 64;

#[pinned_drop]
impl PinnedDrop for File {
    fn drop(self: Pin<&mut Self>) {
        self.watch.lock().end(&self.bank);
    }
}

/// Eight hexadecimal digits and a newline.
fn hexadecimal(bits: u32) -> [u8; 9] {
    let mut text = [b'\n'; 9];
    for (at, digit) in text.iter_mut().take(8).enumerate() {
        let nibble = bits.wrapping_shr(28u32.wrapping_sub((at as u32).wrapping_mul(4))) & 0xf;
        *digit = match nibble as u8 {
            n @ 0..=9 => b'0'.wrapping_add(n),
            n => (b'a' - 10).wrapping_add(n),
        };
    }
    text
}

/// Reads the request at `arg`, lets `f` change it and writes it back.
fn reply<R: Request>(arg: UserPtr, f: impl FnOnce(&mut R) -> Result) -> Result<u32> {
    let user = UserStruct::new(arg, R::MIN_SIZE)?;
    let mut request = R::new();
    user.read(&mut request)?;
    f(&mut request)?;
    user.write(&request)?;
    Ok(0)
}

impl File {
    fn info(&self, info: &mut uapi::Info) -> Result {
        let revision = self.bank.block.revision()?.into_raw();
        let (leds, requested) = self.bank.others();
        *info = uapi::Info {
            size: info.size,
            mode: match self.bank.mode {
                Mode::Hog => uapi::MODE_HOG,
                Mode::Bank => uapi::MODE_BANK,
            },
            revision,
            outputs: self.bank.outputs()?,
            levels: self.bank.levels()?,
            blinking: self.bank.blinking(),
            leds,
            requested,
        };
        Ok(())
    }

    fn outputs(&self, outputs: &mut uapi::Outputs) -> Result {
        outputs.levels = self.bank.set_outputs(outputs.set, outputs.clear)?;
        Ok(())
    }

    fn direction(&self, direction: &mut uapi::Direction) -> Result {
        match (direction.output, direction.reserved) {
            (0, 0) => self.bank.set_direction(direction.line, false),
            (1, 0) => self.bank.set_direction(direction.line, true),
            _ => Err(EINVAL),
        }
    }

    fn blink(&self, blink: &mut uapi::Blink) -> Result {
        if blink.reserved != 0 {
            return Err(EINVAL);
        }
        self.bank.set_blink(blink.line, blink.period)
    }

    fn watch(&self, watch: &mut uapi::Watch) -> Result {
        if watch.reserved != 0 {
            return Err(EINVAL);
        }
        let mut watched = self.watch.lock();
        watched.set(&self.bank, watch.rising, watch.falling)
    }

    fn events(&self, arg: UserPtr) -> Result<u32> {
        let user = UserStruct::new(arg, uapi::Events::MIN_SIZE)?;
        let mut events = uapi::Events::new();
        user.read(&mut events)?;
        let taken = self.watch.lock().take(&self.bank)?;
        events.levels = self.bank.levels()?;
        (events.rising, events.falling) = (taken.rising, taken.falling);
        // A program that cannot be told of them now is told the next time.
        let written = user.write(&events);
        if written.is_err() {
            self.watch.lock().put_back(taken);
        }
        written.map(|()| 0)
    }

    fn wait(&self, arg: UserPtr) -> Result<u32> {
        let user = UserStruct::new(arg, uapi::Wait::MIN_SIZE)?;
        let mut wait = uapi::Wait::new();
        user.read(&mut wait)?;
        let deadline = self.deadline(&wait);
        match self.bank.wait(wait.line, wait.edges, &deadline) {
            Ok(nr_edges) => wait.nr_edges = nr_edges,
            Err(err) if err == ERESTARTSYS => {
                // The kernel begins the call again, or the program is told that it may.
                if let Some(left) = deadline.milliseconds_left() {
                    wait.timeout = left.max(1);
                    user.write(&wait)?;
                    self.interrupt(&wait, deadline);
                }
                return Err(err);
            }
            Err(err) => return Err(err),
        }
        wait.level = self.bank.levels()?.checked_shr(wait.line).unwrap_or(0) & 1;
        user.write(&wait)?;
        Ok(0)
    }

    /// Until when to wait: that of this thread's wait that was interrupted, if it is that which begins again. Any
    /// other wait of the thread shows that it does not.
    fn deadline(&self, wait: &uapi::Wait) -> Deadline {
        let thread = kernel::current!().pid();
        let mut interrupted = self.interrupted.lock();
        let known = interrupted.iter().position(|known| known.thread == thread);
        let known = known.and_then(|at| interrupted.remove(at).ok());
        let is_it = |known: &Interrupted| {
            (known.line, known.edges, known.timeout) == (wait.line, wait.edges, wait.timeout)
        };
        match (wait.timeout, known.filter(is_it)) {
            (0, _) => Deadline::NEVER,
            (_, Some(known)) => known.deadline,
            (timeout, None) => Deadline::after(timeout),
        }
    }

    fn interrupt(&self, wait: &uapi::Wait, deadline: Deadline) {
        let mut interrupted = self.interrupted.lock();
        if interrupted.len() >= MAX_INTERRUPTED {
            // There is a first.
            let _ = interrupted.remove(0);
        }
        let new = Interrupted {
            thread: kernel::current!().pid(),
            line: wait.line,
            edges: wait.edges,
            timeout: wait.timeout,
            deadline,
        };
        // Without memory, the time that is left counts from when it begins again.
        let _ = interrupted.push(new, GFP_FOR_CALLER);
    }
}

#[vtable]
impl CharDevice for File {
    type Shared = Bank;
    const MODULE: &'static ThisModule = crate::MODULE;

    fn open(bank: &Arc<Bank>, _file: &fs::File) -> Result<Arc<Self>> {
        let file = pin_init!(Self {
            bank: bank.clone(),
            watch <- new_mutex!(Watch::new()),
            interrupted <- new_mutex!(KVec::new()),
        });
        Arc::pin_init(file, GFP_KERNEL)
    }

    fn mmap<'a>(&self, vma: NewVma<'a>) -> Result<Mapped<'a>> {
        if !capability::is_sys_rawio() {
            return Err(EPERM);
        }
        vma.deny_exec()?;
        let writable =
            param::number::<u8>(crate::module_parameters::writable_registers.value()) != 0;
        let locked = match writable {
            true => lockdown::expect_devices_may_be_driven(),
            false => Ok(()),
        };
        if vma.is_writable() {
            locked?;
        }
        vma.into_register_page(self.bank.page.clone(), writable && locked.is_ok())
    }

    fn changes(cmd: u32) -> bool {
        matches!(
            cmd,
            uapi::IOCTL_OUTPUTS | uapi::IOCTL_DIRECTION | uapi::IOCTL_BLINK
        )
    }

    fn ioctl(&self, cmd: u32, arg: UserPtr) -> Result<u32> {
        match cmd {
            uapi::IOCTL_INFO => reply(arg, |info| self.info(info)),
            uapi::IOCTL_OUTPUTS => reply(arg, |outputs| self.outputs(outputs)),
            uapi::IOCTL_DIRECTION => reply(arg, |direction| self.direction(direction)),
            uapi::IOCTL_BLINK => reply(arg, |blink| self.blink(blink)),
            uapi::IOCTL_WAIT => self.wait(arg),
            uapi::IOCTL_WATCH => reply(arg, |watch| self.watch(watch)),
            uapi::IOCTL_EVENTS => self.events(arg),
            _ => Err(ENOTTY),
        }
    }

    fn end(&self) -> Result<u64> {
        Ok(hexadecimal(0).len() as u64)
    }

    /// The levels, as eight hexadecimal digits.
    fn read(&self, pos: u64, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let text = hexadecimal(self.bank.levels()?);
        let from = usize::try_from(pos).unwrap_or(usize::MAX);
        Ok(text.get(from..).map_or(0, |rest| iov.copy_to_iter(rest)))
    }

    fn write(&self, _pos: u64, _iov: &mut IovIterSource<'_>) -> Result<usize> {
        Err(EINVAL)
    }

    fn poll(&self, file: &fs::File, table: &PollTable<'_>) -> u32 {
        self.bank.register_poll(file, table);
        poll_bits(self.watch.lock().has_some(&self.bank))
    }

    fn show_fdinfo(&self, m: &SeqFile) {
        seq_print!(m, "blinking:\t{:08x}\n", self.bank.blinking());
    }
}
