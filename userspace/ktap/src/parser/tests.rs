// SPDX-License-Identifier: MIT OR Apache-2.0
//! Outputs that are right, and outputs with a mistake that must be found.

use super::*;

fn parse(text: &str) -> Report {
    let mut parser = Parser::new();
    for line in text.lines() {
        parser.feed(line);
    }
    parser.finish()
}

fn counts(report: &Report) -> (usize, usize, usize) {
    let t = report.totals;
    (t.passed, t.failed, t.skipped)
}

#[track_caller]
fn good(text: &str, want: (usize, usize, usize)) -> Report {
    let report = parse(text);
    assert_eq!(report.errors, [""; 0], "{text}");
    assert_eq!(counts(&report), want, "{text}");
    report
}

#[track_caller]
fn bad(text: &str, error: &str) -> Report {
    let report = parse(text);
    let is_reported = report.errors.iter().any(|e| e.contains(error));
    assert!(is_reported, "no '{error}' in {:?}", report.errors);
    report
}

const TWO_SUITES: &str = "\
KTAP version 1
1..2
  KTAP version 1
  # Subtest: map
  1..3
  ok 1 remap
  # expected 4096
  # found 0
  not ok 2 fault
  ok 3 huge # SKIP no huge pages
not ok 1 map
  KTAP version 1
  # Subtest: limits
  1..1
  ok 1 zero
ok 2 limits
";

#[test]
fn suites() {
    let report = good(TWO_SUITES, (2, 1, 1));
    let names: Vec<String> = report.tests.iter().map(TestResult::full_name).collect();
    assert_eq!(names, ["map.remap", "map.fault", "map.huge", "limits.zero"]);
    assert_eq!(report.tests[1].diagnostics, ["expected 4096", "found 0"]);
    let failed = Outcome::Failed("expected 4096\nfound 0".into());
    assert_eq!(report.tests[1].outcome, failed);
    let skipped = Outcome::Skipped("no huge pages".into());
    assert_eq!(report.tests[2].outcome, skipped);
    assert!(report.tests[3].diagnostics.is_empty());
}

#[test]
fn the_specifications_example() {
    let text = "\
KTAP version 1
1..1
  KTAP version 1
  1..3
    KTAP version 1
    1..1
    # test_1: initializing test_1
    ok 1 test_1
  ok 1 example_test_1
    KTAP version 1
    1..2
    ok 1 test_1 # SKIP test_1 skipped
    ok 2 test_2
  ok 2 example_test_2
    KTAP version 1
    1..3
    ok 1 test_1
    # test_2: FAIL
    not ok 2 test_2
    ok 3 test_3 # SKIP test_3 skipped
  not ok 3 example_test_3
not ok 1 main_test
";
    let report = good(text, (3, 1, 2));
    assert_eq!(
        report.tests[4].full_name(),
        "main_test.example_test_3.test_2"
    );
}

#[test]
fn events() {
    let mut parser = Parser::new();
    let events: Vec<Event> = TWO_SUITES.lines().filter_map(|l| parser.feed(l)).collect();
    assert_eq!(events.len(), 8);
    let started = Event::SuiteStarted {
        name: "map".into(),
        planned: 3,
    };
    assert_eq!(events[0], started);
    let Event::SuiteFinished { name, totals } = &events[4] else {
        panic!("{:?}", events[4]);
    };
    assert_eq!((name.as_str(), totals.total()), ("map", 3));
    assert_eq!(parser.planned(), Some(2));
}

#[test]
fn with_a_console_prefix_and_noise() {
    let text = "\
[    0.000000] Linux version 7.2.12
[    1.200000] ok 1 of the kernel's own lines
[    1.234567] KTAP version 1
[    1.234568] 1..1
[    1.234568]   KTAP version 1
[    1.234569]   # Subtest: map
[    1.234570]   1..2
[    1.234571] mapwright: loading out-of-tree module taints kernel.
[    1.234572]   ok 1 remap
not okay 7 this is no result
[   11.234572]   ok 2 - fault
[  111.234572] ok 1 map
[  111.234573] reboot: Power down
";
    let report = good(text, (2, 0, 0));
    assert_eq!(report.tests[1].diagnostics.len(), 1);
}

#[test]
fn without_indentation() {
    let text = "\
TAP version 14
1..2
# Subtest: a
1..2
ok 1 x
ok 2 y
ok 1 a
ok 2 plain
";
    good(text, (3, 0, 0));
}

#[test]
fn crlf() {
    good(&TWO_SUITES.replace('\n', "\r\n"), (2, 1, 1));
}

#[test]
fn nothing() {
    bad("", "no test results");
    bad("hello\nok 1 x\n", "no test results");
    bad("KTAP version 1\n1..0\n", "no tests were run");
    bad("KTAP version 1\n", "has no plan");
    bad("KTAP version 3\n1..1\nok 1 a\n", "version 3");
}

#[test]
fn plans() {
    bad("KTAP version 1\nok 1 a\n", "the output has no plan");
    bad(
        "KTAP version 1\n1..2\nok 1 a\n",
        "planned 2 tests and has 1",
    );
    bad(
        "KTAP version 1\n1..1\nok 1 a\nok 2 b\n",
        "planned 1 tests and has 2",
    );
    bad(
        "KTAP version 1\n1..1\nok 1 a\n1..1\n",
        "second or late plan",
    );
    let no_plan = TWO_SUITES.replace("  1..3\n", "");
    bad(&no_plan, "suite map has no plan");
    let short = TWO_SUITES.replace("1..3", "1..4");
    bad(&short, "suite map planned 4 tests and has 3");
}

#[test]
fn numbers() {
    let text = "KTAP version 1\n1..2\nok 1 a\nok 1 b\n";
    bad(text, "number 1 is used twice");
    let text = "KTAP version 1\n1..2\nok 1 a\nok 3 c\n";
    bad(text, "'c' has number 3 instead of 2");
}

#[test]
fn cut_off_anywhere() {
    let lines: Vec<&str> = TWO_SUITES.lines().collect();
    for end in 0..lines.len() {
        let report = parse(&lines[..end].join("\n"));
        assert!(!report.errors.is_empty(), "cut after {end} lines");
    }
    let report = bad(&lines[..8].join("\n"), "suite map has no result");
    assert_eq!(counts(&report), (1, 0, 0));
    // Also within a line.
    for end in 0..TWO_SUITES.len() - 2 {
        let report = parse(&TWO_SUITES[..end]);
        assert!(!report.errors.is_empty(), "cut after {end} bytes");
    }
}

#[test]
fn a_suite_that_stops_in_the_middle() {
    let text = TWO_SUITES.replace("  ok 3 huge # SKIP no huge pages\nnot ok 1 map\n", "");
    let report = parse(&text);
    assert!(!report.errors.is_empty());
}

#[test]
fn inconsistent_suites() {
    bad(
        &TWO_SUITES.replace("not ok 1 map", "ok 1 map"),
        "a test in it failed",
    );
    let report = bad(
        &TWO_SUITES.replace("ok 2 lim", "not ok 2 lim"),
        "no test in it failed",
    );
    // kunit.py counts this as a failed test as well.
    assert_eq!(counts(&report), (2, 2, 1));
    bad(
        &TWO_SUITES.replace("ok 2 limits", "ok 2 limits # SKIP x"),
        "tests in it ran",
    );
    bad(
        &TWO_SUITES.replace("ok 2 limits", "ok 2 other"),
        "ends with the result of 'other'",
    );
}

#[test]
fn empty_suites() {
    let suite = "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..0\n";
    bad(&format!("{suite}ok 1 a\n"), "without running a test");
    good(&format!("{suite}ok 1 a # SKIP none here\n"), (0, 0, 1));
    good(&format!("{suite}not ok 1 a\n"), (0, 1, 0));
}

#[test]
fn all_skipped() {
    let text =
        "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..1\n  ok 1 b # SKIP c\n";
    good(&format!("{text}ok 1 a # SKIP all\n"), (0, 0, 1));
    good(&format!("{text}ok 1 a\n"), (0, 0, 1));
}

#[test]
fn endless_diagnostics_are_bounded() {
    let mut parser = Parser::new();
    parser.feed("KTAP version 1");
    parser.feed("1..1");
    for n in 0..10_000 {
        parser.feed(&format!("# {n}"));
    }
    parser.feed("not ok 1 a");
    let report = parser.finish();
    assert_eq!(report.tests[0].diagnostics.len(), KEPT_DIAGNOSTICS);
}

#[test]
fn what_the_writer_prints() -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut writer = crate::Writer::new(&mut bytes);
    writer.version()?;
    writer.plan(2)?;
    let mut suite = writer.suite("odd # names", 3)?;
    suite.result("1..2 ok 1 x", &Outcome::Passed)?;
    let why = "ok 1 not a result\nSubtest: no\nKTAP version 1\n1..4";
    suite.result("not ok 2", &Outcome::Failed(why.into()))?;
    suite.result("skipped", &Outcome::Skipped("a # b".into()))?;
    suite.end()?;
    writer.result("alone", &Outcome::Passed)?;
    let totals = writer.totals();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let report = good(&text, (2, 1, 1));
    assert_eq!(report.totals, totals);
    Ok(())
}
