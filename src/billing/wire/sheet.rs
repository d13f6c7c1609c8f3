//! Invoices to be taken along, as JSON and as CSV.

use serde_json::{Value, json};

use crate::billing::customer::Invoice;
use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::reply::{Media, Reply};
use crate::kernel::time::Timestamp;

const HEADER: &str =
    "number,made_at,kind,plan,period_start,period_end,licenses,amount_cents,discount_cents,currency\r\n";

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
        .with_header("Vary", "Origin, Cookie")
}

/// As CSV: times in ISO 8601, money in cents.
pub(crate) fn csv(invoices: &[Invoice]) -> Reply {
    let mut lines = String::from(HEADER);
    for invoice in invoices {
        let (made, start, end) = (invoice.made_at, invoice.period_start, invoice.period_end);
        let [made, start, end] = [made, start, end].map(Timestamp::to_iso);
        let Invoice { number, licenses, amount, discount, .. } = invoice;
        let (kind, plan) = (text(&invoice.kind), text(&invoice.what));
        lines.push_str(&format!("{number},{made},{kind},{plan},{start},{end},{licenses},{amount},{discount},usd\r\n"));
    }
    taken_along(Reply::json_text(lines), "invoices.csv", Media::Csv)
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
    Ok(taken_along(Reply::json_text(to_json(&json!({ "invoices": rows }))?), "invoices.json", Media::Json))
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
