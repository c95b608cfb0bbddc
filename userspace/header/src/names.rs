// SPDX-License-Identifier: MIT OR Apache-2.0

//! What things are called in C, and documentation in which they are called so.

use crate::source::{Source, Words};
use anyhow::{bail, Result};

/// What C has called an enumeration from the first.
const RENAMED: (&str, &str) = ("AddressClass", "Address");

/// Functions of the Rust interface: for others, their answer stands in the page of the book that
/// [`Names::rules`] names.
const FUNCTIONS: [&str; 3] = ["reason_against", "reason_against_caching", "bytes_needed"];

/// Whether names in documentation are marked as code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    Markdown,
    Plain,
}

/// The names of an interface.
pub struct Names<'a> {
    /// What each name in C begins with, in lower case.
    pub name: &'a str,
    /// What a name has of the device's in Rust, where all are in one module: it is not said twice.
    pub prefix: &'a str,
    pub source: &'a Source,
    /// The page of the book that says what is refused, and why.
    pub rules: &'static str,
    /// Those of `/dev/mapwright`, which others refer to.
    pub main: Option<&'a Names<'a>>,
}

/// `FaultPfn` as `fault_pfn`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

impl Names<'_> {
    /// A name in C of one in Rust: of a constant or a structure.
    pub fn c_name(&self, name: &str) -> String {
        let name = name.strip_prefix("IOCTL_").unwrap_or(name);
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        let upper = format!("{}_", self.prefix.to_uppercase());
        let name = match self.prefix {
            "" => name,
            _ => name.strip_prefix(&upper).unwrap_or(name),
        };
        match name.contains(char::is_lowercase) {
            true => format!("{}_{}", self.name, snake(name)),
            false => format!("{}_{name}", self.name.to_uppercase()),
        }
    }

    pub fn enumeration(&self, words: &Words) -> String {
        self.c_name(match words.name == RENAMED.0 {
            true => RENAMED.1,
            false => &words.name,
        })
    }

    /// Of a word of an enumeration: what people call it, where that can be a name in C.
    pub fn word(&self, words: &Words, variant: &str) -> Option<String> {
        let word = words.words.iter().find(|word| word.variant == variant)?;
        let text = word.text.replace(['-', ' '], "_").replace('/', "");
        let text = match text.ends_with('_') {
            true => snake(variant),
            false => text,
        };
        Some(format!("{}_{text}", self.enumeration(words)).to_uppercase())
    }

    /// What documentation of `context`, a structure or an enumeration, means by `name`; `None` if it is nothing of the
    /// interface.
    fn meaning(&self, name: &str, context: &str) -> Option<String> {
        let name = name.strip_prefix("crate::").unwrap_or(name);
        if let Some((owner, part)) = name.split_once("::") {
            let owner = if owner == "Self" { context } else { owner };
            if let Some(words) = self.source.words.iter().find(|it| it.name == owner) {
                return self.word(words, part);
            }
            let structure = self.source.structs.iter().find(|it| it.name == owner)?;
            structure.fields.iter().find(|it| it.name == part)?;
            return Some(match owner == context {
                true => part.to_owned(),
                false => format!("{}.{part}", self.c_name(owner)),
            });
        }
        if let Some(words) = self.source.words.iter().find(|it| it.name == name) {
            return Some(format!("enum {}", self.enumeration(words)));
        }
        if self.source.structs.iter().any(|it| it.name == name) {
            return Some(format!("struct {}", self.c_name(name)));
        }
        if self.source.constants.iter().any(|it| it.name == name) {
            return Some(self.c_name(name));
        }
        self.main?.meaning(name, context)
    }

    /// Documentation of `context`, with names as C has them. A link to what C does not have is an error.
    pub fn translate(&self, text: &str, context: &str, marks: Marks) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('`') {
            let is_link = rest[..at].ends_with('[');
            out.push_str(rest[..at].strip_suffix('[').unwrap_or(&rest[..at]));
            let (name, after) = rest[at + 1..]
                .split_once('`')
                .unwrap_or((&rest[at + 1..], ""));
            rest = after;
            let mut target = name;
            if is_link {
                rest = rest.strip_prefix(']').unwrap_or(rest);
                if let Some((link, after)) =
                    rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
                {
                    (target, rest) = (link.trim_matches('`'), after);
                }
            }
            if FUNCTIONS.contains(&target) {
                out.push_str(&match marks {
                    Marks::Markdown => format!("[the rules](../{})", self.rules),
                    Marks::Plain => format!("docs/{}", self.rules),
                });
                continue;
            }
            let meaning = self.meaning(target, context);
            let meaning = match meaning {
                Some(meaning) => meaning,
                None if is_link => bail!("{context}: {target} is nothing that C has"),
                None => name.to_owned(),
            };
            // The names of types have no plural, and an enumeration is an enum.
            if is_link && target.starts_with(char::is_uppercase) && !target.contains("::") {
                let plural = rest
                    .strip_prefix('s')
                    .filter(|rest| !rest.starts_with(char::is_alphanumeric));
                rest = plural.unwrap_or(rest);
                if meaning.starts_with("enum ") && (out == "A " || out.ends_with(" a ")) {
                    out.insert(out.len() - 1, 'n');
                }
            }
            out.push_str(&match marks {
                Marks::Markdown => format!("`{meaning}`"),
                Marks::Plain => meaning,
            });
        }
        out.push_str(rest);
        // Two functions may stand in one page.
        let (page, link) = (
            format!("docs/{}", self.rules),
            format!("[the rules](../{})", self.rules),
        );
        let out = out.replace(&format!("{page} and {page}"), &page);
        Ok(out.replace(&format!("{link} and {link}"), &link))
    }
}
