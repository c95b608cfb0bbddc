// SPDX-License-Identifier: GPL-2.0-only

//! How a buffer is described: a name, a size, and the words of regions.

use kernel::prelude::*;
use mapkit::base::page_text;
use mapwright_session::DefaultRegion;
use mapwright_uapi::{
    reason_against,
    Backing,
    Method, //
};

/// What a buffer is made of.
pub(crate) struct Spec {
    pub(crate) bytes: u64,
    pub(crate) made_of: DefaultRegion,
}

/// The name and the description of a buffer in the module's parameter: `NAME:SIZE[:BACKING[:METHOD[:CACHING]]]`.
pub(crate) fn parse(text: &str) -> Result<(&str, Spec)> {
    let mut words = text.split(':');
    let name = words.next().ok_or(EINVAL)?;
    let bytes = page_text::size(words.next().ok_or(EINVAL)?)?;
    let made_of = made_of(words.next(), words.next(), words.next())?;
    match words.next() {
        None => Ok((name, Spec { bytes, made_of })),
        Some(_) => Err(EINVAL),
    }
}

/// A sound combination of these words; of those that are not given, `pages`, the first method that goes with the
/// backing, and `wb`. `EINVAL` if there is none.
pub(crate) fn made_of(
    backing: Option<&str>,
    method: Option<&str>,
    caching: Option<&str>,
) -> Result<DefaultRegion> {
    let backing = backing.unwrap_or(Backing::Pages.name());
    let method = method.unwrap_or_else(|| first_method(backing));
    let made_of = DefaultRegion::from_names(backing, method, caching.unwrap_or("wb"));
    made_of.map_err(|reason| {
        pr_err!("{reason}\n");
        EINVAL
    })
}

/// The first method that goes with a backing.
pub(crate) fn first_method(backing: &str) -> &'static str {
    let first = Backing::from_name(backing).and_then(|backing| {
        let mut methods = Method::ALL.iter();
        methods.find(|method| reason_against(backing, **method).is_none())
    });
    first.map_or(Method::Remap.name(), |method| method.name())
}

/// Letters of a name at most.
const MAX_NAME: usize = 64;

/// `EINVAL` unless `name` is a name for a buffer: letters, digits, `_`, `-` and `.`, not one of another module's
/// device nodes.
pub(crate) fn check_name(name: &str) -> Result {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_numbered = |prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_taken = matches!(name, "alloc" | "inspect") || is_numbered("dma") || is_numbered("gpio");
    let is_name = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_fine);
    (is_name && !is_taken).then_some(()).ok_or(EINVAL)
}
