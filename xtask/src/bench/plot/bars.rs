//! Bars: one panel for each comparison, one bar for each server, shortest first. Ours stands out; the rest is told apart by name.

use super::axis::number;
use super::drawing::{Anchor, Drawing, WIDTH, Words};

/// A picture of several comparisons in one unit.
#[derive(Debug, Default)]
pub(super) struct Bars {
    pub(super) title: String,
    /// What the bars are, in a sentence.
    pub(super) about: String,
    /// Names of the parts of a bar, if it has parts.
    pub(super) parts: Vec<String>,
    pub(super) panels: Vec<Panel>,
    /// One length means the same in all panels; else each panel fills its width.
    pub(super) is_one_scale: bool,
    /// When, where and of what.
    pub(super) caption: String,
}

/// One comparison.
#[derive(Debug, Default)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) about: String,
    pub(super) bars: Vec<Bar>,
}

/// One server, or one point of a series.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Lengths, one after the other.
    pub(super) parts: Vec<f64>,
    /// What the number says: of all runs the one in the middle.
    pub(super) value: f64,
    /// The least and the greatest of all runs.
    pub(super) spread: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ours,
    Peer,
    /// What nobody can fall below: drawn, not compared with.
    Floor,
}

const MARGIN: f64 = 24.0;
const GAP: f64 = 32.0;
const ROW: f64 = 24.0;
const THICK: f64 = 14.0;

impl Panel {
    /// How many times the best other one ours is; `None` where there is nothing to compare.
    pub(super) fn ratio(&self) -> Option<f64> {
        let least = |kind| {
            let bars = self.bars.iter().filter(|bar| bar.kind == kind && bar.value > 0.0);
            bars.map(|bar| bar.value).min_by(f64::total_cmp)
        };
        let (ours, best) = (least(Kind::Ours)?, least(Kind::Peer)?);
        Some(ours / best)
    }

    /// The end of the longest bar.
    fn end<'a>(panels: impl Iterator<Item = &'a Panel>) -> f64 {
        panels.flat_map(|panel| &panel.bars).map(Bar::end).fold(0.0, f64::max)
    }

    fn about(&self, width: f64) -> Vec<String> {
        Words::Small.wrapped(&self.about, width)
    }

    fn height(&self, width: f64) -> f64 {
        let verdict = if self.ratio().is_some() { 17.0 } else { 0.0 };
        24.0 + self.about(width).len() as f64 * 15.5 + verdict + self.bars.len() as f64 * ROW + 8.0
    }
}

impl Bars {
    /// Draws it: two panels beside one another where there are several.
    pub(super) fn draw(&self) -> Drawing {
        let mut drawing = Drawing::new(&self.title, &self.description());
        let whole = WIDTH - 2.0 * MARGIN;
        // Side by side, unless the names would take the place of the bars.
        let columns = if self.panels.len() > 1 && self.names_width() < whole / 5.0 { 2 } else { 1 };
        let width = if columns == 2 { (whole - GAP) / 2.0 } else { whole };
        let mut y = drawing.lines((MARGIN, 38.0), Words::Title, &Words::Title.wrapped(&self.title, whole));
        y = drawing.lines((MARGIN, y), Words::Small, &Words::Small.wrapped(&self.about, whole));
        if self.parts.len() > 1 {
            self.legend(&mut drawing, y + 4.0);
            y += 24.0;
        }
        let names = self.names_width().min(width * 0.45);
        let most = if self.is_one_scale { Panel::end(self.panels.iter()) } else { 0.0 };
        for pair in self.panels.chunks(columns) {
            let height = pair.iter().map(|panel| panel.height(width)).fold(0.0, f64::max);
            for (column, panel) in pair.iter().enumerate() {
                let x = MARGIN + column as f64 * (width + GAP);
                panel.draw(&mut drawing, (x, y + 12.0), (width, names, most));
            }
            y += height + 16.0;
        }
        y = drawing.lines((MARGIN, y + 14.0), Words::Small, &Words::Small.wrapped(&self.caption, whole));
        drawing.set_height(y + 4.0);
        drawing
    }

    /// The column of names is as wide in each panel, so that bars begin under one another.
    fn names_width(&self) -> f64 {
        let names = self.panels.iter().flat_map(|panel| &panel.bars);
        names.map(|bar| Words::Strong.width(&bar.name)).fold(40.0, f64::max) + 8.0
    }

    fn legend(&self, drawing: &mut Drawing, y: f64) {
        let mut x = MARGIN;
        for (part, name) in self.parts.iter().enumerate() {
            drawing.rect((x, y - 9.0), (11.0, 11.0), &class("bar-ours", part));
            drawing.rect((x + 13.0, y - 9.0), (11.0, 11.0), &class("bar", part));
            drawing.text((x + 31.0, y), (Words::Small, Anchor::Start), name);
            x += 31.0 + Words::Small.width(name) + 22.0;
        }
    }

    /// The numbers as a sentence.
    fn description(&self) -> String {
        let panel = |panel: &Panel| {
            let bars: Vec<String> =
                panel.bars.iter().map(|bar| format!("{} {}", bar.name, number(bar.value))).collect();
            format!("{}: {}.", panel.title, bars.join(", "))
        };
        let panels: Vec<String> = self.panels.iter().map(panel).collect();
        format!("{} {}", self.about, panels.join(" "))
    }
}

impl Panel {
    fn draw(&self, drawing: &mut Drawing, (x, top): (f64, f64), (width, names, most): (f64, f64, f64)) {
        let mut y = top + 12.0;
        drawing.text((x, y), (Words::Head, Anchor::Start), &self.title);
        y = drawing.lines((x, y + 17.0), Words::Small, &self.about(width));
        if let Some(ratio) = self.ratio() {
            let words = if ratio <= 1.0 { Words::Good } else { Words::Small };
            drawing.text((x, y), (words, Anchor::Start), &format!("efir: {ratio:.2} × the best peer"));
            y += 17.0;
        }
        y -= 4.0;
        let numbers = self.bars.iter().map(|bar| Words::Strong.width(&number(bar.value))).fold(0.0, f64::max);
        let room = width - names - numbers - 10.0;
        let most = Panel::end([self].into_iter()).max(most);
        let scale = if most > 1e-6 { room / most } else { 0.0 };
        drawing.line((x + names, y), (x + names, y + self.bars.len() as f64 * ROW), "axis");
        for bar in &self.bars {
            bar.draw(drawing, (x, y), (names, scale));
            y += ROW;
        }
    }
}

impl Bar {
    /// How far it reaches, with its spread.
    fn end(&self) -> f64 {
        let parts: f64 = self.parts.iter().sum();
        self.spread.map_or(parts, |(_, most)| parts.max(most)).max(self.value)
    }

    fn draw(&self, drawing: &mut Drawing, (x, y): (f64, f64), (names, scale): (f64, f64)) {
        let (words, class_name) = match self.kind {
            Kind::Ours => (Words::Ours, "bar-ours"),
            Kind::Peer => (Words::Label, "bar"),
            Kind::Floor => (Words::Small, "bar-floor"),
        };
        let (zero, middle) = (x + names, y + ROW / 2.0);
        drawing.text((zero - 8.0, middle + 4.5), (words, Anchor::End), &words.cut(&self.name, names - 8.0));
        let mut left = zero + 0.5;
        for (part, length) in self.parts.iter().enumerate() {
            let length = (length * scale).max(0.0);
            drawing.rect((left, middle - THICK / 2.0), (length, THICK), &class(class_name, part));
            left += length;
        }
        if let Some((least, most)) = self.spread.filter(|(least, most)| (most - least) * scale > 1.5) {
            let (from, to) = (zero + least * scale, zero + most * scale);
            drawing.line((from, middle), (to, middle), "spread");
            for end in [from, to] {
                drawing.line((end, middle - 3.0), (end, middle + 3.0), "spread");
            }
        }
        let strong = if self.kind == Kind::Ours { Words::Ours } else { Words::Strong };
        let at = zero + self.end() * scale + 7.0;
        drawing.text((at, middle + 4.5), (strong, Anchor::Start), &number(self.value));
    }
}

fn class(name: &str, part: usize) -> String {
    if part == 0 { name.to_owned() } else { format!("{name}-2") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, kind: Kind, parts: &[f64]) -> Bar {
        let value: f64 = parts.iter().sum();
        let spread = Some((value * 0.95, value * 1.1));
        Bar { name: name.into(), kind, parts: parts.to_vec(), value, spread }
    }

    fn panel() -> Panel {
        Panel {
            title: "Chat: 200 rooms × 10 members".into(),
            about:
                "WebSocket, 1,000 messages/s on all rooms together, sent by a member and received by all ten"
                    .into(),
            bars: vec![
                bar("efir", Kind::Ours, &[0.3, 4.5]),
                bar("uWebSockets", Kind::Peer, &[0.6, 4.4]),
                bar("socketioxide", Kind::Peer, &[9.0, 12.0]),
                bar("bare send loop", Kind::Floor, &[0.1, 4.3]),
                bar("nothing", Kind::Peer, &[]),
            ],
        }
    }

    fn bars(panels: usize) -> Bars {
        Bars {
            title: "CPU a delivered message".into(),
            about: "Microseconds of user and system time of the server, divided by the deliveries; shorter is \
                    better. In each comparison all servers do the same work in the same run, in turns."
                .into(),
            parts: vec!["user".into(), "system (the kernel)".into()],
            is_one_scale: panels > 3,
            panels: std::iter::repeat_with(panel).take(panels).collect(),
            caption: "2026-11-21, efir 0.1.0 at d57c7e1: 2 cores, AMD EPYC, 24 GiB, Linux 6.18.44. Medians of 3 runs."
                .into(),
        }
    }

    #[test]
    fn nothing_lies_on_anything_in_any_number_of_panels() {
        for panels in [0, 1, 2, 3, 7] {
            let faults = bars(panels).draw().faults();
            assert!(faults.is_empty(), "{panels}: {faults:?}");
        }
    }

    #[test]
    fn long_names_and_great_numbers_keep_their_room() {
        let mut one = bars(2);
        one.panels[0].bars.push(bar("a server with quite a long name", Kind::Peer, &[1_234_567.0, 0.0]));
        one.panels[1].bars = vec![bar("efir", Kind::Ours, &[f64::MIN_POSITIVE])];
        assert!(one.draw().faults().is_empty(), "{:?}", one.draw().faults());
    }

    #[test]
    fn ours_is_compared_with_the_best_peer_and_not_with_the_floor() {
        let ratio = panel().ratio().unwrap();
        assert!((ratio - 0.96).abs() < 1e-9, "{ratio}");
        assert!(Panel { bars: vec![bar("efir", Kind::Ours, &[1.0])], ..Panel::default() }.ratio().is_none());
    }

    #[test]
    fn the_numbers_are_told_in_words() {
        assert!(bars(1).draw().svg().contains("members: efir 4.80, uWebSockets 5.00, socketioxide 21.0,"));
    }
}
