//! Invoices to be taken along, as JSON and as CSV.

use serde_json::{Value, json};

use crate::billing::customer::Invoice;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::reply::{Media, Reply};
use crate::kernel::time::Timestamp;

const HEADER: [&str; 10] = [
    "number",
    "made_at",
    "kind",
    "plan",
    "period_start",
    "period_end",
    "licenses",
    "amount_cents",
    "discount_cents",
    "currency",
];

/// One cell of a sheet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// A number, a time, a UUID or a word of ours, which needs no quotes and begins no formula.
    Ours(String),
    /// Any other text.
    Text(String),
}

impl Cell {
    /// A number.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::Ours(number.to_string())
    }

    fn written(&self) -> String {
        match self {
            Self::Ours(word) => word.clone(),
            Self::Text(words) => text(words),
        }
    }
}

/// A sheet to be taken along, as CSV.
#[must_use]
pub fn table(name: &'static str, header: &[&str], rows: &[Vec<Cell>]) -> Reply {
    let mut lines = header.join(",");
    lines.push_str("\r\n");
    for row in rows {
        let cells: Vec<String> = row.iter().map(Cell::written).collect();
        lines.push_str(&cells.join(","));
        lines.push_str("\r\n");
    }
    taken_along(Reply::json_text(lines), name, Media::Csv)
}

/// Every text is in quotes (RFC 4180), and none begins a formula: what a spreadsheet would compute stands behind an
/// apostrophe (OWASP, CSV Injection).
fn text(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let guard = if is_formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn taken_along(mut reply: Reply, name: &'static str, media: Media) -> Reply {
    reply.media = media;
    reply
        .with_header("Content-Disposition", format!("attachment; filename=\"{name}\""))
        .with_header("Cache-Control", "no-store")
}

/// As CSV: times in ISO 8601, money in cents.
pub(crate) fn csv(invoices: &[Invoice]) -> Reply {
    let at = |time: Timestamp| Cell::Ours(time.to_iso());
    let row = |invoice: &Invoice| {
        vec![
            Cell::number(invoice.number),
            at(invoice.made_at),
            Cell::Text(invoice.kind.clone()),
            Cell::Text(invoice.what.clone()),
            at(invoice.period_start),
            at(invoice.period_end),
            Cell::number(invoice.licenses),
            Cell::number(invoice.amount),
            Cell::number(invoice.discount),
            Cell::Ours(String::from("usd")),
        ]
    };
    let rows: Vec<Vec<Cell>> = invoices.iter().map(row).collect();
    table("invoices.csv", &HEADER, &rows).with_header("Vary", "Origin, Cookie")
}

/// As JSON: times are Unix seconds, as everywhere in the dialect; money in cents.
///
/// Errors: as [`to_json`], never for ours.
pub(crate) fn json(invoices: &[Invoice]) -> Result<Reply, Fault> {
    let seconds = |at: Timestamp| at.as_millis() / 1_000;
    let row = |invoice: &Invoice| {
        json!({
            "number": invoice.number,
            "made_at": seconds(invoice.made_at),
            "kind": invoice.kind,
            "plan": invoice.what,
            "period_start": seconds(invoice.period_start),
            "period_end": seconds(invoice.period_end),
            "licenses": invoice.licenses,
            "amount_cents": invoice.amount,
            "discount_cents": invoice.discount,
            "currency": "usd",
        })
    };
    let rows: Vec<Value> = invoices.iter().map(row).collect();
    let reply = taken_along(Reply::json_text(to_json(&json!({ "invoices": rows }))?), "invoices.json", Media::Json);
    Ok(reply.with_header("Vary", "Origin, Cookie"))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn no_text_begins_a_formula_or_leaves_its_cell() {
        for (plain, cell) in [
            ("Basic", "\"Basic\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("a\"b,c\r\nd", "\"a\"\"b,c\r\nd\""),
            ("=\"x\"", "\"'=\"\"x\"\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(text(plain), cell);
        }
    }
}
