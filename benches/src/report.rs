//! Figures beside their limits and peers: what a bench hands over, for the one table and the
//! plots that `make bench` ends with.
//!
//! What is compared is measured in the same run, in rounds: each round measures one after the
//! other, so that whatever else the machine does meets all of them. A ratio is the median of the
//! rounds' ratios.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What one bench measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The bench.
    pub bench: String,
    /// The command that repeats it.
    pub command: String,
    /// When, and on what.
    pub machine: String,
    /// Its figures, in the order of the table.
    pub figures: Vec<Figure>,
    /// Its curves.
    pub plots: Vec<Plot>,
}

/// One figure.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Its unit: `/s`, `ms`, `bytes`, ...
    pub unit: String,
    /// A value for each round.
    pub rounds: Vec<f64>,
    /// What nobody could be better than, measured in the same rounds.
    pub limit: Option<Beside>,
    /// What does the same job otherwise, measured in the same rounds.
    pub peer: Option<Beside>,
    /// What is promised.
    pub bar: Option<Bar>,
}

/// What a figure is compared with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Beside {
    /// What it is.
    pub what: String,
    /// A value for each round, in the figure's unit.
    pub rounds: Vec<f64>,
}

/// A promise about a figure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Bar {
    /// The median is at least this share of the limit's.
    ShareOfLimit(f64),
    /// The median is at most this multiple of the limit's.
    TimesLimit(f64),
    /// The median is at most this.
    AtMost(f64),
}

/// Curves over one axis.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plot {
    /// Also the file's name.
    pub title: String,
    /// With its unit.
    pub x: String,
    /// With its unit.
    pub y: String,
    /// Each with its name; points by ascending x.
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
    /// Whether the y axis is logarithmic.
    pub log_y: bool,
}

impl Report {
    /// Of a bench, now and on this machine.
    pub fn new(bench: &str) -> Self {
        Self {
            bench: bench.to_owned(),
            command: format!("make bench ARGS=\"--bench {bench}\""),
            machine: format!(
                "{}, {}",
                chrono::Utc::now().format("%Y-%m-%d"),
                crate::machine()
            ),
            ..Self::default()
        }
    }

    /// Writes the table to standard output, and everything to the folder of reports.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(&self) -> Result<()> {
        let folder = folder()?;
        let file = folder.join(format!("{}.json", self.bench));
        fs::write(&file, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("writing {}", file.display()))?;
        let mut out = stdout();
        writeln!(out, "{} ({}; {})", self.bench, self.command, self.machine)?;
        out.write_all(table(&self.figures).as_bytes())?;
        Ok(())
    }
}

impl Figure {
    /// A figure without company.
    pub fn new(what: impl Into<String>, unit: &str, rounds: Vec<f64>) -> Self {
        Self {
            what: what.into(),
            unit: unit.to_owned(),
            rounds,
            ..Self::default()
        }
    }

    /// Beside what nobody could be better than.
    #[must_use]
    pub fn limit(mut self, what: &str, rounds: Vec<f64>) -> Self {
        let what = what.to_owned();
        self.limit = Some(Beside { what, rounds });
        self
    }

    /// Beside what does the same job otherwise.
    #[must_use]
    pub fn peer(mut self, what: &str, rounds: Vec<f64>) -> Self {
        let what = what.to_owned();
        self.peer = Some(Beside { what, rounds });
        self
    }

    /// With what is promised.
    #[must_use]
    pub fn bar(mut self, bar: Bar) -> Self {
        self.bar = Some(bar);
        self
    }

    /// Whether what is promised holds; `None` without a promise, or without what it is
    /// measured by.
    pub fn holds(&self) -> Option<bool> {
        let share = || Some(ratio(&self.rounds, &self.limit.as_ref()?.rounds));
        match self.bar? {
            Bar::ShareOfLimit(least) => share().map(|share| share >= least),
            Bar::TimesLimit(most) => share().map(|share| share <= most),
            Bar::AtMost(most) => Some(median(&self.rounds) <= most),
        }
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        n => sorted[n / 2],
    }
}

/// The median of the rounds' ratios.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    median(&ratios)
}

/// The table of figures, in Markdown.
pub fn table(figures: &[Figure]) -> String {
    let mut table = String::from(
        "| figure | median (least–most) | limit | ratio | peer | ratio | promised | kept |\n\
         |---|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for figure in figures {
        let beside = |other: &Option<Beside>| match other {
            Some(other) => (
                format!("{}: {}", other.what, number(median(&other.rounds))),
                format!("{:.2}", ratio(&figure.rounds, &other.rounds)),
            ),
            None => (String::new(), String::new()),
        };
        let ((limit, of_limit), (peer, of_peer)) = (beside(&figure.limit), beside(&figure.peer));
        let promised = match figure.bar {
            Some(Bar::ShareOfLimit(share)) => format!("≥ {:.0} % of the limit", share * 100.0),
            Some(Bar::TimesLimit(times)) => format!("≤ {times:.2} × the limit"),
            Some(Bar::AtMost(most)) => format!("≤ {} {}", number(most), figure.unit),
            None => String::new(),
        };
        let kept = match figure.holds() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let extremes = match figure.rounds.len() {
            0 | 1 => String::new(),
            _ => format!(
                " ({}–{})",
                number(figure.rounds.iter().copied().fold(f64::INFINITY, f64::min)),
                number(figure.rounds.iter().copied().fold(0.0, f64::max))
            ),
        };
        table.push_str(&format!(
            "| {} | {}{extremes} {} | {limit} | {of_limit} | {peer} | {of_peer} | {promised} | {kept} |\n",
            figure.what,
            number(median(&figure.rounds)),
            figure.unit,
        ));
    }
    table
}

/// With three digits, more where they are whole.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    // Thousands are set apart: 12,345.
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// The folder of reports, beside what is built: it is not committed.
///
/// # Errors
/// If it cannot be made.
pub fn folder() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
        // One round in which the machine did something else decides nothing.
        assert_eq!(ratio(&[70.0, 7.0, 80.0], &[100.0, 100.0, 100.0]), 0.7);
    }

    #[test]
    fn a_promise_is_judged_by_what_it_names() {
        let figure =
            || Figure::new("reads", "/s", vec![70.0, 72.0, 74.0]).limit("bare", vec![100.0; 3]);
        assert_eq!(figure().holds(), None);
        assert_eq!(figure().bar(Bar::ShareOfLimit(0.72)).holds(), Some(true));
        assert_eq!(figure().bar(Bar::ShareOfLimit(0.73)).holds(), Some(false));
        assert_eq!(figure().bar(Bar::TimesLimit(0.7)).holds(), Some(false));
        assert_eq!(figure().bar(Bar::AtMost(72.0)).holds(), Some(true));
        let alone = Figure::new("reads", "/s", vec![70.0]).bar(Bar::ShareOfLimit(0.1));
        assert_eq!(alone.holds(), None);
    }

    #[test]
    fn the_table_names_both_sides() {
        let figure = Figure::new("reads", "/s", vec![12_345.0, 12_347.0])
            .limit("bare", vec![20_000.0; 2])
            .peer("Python", vec![40.0; 2])
            .bar(Bar::ShareOfLimit(0.7));
        let table = table(&[figure]);
        assert!(
            table.ends_with(
                "| reads | 12,346 (12,345–12,347) /s | bare: 20,000 | 0.62 | Python: 40.0 | 308.65 \
                 | ≥ 70 % of the limit | **no** |\n"
            ),
            "{table}"
        );
    }
}
