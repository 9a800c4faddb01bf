//! A picture as SVG: rectangles, lines, dots and text by role. It knows colours and sizes, nothing of charts.
//!
//! A role has one look in light and one in dark (`prefers-color-scheme`), and the picture brings its own ground, so that it reads on
//! any page. The sizes are those of a page of 720 pixels. Where text ends is estimated from its letters, generously, because every
//! system has other letters.

use std::fmt::Write;

pub(super) const WIDTH: f64 = 720.0;

/// The look in light; the roles that differ in dark follow.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',Ubuntu,Cantarell,'Liberation Sans',sans-serif;\
font-variant-numeric:tabular-nums;fill:#1c1f22}\
.title{font-size:18px;font-weight:650}.head{font-size:14px;font-weight:600}.label,.ours,.strong{font-size:13px}\
.ours,.strong{font-weight:650}.small,.tick,.good{font-size:11.5px}.small,.tick{fill:#61676d}\
.ours{fill:#1f6f6b}.good{fill:#1f6f6b;font-weight:600}\
.ground{fill:#fff;stroke:#dfdcd3}.grid,.axis,.spread,.line{fill:none}.grid{stroke:#ebe8e0}.axis{stroke:#96928a}\
.spread{stroke:#1c1f22;stroke-width:1.2;opacity:.55}.line{stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}\
.bar-ours{fill:#1f6f6b}.bar-ours-2{fill:#8fc1bb}.bar{fill:#7d858d}.bar-2{fill:#c5cad0}.bar-floor{fill:#d9c9a3}.bar-floor-2{fill:#ece3cd}\
.bar-3{fill:#7d858d}\
.hue-1{stroke:#4f53b6;fill:#4f53b6}.hue-2{stroke:#3a762d;fill:#3a762d}.hue-3{stroke:#176b77;fill:#176b77}\
.hue-4{stroke:#9a3c78;fill:#9a3c78}.hue-5{stroke:#8d5b0e;fill:#8d5b0e}\
text.hue-1,text.hue-2,text.hue-3,text.hue-4,text.hue-5{stroke:none;font-size:13px;font-weight:600}.line{fill:none}\
@media(prefers-color-scheme:dark){text{fill:#e9e7e2}.small,.tick{fill:#9ba2a9}.ours,.good{fill:#6cc9bf}\
.ground{fill:#1b1f23;stroke:#2e343a}.grid{stroke:#2a3036}.axis{stroke:#6b737b}.spread{stroke:#e9e7e2}\
.bar-ours{fill:#6cc9bf}.bar-ours-2{fill:#2f6863}.bar{fill:#8a939c}.bar-2{fill:#454d55}.bar-floor{fill:#8c7a4c}.bar-floor-2{fill:#514830}\
.hue-1{stroke:#a5a9f7;fill:#a5a9f7}.hue-2{stroke:#8ecb7d;fill:#8ecb7d}.hue-3{stroke:#68c4d1;fill:#68c4d1}\
.hue-4{stroke:#e59ac9;fill:#e59ac9}.hue-5{stroke:#dfae5c;fill:#dfae5c}.line{fill:none}text{stroke:none}}";

/// What a text is; its name is its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Title,
    Head,
    Label,
    Strong,
    Ours,
    Small,
    Good,
    Tick,
    /// The name of a line, in its hue (1 to 5).
    Hue(usize),
}

impl Words {
    fn class(self) -> String {
        match self {
            Self::Title => "title".into(),
            Self::Head => "head".into(),
            Self::Label => "label".into(),
            Self::Strong => "strong".into(),
            Self::Ours => "ours".into(),
            Self::Small => "small".into(),
            Self::Good => "good".into(),
            Self::Tick => "tick".into(),
            Self::Hue(hue) => format!("hue-{hue}"),
        }
    }

    /// Pixels.
    pub(super) fn size(self) -> f64 {
        match self {
            Self::Title => 18.0,
            Self::Head => 14.0,
            Self::Label | Self::Strong | Self::Ours | Self::Hue(_) => 13.0,
            Self::Small | Self::Good | Self::Tick => 11.5,
        }
    }

    /// About how wide a text is, in pixels; rather too much than too little.
    pub(super) fn width(self, text: &str) -> f64 {
        let bold = if matches!(self, Self::Label | Self::Small | Self::Tick) { 1.0 } else { 1.06 };
        text.chars().map(letter_width).sum::<f64>() * self.size() * bold
    }

    /// The text, ended by an ellipsis where it has no room.
    pub(super) fn cut(self, text: &str, width: f64) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let mut cut = text.to_owned();
        while !cut.is_empty() && self.width(&cut) + self.width("…") > width {
            cut.pop();
        }
        cut.trim_end().to_owned() + "…"
    }

    /// The text in lines of at most so many pixels, broken between words.
    pub(super) fn wrapped(self, text: &str, width: f64) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if self.width(line) + self.width(" ") + self.width(word) <= width => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

/// In parts of the size.
fn letter_width(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' | '(' | ')' | '/' => 0.33,
        'f' | 't' | 'r' | ' ' | '-' | '·' => 0.40,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' => 0.92,
        'A'..='Z' | '×' | 'µ' | '–' | '+' | '=' => 0.68,
        _ => 0.585,
    }
}

/// Where a text hangs on its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug)]
enum Element {
    Rect { at: (f64, f64), size: (f64, f64), class: String },
    Line { from: (f64, f64), to: (f64, f64), class: String },
    Path { points: Vec<(f64, f64)>, class: String },
    Dot { at: (f64, f64), radius: f64, class: String },
    Text { at: (f64, f64), anchor: Anchor, words: Words, text: String },
}

/// A picture under construction. Every position is in pixels from the upper left corner; a text stands on its baseline.
#[derive(Debug)]
pub(super) struct Drawing {
    title: String,
    description: String,
    elements: Vec<Element>,
    height: f64,
}

impl Drawing {
    /// An empty picture; title and description are for those who cannot see it.
    pub(super) fn new(title: &str, description: &str) -> Self {
        Self { title: title.into(), description: description.into(), elements: Vec::new(), height: 0.0 }
    }

    pub(super) fn set_height(&mut self, height: f64) {
        self.height = height;
    }

    pub(super) fn rect(&mut self, at: (f64, f64), size: (f64, f64), class: &str) {
        self.elements.push(Element::Rect { at, size, class: class.into() });
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.elements.push(Element::Line { from, to, class: class.into() });
    }

    pub(super) fn path(&mut self, points: Vec<(f64, f64)>, class: &str) {
        self.elements.push(Element::Path { points, class: class.into() });
    }

    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, class: &str) {
        self.elements.push(Element::Dot { at, radius, class: class.into() });
    }

    pub(super) fn text(&mut self, at: (f64, f64), (words, anchor): (Words, Anchor), text: &str) {
        self.elements.push(Element::Text { at, anchor, words, text: text.into() });
    }

    /// Lines of text one under the other; the baseline after the last one.
    pub(super) fn lines(&mut self, at: (f64, f64), words: Words, lines: &[String]) -> f64 {
        let mut y = at.1;
        for line in lines {
            self.text((at.0, y), (words, Anchor::Start), line);
            y += words.size() * 1.35;
        }
        y
    }

    /// The picture as a file.
    pub(super) fn svg(&self) -> String {
        let (width, height) = (WIDTH, self.height);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" height=\"{height:.0}\" \
             role=\"img\" aria-labelledby=\"t d\">\n<title id=\"t\">{}</title>\n<desc id=\"d\">{}</desc>\n<style>{STYLE}</style>\n",
            escaped(&self.title),
            escaped(&self.description),
        );
        let ground = (width - 1.0, height - 1.0);
        writeln!(
            out,
            "<rect class=\"ground\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"10\"/>",
            ground.0, ground.1
        )
        .unwrap_or_default();
        for element in &self.elements {
            out += &element.svg();
            out.push('\n');
        }
        out + "</svg>\n"
    }
}

impl Element {
    fn svg(&self) -> String {
        match self {
            Self::Rect { at: (x, y), size: (width, height), class } => format!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"/>"
            ),
            Self::Line { from, to, class } => format!(
                "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                from.0, from.1, to.0, to.1
            ),
            Self::Path { points, class } => {
                let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                format!("<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "))
            }
            Self::Dot { at, radius, class } => {
                format!("<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\"/>", at.0, at.1)
            }
            Self::Text { at: (x, y), anchor, words, text } => {
                let anchor = match anchor {
                    Anchor::Start => "",
                    Anchor::Middle => " text-anchor=\"middle\"",
                    Anchor::End => " text-anchor=\"end\"",
                };
                format!(
                    "<text class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\"{anchor}>{}</text>",
                    words.class(),
                    escaped(text)
                )
            }
        }
    }
}

/// Text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
impl Drawing {
    /// What is wrong with the layout: texts that lie on one another, anything outside of the picture, negative sizes.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut texts: Vec<(&str, [f64; 4])> = Vec::new();
        for element in &self.elements {
            let [left, top, right, bottom] = element.bounds();
            let is_sound = [left, top, right, bottom].iter().all(|value| value.is_finite());
            if !is_sound || left > right + 0.01 || top > bottom + 0.01 {
                faults.push(format!("no size: {element:?}"));
            }
            if left < 0.0 || top < 0.0 || right > WIDTH || bottom > self.height {
                faults.push(format!("outside: {element:?}"));
            }
            if let Element::Text { text, .. } = element {
                let meets = |other: &[f64; 4]| {
                    left < other[2] && other[0] < right && top < other[3] && other[1] < bottom
                };
                let met = texts.iter().filter(|(_, other)| meets(other));
                faults.extend(met.map(|(other, _)| format!("{text:?} lies on {other:?}")));
                texts.push((text, [left, top, right, bottom]));
            }
        }
        faults
    }
}

#[cfg(test)]
impl Element {
    /// Left, top, right, bottom.
    fn bounds(&self) -> [f64; 4] {
        match self {
            Self::Rect { at, size, .. } => [at.0, at.1, at.0 + size.0, at.1 + size.1],
            Self::Line { from, to, .. } => {
                [from.0.min(to.0), from.1.min(to.1), from.0.max(to.0), from.1.max(to.1)]
            }
            Self::Path { points, .. } => points.iter().fold([f64::MAX, f64::MAX, 0.0, 0.0], |all, (x, y)| {
                [all[0].min(*x), all[1].min(*y), all[2].max(*x), all[3].max(*y)]
            }),
            Self::Dot { at, radius, .. } => [at.0 - radius, at.1 - radius, at.0 + radius, at.1 + radius],
            Self::Text { at, anchor, words, text } => {
                let width = words.width(text);
                let left = match anchor {
                    Anchor::Start => at.0,
                    Anchor::Middle => at.0 - width / 2.0,
                    Anchor::End => at.0 - width,
                };
                [left, at.1 - words.size() * 0.78, left + width, at.1 + words.size() * 0.2]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing() -> Drawing {
        let mut drawing = Drawing::new("a < b & c", "d > e");
        drawing.set_height(100.0);
        drawing
    }

    #[test]
    fn text_is_escaped_and_named_for_those_who_cannot_see() {
        let mut drawing = drawing();
        drawing.text((10.0, 50.0), (Words::Label, Anchor::Start), "<script>&");
        let svg = drawing.svg();
        assert!(
            svg.contains("<title id=\"t\">a &lt; b &amp; c</title>")
                && svg.contains("<desc id=\"d\">d &gt; e</desc>")
        );
        assert!(svg.contains(">&lt;script&gt;&amp;</text>") && !svg.contains("<script>"));
    }

    #[test]
    fn a_bad_layout_is_seen() {
        let mut drawing = drawing();
        drawing.text((10.0, 50.0), (Words::Label, Anchor::Start), "one");
        assert!(drawing.faults().is_empty());
        drawing.text((14.0, 52.0), (Words::Label, Anchor::Start), "two");
        drawing.rect((10.0, 10.0), (-1.0, 5.0), "bar");
        drawing.text((715.0, 90.0), (Words::Title, Anchor::Start), "too far to the right");
        assert_eq!(drawing.faults().len(), 3, "{:?}", drawing.faults());
    }

    #[test]
    fn lines_break_between_words() {
        let lines = Words::Small.wrapped("one channel with a thousand subscribers", 120.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| Words::Small.width(line) <= 120.0), "{lines:?}");
        assert_eq!(lines.join(" "), "one channel with a thousand subscribers");
    }
}
