//! Prints a table: a line per row, a column per library, and how ours compares.

use std::mem;

use crate::peers::{Family, Peer, Side};

/// What stands where there is no value.
const NONE: &str = "-";

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
    /// Prints the values; then, if there are values of ours and something to hold them against, each of ours over the
    /// best peer's and over the references'.
    pub fn print(&self) {
        let measured = |i: &usize| self.rows.iter().any(|(_, values)| values[*i].is_some());
        let used: Vec<usize> = (0..self.peers.len()).filter(measured).collect();
        if used.is_empty() {
            return;
        }
        println!("\n## {}\n", self.title);
        let heads = used.iter().map(|&i| self.peers[i].name.to_owned());
        let mut lines = vec![["row".to_owned()].into_iter().chain(heads).collect()];
        for (name, values) in &self.rows {
            let cells = used.iter().map(|&i| self.value(values[i]));
            lines.push([name.clone()].into_iter().chain(cells).collect());
        }
        print_aligned(&lines);
        let mut ratios = self.ratios(&used);
        let mut heads = true;
        ratios.retain(|line| mem::take(&mut heads) || line.iter().skip(1).any(|cell| cell != NONE));
        if ratios.len() > 1 {
            println!();
            print_aligned(&ratios);
        }
    }

    /// The lines of the table of ratios.
    fn ratios(&self, used: &[usize]) -> Vec<Vec<String>> {
        let of = |side| used.iter().copied().filter(move |&i| self.peers[i].side == side);
        // Without ours among the libraries, the best peer is what is held against the references.
        let mut left: Vec<Option<usize>> = of(Side::Ours).map(Some).collect();
        let peers = of(Side::Peer).next().is_some();
        if left.is_empty() && peers {
            left.push(None);
        }
        let mut heads = vec!["over".to_owned()];
        for &left in &left {
            let name = left.map_or("best peer", |i| self.peers[i].name);
            if left.is_some() && peers {
                heads.push(format!("{name} / best peer"));
            }
            heads.extend(of(Side::Reference).map(|r| format!("{name} / {}", self.peers[r].name)));
        }
        let mut lines = vec![heads];
        for (name, values) in &self.rows {
            let best = self.best(of(Side::Peer).filter_map(|i| values[i]));
            let mut line = vec![name.clone()];
            for &left in &left {
                let value = left.map_or(best, |i| values[i]);
                if left.is_some() && peers {
                    line.push(ratio(value, best));
                }
                line.extend(of(Side::Reference).map(|r| ratio(value, values[r])));
            }
            lines.push(line);
        }
        lines
    }

    fn best(&self, values: impl Iterator<Item = f64>) -> Option<f64> {
        if self.most_is_best { values.max_by(f64::total_cmp) } else { values.min_by(f64::total_cmp) }
    }

    fn value(&self, value: Option<f64>) -> String {
        let digits = self.digits;
        value.map_or(NONE.to_owned(), |value| format!("{value:.digits$}"))
    }
}

/// Prints a table for each family of servers, since that is what libraries are compared within.
pub fn print_by_family(all: &Table) {
    for family in Family::ALL {
        let of_family = |i: &usize| all.peers[*i].serve.is_some_and(|serve| serve.family == family);
        let chosen: Vec<usize> = (0..all.peers.len()).filter(of_family).collect();
        let peers: Vec<&'static Peer> = chosen.iter().map(|&i| all.peers[i]).collect();
        let values = |values: &[Option<f64>]| chosen.iter().map(|&i| values[i]).collect();
        let rows = all.rows.iter().map(|(name, row)| (name.clone(), values(row))).collect();
        let title = format!("{}, on {}", all.title, family.name());
        Table { title: &title, most_is_best: all.most_is_best, digits: all.digits, peers: &peers, rows }.print();
    }
}

/// The lines of a table of ratios: our adapters over the one for tokio, references over the one for tokio.
pub fn between_adapters(peers: &[&Peer], rows: &[(String, Vec<Option<f64>>)]) -> Vec<Vec<String>> {
    let on_tokio = |peer: &Peer| peer.serve.is_some_and(|serve| serve.family == Family::Tokio);
    let pairs = (0..peers.len()).filter(|&i| peers[i].side != Side::Peer && !on_tokio(peers[i]));
    let pairs = pairs.filter_map(|i| {
        let by = |j: &usize| peers[*j].side == peers[i].side && on_tokio(peers[*j]);
        Some((i, (0..peers.len()).find(by)?))
    });
    let pairs: Vec<(usize, usize)> = pairs.collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let heads = pairs.iter().map(|&(i, by)| format!("{} / {}", peers[i].name, peers[by].name));
    let mut lines: Vec<Vec<String>> = vec![["over".to_owned()].into_iter().chain(heads).collect()];
    for (name, values) in rows {
        let cells = pairs.iter().map(|&(i, by)| ratio(values[i], values[by]));
        lines.push([name.clone()].into_iter().chain(cells).collect());
    }
    lines
}

/// Prints lines, of which the first is the heads.
pub fn print_titled(title: &str, lines: &[Vec<String>]) {
    if !lines.is_empty() {
        println!("\n## {title}\n");
        print_aligned(lines);
    }
}

fn ratio(value: Option<f64>, by: Option<f64>) -> String {
    match (value, by) {
        (Some(value), Some(by)) if by > 0.0 => format!("{:.2}x", value / by),
        _ => NONE.to_owned(),
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
