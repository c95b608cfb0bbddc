// SPDX-License-Identifier: MIT OR Apache-2.0

//! `mapwright map`: make a region, map it and show everything about it.

use crate::{observation::Observation, size::size, style};
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use mapwright::{Backing, Caching, Method, Region, Session};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    recipe: Recipe,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What region to make.
#[derive(clap::Args)]
pub struct Recipe {
    /// Where the memory comes from
    #[arg(long, default_value = "pages", value_parser = backing())]
    backing: Backing,
    /// How it gets into the address space
    #[arg(long, default_value = "remap", value_parser = method())]
    method: Method,
    /// The memory type it is mapped with
    #[arg(long, default_value = "wb", value_parser = caching())]
    caching: Caching,
    /// How much, in bytes or with K, M, G (powers of 1024)
    #[arg(long, default_value = "1M", value_parser = size)]
    size: u64,
    /// All of it in one physically contiguous run, or an error
    #[arg(long)]
    contiguous: bool,
}

impl Recipe {
    /// Makes it.
    pub fn create(&self, session: &Session) -> mapwright::Result<Region> {
        let create = match self.contiguous {
            true => Session::create_contiguous,
            false => Session::create_cached,
        };
        create(session, self.backing, self.method, self.caching, self.size)
    }

    /// `pages + remap + wb`.
    pub fn name(&self) -> String {
        let words = [self.backing.name(), self.method.name(), self.caching.name()];
        words.join(" + ")
    }
}

fn backing() -> impl clap::builder::TypedValueParser<Value = Backing> {
    PossibleValuesParser::new(Backing::ALL.iter().map(|word| word.name()))
        .try_map(|name| Backing::from_name(&name).ok_or("no such backing"))
}

fn method() -> impl clap::builder::TypedValueParser<Value = Method> {
    PossibleValuesParser::new(Method::ALL.iter().map(|word| word.name()))
        .try_map(|name| Method::from_name(&name).ok_or("no such method"))
}

fn caching() -> impl clap::builder::TypedValueParser<Value = Caching> {
    PossibleValuesParser::new(Caching::ALL.iter().map(|word| word.name()))
        .try_map(|name| Caching::from_name(&name).ok_or("no such memory type"))
}

pub fn run(args: &Args) -> Result<()> {
    let session = Session::open()?;
    let region = args.recipe.create(&session)?;
    let seen = Observation::make(&session, &region)?;
    if args.json {
        println!("{:#}", seen.to_json());
        return Ok(());
    }
    anstream::println!("{}", style::paint(style::HEADING, args.recipe.name()));
    seen.show_region();
    seen.show_frames();
    seen.show_first_pages();
    seen.show_vma();
    seen.show_cost();
    Ok(())
}
