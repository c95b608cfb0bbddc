// SPDX-License-Identifier: MIT OR Apache-2.0
//! The VMs that claims are proved in: what each is made of.

use crate::guest::{GpioMode, GuestArgs};
use crate::machine_type::MachineType;
use mapwright_prove::Vm;
use std::path::Path;

/// What a VM is made of, beside what all have.
pub struct Build {
    pub vm: Vm,
    pub machine: MachineType,
    /// What is special about it, for a person.
    pub about: &'static str,
    pub memory: &'static str,
    pub qemu: &'static str,
    pub append: &'static str,
    pub module_params: &'static str,
    pub cpus: u32,
    /// The VM that it compares with, which must have ended before.
    pub after: Option<Vm>,
    /// Whether its kernel is that of scripts/debug-kernel.
    pub debug_kernel: bool,
    /// Whether a modelled GPIO bank is in it.
    pub gpio: bool,
    /// Who has it, where it is found by a device tree.
    pub gpio_mode: GpioMode,
    /// Whether its devices do not see what the processors' caches hold.
    pub non_coherent: bool,
    /// Whether its device tree has buffers.
    pub tree_buffers: bool,
    /// Whether it can reach QEMU's monitor.
    pub monitor: bool,
}

/// What `make test` boots.
pub const USUAL: Build = Build {
    vm: Vm::Normal,
    machine: MachineType::Pc,
    about: "two processors, 1 GiB, four levels of page tables",
    memory: "1G",
    qemu: "",
    append: "",
    module_params: "",
    cpus: 2,
    after: None,
    debug_kernel: false,
    gpio: false,
    gpio_mode: GpioMode::Bank,
    non_coherent: false,
    tree_buffers: false,
    monitor: false,
};

/// The device takes a tenth of a second for each transfer. Where QEMU counts instructions, the clock
/// jumps over what the guest waits for; a test cannot tell, so it is told.
///
/// The edu device. Without an IOMMU it reaches 256 MiB, with its 28 address bits.
pub const EDU: Build = Build {
    vm: Vm::Edu,
    about: "QEMU's edu device, which does DMA and reaches all 256 MiB of memory",
    memory: "256M",
    qemu: "-device edu -icount shift=auto,sleep=off",
    append: "mapwright.clock=jumps",
    // QEMU counts instructions with one processor.
    cpus: 1,
    ..USUAL
};

/// Whatever asks the DMA API for an address of memory beyond the device's reach makes the kernel warn, and panic.
pub const EDU_FAR: Build = Build {
    about: "the edu device, which reaches 256 MiB of 1 GiB, and nothing that helps",
    memory: "1G",
    append: "mapwright.clock=jumps panic_on_warn=1",
    ..EDU
};

/// The edu device on a bus that devices can be pulled out of.
pub const EDU_UNPLUG: Build = Build {
    vm: Vm::Edu,
    about: "the edu device, in a slot that it can be pulled out of",
    memory: "256M",
    qemu: "-M pc -device edu,id=edu",
    monitor: true,
    ..USUAL
};

/// The IOMMU must be named before the devices that it is for.
const EDU_BEHIND_IOMMU: &str =
    "-M q35,kernel-irqchip=split -device intel-iommu,intremap=off -device edu \
     -icount shift=auto,sleep=off";

pub const EDU_IOMMU: Build = Build {
    vm: Vm::EduIommu,
    about: "the edu device behind an IOMMU",
    memory: "1G",
    qemu: EDU_BEHIND_IOMMU,
    append: "mapwright.clock=jumps intel_iommu=on iommu.strict=1",
    ..EDU
};

pub const EDU_PASSTHROUGH: Build = Build {
    vm: Vm::EduPassthrough,
    about: "the edu device behind an IOMMU that maps each address to itself: iommu=pt",
    qemu: EDU_BEHIND_IOMMU,
    append: "mapwright.clock=jumps intel_iommu=on iommu=pt",
    ..EDU
};

/// Has memory that the kernel maps with `ioremap_wc()`.
const DISPLAY: &str = "-device bochs-display";

pub const EDU_BOUNCE: Build = Build {
    vm: Vm::EduBounce,
    about:
        "the edu device, with 256 MiB in its reach and 768 MiB above 4 GiB: bounce buffers; and no \
            messages for interrupts",
    memory: "1G",
    qemu: "-M q35,max-ram-below-4g=256M -device edu -icount shift=auto,sleep=off",
    append: "mapwright.clock=jumps pci=nomsi",
    ..EDU
};

pub const GPIO: Build = Build {
    vm: Vm::Gpio,
    about: "a modelled GPIO bank of an AM335x, and a display",
    qemu: DISPLAY,
    gpio: true,
    ..USUAL
};

pub const GPIO_UNPLUGGED: Build = Build {
    qemu: "-M pc",
    monitor: true,
    ..GPIO
};

/// Tests read registers without the driver, which the kernel forbids otherwise.
pub const GPIO_ARM: Build = Build {
    vm: Vm::GpioArm,
    machine: MachineType::Virt,
    about: "32-bit ARM, with the AM335x's GPIO banks at their true addresses, and a display",
    qemu: DISPLAY,
    append: "iomem=relaxed",
    gpio: true,
    ..USUAL
};

/// Firmware has left something at both ends of the memory that the device tree has a buffer keep.
pub const ARM_BUFFERS: Build = Build {
    machine: MachineType::Virt,
    about: "32-bit ARM, with buffers that its device tree describes, and 64 MiB of CMA",
    memory: "512M",
    qemu: "-device loader,addr=0x5d000000,data=0x203a64656c6c6946,data-len=8 \
           -device loader,addr=0x5d0ffff8,data=0x2e646e6520656854,data-len=8",
    append: "cma=64M",
    tree_buffers: true,
    ..USUAL
};

pub const ARM64_BUFFERS: Build = Build {
    machine: MachineType::Arm64,
    about: "64-bit ARM, with buffers that its device tree describes, and 64 MiB of CMA",
    ..ARM_BUFFERS
};

/// 64-bit ARM. Its memory begins at 1 GiB.
pub const ARM64: Build = Build {
    vm: Vm::Arm64,
    machine: MachineType::Arm64,
    about: "64-bit ARM, two processors, 1 GiB",
    ..USUAL
};

/// A processor that has everything QEMU can emulate, with a pointer authentication that is quick to emulate.
pub const ARM64_MAX: Build = Build {
    vm: Vm::Arm64Max,
    after: Some(Vm::Arm64),
    about: "64-bit ARM, a processor with 52-bit addresses",
    qemu: "-cpu max,pauth-impdef=on",
    ..ARM64
};

/// The device as on a PC, with the address bits that it takes to reach memory beyond the first GiB.
pub const ARM64_EDU: Build = Build {
    vm: Vm::Arm64Edu,
    about: "64-bit ARM, and the edu device with 32 address bits, which reaches all memory",
    qemu: "-device edu,dma_mask=0xffffffff -icount shift=auto,sleep=off",
    append: "mapwright.clock=jumps",
    module_params: "address_bits=32",
    cpus: 1,
    ..ARM64
};

/// Also with 32 address bits: it could reach all memory, were it not for the IOMMU.
const EDU_BEHIND_SMMU: &str =
    "-M virt,iommu=smmuv3 -device edu,dma_mask=0xffffffff -icount shift=auto,sleep=off";

pub const ARM64_EDU_IOMMU: Build = Build {
    vm: Vm::Arm64EduIommu,
    about: "64-bit ARM, and the edu device behind an SMMUv3",
    qemu: EDU_BEHIND_SMMU,
    append: "mapwright.clock=jumps iommu.strict=1",
    ..ARM64_EDU
};

pub const ARM64_EDU_BOUNCE: Build = Build {
    vm: Vm::Arm64EduBounce,
    about:
        "64-bit ARM, and the edu device with 32 address bits, which does not reach the last of 4 GiB: \
            bounce buffers; and no messages for interrupts",
    memory: "4G",
    append: "mapwright.clock=jumps pci=nomsi",
    ..ARM64_EDU
};

pub const ARM64_EDU_NON_COHERENT: Build = Build {
    vm: Vm::Arm64EduNonCoherent,
    about:
        "64-bit ARM, and the edu device on a bus that is not coherent with the processors' caches",
    non_coherent: true,
    ..ARM64_EDU
};

pub const ARM64_GPIO: Build = Build {
    vm: Vm::Arm64Gpio,
    about: "64-bit ARM, with a modelled GPIO bank of an AM335x as a PCI function, and a display",
    qemu: DISPLAY,
    gpio: true,
    ..ARM64
};

/// The table: an entry per VM.
const BUILDS: [Build; Vm::ALL.len()] = [
    USUAL,
    Build {
        vm: Vm::Nokaslr,
        about: "one processor, no random addresses",
        append: "nokaslr",
        cpus: 1,
        ..USUAL
    },
    Build {
        vm: Vm::FiveLevels,
        about: "five levels of page tables, and memory that 1 GiB pages fit into",
        // The last -cpu counts.
        qemu: "-cpu max",
        // The direct map has 1 GiB pages only well below the end of memory.
        memory: "4G",
        ..USUAL
    },
    Build {
        vm: Vm::Isolated,
        about: "the kernel hides itself from user mode, at other random addresses: pti=on",
        append: "pti=on",
        after: Some(Vm::Normal),
        ..USUAL
    },
    Build {
        vm: Vm::Numa,
        about: "two NUMA nodes, each with a processor and 512 MiB",
        // A processor whose caches the kernel does not take for shared by two nodes.
        qemu:
            "-cpu EPYC -smp 2,sockets=2 -object memory-backend-ram,id=m0,size=512M -object memory-backend-ram,id=m1,size=512M \
               -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1",
        ..USUAL
    },
    Build {
        vm: Vm::AboveFourGib,
        about: "half of the memory above 4 GiB: a zone more; init_on_alloc=0",
        qemu: "-M q35,max-ram-below-4g=512M",
        append: "init_on_alloc=0",
        ..USUAL
    },
    Build {
        vm: Vm::SlubDebug,
        about: "SLUB checks each object: slab_debug=FZPU",
        append: "slab_debug=FZPU",
        ..USUAL
    },
    Build {
        vm: Vm::DebugKernel,
        about: "the kernel of scripts/debug-kernel: KASAN, kmemleak",
        memory: "2G",
        append: "kasan_multi_shot slab_debug=U lockdep.prove_locking=0",
        debug_kernel: true,
        ..USUAL
    },
    EDU,
    EDU_IOMMU,
    EDU_PASSTHROUGH,
    EDU_BOUNCE,
    GPIO,
    GPIO_ARM,
    Build {
        vm: Vm::Arm,
        machine: MachineType::Virt,
        about: "32-bit ARM, a Cortex-A7 with 512 MiB",
        memory: "512M",
        ..USUAL
    },
    Build {
        vm: Vm::ArmTwoGib,
        machine: MachineType::Virt,
        about: "32-bit ARM, a Cortex-A7 with 2 GiB",
        memory: "2G",
        ..USUAL
    },
    ARM64,
    ARM64_MAX,
    ARM64_EDU,
    ARM64_EDU_IOMMU,
    ARM64_EDU_BOUNCE,
    ARM64_EDU_NON_COHERENT,
    ARM64_GPIO,
];

/// What `vm` is made of.
pub fn build_of(vm: Vm) -> &'static Build {
    let build = BUILDS.iter().find(|build| build.vm == vm);
    build.unwrap_or(&BUILDS[0])
}

impl Build {
    /// The arguments of such a guest. What a modelled bank has to tell goes into `results`/gpio.
    pub fn guest_args(&self, results: &Path) -> GuestArgs {
        GuestArgs {
            qemu: self.qemu.to_owned(),
            append: self.append.to_owned(),
            module_params: self.module_params.to_owned(),
            cpus: self.cpus,
            gpio: self.gpio.then(|| results.join("gpio")),
            gpio_mode: self.gpio_mode,
            non_coherent: self.non_coherent,
            tree_buffers: self.tree_buffers,
            monitor: self.monitor,
            ..GuestArgs::plain(self.machine, self.memory)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vm_has_a_build() {
        for vm in Vm::ALL {
            assert_eq!(build_of(vm).vm, vm, "{} has none", vm.name());
        }
    }
}
