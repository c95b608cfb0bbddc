// SPDX-License-Identifier: MIT OR Apache-2.0

//! Writes the C headers of the ioctl interfaces, `rust/uapi/*.h`, and their pages of the book, `docs/interface/*.md`,
//! from the Rust source of `rust/uapi`. `make header` runs it; a test fails when a file is not what this would write.

mod c;
mod names;
mod page;
mod pairs;
mod source;

use anyhow::{Context, Result};
use names::Names;
use source::{Source, Words};
use std::{fs, path::PathBuf};

/// The interface of a device.
struct Interface {
    /// The name of its header, without `.h`; each name in it begins with that.
    name: &'static str,
    /// The file of `rust/uapi` that it is made from.
    source: &'static str,
    /// Words of `words.rs` that belong to it.
    words: &'static [&'static str],
    /// What a name has of the device's in Rust, where all are in one module: it is not said twice.
    prefix: &'static str,
    node: &'static str,
    /// The name of its page, and of the examples that are shown there.
    page: &'static str,
    example: &'static str,
    /// The page of the book that says what is refused, and why.
    rules: &'static str,
}

/// The first is the one that others refer to.
const INTERFACES: [Interface; 5] = [
    Interface {
        name: "mapwright",
        source: "mapwright_uapi.rs",
        words: &["Backing", "Method", "Caching", "AddressClass"],
        prefix: "",
        node: "/dev/mapwright",
        page: "mapwright",
        example: "regions",
        rules: "mapping.md",
    },
    Interface {
        name: "mapwright_alloc",
        source: "alloc.rs",
        words: &[],
        prefix: "",
        node: "/dev/mapwright-alloc",
        page: "alloc",
        example: "alloc",
        rules: "allocators.md",
    },
    Interface {
        name: "mapwright_inspect",
        source: "inspect.rs",
        words: &[],
        prefix: "",
        node: "/dev/mapwright-inspect",
        page: "inspect",
        example: "walk",
        rules: "observing.md",
    },
    Interface {
        name: "mapwright_dma",
        source: "dma.rs",
        words: &["MapCall", "Interrupt"],
        prefix: "Dma",
        node: "/dev/mapwright-dma0",
        page: "dma",
        example: "dma",
        rules: "mapping.md",
    },
    Interface {
        name: "mapwright_gpio",
        source: "gpio.rs",
        words: &[],
        prefix: "",
        node: "/dev/mapwright-gpio0",
        page: "gpio",
        example: "gpio",
        rules: "gpio.md",
    },
];

fn main() -> Result<()> {
    for (path, text) in files()? {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn repository() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

fn uapi_dir() -> PathBuf {
    repository().join("rust").join("uapi")
}

/// All files that this writes, with their text.
fn files() -> Result<Vec<(PathBuf, String)>> {
    let sources: Result<Vec<Source>> = INTERFACES.iter().map(Interface::read).collect();
    let sources = sources?;
    let pages = repository().join("docs").join("interface");
    let mut files = Vec::new();
    let names = |interface: &Interface, source| Names {
        name: interface.name,
        prefix: interface.prefix,
        source,
        rules: interface.rules,
        main: None,
    };
    let main = INTERFACES.iter().zip(&sources).next();
    let main = main.map(|(interface, source)| names(interface, source));
    for (i, (interface, source)) in INTERFACES.iter().zip(&sources).enumerate() {
        let names = Names {
            main: main.as_ref().filter(|_| i > 0),
            ..names(interface, source)
        };
        let from = format!("rust/uapi/{}", interface.source);
        let header = c::header(&names, &from).with_context(|| from.clone())?;
        let page = page::page(&names, interface.node, &from, interface.example)?;
        files.push((uapi_dir().join(format!("{}.h", interface.name)), header));
        files.push((pages.join(format!("{}.md", interface.page)), page));
    }
    Ok(files)
}

impl Interface {
    /// What its file says, with the words that it shares with others.
    fn read(&self) -> Result<Source> {
        let mut source = Source::read(&uapi_dir().join(self.source))?;
        let shared = Source::read(&uapi_dir().join("words.rs"))?;
        let is_ours = |words: &Words| self.words.contains(&words.name.as_str());
        source
            .words
            .extend(shared.words.into_iter().filter(is_ours));
        Ok(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mapwright_uapi as uapi;
    use std::fmt::Write as _;
    use std::process::Command;
    use uapi::Request as _;

    #[test]
    fn the_files_are_up_to_date() {
        for (path, text) in files().unwrap() {
            let written = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                written == text,
                "{} is not: run `make header`",
                path.display()
            );
        }
    }

    /// A header reads as one in C: nothing is called as in Rust.
    #[test]
    fn no_name_of_rust_is_in_a_header() {
        for (path, text) in files().unwrap() {
            let is_header = path.extension().is_some_and(|it| it == "h");
            let rust = ["[`", "::", "u32::", "`"]
                .into_iter()
                .find(|it| text.contains(it));
            assert!(!is_header || rust.is_none(), "{}: {rust:?}", path.display());
        }
    }

    #[test]
    fn names_are_translated() {
        let file = "words! { /// Kinds.\n Kind { /// The first.\n DeepRed = 3, \"deep-red\"; } }\n\
                    pub const HOLD: u32 = 1;\npub struct Run { pub flags: u32 }";
        let source = Source::parse(file).unwrap();
        let names = Names {
            name: "it",
            prefix: "",
            source: &source,
            rules: "rules.md",
            main: None,
        };
        let translate = |text| names.translate(text, "Run", names::Marks::Plain);
        let text =
            "[`HOLD`] in [`Run::flags`] of [`Run`], a [`Kind`] as [`red`](Kind::DeepRed), `EINVAL`";
        assert_eq!(
            translate(text).unwrap(),
            "IT_HOLD in flags of struct it_run, an enum it_kind as IT_KIND_DEEP_RED, EINVAL"
        );
        assert!(translate("[`Vanished`]").is_err());
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
        for header in &INTERFACES {
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
    fn c_and_python_agree_on_every_size_and_number() {
        let mut program = String::new();
        let mut requests = Vec::new();
        macro_rules! check {
            ($($rust:path, $c:literal $(, $number:literal)?;)*) => {
                $(
                    let size = size_of::<$rust>();
                    writeln!(program, "IS(sizeof(struct {}), {size});", $c).unwrap();
                    $(
                        let number = <$rust>::IOCTL;
                        requests.push(format!("{number} {size}"));
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
        let script = "import ctypes\n\
                      for request in mapwright.Request.__subclasses__():\n    \
                          print(request.NUMBER, ctypes.sizeof(request))";
        for request in python(script).lines() {
            let is_known = requests.iter().any(|known| known == request);
            assert!(is_known, "mapwright.py: number and size {request}");
        }
    }

    #[test]
    fn python_has_all_names() {
        let names = [
            ("BACKINGS", uapi::Backing::NAMES),
            ("METHODS", uapi::Method::NAMES),
            ("CACHINGS", uapi::Caching::NAMES),
            ("MAP_CALLS", uapi::MapCall::NAMES),
            ("ALLOCATORS", uapi::alloc::Allocator::NAMES),
            ("LEVELS", uapi::inspect::Level::NAMES),
        ];
        for (name, of) in names {
            let said = python(&format!("print(*mapwright.{name}, sep='|')"));
            assert_eq!(said.trim(), of.join("|"), "{name}");
        }
    }

    /// What a script prints that has `mapwright.py`.
    fn python(script: &str) -> String {
        let ran = Command::new("python3")
            .args(["-B", "-c", &format!("import mapwright\n{script}")])
            .env(
                "PYTHONPATH",
                repository().join("userspace").join("examples"),
            )
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    #[test]
    fn every_structure_is_checked() {
        let checked = include_str!("main.rs");
        for header in &INTERFACES {
            let source = header.read().unwrap();
            let names = Names {
                name: header.name,
                prefix: header.prefix,
                source: &source,
                rules: "rules.md",
                main: None,
            };
            for structure in &source.structs {
                let c_name = format!("\"{}\"", names.c_name(&structure.name));
                assert!(
                    checked.contains(&c_name),
                    "{c_name} is not in the list above"
                );
            }
        }
    }
}
