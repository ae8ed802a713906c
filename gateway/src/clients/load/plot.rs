//! Plots as SVG, drawn to be read on a phone as well: lines and areas over a linear or logarithmic scale.
//! Never knows what they show; colours come from the page's style sheet.

use std::fmt::Write;

/// Width of the drawing in its own units; the page scales it.
const WIDTH: f64 = 720.0;
/// Height of the drawing.
const HEIGHT: f64 = 260.0;
/// Room on the left for the marks' labels.
const LEFT: f64 = 76.0;
/// Room on the right.
const RIGHT: f64 = 14.0;
/// Room above.
const TOP: f64 = 12.0;
/// Room below for the marks' labels.
const BOTTOM: f64 = 36.0;
/// Points of a line; of more, every so many-th is drawn with the largest value around it.
const POINTS_MAX: usize = 600;

/// One line, or one band of a stack.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its class in the style sheet, which has its colour.
    pub class: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// How a value is spread over the height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of ten; values are at least 1.
    Logarithmic,
}

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot<'a> {
    /// For those who cannot see it.
    pub title: &'a str,
    /// What is drawn.
    pub series: Vec<Series>,
    /// Whether the series stand on top of each other.
    pub stacked: bool,
    /// The scale of the height.
    pub scale: Scale,
    /// Marks along the width: where, and what they are called.
    pub marks: Vec<(f64, String)>,
    /// How a value is written at its mark.
    pub label: fn(f64) -> String,
}

impl Plot<'_> {
    /// Draws it.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        // Writing to memory cannot fail.
        let _ = self.write(&mut svg);
        svg
    }

    fn write(&self, svg: &mut String) -> std::fmt::Result {
        let layers = self.layers();
        let values = || layers.iter().flat_map(|layer| layer.iter().map(|(_, _, top)| *top));
        let places = || layers.iter().flatten().map(|(at, _, _)| *at);
        let frame = Frame {
            from: places().fold(f64::INFINITY, f64::min).min(0.0),
            to: places().fold(1e-9, f64::max),
            bottom: match self.scale {
                Scale::Linear => 0.0,
                Scale::Logarithmic => power_below(values().fold(f64::INFINITY, f64::min)),
            },
            top: values().fold(0.0, f64::max).max(1.0),
            scale: self.scale,
        };
        let marks = frame.value_marks();
        let frame = Frame { top: frame.top.max(marks.last().copied().unwrap_or(1.0)), ..frame };
        write!(
            svg,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(self.title)
        )?;
        for value in marks {
            let y = frame.y(value);
            write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            )?;
            let (x, y) = (LEFT - 8.0, y + 4.0);
            write!(
                svg,
                "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
                escaped(&(self.label)(value))
            )?;
        }
        for (at, name) in &self.marks {
            let (x, y) = (frame.x(*at), HEIGHT - 9.0);
            write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escaped(name))?;
        }
        for (series, layer) in self.series.iter().zip(&layers) {
            self.write_layer(svg, &frame, &series.class, layer)?;
        }
        svg.write_str("</svg>")
    }

    fn write_layer(
        &self,
        svg: &mut String,
        frame: &Frame,
        class: &str,
        layer: &[(f64, f64, f64)],
    ) -> std::fmt::Result {
        let mut line = String::new();
        for (place, (at, _, top)) in layer.iter().enumerate() {
            let letter = if place == 0 { 'M' } else { 'L' };
            write!(line, "{letter}{:.1} {:.1}", frame.x(*at), frame.y(*top))?;
        }
        if self.stacked {
            let mut area = line;
            for (at, bottom, _) in layer.iter().rev() {
                write!(area, "L{:.1} {:.1}", frame.x(*at), frame.y(*bottom))?;
            }
            return write!(svg, "<path class=\"area {class}\" d=\"{area}Z\"/>");
        }
        if let [(at, _, top)] = layer {
            return write!(
                svg,
                "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                frame.x(*at),
                frame.y(*top)
            );
        }
        write!(svg, "<path class=\"line {class}\" d=\"{line}\"/>")
    }

    /// The series as places with a bottom and a top each.
    fn layers(&self) -> Vec<Vec<(f64, f64, f64)>> {
        let floor = if self.scale == Scale::Logarithmic { 1.0 } else { 0.0 };
        let mut below: Vec<f64> = Vec::new();
        let mut layers = Vec::new();
        for series in &self.series {
            let points = thinned(&series.points);
            below.resize(points.len(), 0.0);
            let layer = points.iter().zip(&mut below).map(|((at, value), below)| {
                let bottom = if self.stacked { *below } else { 0.0 };
                let top = (bottom + value).max(floor);
                *below = top;
                (*at, bottom, top)
            });
            layers.push(layer.collect());
        }
        layers
    }

    /// The names of the series with their colours; empty for a single one.
    pub fn legend(&self) -> String {
        let mut html = String::new();
        if self.series.len() > 1 {
            for series in &self.series {
                // Writing to memory cannot fail.
                let _ =
                    write!(html, "<span><i class=\"{}\"></i>{}</span>", series.class, escaped(&series.name));
            }
        }
        html
    }
}

struct Frame {
    from: f64,
    to: f64,
    bottom: f64,
    top: f64,
    scale: Scale,
}

impl Frame {
    fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.from) / (self.to - self.from).max(1e-9) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.top,
            Scale::Logarithmic => {
                let whole = (self.top / self.bottom).log10().max(1e-9);
                (value.max(self.bottom) / self.bottom).log10() / whole
            }
        };
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    /// Four to seven round values; the last one is not below the top.
    fn value_marks(&self) -> Vec<f64> {
        let mut marks = vec![self.bottom];
        match self.scale {
            Scale::Linear => {
                let step = round_above(self.top / 5.0);
                while marks.last().is_some_and(|last| *last < self.top) {
                    marks.push(marks.last().unwrap_or(&0.0) + step);
                }
            }
            Scale::Logarithmic => {
                while marks.last().is_some_and(|last| *last < self.top) {
                    marks.push(marks.last().unwrap_or(&1.0) * 10.0);
                }
            }
        }
        marks
    }
}

/// 1, 2 or 5 times a power of ten, not below `number`.
fn round_above(number: f64) -> f64 {
    let power = power_below(number);
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|round| *round >= number)
        .unwrap_or(power)
}

fn power_below(number: f64) -> f64 {
    if number.is_finite() && number > 0.0 { 10_f64.powf(number.log10().floor()) } else { 1.0 }
}

/// Few enough points, with no peak lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |some: &[(f64, f64)]| {
        some.iter().copied().reduce(|one, other| if other.1 > one.1 { other } else { one })
    };
    points.chunks(size).filter_map(highest).collect()
}

/// Text as HTML has it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_reach_the_top() {
        assert_eq!([0.3, 1.0, 1.1, 4.0, 60.0].map(round_above), [0.5, 1.0, 2.0, 5.0, 100.0]);
        let frame = |top, scale| Frame { from: 0.0, to: 1.0, bottom: 10.0, top, scale };
        assert_eq!(frame(4_000.0, Scale::Logarithmic).value_marks(), [10.0, 100.0, 1_000.0, 10_000.0]);
        let linear = Frame { bottom: 0.0, ..frame(9.0, Scale::Linear) };
        assert_eq!(linear.value_marks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    }

    #[test]
    fn no_peak_is_lost() {
        let mut points: Vec<_> = (0..10_000_i32).map(|at| (f64::from(at), 1.0)).collect();
        points[7_777].1 = 50.0;
        let thinned = thinned(&points);
        assert!(thinned.len() <= POINTS_MAX && thinned.iter().any(|(_, value)| *value > 49.0));
    }
}
