// SPDX-License-Identifier: GPL-2.0-only

//! The types that prove something have private fields, and functions that need proof are not public.

use kernel::bindings;
use mapkit::map::{
    mixedmap::MixedMapVma,
    pfnmap::PfnMapVma,
    vma::{Mapped, NewVma},
};

pub fn mapped<'a>() -> Mapped<'a> {
    Mapped {} //~ cannot construct `Mapped<'_>` with struct literal syntax due to private fields
}

pub fn new_vma<'a>(vma: *mut bindings::vm_area_struct) -> NewVma<'a> {
    NewVma::from_raw(vma, None) //~ E0624
}

pub fn kinds<T>(filling: T) {
    PfnMapVma(filling); //~ E0423
    MixedMapVma(filling); //~ E0423
}

pub fn commit(mapped: Mapped<'_>) {
    mapped.commit() //~ E0624
}
