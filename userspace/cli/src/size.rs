// SPDX-License-Identifier: MIT OR Apache-2.0

//! An amount of memory, as people write it.

/// Reads `123`, `4K`, `1 MiB`: powers of 1024.
pub fn size(text: &str) -> Result<u64, parse_size::Error> {
    parse_size::Config::new().with_binary().parse_size(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("1M").unwrap(), 1 << 20);
        assert_eq!(size("4KiB").unwrap(), 4096);
        assert_eq!(size("123").unwrap(), 123);
        assert!(size("many").is_err());
    }
}
