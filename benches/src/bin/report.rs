//! Prints the table of all figures that the benches left, and draws their curves: the last step
//! of `make bench`.

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};
use memora_benches::report::{self, Plot, Report};
use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 540);

fn main() -> Result<()> {
    let folder = report::folder()?;
    let mut out = stdout();
    let mut reports = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read(&path)?;
            let report: Report = serde_json::from_slice(&text)
                .with_context(|| format!("reading {}", path.display()))?;
            reports.push(report);
        }
    }
    reports.sort_by(|a, b| a.bench.cmp(&b.bench));
    for report in &reports {
        writeln!(
            out,
            "\n{}: {}; {}\n",
            report.bench, report.command, report.machine
        )?;
        out.write_all(report::table(&report.figures).as_bytes())?;
        for plot in &report.plots {
            let file = folder.join(format!("{}.svg", file_name(&plot.title)));
            draw(plot, &file).with_context(|| format!("drawing {}", file.display()))?;
            writeln!(out, "\nplot: {}", file.display())?;
        }
    }
    if reports.is_empty() {
        writeln!(out, "no reports in {}: make bench", folder.display())?;
    }
    Ok(())
}

fn file_name(title: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    title.to_lowercase().chars().map(kept).collect()
}

fn draw(plot: &Plot, file: &Path) -> Result<()> {
    let points = || plot.curves.values().flatten();
    let x = extremes(points().map(|(x, _)| *x));
    let y = extremes(points().map(|(_, y)| *y));
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area);
    chart
        .caption(&plot.title, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(72);
    // Two kinds of axis are two types.
    macro_rules! curves {
        ($chart:expr) => {{
            let mut chart = $chart?;
            chart
                .configure_mesh()
                .x_desc(&plot.x)
                .y_desc(&plot.y)
                .draw()?;
            for (i, (name, points)) in plot.curves.iter().enumerate() {
                let color = Palette99::pick(i).to_rgba();
                let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
                chart
                    .draw_series(line.point_size(3))?
                    .label(name)
                    .legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2))
                    });
            }
            chart
                .configure_series_labels()
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK)
                .position(SeriesLabelPosition::UpperLeft)
                .draw()?;
        }};
    }
    match plot.log_y {
        true => curves!(chart.build_cartesian_2d(x.0..x.1, (y.0.max(1e-6)..y.1 * 1.5).log_scale())),
        false => curves!(chart.build_cartesian_2d(x.0..x.1, 0.0..y.1 * 1.1)),
    }
    area.present()?;
    Ok(())
}

/// The least and the most, never the same.
fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
        (a.min(v), b.max(v))
    });
    match least < most {
        true => (least, most),
        false => (0.0, most.max(1.0)),
    }
}
