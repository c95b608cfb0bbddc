// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shapes, by what they are: the colours follow from that, and from whether it is dark around.

use std::fmt::Write as _;

/// Colours for a class of shapes, in the light and in the dark.
const COLOURS: [(&str, &str, &str); 9] = [
    ("back", "fill:#ffffff", "fill:#16181d"),
    ("ink", "fill:#22262e", "fill:#e8eaf0"),
    ("pale", "fill:#5f6675", "fill:#9aa3b5"),
    (
        "edge",
        "fill:none;stroke:#a4abb9",
        "fill:none;stroke:#565e6e",
    ),
    (
        "free",
        "fill:#d9f0dd;stroke:#3c8f53",
        "fill:#1d3a27;stroke:#5fbf7c",
    ),
    (
        "used",
        "fill:#d6e4fa;stroke:#3568b8",
        "fill:#1c304f;stroke:#6fa3f0",
    ),
    (
        "hot",
        "fill:#fbdfcc;stroke:#c0642a",
        "fill:#4a2a17;stroke:#ee9a62",
    ),
    (
        "bad",
        "fill:#fad4d6;stroke:#bf3540",
        "fill:#4c1b20;stroke:#f07a84",
    ),
    (
        "none",
        "fill:#eef0f4;stroke:#c3c8d2",
        "fill:#22252c;stroke:#434a57",
    ),
];

/// Colours for lines, by the class of what they lead to.
const LINES: [(&str, &str, &str); 5] = [
    ("line", "#7b8393", "#8a93a5"),
    ("line-free", "#3c8f53", "#5fbf7c"),
    ("line-used", "#3568b8", "#6fa3f0"),
    ("line-hot", "#c0642a", "#ee9a62"),
    ("line-bad", "#bf3540", "#f07a84"),
];

/// Which end of a text is at its place.
#[derive(Clone, Copy)]
pub enum At {
    Start,
    Middle,
    End,
}

/// A picture under way.
pub struct Svg {
    width: i64,
    height: i64,
    body: String,
}

impl Svg {
    pub fn new(width: i64, height: i64) -> Self {
        Self {
            width,
            height,
            body: String::new(),
        }
    }

    /// A box.
    pub fn rect(&mut self, (x, y): (i64, i64), (width, height): (i64, i64), class: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" class="{class}"/>"#
        );
    }

    /// A text on the base line `y`, of a size in pixels.
    pub fn text(&mut self, (x, y): (i64, i64), size: i64, class: &str, at: At, text: &str) {
        let anchor = match at {
            At::Start => "start",
            At::Middle => "middle",
            At::End => "end",
        };
        let text = escape(text);
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        );
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(i64, i64)], class: &str) {
        let mut list = String::new();
        for (x, y) in points {
            let _ = write!(list, "{x},{y} ");
        }
        let _ = writeln!(
            self.body,
            r#"<polyline points="{}" class="{class}"/>"#,
            list.trim()
        );
    }

    /// A broken line.
    pub fn dashes(&mut self, (x, y): (i64, i64), to: (i64, i64), class: &str) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{x}" y1="{y}" x2="{}" y2="{}" stroke-dasharray="5 4" class="{class}"/>"#,
            to.0, to.1
        );
    }

    /// A line through points whose end has a head.
    pub fn arrow(&mut self, points: &[(i64, i64)], class: &str) {
        self.line(points, class);
        let &[.., (from_x, from_y), (x, y)] = points else {
            return;
        };
        let (dx, dy) = ((x - from_x) as f64, (y - from_y) as f64);
        let length = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / length * 8.0, dy / length * 8.0);
        let (x, y) = (x as f64, y as f64);
        let _ = writeln!(
            self.body,
            r#"<path d="M{:.1},{:.1} L{x},{y} L{:.1},{:.1}" class="{class}"/>"#,
            x - ux - uy / 2.0,
            y - uy + ux / 2.0,
            x - ux + uy / 2.0,
            y - uy - ux / 2.0
        );
    }

    /// A box with a text in its middle.
    pub fn labelled(
        &mut self,
        (x, y): (i64, i64),
        (width, height): (i64, i64),
        class: &str,
        text: &str,
    ) {
        self.rect((x, y), (width, height), class);
        // A letter of this font is 0.6 of its size wide.
        let letters = text.chars().count().max(1) as i64;
        let size = (width * 10 / (letters * 6)).clamp(7, 13);
        self.text(
            (x + width / 2, y + height / 2 + size * 2 / 5),
            size,
            "ink",
            At::Middle,
            text,
        );
    }

    /// The whole file.
    pub fn finish(self, title: &str) -> String {
        let Self {
            width,
            height,
            body,
        } = self;
        let mut light = String::new();
        let mut dark = String::new();
        for (class, in_light, in_dark) in COLOURS {
            let _ = writeln!(light, ".{class}{{{in_light}}}");
            let _ = writeln!(dark, ".{class}{{{in_dark}}}");
        }
        for (class, in_light, in_dark) in LINES {
            let _ = writeln!(
                light,
                ".{class}{{fill:none;stroke:{in_light};stroke-width:1.6}}"
            );
            let _ = writeln!(dark, ".{class}{{stroke:{in_dark}}}");
        }
        let title = escape(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"ui-monospace, DejaVu Sans Mono, monospace\" role=\"img\">\n\
             <title>{title}</title>\n<style>\n{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n</style>\n\
             <rect width=\"{width}\" height=\"{height}\" class=\"back\"/>\n{body}</svg>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A text, cut where it is longer than so many letters.
pub fn cut(text: &str, letters: usize) -> String {
    match text.chars().count() > letters {
        true => text
            .chars()
            .take(letters.saturating_sub(1))
            .chain(['…'])
            .collect(),
        false => text.to_owned(),
    }
}
