//! Curves as SVG and as CSV: cost against work, both logarithmic. Knows nothing of what is measured.

use std::fmt::Write;

/// Readable on white and on black.
const COLOURS: [&str; 4] = ["#3b82c4", "#d9722e", "#2e9e6b", "#a35fc0"];
const TEXT: &str = "#808080";
const GRID: &str = "#80808040";

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// What is around the curves: left, right, top, bottom.
const MARGIN: [f64; 4] = [70.0, 20.0, 50.0, 45.0];

/// Several curves with the same axes.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The name of its files, without what follows the dot.
    pub file: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// What work is.
    pub work: &'static str,
    /// What cost is.
    pub cost: &'static str,
    /// What bounds it, as a sentence.
    pub bound: &'static str,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Work and cost, by growing work; both more than nothing.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// How log cost grows with log work over the last decade of work, by least squares: 1 is linear, less is better.
    pub fn slope(&self) -> Option<f64> {
        let (most, _) = self.points.last()?;
        let last: Vec<_> = self
            .points
            .iter()
            .filter(|it| it.0 >= most / 10.1)
            .collect();
        let logs: Vec<_> = last.iter().map(|it| (it.0.ln(), it.1.ln())).collect();
        let count = logs.len() as f64;
        let mean_work = logs.iter().map(|it| it.0).sum::<f64>() / count;
        let mean_cost = logs.iter().map(|it| it.1).sum::<f64>() / count;
        let spread: f64 = logs.iter().map(|it| (it.0 - mean_work).powi(2)).sum();
        let together = logs.iter();
        let together: f64 = together
            .map(|it| (it.0 - mean_work) * (it.1 - mean_cost))
            .sum();
        (spread > 0.0).then(|| together / spread)
    }
}

/// From figures to places on the picture.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Whole decades around all figures.
    fn around(figures: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = figures
            .clone()
            .fold(f64::INFINITY, f64::min)
            .log10()
            .floor();
        let high = figures.fold(0.0, f64::max).log10().ceil();
        Axis {
            low,
            high: high.max(low + 1.0),
            from,
            to,
        }
    }

    fn place(&self, figure: f64) -> f64 {
        let share = (figure.log10() - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = (f64, String)> {
        let exponents = self.low as i32..=self.high as i32;
        exponents.map(|exponent| (10_f64.powi(exponent), shown(exponent)))
    }
}

/// A power of ten.
fn shown(exponent: i32) -> String {
    match exponent {
        0.. => {
            let prefix = ["", " k", " M", " G"].get(exponent as usize / 3);
            let digits = 10_u32.pow(exponent as u32 % 3);
            prefix.map_or(format!("1e{exponent}"), |prefix| {
                format!("{digits}{prefix}")
            })
        }
        _ => format!(
            "{:.*}",
            exponent.unsigned_abs() as usize,
            10_f64.powi(exponent)
        ),
    }
}

impl Plot {
    /// A line a point.
    pub fn csv(&self) -> Result<String, std::fmt::Error> {
        let mut text = format!("curve,{},{}\n", self.work, self.cost);
        for curve in &self.curves {
            for (work, cost) in &curve.points {
                writeln!(text, "\"{}\",{work},{cost}", curve.name)?;
            }
        }
        Ok(text)
    }

    /// The picture.
    pub fn svg(&self) -> Result<String, std::fmt::Error> {
        let [left, right, top, bottom] = MARGIN;
        let points = self.curves.iter().flat_map(|curve| &curve.points);
        let across = Axis::around(points.clone().map(|it| it.0), left, WIDTH - right);
        let up = Axis::around(points.map(|it| it.1), HEIGHT - bottom, top);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{TEXT}\">\n\
             <title>{}</title>\n",
            self.title
        );
        for (figure, label) in across.decades() {
            let x = across.place(figure);
            line(&mut svg, (x, up.from), (x, up.to))?;
            text(&mut svg, (x, up.from + 16.0), "middle", &label)?;
        }
        for (figure, label) in up.decades() {
            let y = up.place(figure);
            line(&mut svg, (across.from, y), (across.to, y))?;
            text(&mut svg, (across.from - 6.0, y + 4.0), "end", &label)?;
        }
        let middle = f64::midpoint(across.from, across.to);
        text(&mut svg, (middle, HEIGHT - 8.0), "middle", self.work)?;
        text(&mut svg, (4.0, 16.0), "start", self.cost)?;
        for (index, (curve, colour)) in self.curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let places = curve.points.iter();
            let places =
                places.map(|it| format!("{:.1},{:.1}", across.place(it.0), up.place(it.1)));
            let places = places.collect::<Vec<_>>().join(" ");
            writeln!(
                svg,
                "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
            let x = left + index as f64 * (WIDTH - left) / self.curves.len() as f64;
            writeln!(
                svg,
                "<text x=\"{x:.0}\" y=\"36\" fill=\"{colour}\">{}</text>",
                curve.name
            )?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) -> std::fmt::Result {
    let ((x1, y1), (x2, y2)) = (from, to);
    writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{GRID}\"/>"
    )
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) -> std::fmt::Result {
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(cost: impl Fn(f64) -> f64) -> Curve {
        let points = [1.0, 10.0, 100.0, 300.0, 1000.0].map(|work| (work, cost(work)));
        Curve {
            name: "built-in".to_owned(),
            points: points.into(),
        }
    }

    #[test]
    fn a_slope_is_the_power_with_which_cost_grows() {
        let check = |cost: fn(f64) -> f64, expected: f64| {
            let slope = curve(cost).slope().unwrap();
            assert!((slope - expected).abs() < 0.01, "{slope} is not {expected}");
        };
        check(|work| 3.0 * work, 1.0);
        check(|work| work * work, 2.0);
        check(|_| 7.0, 0.0);
        // What came before the last decade does not count.
        check(|work| if work < 50.0 { 1e6 } else { work }, 1.0);
    }

    #[test]
    fn a_decade_is_as_wide_as_another_and_ends_are_at_the_margins() {
        let axis = Axis::around([2.0, 900.0].into_iter(), 0.0, 300.0);
        let places = [1.0, 10.0, 100.0, 1000.0].map(|figure| axis.place(figure).round());
        assert_eq!(places, [0.0, 100.0, 200.0, 300.0]);
    }

    #[test]
    fn powers_of_ten_are_short() {
        let shown: Vec<_> = [-2, 0, 2, 4, 6].map(shown).into();
        assert_eq!(shown, ["0.01", "1", "100", "10 k", "1 M"]);
    }
}
