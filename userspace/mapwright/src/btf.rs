// SPDX-License-Identifier: MIT OR Apache-2.0

//! `/sys/kernel/btf/vmlinux`: the running kernel's types, as its compiler laid them out. The format is
//! that of the kernel's `Documentation/bpf/btf.rst`.

use crate::{Error, Result};
use std::{fs, ops::Range};

/// Where the kernel has them.
pub const FILE: &str = "/sys/kernel/btf/vmlinux";

const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;

/// The kernel's types.
pub struct Btf {
    bytes: Vec<u8>,
    strings: Range<usize>,
    /// Where each type begins; number 0 is `void`.
    types: Vec<usize>,
}

/// A structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struct {
    /// Bytes of the structure.
    pub size: u64,
    /// The structure's fields, with those of nameless structures and unions in it.
    pub fields: Vec<Field>,
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// Where it begins, in bits from the structure's start.
    pub bit: u64,
}

fn wrong(detail: &str) -> Error {
    Error::Unexpected {
        what: FILE.to_owned(),
        detail: detail.to_owned(),
    }
}

impl Struct {
    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The byte that the field with this name begins at.
    pub fn byte_of(&self, name: &str) -> Result<u64> {
        let field = self.field(name);
        let field = field.ok_or_else(|| wrong(&format!("the structure has no field {name}")))?;
        Ok(field.bit / 8)
    }
}

impl Btf {
    /// Reads the running kernel's.
    pub fn read() -> Result<Self> {
        let bytes = fs::read(FILE).map_err(|err| wrong(&format!("cannot be read: {err}")))?;
        Self::parse(bytes)
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        if bytes.get(..2) != Some(&0xeb9fu16.to_ne_bytes()) {
            return Err(wrong("it is not BTF of this machine's byte order"));
        }
        let mut btf = Self {
            bytes,
            strings: 0..0,
            types: vec![0],
        };
        let header = btf.word(4)? as usize;
        let section = |at: usize| -> Result<Range<usize>> {
            let start = header + btf.word(at)? as usize;
            Ok(start..start + btf.word(at + 4)? as usize)
        };
        let types = section(8)?;
        let strings = section(16)?;
        btf.strings = strings;
        let mut at = types.start;
        while at < types.end {
            btf.types.push(at);
            at += btf.length(at)?;
        }
        Ok(btf)
    }

    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let bytes = bytes.ok_or_else(|| wrong("it is cut off"))?;
        Ok(u32::from_ne_bytes(*bytes))
    }

    /// Kind and number of members of the type at `at`.
    fn kind(&self, at: usize) -> Result<(u32, usize)> {
        let info = self.word(at + 4)?;
        Ok(((info >> 24) & 0x1f, (info & 0xffff) as usize))
    }

    /// Bytes of the type at `at`.
    fn length(&self, at: usize) -> Result<usize> {
        let (kind, members) = self.kind(at)?;
        let rest = match kind {
            1 | 14 | 17 => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * members,
            6 | 13 => 8 * members,
            2 | 7..=12 | 16 | 18 => 0,
            _ => return Err(wrong(&format!("it has a type of the unknown kind {kind}"))),
        };
        Ok(12 + rest)
    }

    fn name(&self, offset: u32) -> &str {
        let all = self.bytes.get(self.strings.clone()).unwrap_or(&[]);
        let text = all.get(offset as usize..).unwrap_or(&[]);
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        std::str::from_utf8(&text[..end]).unwrap_or("")
    }

    /// The structure with this name.
    pub fn structure(&self, name: &str) -> Result<Struct> {
        for at in self.types.iter().skip(1) {
            if self.kind(*at)?.0 == KIND_STRUCT && self.name(self.word(*at)?) == name {
                let mut fields = Vec::new();
                self.collect(*at, 0, &mut fields)?;
                let size = u64::from(self.word(at + 8)?);
                return Ok(Struct { size, fields });
            }
        }
        Err(wrong(&format!("the kernel has no struct {name}")))
    }

    /// Adds the fields of the structure or union at `at`, which begins at `base` bits.
    fn collect(&self, at: usize, base: u64, fields: &mut Vec<Field>) -> Result<()> {
        let has_sizes = self.word(at + 4)? >> 31 == 1;
        for member in 0..self.kind(at)?.1 {
            let member = at + 12 + 12 * member;
            let offset = self.word(member + 8)?;
            // With bit fields among them, the size is in the upper bits.
            let offset = if has_sizes {
                offset & 0xff_ffff
            } else {
                offset
            };
            let bit = base + u64::from(offset);
            let name = self.name(self.word(member)?).to_owned();
            if !name.is_empty() {
                fields.push(Field { name, bit });
                continue;
            }
            let inner = self.word(member + 4)? as usize;
            let inner = self.types.get(inner);
            let inner = *inner.ok_or_else(|| wrong("it names a type beyond the last"))?;
            if matches!(self.kind(inner)?.0, KIND_STRUCT | KIND_UNION) {
                self.collect(inner, bit, fields)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct s { int a; union { int b; int c; }; };` as a compiler says it.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0s\0a\0b\0c\0";
        let (int, s, a, b, c) = (1, 5, 7, 9, 11);
        let info = |kind: u32, members: u32| (kind << 24) | members;
        let types = [
            // 1: int
            vec![int, info(1, 0), 4, 32],
            // 2: union
            vec![0, info(5, 2), 4, b, 1, 0, c, 1, 0],
            // 3: struct
            vec![s, info(4, 2), 8, a, 1, 0, 0, 2, 32],
        ]
        .concat();
        let length = 4 * types.len() as u32;
        let header = [24u32, 0, length, length, strings.len() as u32];
        let mut bytes = [0xeb9fu16.to_ne_bytes(), [1, 0]].concat();
        for word in header.iter().chain(&types) {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_of_nameless_unions_belong_to_the_structure() {
        let structure = Btf::parse(sample()).unwrap().structure("s").unwrap();
        assert_eq!(structure.size, 8);
        let bits: Vec<_> = structure
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.bit))
            .collect();
        assert_eq!(bits, [("a", 0), ("b", 32), ("c", 32)]);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert!(Btf::parse(sample()).unwrap().structure("t").is_err());
        assert!(Btf::parse(Vec::new()).is_err());
        assert!(Btf::parse(sample()[..40].to_vec()).is_err());
    }
}
