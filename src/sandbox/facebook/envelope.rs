//! Envelope: dresses an answer as Graph does: headers, usage, error object.

use serde_json::Value;
use serde_json::json;

use crate::sandbox::call::Answer;
use crate::sandbox::call::Call;
use crate::sandbox::call::number_of;
use crate::sandbox::facebook::versioned;

/// The version served when a call names none or a dead one.
const NEWEST_VERSION: &str = "v26.0";

/// The versions alive in November 2026 (platforms/facebook.md, section 1).
const VERSIONS: [&str; 6] = ["v26.0", "v25.0", "v24.0", "v23.0", "v22.0", "v21.0"];

/// The value of `X-Business-Use-Case-Usage`: percent used, minutes until access comes back.
pub fn usage(page: &str, percent: usize, minutes: u64) -> String {
    json!({ page: [{
        "type": "pages",
        "call_count": percent,
        "total_cputime": percent / 2,
        "total_time": percent / 2,
        "estimated_time_to_regain_access": minutes,
    }] })
    .to_string()
}

/// A success.
pub fn ok(call: &Call, body: &Value) -> Answer {
    traced(Answer::json(200, body), call)
}

/// Graph's headers: a trace id, and the version that was really used.
fn traced(answer: Answer, call: &Call) -> Answer {
    let (version, _) = versioned(call);
    let alive = |version: &&str| VERSIONS.contains(version);
    answer
        .with("facebook-api-version", version.filter(alive).unwrap_or(NEWEST_VERSION))
        .with("x-fb-trace-id", trace(call))
        .with("x-fb-rev", "1031337001")
}

fn trace(call: &Call) -> String {
    format!("A{:014X}", number_of(&format!("{}{}", call.item(), call.at.timestamp_micros())))
}

/// Code 100, subcode 33: no such object, or not for this token.
pub fn not_found(call: &Call, id: &str) -> Answer {
    let verb = call.method.as_str().to_ascii_lowercase();
    let text = format!(
        "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
         permissions, or does not support this operation."
    );
    error(call, 100, Some(33), &text)
}

/// A refusal with HTTP 400.
pub fn error(call: &Call, code: u32, subcode: Option<u32>, message: &str) -> Answer {
    Error { subcode, ..Error::new(code, message) }.answer(call)
}

/// Graph's error envelope.
pub struct Error<'a> {
    status: u16,
    code: u32,
    /// The finer code.
    pub subcode: Option<u32>,
    message: &'a str,
    title: Option<&'a str>,
    is_transient: bool,
}

impl<'a> Error<'a> {
    /// HTTP 400, no subcode.
    pub fn new(code: u32, message: &'a str) -> Error<'a> {
        Error { status: 400, code, subcode: None, message, title: None, is_transient: false }
    }

    /// Under another HTTP status.
    pub fn status(self, status: u16) -> Error<'a> {
        Error { status, ..self }
    }

    /// Marked as temporary.
    pub fn transient(self) -> Error<'a> {
        Error { is_transient: true, ..self }
    }

    /// With a title for people.
    pub fn titled(self, title: &'a str) -> Error<'a> {
        Error { title: Some(title), ..self }
    }

    /// The answer.
    pub fn answer(self, call: &Call) -> Answer {
        let mut error = json!({
            "message": self.message,
            "type": "OAuthException",
            "is_transient": self.is_transient,
            "code": self.code,
            "fbtrace_id": trace(call),
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        if let Some(title) = self.title {
            error["error_user_title"] = json!(title);
        }
        traced(Answer::json(self.status, &json!({ "error": error })), call)
    }
}
