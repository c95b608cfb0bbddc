// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is used of QEMU, as Debian 13 builds it: the declarations are those of its version 10.0,
//! `include/exec/memory.h`, `include/hw/irq.h`, `include/qemu/main-loop.h`, `include/system/system.h` and
//! `include/qemu/qemu-plugin.h`.

use anyhow::{bail, ensure, Context, Result};
use libc::{c_char, c_int, c_uint, c_void};
use std::ffi::{CStr, CString};
use std::marker::PhantomData;

/// The version that this is written for.
const VERSION: (i64, i64) = (10, 0);
/// What the package of it is called.
const BUILDER: &str = "Debian";

/// An access that succeeded, and one that no device answers.
pub const MEMTX_OK: u32 = 0;
pub const MEMTX_ERROR: u32 = 1;
const DEVICE_LITTLE_ENDIAN: c_int = 2;
/// More than a `MemoryRegion` has.
const REGION_BYTES: usize = 4096;

/// `MemTxAttrs`, a structure of eight bytes that is passed in a register; none are used.
type Attributes = u64;

/// `MemoryRegionOps`.
#[repr(C)]
pub struct Operations {
    pub read: Option<unsafe extern "C" fn(*mut c_void, u64, c_uint) -> u64>,
    pub write: Option<unsafe extern "C" fn(*mut c_void, u64, u64, c_uint)>,
    pub read_with_attrs:
        Option<unsafe extern "C" fn(*mut c_void, u64, *mut u64, c_uint, Attributes) -> u32>,
    pub write_with_attrs:
        Option<unsafe extern "C" fn(*mut c_void, u64, u64, c_uint, Attributes) -> u32>,
    pub endianness: c_int,
    pub valid: Valid,
    pub implemented: Implemented,
}

#[repr(C)]
pub struct Valid {
    min_access_size: c_uint,
    max_access_size: c_uint,
    unaligned: bool,
    accepts: Option<unsafe extern "C" fn(*mut c_void, u64, c_uint, bool, Attributes) -> bool>,
}

#[repr(C)]
pub struct Implemented {
    min_access_size: c_uint,
    max_access_size: c_uint,
    unaligned: bool,
}

impl Operations {
    /// Those of a device whose loads and stores are up to 32 bits wide, and say whether they succeeded.
    pub const fn new(
        load: unsafe extern "C" fn(*mut c_void, u64, *mut u64, c_uint, u64) -> u32,
        store: unsafe extern "C" fn(*mut c_void, u64, u64, c_uint, u64) -> u32,
    ) -> Self {
        Self {
            read: None,
            write: None,
            read_with_attrs: Some(load),
            write_with_attrs: Some(store),
            endianness: DEVICE_LITTLE_ENDIAN,
            valid: Valid {
                min_access_size: 1,
                max_access_size: 4,
                unaligned: false,
                accepts: None,
            },
            implemented: Implemented {
                min_access_size: 1,
                max_access_size: 4,
                unaligned: false,
            },
        }
    }
}

/// `Notifier`.
#[repr(C)]
struct Notifier {
    notify: unsafe extern "C" fn(*mut Notifier, *mut c_void),
    node: [*mut c_void; 2],
    /// Ours: QEMU knows nothing of it.
    then: fn(),
}

/// `VersionInfo` and `VersionTriple`.
#[repr(C)]
struct VersionInfo {
    qemu: *mut [i64; 3],
    package: *mut c_char,
}

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// QEMU's functions, each under its own name.
        #[derive(Clone, Copy)]
        #[allow(non_snake_case)]
        struct Functions {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Functions {
            fn find() -> Result<Self> {
                Ok(Self {
                    $($name: {
                        let symbol = symbol(stringify!($name))?;
                        // SAFETY: `Qemu::find` makes sure that this is the QEMU in which the function
                        // of that name is of that type, before it is called; see the head of this file.
                        unsafe {
                            std::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(symbol)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    qmp_query_version: fn(*mut *mut c_void) -> *mut VersionInfo;
    qapi_free_VersionInfo: fn(*mut VersionInfo);
    qemu_add_machine_init_done_notifier: fn(*mut Notifier);
    qemu_plugin_register_atexit_cb: fn(u64, unsafe extern "C" fn(u64, *mut c_void), *mut c_void);
    get_system_memory: fn() -> *mut c_void;
    memory_region_init_io: fn(*mut c_void, *mut c_void, *const Operations, *mut c_void, *const c_char, u64);
    memory_region_add_subregion_overlap: fn(*mut c_void, u64, *mut c_void, c_int);
    address_space_ldl: fn(*mut c_void, u64, Attributes, *mut u32) -> u32;
    object_resolve_path_type: fn(*const c_char, *const c_char, *mut bool) -> *mut c_void;
    qdev_get_gpio_in: fn(*mut c_void, c_int) -> *mut c_void;
    qemu_set_irq: fn(*mut c_void, c_int);
    bql_lock_impl: fn(*const c_char, c_int);
    bql_unlock: fn();
}

fn symbol(name: &str) -> Result<*mut c_void> {
    let text = CString::new(name)?;
    // SAFETY: The name is a string that ends.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, text.as_ptr()) };
    ensure!(
        !address.is_null(),
        "this QEMU does not export {name}: use the qemu-system-arm of Debian 13"
    );
    Ok(address)
}

/// The QEMU that this is in.
#[derive(Clone, Copy)]
pub struct Qemu(Functions);

/// Held by who uses the VM's devices. Not to be sent to another thread.
pub struct Lock<'a> {
    qemu: &'a Qemu,
    _here: PhantomData<*mut ()>,
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // SAFETY: This thread took it in `Qemu::lock`.
        unsafe { (self.qemu.0.bql_unlock)() };
    }
}

/// An input of the interrupt controller.
#[derive(Clone, Copy)]
pub struct Input(*mut c_void);

// SAFETY: It is only used by `Qemu::set`, whose caller has the lock.
unsafe impl Send for Input {}

impl Qemu {
    /// Fails in one that this is not written for.
    pub fn find() -> Result<Self> {
        let qemu = Self(Functions::find()?);
        let (version, package) = qemu.version();
        if version != VERSION || !package.contains(BUILDER) {
            bail!(
                "this is QEMU {}.{} ({package}), and the board needs QEMU {}.{} as {BUILDER} 13 has it: \
                 install that package",
                version.0, version.1, VERSION.0, VERSION.1
            );
        }
        Ok(qemu)
    }

    fn version(&self) -> ((i64, i64), String) {
        // SAFETY: The function takes a place for an error, or none, and gives a structure that is
        // freed with the other; it is part of QEMU's documented interface, and its type has not
        // changed since version 2.4. The strings in it end.
        unsafe {
            let info = (self.0.qmp_query_version)(std::ptr::null_mut());
            let [major, minor, _] = *(*info).qemu;
            let package = CStr::from_ptr((*info).package)
                .to_string_lossy()
                .into_owned();
            (self.0.qapi_free_VersionInfo)(info);
            ((major, minor), package)
        }
    }

    /// Calls `then` when all devices of the VM are there, and no processor runs yet.
    pub fn when_ready(&self, then: fn()) {
        let notifier = Box::leak(Box::new(Notifier {
            notify: ready,
            node: [std::ptr::null_mut(); 2],
            then,
        }));
        // SAFETY: The notifier lives for ever, and is QEMU's from now on.
        unsafe { (self.0.qemu_add_machine_init_done_notifier)(notifier) };
    }

    /// Calls `then` before QEMU ends. `plugin` is the number that it gave this plugin.
    pub fn at_exit(&self, plugin: u64, then: fn()) {
        // SAFETY: The callback takes a function pointer for its data, which is what it is given.
        unsafe { (self.0.qemu_plugin_register_atexit_cb)(plugin, exits, then as *mut c_void) };
    }

    /// Puts a device over whatever is at `start`. To be called with the lock held, or before
    /// processors run; `operations` get `data`.
    pub fn add_device(
        &self,
        name: &CStr,
        start: u64,
        size: u64,
        operations: &'static Operations,
        data: usize,
    ) {
        let region: &'static mut [u64] = vec![0; REGION_BYTES / 8].leak();
        let region = region.as_mut_ptr().cast::<c_void>();
        // SAFETY: The region is zeroed, aligned for any field, larger than the structure, and lives for
        // ever, as do the operations; QEMU copies the name. Nothing reads the data but the operations.
        unsafe {
            let system = (self.0.get_system_memory)();
            let data = data as *mut c_void;
            (self.0.memory_region_init_io)(
                region,
                std::ptr::null_mut(),
                operations,
                data,
                name.as_ptr(),
                size,
            );
            (self.0.memory_region_add_subregion_overlap)(system, start, region, 1);
        }
    }

    /// Loads a word as a processor does: its value, or `None` if that is answered with an error.
    pub fn load(&self, address: u64) -> Result<Option<u32>> {
        let memory = symbol("address_space_memory")?;
        let mut result = MEMTX_OK;
        // SAFETY: The symbol is the variable that has the VM's address space; the result is
        // written before this returns.
        let value = unsafe { (self.0.address_space_ldl)(memory, address, 0, &mut result) };
        match result {
            MEMTX_OK => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// The interrupt controller's input for the shared peripheral interrupt of that number.
    pub fn interrupt(&self, number: u32) -> Result<Input> {
        // SAFETY: The strings end; the result is null or an object of that type, which lives as long
        // as the machine. It has an input for each number below 200 in the machine type `virt`.
        let input = unsafe {
            let controller = (self.0.object_resolve_path_type)(
                c"".as_ptr(),
                c"arm_gic".as_ptr(),
                std::ptr::null_mut(),
            );
            ensure!(
                !controller.is_null(),
                "this VM has no GICv2: start it with -M virt,gic-version=2"
            );
            ensure!(number < 200, "there is no interrupt {number}");
            (self.0.qdev_get_gpio_in)(controller, c_int::try_from(number)?)
        };
        ensure!(!input.is_null(), "there is no interrupt {number}");
        Ok(Input(input))
    }

    /// Waits until no other thread uses the VM's devices. QEMU's own calls to a device are made
    /// with the lock held: there, it must not be taken again.
    pub fn lock(&self) -> Lock<'_> {
        // SAFETY: This thread is none of QEMU's, so it does not hold the lock; the string ends.
        unsafe { (self.0.bql_lock_impl)(c"gpio-board".as_ptr(), 0) };
        Lock {
            qemu: self,
            _here: PhantomData,
        }
    }

    /// Makes an interrupt active, or not.
    ///
    /// # Safety
    ///
    /// The caller has the lock: as [`Lock`], or since QEMU calls it with that held.
    pub unsafe fn set(&self, input: Input, active: bool) {
        // SAFETY: The input is the interrupt controller's, and by this function's requirement nobody
        // else uses that.
        unsafe { (self.0.qemu_set_irq)(input.0, c_int::from(active)) };
    }
}

/// # Safety
///
/// `notifier` must be of [`Qemu::when_ready`].
unsafe extern "C" fn ready(notifier: *mut Notifier, _machine: *mut c_void) {
    // SAFETY: By this function's requirement.
    let then = unsafe { (*notifier).then };
    then();
}

/// # Safety
///
/// `data` must be a function, as [`Qemu::at_exit`] gives it.
unsafe extern "C" fn exits(_plugin: u64, data: *mut c_void) {
    // SAFETY: By this function's requirement.
    let then = unsafe { std::mem::transmute::<*mut c_void, fn()>(data) };
    then();
}

/// The arguments that a plugin is started with.
pub fn text<'a>(argument: *const c_char) -> Result<&'a str> {
    ensure!(!argument.is_null(), "an argument is missing");
    // SAFETY: QEMU gives strings that end, and keeps them while the plugin is installed.
    let text = unsafe { CStr::from_ptr(argument) };
    text.to_str().context("an argument is not UTF-8")
}
