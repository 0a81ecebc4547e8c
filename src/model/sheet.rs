//! Sheet: audit entries as comma-separated values, for spreadsheets.
//!
//! Spec: RFC 4180, lines ended by CR LF. It shows what entries say; only the export's bytes can be verified.

use serde_json::Value;

use crate::model::audit::{Actor, Entry};

/// The head of the sheet.
pub const HEAD: &str = "seq,at,node,kind,actor,role,session,address,action,object,account,article,post,delivery,remote_id,payload_hash,reason,payload,detail\r\n";

/// One entry's row.
pub fn row(seq: Option<u64>, entry: &Entry) -> String {
    let at = entry.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (kind, role, session, address) = match &entry.actor {
        Actor::Step { .. } => ("step", None, None, None),
        Actor::Shell { .. } => ("shell", None, None, None),
        Actor::User { role, session, address, .. } => {
            ("user", role.as_deref(), session.as_deref(), address.as_deref())
        }
    };
    let detail = if entry.detail.is_null() { String::new() } else { entry.detail.to_string() };
    let seq = seq.map(|seq| seq.to_string()).unwrap_or_default();
    let fields = [
        Some(seq.as_str()),
        Some(at.as_str()),
        Some(entry.node.as_str()),
        Some(kind),
        Some(entry.actor.name()),
        role,
        session,
        address,
        Some(entry.action.name()),
        entry.object.as_deref(),
        entry.account.as_deref(),
        entry.article.as_deref(),
        entry.post.as_deref(),
        entry.delivery.as_deref(),
        entry.remote_id.as_deref(),
        entry.payload_hash.as_deref(),
        entry.detail.get("reason").and_then(Value::as_str),
        entry.payload.as_deref(),
        Some(detail.as_str()),
    ];
    fields.map(|field| cell(field.unwrap_or_default())).join(",") + "\r\n"
}

/// One cell. What a spreadsheet would take for a formula gets an apostrophe in front, for feeds and platforms write
/// some of these texts (OWASP: CSV injection).
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::audit::Action;

    #[test]
    fn an_entry_is_one_row_with_a_cell_for_each_column() {
        let actor = Actor::User {
            user: "somchai".to_owned(),
            role: Some("approver".to_owned()),
            session: Some("1a2b3c4d".to_owned()),
            address: Some("10.0.0.5".to_owned()),
        };
        let at = "2026-11-22T07:05:12.123456Z".parse().unwrap();
        let mut entry = Entry::new(at, "a", actor, Action::PostApproved);
        entry.post = Some("12".to_owned());
        entry.detail = json!({ "reason": "ดี, \"มาก\"" });
        assert_eq!(
            row(Some(7), &entry),
            "7,2026-11-22T07:05:12.123456Z,a,user,somchai,approver,1a2b3c4d,10.0.0.5,post.approved,,,,12,,,,\
             \"ดี, \"\"มาก\"\"\",,\"{\"\"reason\"\":\"\"ดี, \\\"\"มาก\\\"\"\"\"}\"\r\n"
        );
        assert_eq!(HEAD.split(',').count(), 19);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, shown) in [
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+66", "\"'+66\""),
            ("-1", "\"'-1\""),
            ("@SUM", "\"'@SUM\""),
            ("ข่าว", "ข่าว"),
            ("a=b", "a=b"),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(cell(text), shown);
        }
    }
}
