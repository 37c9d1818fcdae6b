//! How is a table drawn? As an SVG with a bar for each server, in light or dark colours as the viewer prefers.

use std::fmt::Write as _;

use crate::side_by_side::contest::Table;

const BAR: f64 = 150.0;
const ROW: usize = 30;
const LABELS: f64 = 120.0;

/// The ratios of `table` as bars, an SVG.
pub(crate) fn of(table: &Table) -> String {
    let ratios: Vec<_> = table.ratios().map(|(name, ratio)| (name, ratio.median)).collect();
    let widest = ratios.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
    let (width, height) = (LABELS + widest * BAR + 70.0, ratios.len() * ROW + 46);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height}\" width=\"{width:.0}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #222 }} rect {{ fill: #9aa5b1 }} .relay {{ fill: #1a7f37 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} rect {{ fill: #57606a }} .relay {{ fill: #3fb950 }} }}</style>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">CPU per read, bare hyper = 1 (less is better)</text>\n"
    );
    for (at, (name, ratio)) in ratios.iter().enumerate() {
        let (y, class) = (34 + at * ROW, if *name == "token-relay" { " class=\"relay\"" } else { "" });
        let (length, end) = (ratio * BAR, LABELS + ratio * BAR + 8.0);
        writeln!(
            svg,
            "<text x=\"8\" y=\"{}\">{name}</text><rect{class} x=\"{LABELS:.0}\" y=\"{y}\" width=\"{length:.0}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{end:.0}\" y=\"{}\">{ratio:.2}</text>",
            y + 14,
            y + 14
        )
        .expect("a text grows");
    }
    svg.push_str("</svg>\n");
    svg
}
