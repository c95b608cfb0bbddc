// SPDX-License-Identifier: MIT OR Apache-2.0
//! One line of KTAP, told apart exactly as `kunit_parser.py` does.

use crate::Outcome;

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Version(u32),
    /// `# Subtest: NAME`
    Subtest(&'a str),
    Plan(usize),
    Result {
        number: usize,
        name: &'a str,
        outcome: Outcome,
    },
    /// A diagnostic line or anything else.
    Other(&'a str),
}

/// Takes a console's marks off the front: `<6>`, `[    1.234567] `, `[  T123] `.
pub(crate) fn strip_prefix(line: &str) -> &str {
    let mut rest = line;
    if let Some(after) = rest.strip_prefix('<') {
        if let Some((level, after)) = after.split_once('>') {
            if !level.is_empty() && level.len() <= 3 && level.bytes().all(|b| b.is_ascii_digit()) {
                rest = after;
            }
        }
    }
    let Some((stamp, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) else {
        return rest;
    };
    let stamp = stamp.trim_start();
    let numeric = stamp.contains('.') && stamp.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !numeric {
        return rest;
    }
    // With CONFIG_PRINTK_CALLER: the task or processor.
    let after = match after.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((caller, more)) if is_caller(caller.trim_start()) => more,
        _ => after,
    };
    after.strip_prefix(' ').unwrap_or(after)
}

fn is_caller(text: &str) -> bool {
    let digits = text.strip_prefix(['T', 'C']).unwrap_or("");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// How far the line is indented, and what it is.
pub(crate) fn classify(line: &str) -> (usize, Line<'_>) {
    let line = strip_prefix(line.trim_end());
    let text = line.trim_start();
    let indent = line.len() - text.len();
    (indent, kind(text))
}

fn kind(text: &str) -> Line<'_> {
    for start in ["KTAP version ", "TAP version "] {
        if let Some(version) = text.strip_prefix(start).and_then(|v| v.parse().ok()) {
            return Line::Version(version);
        }
    }
    if let Some(name) = text.strip_prefix("# Subtest: ") {
        return Line::Subtest(name);
    }
    if let Some(rest) = text.strip_prefix("1..") {
        if let (Some(count), _) = leading_number(rest) {
            return Line::Plan(count);
        }
    }
    result(text).unwrap_or(Line::Other(text))
}

fn leading_number(text: &str) -> (Option<usize>, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}

/// `^(ok|not ok) ([0-9]+) ?(:?- )?([^#]*)( # .*)?$`
fn result(text: &str) -> Option<Line<'_>> {
    let (ok, rest) = match text.strip_prefix("ok ") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("not ok ")?),
    };
    let (number, rest) = leading_number(rest);
    let number = number?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let rest = rest
        .strip_prefix(":- ")
        .or_else(|| rest.strip_prefix("- "))
        .unwrap_or(rest);
    let (name, directive) = match rest.find('#') {
        None => (rest, None),
        Some(at) => {
            let after = rest[at + 1..].strip_prefix(' ');
            match (rest[..at].strip_suffix(' '), after) {
                (Some(name), Some(after)) => (name, Some(after)),
                // The end of the line has been trimmed: "name #"
                (Some(name), None) if rest.len() == at + 1 => (name, None),
                // "name#word" is no result line.
                _ => return None,
            }
        }
    };
    let skipped = directive.and_then(|d| d.strip_prefix("SKIP"));
    let outcome = match skipped {
        Some(reason) => Outcome::Skipped(reason.trim_start().to_owned()),
        None if ok => Outcome::Passed,
        None => Outcome::Failed(String::new()),
    };
    Some(Line::Result {
        number,
        name: name.trim_end(),
        outcome,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn res(number: usize, name: &str, outcome: Outcome) -> Line<'_> {
        Line::Result {
            number,
            name,
            outcome,
        }
    }

    #[test]
    fn results() {
        let skip = |r: &str| Outcome::Skipped(r.to_owned());
        for (text, want) in [
            ("ok 1 name", res(1, "name", Outcome::Passed)),
            (
                "not ok 12 - name",
                res(12, "name", Outcome::Failed(String::new())),
            ),
            ("ok 3", res(3, "", Outcome::Passed)),
            ("ok 3 a b # SKIP no swap", res(3, "a b", skip("no swap"))),
            ("not ok 3 a # SKIP", res(3, "a", skip(""))),
            (
                "not ok 3 a # TIMEOUT 30 s",
                res(3, "a", Outcome::Failed(String::new())),
            ),
            ("ok 5 check # rcode=0", res(5, "check", Outcome::Passed)),
        ] {
            assert_eq!(kind(text), want, "{text}");
        }
    }

    #[test]
    fn not_results() {
        for text in [
            "ok",
            "ok one",
            "okay 1 x",
            "ok 1 a#b",
            "not okay 2",
            "OK 1 x",
        ] {
            assert_eq!(kind(text), Line::Other(text), "{text}");
        }
    }

    #[test]
    fn prefixes() {
        for (text, want) in [
            ("[    1.234567] ok 1 x", "ok 1 x"),
            ("[    1.234567]   ok 1 x", "  ok 1 x"),
            ("<6>[   12.000001][  T123] 1..2", "1..2"),
            ("[FAILED] something", "[FAILED] something"),
            ("<b>bold</b>", "<b>bold</b>"),
            ("[1.", "[1."),
        ] {
            assert_eq!(strip_prefix(text), want);
        }
    }
}
