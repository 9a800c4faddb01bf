//! Curves: how a cost grows, the size on a logarithmic axis. Each line carries its name at its end, so there is no legend to look up.

use super::axis::{Axis, bytes, number, tick};
use super::drawing::{Anchor, Drawing, WIDTH, Words};

/// A picture of lines over one axis.
#[derive(Debug, Default)]
pub(super) struct Curves {
    pub(super) title: String,
    /// How it was measured.
    pub(super) about: String,
    /// What the x axis counts; bytes are written as KiB and MiB.
    pub(super) x: String,
    /// What the y axis shows, with its unit.
    pub(super) y: String,
    pub(super) lines: Vec<Line>,
    pub(super) caption: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) name: String,
    /// Size and cost, in ascending order of size; both more than nothing.
    pub(super) points: Vec<(f64, f64)>,
}

const MARGIN: f64 = 24.0;
const PLOT: f64 = 250.0;
/// From this on a linear axis would press most points into its foot.
const LOG_FROM: f64 = 40.0;
const HUES: usize = 5;
/// Transports have the same hue in every picture.
const OWN_HUES: [&str; HUES] = ["websocket", "sse", "http-stream", "long-poll", "short-poll"];

fn hue(name: &str, index: usize) -> usize {
    OWN_HUES.iter().position(|known| *known == name).unwrap_or(index % HUES) + 1
}

impl Curves {
    /// Draws it.
    pub(super) fn draw(&self) -> Drawing {
        let mut drawing = Drawing::new(&self.title, &self.description());
        let whole = WIDTH - 2.0 * MARGIN;
        let mut y = drawing.lines((MARGIN, 38.0), Words::Title, &Words::Title.wrapped(&self.title, whole));
        y = drawing.lines((MARGIN, y), Words::Small, &Words::Small.wrapped(&self.about, whole));
        y += 14.0;
        let (top, bottom) = (y + 18.0, y + 18.0 + PLOT);
        let (ranges, names) = (self.ranges(), self.names());
        let is_wide = ranges.1.1 / ranges.1.0 > LOG_FROM;
        let head = if is_wide { format!("{} (logarithmic)", self.y) } else { self.y.clone() };
        drawing.text((MARGIN, y), (Words::Head, Anchor::Start), &head);
        let upright = if is_wide {
            Axis::decades(ranges.1, (bottom, top))
        } else {
            Axis::linear(ranges.1.1, (bottom, top))
        };
        let numbers =
            upright.ticks().iter().map(|value| Words::Tick.width(&tick(*value))).fold(0.0, f64::max);
        let left = MARGIN + numbers + 10.0;
        let right =
            WIDTH - MARGIN - names.iter().map(|name| Words::Hue(1).width(name)).fold(0.0, f64::max) - 18.0;
        let level = Axis::log(ranges.0, (left + 14.0, right - 4.0));
        self.grid(&mut drawing, (&level, &upright), [left, top, right, bottom]);
        self.strokes(&mut drawing, (&level, &upright), &names, (top, bottom));
        drawing.text(((left + right) / 2.0, bottom + 38.0), (Words::Small, Anchor::Middle), &self.x);
        let caption = Words::Small.wrapped(&self.caption, whole);
        y = drawing.lines((MARGIN, bottom + 66.0), Words::Small, &caption);
        drawing.set_height(y + 4.0);
        drawing
    }

    /// The least and the greatest size, and cost.
    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let range = |value: fn(&(f64, f64)) -> f64| {
            let least = points().map(value).fold(f64::MAX, f64::min);
            let most = points().map(value).fold(0.0, f64::max);
            if most > 0.0 { (least, most) } else { (1.0, 1.0) }
        };
        (range(|point| point.0), range(|point| point.1))
    }

    /// What stands at the end of each line: its name and last value.
    fn names(&self) -> Vec<String> {
        let name = |line: &Line| match line.points.last() {
            Some((_, last)) => format!("{} {}", line.name, number(*last)),
            None => line.name.clone(),
        };
        self.lines.iter().map(name).collect()
    }

    fn size(&self, value: f64) -> String {
        if self.x.starts_with("bytes") { bytes(value) } else { tick(value) }
    }

    fn grid(&self, drawing: &mut Drawing, (level, upright): (&Axis, &Axis), frame: [f64; 4]) {
        let [left, _, right, bottom] = frame;
        for value in upright.ticks() {
            let y = upright.place(value);
            drawing.line((left, y), (right, y), "grid");
            drawing.text((left - 8.0, y + 4.0), (Words::Tick, Anchor::End), &tick(value));
        }
        drawing.line((left, bottom), (right, bottom), "axis");
        // The sizes that were measured, as far as their numbers have room.
        let mut free = f64::MIN;
        let mut sizes: Vec<f64> =
            self.lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for size in sizes {
            let (x, text) = (level.place(size), self.size(size));
            let half = Words::Tick.width(&text) / 2.0;
            drawing.line((x, bottom), (x, bottom + 4.0), "axis");
            if x - half > free {
                drawing.text((x, bottom + 18.0), (Words::Tick, Anchor::Middle), &text);
                free = x + half + 6.0;
            }
        }
    }

    fn strokes(
        &self,
        drawing: &mut Drawing,
        (level, upright): (&Axis, &Axis),
        names: &[String],
        ends: (f64, f64),
    ) {
        let mut labels: Vec<(f64, f64, (usize, usize))> = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let hue = hue(&line.name, index);
            let at: Vec<(f64, f64)> =
                line.points.iter().map(|(x, y)| (level.place(*x), upright.place(*y))).collect();
            for point in &at {
                drawing.dot(*point, 3.2, &format!("hue-{hue}"));
            }
            let Some((x, y)) = at.last() else { continue };
            labels.push((*x, *y, (index, hue)));
            drawing.path(at, &format!("line hue-{hue}"));
        }
        let widest = labels.iter().map(|(x, ..)| *x).fold(0.0, f64::max);
        for (y, (index, hue)) in spread(labels.iter().map(|(_, y, line)| (*y, *line)).collect(), ends) {
            let text = names.get(index).map(String::as_str).unwrap_or_default();
            drawing.text((widest + 12.0, y + 4.5), (Words::Hue(hue), Anchor::Start), text);
        }
    }

    /// The ends of the lines as a sentence.
    fn description(&self) -> String {
        let line = |line: &Line| {
            let point = |(x, y): &(f64, f64)| format!("{} at {}", number(*y), self.size(*x));
            let points: Vec<String> = line.points.iter().map(point).collect();
            format!("{}: {}.", line.name, points.join(", "))
        };
        let lines: Vec<String> = self.lines.iter().map(line).collect();
        format!("{} by {}. {}", self.y, self.x, lines.join(" "))
    }
}

/// Moves names apart that would lie on one another, as little as needed, within the plot.
fn spread<T>(mut labels: Vec<(f64, T)>, (top, bottom): (f64, f64)) -> Vec<(f64, T)> {
    const APART: f64 = 17.0;
    labels.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = top;
    for (y, _) in &mut labels {
        *y = y.max(free);
        free = *y + APART;
    }
    let mut free = bottom + APART / 2.0;
    for (y, _) in labels.iter_mut().rev() {
        *y = y.min(free);
        free = *y - APART;
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves(lines: &[(&str, &[(f64, f64)])]) -> Curves {
        let line =
            |(name, points): &(&str, &[(f64, f64)])| Line { name: (*name).into(), points: points.to_vec() };
        Curves {
            title: "Subscribers of one channel".into(),
            about: "100 messages a second, fewer where that would be more than the core can do; payloads of 100 bytes."
                .into(),
            x: "subscribers".into(),
            y: "CPU a delivery, µs".into(),
            lines: lines.iter().map(line).collect(),
            caption: "2026-11-21, efir 0.1.0 at d57c7e1: 2 cores, AMD EPYC, 24 GiB, Linux 6.18.44".into(),
        }
    }

    #[test]
    fn lines_that_end_together_keep_their_names_apart() {
        let same: &[(f64, f64)] = &[(1.0, 9.0), (10.0, 6.0), (1000.0, 4.8), (19_000.0, 4.7)];
        let picture =
            curves(&[("websocket", same), ("sse", same), ("http-stream", same), ("long-poll", same)]);
        assert!(picture.draw().faults().is_empty(), "{:?}", picture.draw().faults());
    }

    #[test]
    fn many_orders_of_magnitude_and_single_points_have_room() {
        let wide: &[(f64, f64)] = &[(16.0, 0.004), (65_536.0, 3.0), (1_048_576.0, 900.0)];
        let mut picture = curves(&[("bytes", wide), ("one", &[(1.0, 4.0)])]);
        picture.x = "bytes of payload".into();
        assert!(picture.draw().faults().is_empty(), "{:?}", picture.draw().faults());
        assert!(picture.draw().svg().contains(">64 KiB<"));
        for lines in [&[][..], &[("nothing", &[][..])], &[("zero", &[(1.0, 0.0)][..])]] {
            assert!(curves(lines).draw().faults().is_empty(), "{:?}", curves(lines).draw().faults());
        }
    }

    #[test]
    fn sizes_without_room_lose_their_number_and_keep_their_mark() {
        let dense: Vec<(f64, f64)> = (1..200).map(|n| (f64::from(n) * 100.0, 5.0)).collect();
        assert!(curves(&[("sse", &dense)]).draw().faults().is_empty());
    }
}
