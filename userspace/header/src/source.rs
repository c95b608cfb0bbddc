// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a file of `rust/uapi` says, as `syn` reads it: its constants, words and structures, each with its documentation
//! as it is in Rust.

use anyhow::{bail, ensure, Context, Result};
use std::{collections::HashMap, fs, path::Path};
use syn::{
    parse::{Parse, ParseStream},
    Attribute, Expr, Ident, Item, ItemStruct, Lit, LitInt, LitStr, Meta, Token, Type, Visibility,
};

/// Paragraphs, or headings, of documentation.
pub type Doc = Vec<String>;

/// A file of the interface.
#[derive(Default)]
pub struct Source {
    pub doc: Doc,
    pub constants: Vec<Constant>,
    pub words: Vec<Words>,
    pub structs: Vec<Struct>,
}

/// A public structure.
pub struct Struct {
    pub name: String,
    pub doc: Doc,
    pub fields: Vec<Field>,
}

/// A field of a structure.
pub struct Field {
    pub name: String,
    pub doc: Doc,
    /// Its type, or that of an element of an array: `u32` and such, or a structure.
    pub of: String,
    /// How many elements an array has: a number, or the name of a constant.
    pub elements: Option<String>,
}

/// A public constant.
pub struct Constant {
    pub name: String,
    pub doc: Doc,
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
    pub doc: Doc,
    pub words: Vec<Word>,
}

/// A number, and what it is called.
pub struct Word {
    /// Its name in Rust.
    pub variant: String,
    pub number: u32,
    /// Its name for people.
    pub text: String,
    pub doc: Doc,
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understanding {}", path.display()))
    }

    /// What the text of a file says.
    pub fn parse(text: &str) -> Result<Self> {
        let file = syn::parse_file(text)?;
        let mut source = Self {
            doc: doc(&file.attrs),
            ..Self::default()
        };
        let mut known = HashMap::new();
        for item in file.items {
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
                    source.structs.push(structure(&item)?);
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

/// The paragraphs of what is said of something.
fn doc(attributes: &[Attribute]) -> Doc {
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
    let paragraphs = lines.split(|line| line.is_empty());
    let paragraphs = paragraphs.map(|lines| lines.join(" "));
    paragraphs.filter(|text| !text.is_empty()).collect()
}

fn structure(item: &ItemStruct) -> Result<Struct> {
    let field = |field: &syn::Field| {
        let name = field.ident.as_ref().context("a field without a name")?;
        let (of, elements) = match &field.ty {
            Type::Array(array) => (type_name(&array.elem)?, Some(elements(&array.len)?)),
            other => (type_name(other)?, None),
        };
        Ok(Field {
            name: name.to_string(),
            doc: doc(&field.attrs),
            of,
            elements,
        })
    };
    let fields: Result<Vec<Field>> = item.fields.iter().map(field).collect();
    Ok(Struct {
        name: item.ident.to_string(),
        doc: doc(&item.attrs),
        fields: fields.with_context(|| item.ident.to_string())?,
    })
}

fn type_name(of: &Type) -> Result<String> {
    let Type::Path(path) = of else {
        bail!("a type without a name");
    };
    let name = path.path.get_ident().context("a type of another file")?;
    Ok(name.to_string())
}

fn elements(expression: &Expr) -> Result<String> {
    Ok(match expression {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(number) => number.base10_digits().to_owned(),
            _ => bail!("an array of no number of elements"),
        },
        Expr::Path(path) => {
            let name = path
                .path
                .get_ident()
                .context("a constant of another file")?;
            name.to_string()
        }
        _ => bail!("an array whose length is computed"),
    })
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
        let attributes = input.call(Attribute::parse_outer)?;
        let name: Ident = input.parse()?;
        let body;
        syn::braced!(body in input);
        let mut words = Vec::new();
        while !body.is_empty() {
            let attributes = body.call(Attribute::parse_outer)?;
            let variant: Ident = body.parse()?;
            body.parse::<Token![=]>()?;
            let number: LitInt = body.parse()?;
            body.parse::<Token![,]>()?;
            let text: LitStr = body.parse()?;
            body.parse::<Token![;]>()?;
            words.push(Word {
                variant: variant.to_string(),
                number: number.base10_parse()?,
                text: text.value(),
                doc: doc(&attributes),
            });
        }
        Ok(Self {
            name: name.to_string(),
            doc: doc(&attributes),
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
             pub struct Run { /// Bytes.\n///\n/// All.\npub size: u32, pub all: [u64; ALL], pub two: [Run; 2] }\n\
             words! { /// Colours.\n Colour { /// Red.\n DeepRed = 3, \"deep-red\"; } }",
        )
        .unwrap();
        let names: Vec<&str> = source.constants.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["HOLD", "ALL", "NONE", "RUN", "NAME"]);
        assert_eq!(source.constants[0].doc, ["[`Run::flags`]: stay."]);
        assert!(matches!(source.constants[1].value, Value::Word(17)));
        assert!(matches!(source.constants[2].value, Value::Long(u64::MAX)));
        assert!(matches!(source.constants[3].value, Value::Ioctl(0x21)));
        let run = &source.structs[0];
        assert_eq!(run.fields[0].doc, ["Bytes.", "All."]);
        let types = run
            .fields
            .iter()
            .map(|it| (it.of.as_str(), it.elements.as_deref()));
        let types: Vec<_> = types.collect();
        assert_eq!(
            types,
            [("u32", None), ("u64", Some("ALL")), ("Run", Some("2"))]
        );
        let colour = &source.words[0];
        assert_eq!(
            (colour.name.as_str(), &colour.doc[..]),
            ("Colour", &["Colours.".to_owned()][..])
        );
        let red = &colour.words[0];
        assert_eq!(
            (red.variant.as_str(), red.number, red.text.as_str()),
            ("DeepRed", 3, "deep-red")
        );
    }
}
