// SPDX-License-Identifier: MIT OR Apache-2.0

//! The modelled GPIO bank that claims about registers are proved on.

use crate::not_testable;
use anyhow::{Context as _, Result};
use gpio_model::Client;
use mapwright::gpio::Bank;

/// The driver's bank, and the model that tells what reached it.
pub fn bank() -> Result<(Client, Bank)> {
    let Some(model) = Client::connect().context("asking the model of the GPIO bank")? else {
        return not_testable("it needs a GPIO bank that tells what reaches it: the machine `gpio`");
    };
    Ok((model, Bank::open(0)?))
}

/// How many accesses there were, once all have arrived: stores are posted, and a load comes after them.
pub fn settled(model: &mut Client, bank: &Bank) -> Result<usize> {
    bank.levels()?;
    Ok(model.count()?)
}
