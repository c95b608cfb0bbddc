// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stream whose end is a token in it.

/// Output up to the token that ends it.
pub(super) struct Tail {
    token: Vec<u8>,
    held: Vec<u8>,
    pub(super) ended: bool,
}

impl Tail {
    pub(super) fn new(token: &str) -> Self {
        Self {
            token: token.as_bytes().to_vec(),
            held: Vec::new(),
            ended: false,
        }
    }

    /// What can be passed on; what may be the beginning of the token is held back.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.ended {
            return Vec::new();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let token = &self.token;
        if let Some(at) = all.windows(token.len()).position(|w| w == &token[..]) {
            self.ended = true;
            all.truncate(at);
            return all;
        }
        let longest = token.len().min(all.len() + 1) - 1;
        let hold = (1..=longest)
            .rev()
            .find(|&n| all.ends_with(&token[..n]))
            .unwrap_or(0);
        self.held = all.split_off(all.len() - hold);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(chunks: &[&str]) -> (String, bool) {
        let mut tail = Tail::new("\u{1}END");
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend(tail.take(chunk.as_bytes()));
        }
        (String::from_utf8(all).unwrap(), tail.ended)
    }

    #[test]
    fn output_ends_with_its_token() {
        let whole = ("text\n".to_owned(), true);
        assert_eq!(taken(&["text\n\u{1}END\n"]), whole);
        assert_eq!(taken(&["te", "xt\n", "\u{1}", "E", "ND", "\n"]), whole);
        assert_eq!(taken(&["text\n\u{1}EN", "D\nmore"]), whole);
        assert_eq!(
            taken(&["\u{1}\u{1}EN\u{1}END"]),
            ("\u{1}\u{1}EN".to_owned(), true)
        );
        assert_eq!(taken(&["a\u{1}E", "x"]), ("a\u{1}Ex".to_owned(), false));
        assert_eq!(taken(&["no end"]), ("no end".to_owned(), false));
        assert_eq!(taken(&[""]), (String::new(), false));
    }
}
