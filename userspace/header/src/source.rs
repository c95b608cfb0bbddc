// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a file of `rust/uapi` says, as `syn` reads it: its constants, words and structures.

use anyhow::{bail, ensure, Context, Result};
use std::{collections::HashMap, fs, path::Path};
use syn::{
    parse::{Parse, ParseStream},
    Attribute, Expr, Ident, Item, Lit, LitInt, LitStr, Meta, Token, Type, Visibility,
};

/// A file of the interface.
#[derive(Default)]
pub struct Source {
    pub constants: Vec<Constant>,
    pub words: Vec<Words>,
    /// The names of the public structures.
    pub structs: Vec<String>,
}

/// A public constant.
pub struct Constant {
    pub name: String,
    pub doc: String,
    pub value: Value,
}

/// What a constant is.
pub enum Value {
    /// A number of 32 bits.
    Word(i64),
    /// One of 64 bits.
    Long(u64),
    /// The number of an ioctl.
    Ioctl(u32),
    Text(String),
}

/// Numbers and what people call them.
pub struct Words {
    pub name: String,
    /// The name in Rust, the number, and the name for people, of each.
    pub words: Vec<(String, u32, String)>,
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understanding {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut source = Self::default();
        let mut known = HashMap::new();
        for item in syn::parse_file(text)?.items {
            match item {
                Item::Const(item) if is_public(&item.vis) => {
                    let name = item.ident.to_string();
                    let value = value(&item.ty, &item.expr, &known);
                    // Pairs of numbers, and the like, are for Rust only.
                    if let Some(value) = value.with_context(|| name.clone())? {
                        if let Value::Word(number) = value {
                            known.insert(name.clone(), number);
                        }
                        source.constants.push(Constant {
                            doc: doc(&item.attrs),
                            name,
                            value,
                        });
                    }
                }
                Item::Struct(item) if is_public(&item.vis) => {
                    source.structs.push(item.ident.to_string());
                }
                Item::Macro(item) if item.mac.path.is_ident("words") => {
                    source.words.push(item.mac.parse_body()?);
                }
                _ => {}
            }
        }
        Ok(source)
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// What is said of something, in a line. Links become plain names.
fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    lines.join(" ").replace("[`", "").replace("`]", "")
}

/// The value of a constant; `None` if it is of a type that the header does not have.
fn value(of: &Type, expression: &Expr, known: &HashMap<String, i64>) -> Result<Option<Value>> {
    let Type::Path(path) = of else {
        return match expression {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Ok(Some(Value::Text(text.value()))),
                _ => Ok(None),
            },
            _ => Ok(None),
        };
    };
    let Some(of) = path.path.get_ident() else {
        return Ok(None);
    };
    if let Expr::Call(call) = expression {
        let argument = call.args.first().context("a call of nothing")?;
        let number = number(argument, known)?;
        return Ok(Some(Value::Ioctl(u32::try_from(number)?)));
    }
    if of == "u64" {
        let is_max = matches!(expression, Expr::Path(path) if path.path.segments.iter().any(|part| part.ident == "MAX"));
        return Ok(Some(Value::Long(match is_max {
            true => u64::MAX,
            false => u64::try_from(number(expression, known)?)?,
        })));
    }
    ensure!(
        ["u8", "u32", "i32", "usize"].iter().any(|name| of == name),
        "a constant of the type {of}"
    );
    Ok(Some(Value::Word(number(expression, known)?)))
}

/// The number that an expression is.
fn number(expression: &Expr, known: &HashMap<String, i64>) -> Result<i64> {
    Ok(match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_parse()?,
            _ => bail!("a literal that is no number"),
        },
        Expr::Unary(unary) => -number(&unary.expr, known)?,
        Expr::Path(path) => {
            let path = &path.path.segments;
            let name: Vec<String> = path.iter().map(|part| part.ident.to_string()).collect();
            match name.join("::").as_str() {
                "i32::MAX" => i32::MAX.into(),
                "u32::MAX" => u32::MAX.into(),
                name => *known
                    .get(name)
                    .with_context(|| format!("{name} is not known"))?,
            }
        }
        Expr::Binary(binary) => {
            let (left, right) = (number(&binary.left, known)?, number(&binary.right, known)?);
            match binary.op {
                syn::BinOp::BitOr(_) => left | right,
                syn::BinOp::Shl(_) => left << right,
                _ => bail!("an operator other than | and <<"),
            }
        }
        _ => bail!("an expression of another kind"),
    })
}

/// `/// … Name { /// … Variant = 0, "text"; … }`, as `words!` takes it.
impl Parse for Words {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.call(Attribute::parse_outer)?;
        let name: Ident = input.parse()?;
        let body;
        syn::braced!(body in input);
        let mut words = Vec::new();
        while !body.is_empty() {
            body.call(Attribute::parse_outer)?;
            let variant: Ident = body.parse()?;
            body.parse::<Token![=]>()?;
            let number: LitInt = body.parse()?;
            body.parse::<Token![,]>()?;
            let text: LitStr = body.parse()?;
            body.parse::<Token![;]>()?;
            words.push((variant.to_string(), number.base10_parse()?, text.value()));
        }
        Ok(Self {
            name: name.to_string(),
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_words_and_structures_are_found() {
        let source = Source::parse(
            "/// [`Run::flags`]: stay.\npub const HOLD: u32 = 1;\npub const ALL: u32 = HOLD | 1 << 4;\n\
             const HIDDEN: u32 = 7;\npub const NONE: u64 = u64::MAX;\npub const RUN: u32 = io(0x21);\n\
             pub const NAME: &str = \"x\";\npub const PAIR: (u16, u16) = (1, 2);\n\
             pub struct Run { pub size: u32 }\n\
             words! { /// Colours.\n Colour { /// Red.\n DeepRed = 3, \"deep-red\"; } }",
        )
        .unwrap();
        let names: Vec<&str> = source.constants.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["HOLD", "ALL", "NONE", "RUN", "NAME"]);
        assert_eq!(source.constants[0].doc, "Run::flags: stay.");
        assert!(matches!(source.constants[1].value, Value::Word(17)));
        assert!(matches!(source.constants[2].value, Value::Long(u64::MAX)));
        assert!(matches!(source.constants[3].value, Value::Ioctl(0x21)));
        assert_eq!(source.structs, ["Run"]);
        let word = ("DeepRed".to_owned(), 3, "deep-red".to_owned());
        assert_eq!(
            (source.words[0].name.as_str(), &source.words[0].words[0]),
            ("Colour", &word)
        );
    }
}
