// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bank behaves as the technical reference manual says.

use super::*;
use Register as R;

fn clocked() -> Bank {
    let mut bank = Bank::default();
    bank.set_clock(true);
    bank
}

impl Bank {
    fn get(&mut self, register: Register) -> u32 {
        self.read(register.offset(), Width::Word).unwrap()
    }

    fn put(&mut self, register: Register, value: u32) {
        self.write(register.offset(), Width::Word, value).unwrap();
    }
}

#[test]
fn nothing_works_without_a_clock() {
    let mut bank = Bank::default();
    assert_eq!(bank.read(0, Width::Word), Err(Unclocked));
    assert_eq!(bank.write(0x194, Width::Word, 1), Err(Unclocked));
    bank.set_clock(true);
    assert_eq!(bank.get(R::Revision), 0x5060_0801);
    assert_eq!(bank.get(R::DataOut), 0);
}

#[test]
fn is_all_inputs_after_reset() {
    let mut bank = clocked();
    assert_eq!(bank.get(R::Oe), u32::MAX);
    assert_eq!(bank.get(R::SysStatus), 1);
    bank.put(R::Oe, 0);
    bank.put(R::SetDataOut, 0xff);
    bank.put(R::RisingDetect, 0xff);
    bank.put(R::SysConfig, SYSCONFIG_SOFTRESET);
    for (register, value) in [(R::Oe, u32::MAX), (R::DataOut, 0), (R::RisingDetect, 0)] {
        assert_eq!(bank.get(register), value, "{register}");
    }
    assert_eq!(bank.get(R::SysConfig), 0, "the reset bit reads 0");
}

#[test]
fn outputs_follow_dataout_and_inputs_do_not() {
    let mut bank = clocked();
    bank.put(R::Oe, !(1 << 21));
    bank.put(R::SetDataOut, (1 << 21) | (1 << 22));
    assert_eq!(bank.levels(), 1 << 21);
    assert_eq!(bank.get(R::DataIn), 1 << 21);
    assert_eq!(bank.get(R::DataOut), (1 << 21) | (1 << 22));
    bank.put(R::ClearDataOut, 1 << 21);
    assert_eq!(bank.levels(), 0);
    bank.put(R::Oe, !(3 << 21));
    assert_eq!(bank.levels(), 1 << 22, "what was set while it was an input");
}

#[test]
fn set_and_clear_leave_the_others() {
    let mut bank = clocked();
    bank.put(R::DataOut, 0xf0f0);
    bank.put(R::SetDataOut, 0x0001);
    bank.put(R::ClearDataOut, 0x8000);
    bank.put(R::SetDataOut, 0);
    bank.put(R::ClearDataOut, 0);
    assert_eq!(bank.get(R::DataOut), 0x70f1);
    assert_eq!(bank.get(R::SetDataOut), 0x70f1);
    assert_eq!(bank.get(R::ClearDataOut), 0x70f1);
}

#[test]
fn edges_are_events_of_both_lines_and_interrupt_where_enabled() {
    let mut bank = clocked();
    bank.put(R::RisingDetect, 1 << 3);
    bank.put(R::IrqStatusSet0, 1 << 3);
    bank.drive(3, Drive::High);
    assert!(bank.interrupt(0) && !bank.interrupt(1));
    assert_eq!(bank.get(R::IrqStatus0), 1 << 3);
    assert_eq!(
        (bank.get(R::IrqStatusRaw1), bank.get(R::IrqStatus1)),
        (1 << 3, 0)
    );
    bank.put(R::IrqStatus0, 1 << 3);
    assert!(
        !bank.interrupt(0),
        "an edge that was cleared is gone, though the line is high"
    );
    bank.drive(3, Drive::Low);
    assert!(!bank.interrupt(0), "falling edges were not asked for");
    bank.put(R::FallingDetect, 1 << 3);
    bank.drive(3, Drive::High);
    bank.put(R::IrqStatus0, 1 << 3);
    bank.drive(3, Drive::Floating);
    assert!(bank.interrupt(0), "a line that is let go falls");
    bank.put(R::IrqStatusClr0, 1 << 3);
    assert!(!bank.interrupt(0));
    assert_eq!(bank.get(R::IrqStatusRaw0), 1 << 3);
}

#[test]
fn a_level_is_an_event_for_as_long_as_it_lasts() {
    let mut bank = clocked();
    bank.put(R::IrqStatusSet1, 1 << 9);
    bank.put(R::LevelDetect1, 1 << 9);
    bank.drive(9, Drive::High);
    bank.put(R::IrqStatus1, 1 << 9);
    assert!(bank.interrupt(1), "still high");
    bank.drive(9, Drive::Low);
    bank.put(R::IrqStatus1, 1 << 9);
    assert!(!bank.interrupt(1));
    bank.put(R::LevelDetect0, 1 << 9);
    assert!(bank.interrupt(1), "low is an event now");
}

#[test]
fn software_makes_events() {
    let mut bank = clocked();
    bank.put(R::IrqStatusSet0, 1);
    bank.put(R::IrqStatusRaw0, 1);
    assert!(bank.interrupt(0));
}

#[test]
fn an_output_that_toggles_is_detected() {
    let mut bank = clocked();
    bank.put(R::Oe, !1);
    bank.put(R::RisingDetect, 1);
    bank.put(R::SetDataOut, 1);
    assert_eq!(bank.get(R::IrqStatusRaw0), 1);
}

#[test]
fn a_module_that_is_off_samples_nothing() {
    let mut bank = clocked();
    bank.put(R::RisingDetect, 1);
    bank.put(R::Ctrl, 1);
    bank.drive(0, Drive::High);
    assert_eq!((bank.get(R::DataIn), bank.get(R::IrqStatusRaw0)), (0, 0));
    bank.put(R::Ctrl, 0);
    assert_eq!((bank.get(R::DataIn), bank.get(R::IrqStatusRaw0)), (1, 1));
}

#[test]
fn narrow_accesses_reach_their_bytes() {
    let mut bank = clocked();
    bank.put(R::DataOut, 0x1122_3344);
    assert_eq!(bank.read(R::DataOut.offset() + 2, Width::Byte), Ok(0x22));
    bank.write(R::DataOut.offset() + 2, Width::Half, 0xaabb)
        .unwrap();
    assert_eq!(bank.get(R::DataOut), 0xaabb_3344);
    bank.write(R::SetDataOut.offset() + 1, Width::Byte, 0xff)
        .unwrap();
    assert_eq!(bank.get(R::DataOut), 0xaabb_ff44);
}

#[test]
fn where_no_register_is_there_is_nothing() {
    let mut bank = clocked();
    bank.write(0x3fc, Width::Word, u32::MAX).unwrap();
    assert_eq!(bank.read(0x3fc, Width::Word), Ok(0));
}

#[test]
fn read_only_registers_stay() {
    let mut bank = clocked();
    for register in [R::Revision, R::SysStatus, R::DataIn] {
        let before = bank.get(register);
        bank.put(register, !before);
        assert_eq!(bank.get(register), before, "{register}");
    }
}
