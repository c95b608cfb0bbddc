// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the C header of the ioctl interface, `rust/uapi/mapwright.h`, from the Rust source beside
//! it. `make header` runs it; a test fails when the file is not what this would write.

use anyhow::{Context, Result};
use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};
use mapwright_uapi::{
    self as uapi, AddressClass, Backing, Caching, Create, Destroy, Info, Method, Pages, Query,
    Request, Sync,
};
use std::{fmt::Write, fs, path::PathBuf};

fn main() -> Result<()> {
    let path = header_path();
    fs::write(&path, header()?).with_context(|| format!("writing {}", path.display()))
}

fn uapi_dir() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "rust", "uapi"]
        .iter()
        .collect()
}

fn header_path() -> PathBuf {
    uapi_dir().join("mapwright.h")
}

/// The text of the header.
fn header() -> Result<String> {
    let mut text = String::from(
        "/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n\
         /*\n * The interface of /dev/mapwright. Made from mapwright_uapi.rs by `make header`: do not edit.\n \
         * What the ioctls do and how they fail is said there.\n */\n\
         #ifndef MAPWRIGHT_H\n#define MAPWRIGHT_H\n\n\
         #include <linux/ioctl.h>\n#include <stdint.h>\n\n",
    );
    constants(&mut text)?;
    words(&mut text)?;
    text.push_str(&structs()?);
    requests(&mut text)?;
    text.push_str("\n#endif /* MAPWRIGHT_H */\n");
    Ok(text)
}

fn constants(text: &mut String) -> Result<()> {
    writeln!(text, "#define MAPWRIGHT_DEVICE \"/dev/{}\"", uapi::NAME)?;
    writeln!(text, "#define MAPWRIGHT_VERSION {}", uapi::VERSION)?;
    writeln!(
        text,
        "#define MAPWRIGHT_FIRST_OFFSET {:#x}ULL",
        uapi::FIRST_OFFSET
    )?;
    writeln!(
        text,
        "#define MAPWRIGHT_DEFAULT_BYTES {:#x}ULL",
        uapi::DEFAULT_BYTES
    )?;
    writeln!(
        text,
        "#define MAPWRIGHT_NO_DMA_ADDR {:#x}ULL",
        uapi::NO_DMA_ADDR
    )?;
    writeln!(
        text,
        "#define MAPWRIGHT_SYNC_FOR_CPU {}",
        uapi::SYNC_FOR_CPU
    )?;
    writeln!(
        text,
        "#define MAPWRIGHT_SYNC_FOR_DEVICE {}",
        uapi::SYNC_FOR_DEVICE
    )?;
    Ok(())
}

/// The enumerations, by the names that people use.
fn words(text: &mut String) -> Result<()> {
    enumeration(
        text,
        "backing",
        Backing::ALL.iter().map(|it| (it.name(), it.number())),
    )?;
    enumeration(
        text,
        "method",
        Method::ALL.iter().map(|it| (it.name(), it.number())),
    )?;
    enumeration(
        text,
        "caching",
        Caching::ALL.iter().map(|it| (it.name(), it.number())),
    )?;
    enumeration(
        text,
        "address",
        AddressClass::ALL.iter().map(|it| (it.name(), it.number())),
    )
}

fn enumeration<'a>(
    text: &mut String,
    kind: &str,
    words: impl Iterator<Item = (&'a str, u32)>,
) -> Result<()> {
    writeln!(text, "\nenum mapwright_{kind} {{")?;
    for (name, number) in words {
        let name = format!("{kind}_{name}").to_uppercase().replace('-', "_");
        writeln!(text, "\tMAPWRIGHT_{name} = {number},")?;
    }
    writeln!(text, "}};")?;
    Ok(())
}

/// The structures, with their documentation.
fn structs() -> Result<String> {
    let mut config = Config {
        language: Language::C,
        style: Style::Tag,
        documentation_style: DocumentationStyle::Doxy,
        no_includes: true,
        tab_width: 8,
        ..Config::default()
    };
    for name in [
        "Info", "Create", "Destroy", "Query", "Pages", "Sync", "PageInfo",
    ] {
        let c_name = match name {
            "PageInfo" => "mapwright_page_info".to_owned(),
            _ => format!("mapwright_{}", name.to_lowercase()),
        };
        config.export.include.push(name.to_owned());
        config.export.rename.insert(name.to_owned(), c_name);
    }
    config.export.item_types = vec![cbindgen::ItemType::Structs];
    let source = uapi_dir().join("mapwright_uapi.rs");
    let bindings = Builder::new()
        .with_config(config)
        .with_src(source)
        .generate();
    let mut text = Vec::new();
    bindings.context("reading the interface")?.write(&mut text);
    Ok(String::from_utf8(text)?)
}

fn requests(text: &mut String) -> Result<()> {
    writeln!(text)?;
    let mut request = |name: &str, number: u32| {
        writeln!(
            text,
            "#define MAPWRIGHT_{name} _IO({:#x}, {})",
            number >> 8,
            number & 0xff
        )
    };
    request("INFO", Info::IOCTL)?;
    request("CREATE", Create::IOCTL)?;
    request("DESTROY", Destroy::IOCTL)?;
    request("QUERY", Query::IOCTL)?;
    request("PAGES", Pages::IOCTL)?;
    request("SYNC", Sync::IOCTL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_header_is_up_to_date() {
        let written = fs::read_to_string(header_path()).expect("rust/uapi/mapwright.h");
        let is_current = written == header().unwrap();
        assert!(
            is_current,
            "rust/uapi/mapwright.h is not: run `make header`"
        );
    }

    /// The first C compiler there is.
    fn cc() -> Command {
        let found = ["cc", "gcc-14", "gcc", "clang"]
            .into_iter()
            .find(|cc| Command::new(cc).arg("--version").output().is_ok());
        Command::new(found.expect("a C compiler"))
    }

    #[test]
    fn c_agrees_on_every_size_and_offset() {
        let mut program = String::from(
            "#include <stddef.h>\n#include \"mapwright.h\"\n#define IS(a, b) _Static_assert((a) == (b), #a)\n",
        );
        macro_rules! check {
            ($rust:ident, $c:literal: $($field:ident),*) => {
                let size = size_of::<uapi::$rust>();
                writeln!(program, "IS(sizeof(struct {}), {size});", $c).unwrap();
                $(
                    let offset = std::mem::offset_of!(uapi::$rust, $field);
                    let field = stringify!($field);
                    writeln!(program, "IS(offsetof(struct {}, {field}), {offset});", $c).unwrap();
                )*
            };
        }
        check!(Info, "mapwright_info": size, version, page_size, session_regions, session_bytes,
            total_bytes, methods, cachings, default_backing, default_method, default_caching);
        check!(Create, "mapwright_create": size, flags, backing, method, caching, reserved, bytes, id,
            offset);
        check!(Destroy, "mapwright_destroy": size, flags, id);
        check!(Query, "mapwright_query": size, flags, id, offset, bytes, backing, method, caching,
            address_class, runs, longest_run, vmas, mmaps, faults_read, faults_write, pages_faulted);
        check!(Pages, "mapwright_pages": size, flags, id, first, count, array);
        check!(Sync, "mapwright_sync": size, flags, id, first, bytes);
        check!(PageInfo, "mapwright_page_info": pfn, dma_addr);
        for (name, number) in [
            ("INFO", Info::IOCTL),
            ("CREATE", Create::IOCTL),
            ("SYNC", Sync::IOCTL),
        ] {
            writeln!(program, "IS(MAPWRIGHT_{name}, {number});").unwrap();
        }
        writeln!(
            program,
            "IS(MAPWRIGHT_METHOD_FAULT_PFN, {});",
            Method::FaultPfn.number()
        )
        .unwrap();

        let dir = std::env::temp_dir().join(format!("mapwright-header-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let source = dir.join("check.c");
        fs::write(&source, program).unwrap();
        let ran = cc()
            .args([
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-fsyntax-only",
                "-I",
            ])
            .args([&uapi_dir(), &source])
            .output()
            .unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}
