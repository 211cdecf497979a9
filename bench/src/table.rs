//! Prints a table: a line per row, a column per library, and how ours compares.

use crate::peers::{Peer, Side};

/// One measured quantity for all rows and libraries.
pub struct Table<'a> {
    pub title: &'a str,
    /// Whether the best peer is the one with the most.
    pub most_is_best: bool,
    /// Digits after the point.
    pub digits: usize,
    pub peers: &'a [&'static Peer],
    /// A row's name and a value per library, `None` where it has none.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Table<'_> {
    /// Prints the table with two more columns for each library of ours: its value over the best
    /// peer's, and over the reference's (the mean of nothing is left out).
    pub fn print(&self) {
        let ours = self.indices(Side::Ours);
        let peers = self.indices(Side::Peer);
        let references = self.indices(Side::Reference);
        let used: Vec<usize> =
            (0..self.peers.len()).filter(|&i| self.rows.iter().any(|(_, values)| values[i].is_some())).collect();
        if used.is_empty() {
            return;
        }
        let mut heads = vec!["row".to_owned()];
        heads.extend(used.iter().map(|&i| self.peers[i].name.to_owned()));
        for &i in ours.iter().filter(|i| used.contains(i)) {
            heads.push(format!("{}/best peer", self.peers[i].name));
            for &r in references.iter().filter(|r| used.contains(r)) {
                heads.push(format!("{}/{}", self.peers[i].name, self.peers[r].name));
            }
        }
        if !ours.iter().any(|i| used.contains(i)) {
            heads.extend(
                references.iter().filter(|r| used.contains(r)).map(|&r| format!("best peer/{}", self.peers[r].name)),
            );
        }
        let mut lines = vec![heads];
        for (name, values) in &self.rows {
            let best = self.best(peers.iter().filter_map(|&i| values[i]));
            let mut line = vec![name.clone()];
            line.extend(used.iter().map(|&i| self.value(values[i])));
            for &i in ours.iter().filter(|i| used.contains(i)) {
                line.push(ratio(values[i], best));
                for &r in references.iter().filter(|r| used.contains(r)) {
                    line.push(ratio(values[i], values[r]));
                }
            }
            if !ours.iter().any(|i| used.contains(i)) {
                let references = references.iter().filter(|r| used.contains(r));
                line.extend(references.map(|&r| ratio(best, values[r])));
            }
            lines.push(line);
        }
        println!("\n## {}\n", self.title);
        print_aligned(&lines);
    }

    fn best(&self, values: impl Iterator<Item = f64>) -> Option<f64> {
        if self.most_is_best { values.max_by(f64::total_cmp) } else { values.min_by(f64::total_cmp) }
    }

    fn indices(&self, side: Side) -> Vec<usize> {
        let all = self.peers.iter().enumerate();
        all.filter(|(_, peer)| peer.side == side).map(|(i, _)| i).collect()
    }

    fn value(&self, value: Option<f64>) -> String {
        let digits = self.digits;
        value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    }
}

fn ratio(value: Option<f64>, by: Option<f64>) -> String {
    match (value, by) {
        (Some(value), Some(by)) if by > 0.0 => format!("{:.2}x", value / by),
        _ => "-".to_owned(),
    }
}

/// Prints Markdown that can be read as it is, too.
fn print_aligned(lines: &[Vec<String>]) {
    let widths: Vec<usize> =
        (0..lines[0].len()).map(|i| lines.iter().map(|line| line[i].len()).max().unwrap_or(0)).collect();
    for (n, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(i, (cell, &width))| match i {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("| {} |", cells.join(" | "));
        if n == 0 {
            let rules: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(i, &width)| match i {
                    0 => "-".repeat(width),
                    _ => format!("{}:", "-".repeat(width - 1)),
                })
                .collect();
            println!("| {} |", rules.join(" | "));
        }
    }
}
