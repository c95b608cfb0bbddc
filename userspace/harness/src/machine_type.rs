// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine types that QEMU emulates.

use crate::place::Kernel;
use clap::ValueEnum;
use std::fmt;

/// What a VM is modelled on: QEMU's `-machine`, and a processor that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineType {
    /// An x86-64 PC
    Pc,
    /// A 64-bit ARM machine with a Cortex-A72, or a Cortex-A76 for a kernel with 16 KiB pages
    Arm64,
    /// A 32-bit ARM machine with a Cortex-A7 and PCI
    Virt,
    /// A Cubieboard, with a Cortex-A8 as the BeagleBone's, and neither PCI nor a way to power off
    Cubieboard,
}

impl fmt::Display for MachineType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MachineType::Pc => "pc",
            MachineType::Arm64 => "arm64",
            MachineType::Virt => "virt",
            MachineType::Cubieboard => "cubieboard",
        })
    }
}

/// What runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    Kvm,
    /// QEMU's own translator.
    Tcg,
    /// The same in one thread, which is how it counts instructions.
    TcgOneThread,
}

impl MachineType {
    /// The machine type of the architecture that this program is built for.
    pub const NATIVE: Self = match cfg!(target_arch = "aarch64") {
        true => Self::Arm64,
        false => Self::Pc,
    };

    /// The program that emulates it.
    pub fn qemu(self) -> &'static str {
        match self {
            MachineType::Pc => "qemu-system-x86_64",
            MachineType::Arm64 => "qemu-system-aarch64",
            MachineType::Virt | MachineType::Cubieboard => "qemu-system-arm",
        }
    }

    /// QEMU's arguments for the machine type, the processor and the accelerator.
    pub fn args(self, accel: Accel, kernel: &Kernel) -> Vec<String> {
        let mut args: Vec<String> = ["-nodefaults", "-no-user-config", "-no-reboot"]
            .map(str::to_owned)
            .to_vec();
        args.extend(["-display", "none"].map(str::to_owned));
        args.extend(match self {
            MachineType::Pc => vec!["-machine".to_owned(), "q35".to_owned()],
            MachineType::Arm64 => {
                let gic = if accel == Accel::Kvm { "host" } else { "3" };
                vec!["-machine".to_owned(), format!("virt,gic-version={gic}")]
            }
            // Debian's kernel has no large physical addresses, where PCI would be otherwise.
            MachineType::Virt => vec!["-machine".to_owned(), "virt,highmem=off".to_owned()],
            MachineType::Cubieboard => vec![
                "-machine".to_owned(),
                "cubieboard".to_owned(),
                "-dtb".to_owned(),
                kernel.device_tree("sun4i-a10-cubieboard"),
            ],
        });
        args.extend(self.accel_args(accel, kernel));
        args
    }

    /// The processor and its accelerator.
    pub fn accel_args(self, accel: Accel, kernel: &Kernel) -> Vec<String> {
        let accelerator = match accel {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg,thread=multi",
            Accel::TcgOneThread => "tcg,thread=single",
        };
        let cpu = match (self, accel) {
            (MachineType::Pc | MachineType::Arm64, Accel::Kvm) => Some("host"),
            // Five-level page tables make TCG nearly twice as slow.
            (MachineType::Pc, Accel::Tcg | Accel::TcgOneThread) => Some("max,la57=off"),
            // The Cortex-A72 has no pages of 16 KiB.
            (MachineType::Arm64, _) if kernel.has("ARM64_16K_PAGES") => Some("cortex-a76"),
            (MachineType::Arm64, _) => Some("cortex-a72"),
            (MachineType::Virt, _) => Some("cortex-a7"),
            (MachineType::Cubieboard, _) => None,
        };
        let mut args = vec!["-accel", accelerator];
        args.extend(cpu.iter().flat_map(|cpu| ["-cpu", cpu]));
        args.into_iter().map(str::to_owned).collect()
    }

    /// The first serial line, where the kernel's log goes.
    pub fn console(self) -> &'static str {
        match self {
            MachineType::Pc | MachineType::Cubieboard => "ttyS0",
            MachineType::Arm64 | MachineType::Virt => "ttyAMA0",
        }
    }

    /// The second serial line, for a shell.
    pub fn terminal(self) -> Option<&'static str> {
        match self {
            MachineType::Pc => Some("ttyS1"),
            MachineType::Arm64 | MachineType::Virt => Some("ttyAMA1"),
            MachineType::Cubieboard => None,
        }
    }

    /// Whether there are virtio devices: ports to the test harness, and the host's files. Without, the guest
    /// has what is in its initramfs, and everything it says comes through the console.
    pub fn has_virtio(self) -> bool {
        self != MachineType::Cubieboard
    }

    /// Whether it is of the architecture of this program, so that the toolchain root's programs run.
    pub fn is_native(self) -> bool {
        self == Self::NATIVE
    }

    /// The program that takes the debugging information out of this architecture's modules.
    pub fn strip(self) -> &'static str {
        match self {
            MachineType::Pc => "x86_64-linux-gnu-strip",
            MachineType::Arm64 => "aarch64-linux-gnu-strip",
            MachineType::Virt | MachineType::Cubieboard => "arm-linux-gnueabihf-strip",
        }
    }

    /// The static busybox in the toolchain root.
    pub fn busybox(self) -> &'static str {
        match self {
            native if native.is_native() => "/usr/bin/busybox",
            MachineType::Pc => "/usr/bin/busybox-amd64",
            MachineType::Arm64 => "/usr/bin/busybox-arm64",
            MachineType::Virt | MachineType::Cubieboard => "/usr/bin/busybox-armhf",
        }
    }

    /// The directory of the repository that its programs are in.
    pub fn programs(self) -> &'static str {
        match self {
            native if native.is_native() => "build/bin",
            MachineType::Pc => "build/bin-x86_64-unknown-linux-gnu",
            MachineType::Arm64 => "build/bin-aarch64-unknown-linux-gnu",
            MachineType::Virt | MachineType::Cubieboard => {
                "build/bin-armv7-unknown-linux-gnueabihf"
            }
        }
    }

    /// How many processors it can have.
    pub fn max_cpus(self) -> u32 {
        match self {
            MachineType::Pc | MachineType::Arm64 | MachineType::Virt => u32::MAX,
            MachineType::Cubieboard => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        Kernel {
            release: "7.2.11".into(),
            image: "/k/vmlinuz".into(),
            modules: "/k".into(),
        }
    }

    #[test]
    fn each_has_its_processor() {
        let args = |machine: MachineType, accel| machine.args(accel, &kernel()).join(" ");
        let pc = args(MachineType::Pc, Accel::Tcg);
        assert!(
            pc.contains("-machine q35 -accel tcg,thread=multi -cpu max,la57=off"),
            "{pc}"
        );
        let pc = args(MachineType::Pc, Accel::Kvm);
        assert!(pc.contains("-accel kvm -cpu host"), "{pc}");
        let virt = args(MachineType::Virt, Accel::TcgOneThread);
        assert!(
            virt.contains("virt,highmem=off -accel tcg,thread=single -cpu cortex-a7"),
            "{virt}"
        );
        let board = args(MachineType::Cubieboard, Accel::Tcg);
        assert!(
            board.contains("-dtb /k/dtb/sun4i-a10-cubieboard.dtb"),
            "{board}"
        );
        assert!(!board.contains("-cpu"), "{board}");
    }
}
