// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the C headers of the ioctl interfaces, `rust/uapi/*.h`, from the Rust source beside them.
//! `make header` runs it; a test fails when a file is not what this would write.

mod source;

use anyhow::{Context, Result};
use cbindgen::{Builder, Config, DocumentationStyle, Language, Style};
use source::{Source, Value, Words};
use std::{fmt::Write, fs, path::PathBuf};

/// A header.
struct Header {
    /// The file's name, without `.h`; each name in it begins with that.
    name: &'static str,
    /// The file of the interface that it is made from.
    source: &'static str,
    /// Words of `words.rs` that belong to it.
    words: &'static [&'static str],
    /// What a name has of the device's in Rust, where all are in one module: it is not said twice.
    prefix: &'static str,
}

const HEADERS: [Header; 5] = [
    Header {
        name: "mapwright",
        source: "mapwright_uapi.rs",
        words: &["Backing", "Method", "Caching", "AddressClass"],
        prefix: "",
    },
    Header {
        name: "mapwright_alloc",
        source: "alloc.rs",
        words: &[],
        prefix: "",
    },
    Header {
        name: "mapwright_inspect",
        source: "inspect.rs",
        words: &[],
        prefix: "",
    },
    Header {
        name: "mapwright_dma",
        source: "dma.rs",
        words: &["MapCall", "Interrupt"],
        prefix: "Dma",
    },
    Header {
        name: "mapwright_gpio",
        source: "gpio.rs",
        words: &[],
        prefix: "",
    },
];

/// What C has called an enumeration from the first.
const RENAMED: (&str, &str) = ("AddressClass", "Address");

fn main() -> Result<()> {
    for header in &HEADERS {
        let path = header.path();
        fs::write(&path, header.text()?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn uapi_dir() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "rust", "uapi"]
        .iter()
        .collect()
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

impl Header {
    fn path(&self) -> PathBuf {
        uapi_dir().join(format!("{}.h", self.name))
    }

    /// The text of the header.
    fn text(&self) -> Result<String> {
        let mut source = Source::read(&uapi_dir().join(self.source))?;
        let shared = Source::read(&uapi_dir().join("words.rs"))?;
        let is_ours = |words: &Words| self.words.contains(&words.name.as_str());
        source
            .words
            .extend(shared.words.into_iter().filter(is_ours));

        let guard = self.name.to_uppercase();
        let mut text = format!(
            "/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */\n\
             /*\n * The interface of a device of mapwright. Made from {} by `make header`: do not edit.\n \
             * What the ioctls do and how they fail is said there.\n */\n\
             #ifndef {guard}_H\n#define {guard}_H\n\n\
             #include <linux/ioctl.h>\n#include <stdint.h>\n",
            self.source
        );
        self.constants(&source, &mut text)?;
        for words in &source.words {
            self.enumeration(words, &mut text)?;
        }
        text.push('\n');
        text.push_str(&self.structs(&source)?);
        writeln!(text, "\n#endif /* {guard}_H */")?;
        Ok(text)
    }

    /// A name in C of one in Rust.
    fn c_name(&self, name: &str) -> String {
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

    fn constants(&self, source: &Source, text: &mut String) -> Result<()> {
        for constant in &source.constants {
            let name = self.c_name(&constant.name);
            let value = match &constant.value {
                Value::Word(number) => number.to_string(),
                Value::Long(number) => format!("{number:#x}ULL"),
                Value::Ioctl(number) => format!("_IO(0xe7, {number:#x})"),
                Value::Text(value) => format!("\"{value}\""),
            };
            writeln!(text, "\n/* {} */\n#define {name} {value}", constant.doc)?;
        }
        if self.name == "mapwright" {
            writeln!(text, "#define MAPWRIGHT_DEVICE \"/dev/\" MAPWRIGHT_NAME")?;
        }
        Ok(())
    }

    /// An enumeration, by the names that people use where these can be names in C.
    fn enumeration(&self, words: &Words, text: &mut String) -> Result<()> {
        let name = match words.name == RENAMED.0 {
            true => RENAMED.1,
            false => &words.name,
        };
        let name = self.c_name(name);
        writeln!(text, "\nenum {name} {{")?;
        for (variant, number, word) in &words.words {
            let word = word.replace(['-', ' '], "_").replace('/', "");
            let word = match word.ends_with('_') {
                true => snake(variant),
                false => word,
            };
            writeln!(
                text,
                "\t{} = {number},",
                format!("{name}_{word}").to_uppercase()
            )?;
        }
        writeln!(text, "}};")?;
        Ok(())
    }

    /// The structures, with their documentation.
    fn structs(&self, source: &Source) -> Result<String> {
        let mut config = Config {
            language: Language::C,
            style: Style::Tag,
            documentation_style: DocumentationStyle::Doxy,
            no_includes: true,
            tab_width: 8,
            ..Config::default()
        };
        config.export.include.clone_from(&source.structs);
        let constants = source.constants.iter().map(|constant| &constant.name);
        for name in source.structs.iter().chain(constants) {
            config.export.rename.insert(name.clone(), self.c_name(name));
        }
        config.export.item_types = vec![cbindgen::ItemType::Structs];
        let bindings = Builder::new()
            .with_config(config)
            .with_src(uapi_dir().join(self.source))
            .generate();
        let mut text = Vec::new();
        bindings.context("reading the interface")?.write(&mut text);
        Ok(String::from_utf8(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_uapi as uapi;
    use std::process::Command;
    use uapi::Request as _;

    #[test]
    fn the_headers_are_up_to_date() {
        for header in &HEADERS {
            let path = header.path();
            let written = fs::read_to_string(&path).unwrap_or_default();
            let is_current = written == header.text().unwrap();
            assert!(is_current, "{} is not: run `make header`", path.display());
        }
    }

    /// The first C compiler there is.
    fn cc() -> Command {
        let compiler = ["cc", "gcc-14", "gcc", "clang"]
            .into_iter()
            .find(|cc| Command::new(cc).arg("--version").output().is_ok());
        Command::new(compiler.expect("a C compiler"))
    }

    /// Fails unless C compiles `checks` after all the headers.
    fn compile(checks: &str) {
        let mut program = String::from("#include <stddef.h>\n");
        for header in &HEADERS {
            writeln!(program, "#include \"{}.h\"", header.name).unwrap();
        }
        program.push_str("#define IS(a, b) _Static_assert((a) == (b), #a)\n");
        program.push_str(checks);
        let dir = std::env::temp_dir().join(format!("mapwright-header-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let source = dir.join("check.c");
        fs::write(&source, program).unwrap();
        let options = [
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
            "-I",
        ];
        let ran = cc()
            .args(options)
            .args([&uapi_dir(), &source])
            .output()
            .unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
    }

    /// No structure has padding, which `zerocopy` refuses, so what has the size has the same fields at the
    /// same offsets.
    #[test]
    fn c_agrees_on_every_size_and_number() {
        let mut program = String::new();
        macro_rules! check {
            ($($rust:path, $c:literal $(, $number:literal)?;)*) => {
                $(
                    let size = size_of::<$rust>();
                    writeln!(program, "IS(sizeof(struct {}), {size});", $c).unwrap();
                    $(
                        let number = <$rust>::IOCTL;
                        writeln!(program, "IS({}, {number});", $number).unwrap();
                    )?
                )*
            };
        }
        check! {
            uapi::Info, "mapwright_info", "MAPWRIGHT_INFO";
            uapi::Create, "mapwright_create", "MAPWRIGHT_CREATE";
            uapi::Destroy, "mapwright_destroy", "MAPWRIGHT_DESTROY";
            uapi::Query, "mapwright_query", "MAPWRIGHT_QUERY";
            uapi::Pages, "mapwright_pages", "MAPWRIGHT_PAGES";
            uapi::Sync, "mapwright_sync", "MAPWRIGHT_SYNC";
            uapi::PageInfo, "mapwright_page_info";
            uapi::alloc::Info, "mapwright_alloc_info", "MAPWRIGHT_ALLOC_INFO";
            uapi::alloc::Run, "mapwright_alloc_run", "MAPWRIGHT_ALLOC_RUN";
            uapi::alloc::Cost, "mapwright_alloc_cost";
            uapi::alloc::Release, "mapwright_alloc_release", "MAPWRIGHT_ALLOC_RELEASE";
            uapi::alloc::Record, "mapwright_alloc_record";
            uapi::inspect::Walk, "mapwright_inspect_walk", "MAPWRIGHT_INSPECT_WALK";
            uapi::inspect::WalkLevel, "mapwright_inspect_walk_level";
            uapi::inspect::Frame, "mapwright_inspect_frame", "MAPWRIGHT_INSPECT_FRAME";
            uapi::inspect::Layout, "mapwright_inspect_layout", "MAPWRIGHT_INSPECT_LAYOUT";
            uapi::inspect::AreaRange, "mapwright_inspect_area_range";
            uapi::DmaInfo, "mapwright_dma_info", "MAPWRIGHT_DMA_INFO";
            uapi::Transfer, "mapwright_dma_transfer", "MAPWRIGHT_DMA_TRANSFER";
            uapi::Done, "mapwright_dma_done", "MAPWRIGHT_DMA_DONE";
            uapi::DmaMap, "mapwright_dma_map", "MAPWRIGHT_DMA_MAP";
            uapi::DmaUnmap, "mapwright_dma_unmap", "MAPWRIGHT_DMA_UNMAP";
            uapi::Export, "mapwright_dma_export", "MAPWRIGHT_DMA_EXPORT";
            uapi::Import, "mapwright_dma_import", "MAPWRIGHT_DMA_IMPORT";
            uapi::Measure, "mapwright_dma_measure", "MAPWRIGHT_DMA_MEASURE";
            uapi::gpio::Info, "mapwright_gpio_info", "MAPWRIGHT_GPIO_INFO";
            uapi::gpio::Outputs, "mapwright_gpio_outputs", "MAPWRIGHT_GPIO_OUTPUTS";
            uapi::gpio::Direction, "mapwright_gpio_direction", "MAPWRIGHT_GPIO_DIRECTION";
            uapi::gpio::Blink, "mapwright_gpio_blink", "MAPWRIGHT_GPIO_BLINK";
            uapi::gpio::Wait, "mapwright_gpio_wait", "MAPWRIGHT_GPIO_WAIT";
            uapi::gpio::Watch, "mapwright_gpio_watch", "MAPWRIGHT_GPIO_WATCH";
            uapi::gpio::Events, "mapwright_gpio_events", "MAPWRIGHT_GPIO_EVENTS";
        }
        let words = [
            (
                "MAPWRIGHT_METHOD_FAULT_PFN",
                uapi::Method::FaultPfn.number(),
            ),
            ("MAPWRIGHT_CACHING_WB", uapi::Caching::WriteBack.number()),
            (
                "MAPWRIGHT_ADDRESS_DIRECT_MAP",
                uapi::AddressClass::DirectMap.number(),
            ),
            (
                "MAPWRIGHT_ALLOC_PATTERN_RANDOM",
                uapi::alloc::Pattern::Random.number(),
            ),
            (
                "MAPWRIGHT_INSPECT_MEMORY_TYPE_UC",
                uapi::inspect::MemoryType::Uncached.number(),
            ),
            (
                "MAPWRIGHT_DMA_MAP_CALL_SCATTER_PAGES",
                uapi::MapCall::ScatterPages.number(),
            ),
            ("MAPWRIGHT_ALLOC_HOLD", uapi::alloc::HOLD),
            ("MAPWRIGHT_INSPECT_WALK_PROBE", uapi::inspect::WALK_PROBE),
            ("MAPWRIGHT_SYNC_FOR_DEVICE", uapi::SYNC_FOR_DEVICE),
        ];
        for (name, number) in words {
            writeln!(program, "IS({name}, {number});").unwrap();
        }
        compile(&program);
    }

    #[test]
    fn every_structure_is_checked() {
        let checked = include_str!("main.rs");
        for header in &HEADERS {
            for name in Source::read(&uapi_dir().join(header.source))
                .unwrap()
                .structs
            {
                let c_name = format!("\"{}\"", header.c_name(&name));
                assert!(
                    checked.contains(&c_name),
                    "{c_name} is not in the list above"
                );
            }
        }
    }
}
