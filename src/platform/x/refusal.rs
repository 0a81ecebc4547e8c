//! Refusal: what an X answer without a receipt means.
//!
//! Spec: platforms/x.md, section 6, and <https://docs.x.com/x-api/fundamentals/response-codes-and-errors>. 403 is X's
//! word for a duplicate, a suspended account, a missing permission and a text too long alike; only details tell.

use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;

use crate::model::attempt::SendError;
use crate::platform::transport::Reply;

/// Problem types of the credential or the account, not of the post.
const CREDENTIAL_KINDS: [&str; 5] = [
    "client-forbidden",
    "unsupported-authentication",
    "oauth1-permissions",
    "not-authorized-for-resource",
    "not-authorized-for-field",
];

/// The older API's codes for the same: suspended (63, 64), no permission to write (220, 261), locked (326).
const CREDENTIAL_CODES: [i64; 5] = [63, 64, 220, 261, 326];

/// Words that say the same where neither type nor code does.
const CREDENTIAL_WORDS: [&str; 4] = ["suspended", "locked", "scope", "scopes"];

/// The windows X counts in; the last two are undocumented and not always sent.
const WINDOWS: [&str; 3] = ["x-rate-limit", "x-app-limit-24hour", "x-user-limit-24hour"];

/// What an answer without a receipt means. Pure: the table of cases below is section 6 of the sheet.
pub(super) fn refused(reply: &Reply) -> SendError {
    let reason = unclear(reply);
    let problem = Problem::of(reply);
    let capped = problem.as_ref().is_some_and(|problem| problem.is("usage-capped"));
    match (reply.status.as_u16(), problem) {
        (401, _) => SendError::Unauthorized { reason },
        (402, _) => SendError::OutOfBudget { reason },
        (403 | 429, Some(_)) if capped => SendError::OutOfBudget { reason },
        (429, _) => SendError::RateLimited { retry_after: rest(reply), reason },
        (403, Some(problem)) => forbidden(&problem, reason),
        // 408 comes from a gateway that waited in vain: the post may be on its way.
        (400..=499, Some(_)) if reply.status.as_u16() != 408 => SendError::Rejected { reason },
        _ => SendError::Unconfirmed { reason },
    }
}

/// 403 is X's word for many things; only its details tell them apart.
fn forbidden(problem: &Problem, reason: String) -> SendError {
    let words = problem.words().to_lowercase();
    if words.contains("duplicate content") || problem.has_code(&[187]) {
        SendError::Duplicate { reason }
    } else if words.contains("spending limit") || words.contains("spend cap") {
        SendError::OutOfBudget { reason }
    } else if CREDENTIAL_KINDS.iter().any(|kind| problem.is(kind))
        || problem.has_code(&CREDENTIAL_CODES)
        || words.split(|c: char| !c.is_alphanumeric()).any(|word| CREDENTIAL_WORDS.contains(&word))
    {
        SendError::Unauthorized { reason }
    } else {
        SendError::Rejected { reason }
    }
}

/// X's words, or what its answer looks like.
pub(super) fn unclear(reply: &Reply) -> String {
    match Problem::of(reply) {
        Some(problem) => format!("HTTP {}: {}", reply.status.as_u16(), problem.words()),
        None => reply.describe(),
    }
}

/// How long to wait: until the latest reset among the windows with nothing left; else as `Retry-After` says; else
/// until the endpoint's own reset.
fn rest(reply: &Reply) -> Option<Duration> {
    let reset = |window: &str| DateTime::from_timestamp(reply.number(&format!("{window}-reset"))?, 0);
    let used_up = WINDOWS.iter().filter(|window| reply.number(&format!("{window}-remaining")) == Some(0));
    let latest = used_up.filter_map(|window| reset(window)).max().map(|reset| reply.pause_until(reset));
    latest.or_else(|| reply.retry_after()).or_else(|| reset(WINDOWS[0]).map(|reset| reply.pause_until(reset)))
}

/// X's refusals in all their shapes (section 6): a problem document, a list of errors, an OAuth error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    reason: Option<String>,
    errors: Vec<ListedError>,
    error: Option<Value>,
    error_description: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListedError {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    detail: Option<String>,
    code: Option<i64>,
}

impl Problem {
    /// The problem in an answer; `None` when the answer isn't one of X's.
    fn of(reply: &Reply) -> Option<Problem> {
        let problem: Problem = reply.json()?;
        (!problem.words().is_empty()).then_some(problem)
    }

    fn words(&self) -> String {
        let listed = self.errors.iter().flat_map(|error| [error.message.as_deref(), error.detail.as_deref()]);
        let own = [
            self.title.as_deref(),
            self.detail.as_deref(),
            self.reason.as_deref(),
            self.error.as_ref().and_then(Value::as_str),
            self.error_description.as_deref(),
        ];
        let mut words: Vec<&str> =
            own.into_iter().chain(listed).flatten().filter(|words| !words.is_empty()).collect();
        words.dedup();
        words.join(": ")
    }

    /// Whether a type ends like this; the host before it has changed over the years.
    fn is(&self, suffix: &str) -> bool {
        let listed = self.errors.iter().filter_map(|error| error.kind.as_deref());
        self.kind.as_deref().into_iter().chain(listed).any(|kind| kind.rsplit('/').next() == Some(suffix))
    }

    fn has_code(&self, codes: &[i64]) -> bool {
        self.errors.iter().filter_map(|error| error.code).any(|code| codes.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::attempt::Receipt;
    use crate::model::attempt::SendError::*;
    use crate::platform::wire::reply;
    use crate::platform::x;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/x/", $name))
        };
    }

    /// Section 6 of the sheet, row by row: status, body, class.
    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        let detail = |text: &str| {
            format!(r#"{{"title":"Forbidden","detail":"{text}","type":"about:blank","status":403}}"#)
        };
        let kind = |kind: &str| format!(r#"{{"title":"T","type":"https://api.x.com/2/problems/{kind}"}}"#);
        let code = |code: i64| format!(r#"{{"errors":[{{"code":{code},"message":"m"}}]}}"#);

        check(400, &kind("invalid-request"), "rejected");
        check(400, &detail("Your media IDs are invalid."), "rejected");
        check(
            400,
            r#"{"errors":[{"message":"text is too long","parameters":{}}],"title":"Invalid Request"}"#,
            "rejected",
        );
        check(
            400,
            r#"{"error":"invalid_request","error_description":"Value passed for the token was invalid."}"#,
            "rejected",
        );
        check(
            401,
            r#"{"title":"Unauthorized","type":"about:blank","status":401,"detail":"Unauthorized"}"#,
            "unauthorized",
        );
        check(401, "", "unauthorized");
        check(402, fixture!("err_credits.json"), "out_of_budget");
        check(402, "", "out_of_budget");
        check(403, fixture!("err_duplicate.json"), "duplicate");
        check(403, &code(187), "duplicate");
        check(403, &kind("client-forbidden"), "unauthorized");
        check(403, fixture!("err_oauth1_permissions.json"), "unauthorized");
        check(403, &kind("unsupported-authentication"), "unauthorized");
        check(
            403,
            &detail("Your account is suspended and is not permitted to access this feature."),
            "unauthorized",
        );
        check(403, &detail("To protect our users, this account is temporarily locked."), "unauthorized");
        check(403, &detail("Missing required scope: tweet.write"), "unauthorized");
        check(403, &code(64), "unauthorized");
        check(403, &code(326), "unauthorized");
        check(403, &detail("This account has reached its spending limit."), "out_of_budget");
        check(403, &kind("usage-capped"), "out_of_budget");
        check(403, &detail("You are not permitted to perform this action."), "rejected");
        check(403, &detail("Your Tweet text is too long. needs to be a bit shorter"), "rejected");
        check(403, &code(186), "rejected");
        check(
            403,
            &detail("Reply to this conversation is not allowed because you have not been mentioned"),
            "rejected",
        );
        check(403, &detail("A post may have at most 1 cashtag"), "rejected");
        check(403, &kind("disallowed-resource"), "rejected");
        check(404, &kind("resource-not-found"), "rejected");
        check(
            429,
            r#"{"title":"Too Many Requests","detail":"Too Many Requests","type":"about:blank","status":429}"#,
            "rate_limited",
        );
        check(429, &code(88), "rate_limited");
        check(429, &kind("rate-limit-exceeded"), "rate_limited");
        check(429, "", "rate_limited");
        check(429, "<html>", "rate_limited");
        check(429, fixture!("err_usage_capped.json"), "out_of_budget");
        check(500, &kind("internal-error"), "unconfirmed");
        check(502, "<html>", "unconfirmed");
        check(
            503,
            r#"{"title":"Service Unavailable","detail":"Service Unavailable","status":503}"#,
            "unconfirmed",
        );
        check(504, "", "unconfirmed");
        // Not X's own words: a gateway's, so nothing is known.
        check(400, "", "unconfirmed");
        check(403, "<html>Attention Required! | Cloudflare</html>", "unconfirmed");
        check(404, "<html>", "unconfirmed");
        check(408, r#"{"title":"Request Timeout"}"#, "unconfirmed");
        check(302, "", "unconfirmed");

        #[track_caller]
        fn check(status: u16, body: &str, kind: &str) {
            let error = published(status, body).unwrap_err();
            assert_eq!(error.kind(), kind, "{status} {body}: {error:?}");
        }
    }

    #[test]
    fn a_reason_keeps_xs_words() {
        let error = published(402, fixture!("err_credits.json")).unwrap_err();
        assert_eq!(
            error.reason(),
            "HTTP 402: CreditsDepleted: Your enrolled account [1234567890] does not have any credits to fulfill this request."
        );
    }

    #[test]
    fn a_rate_limit_lasts_until_the_latest_used_up_window_resets() {
        // The platform's clock stands at 1795374060, a minute ahead of ours.
        let soon = ("x-rate-limit-reset", "1795374100");
        let late = ("x-user-limit-24hour-reset", "1795380000");
        check(&[soon, ("x-rate-limit-remaining", "0")], Some(40));
        check(
            &[soon, ("x-rate-limit-remaining", "0"), late, ("x-user-limit-24hour-remaining", "0")],
            Some(5940),
        );
        check(
            &[soon, ("x-rate-limit-remaining", "0"), late, ("x-user-limit-24hour-remaining", "3")],
            Some(40),
        );
        check(&[soon, ("x-rate-limit-remaining", "5"), ("retry-after", "7")], Some(7));
        check(&[soon], Some(40));
        check(&[("x-rate-limit-reset", "1795370000"), ("x-rate-limit-remaining", "0")], Some(0));
        check(&[("x-rate-limit-reset", "soon")], None);
        check(&[], None);

        #[track_caller]
        fn check(headers: &[(&'static str, &str)], seconds: Option<u64>) {
            let date =
                DateTime::from_timestamp(1_795_374_060, 0).unwrap().to_rfc2822().replace("+0000", "GMT");
            let headers: Vec<_> = headers.iter().copied().chain([("date", date.as_str())]).collect();
            let error = refused(&reply(429, &headers, ""));
            let RateLimited { retry_after, .. } = error else { panic!("{error:?}") };
            assert_eq!(retry_after, seconds.map(Duration::from_secs));
        }
    }

    proptest! {
        #[test]
        fn an_answer_that_is_not_understood_is_unconfirmed(status in 100_u16..600, body in ".{0,60}") {
            prop_assume!(![401, 402, 429].contains(&status));
            let error = published(status, &body).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. }), "{status} {body}: {error:?}");
        }

        #[test]
        fn a_server_error_is_never_taken_for_not_sent(status in 500_u16..600, detail in "[a-z ]{0,20}(duplicate content|scope)?") {
            let body = serde_json::json!({"title": "T", "detail": detail}).to_string();
            let error = published(status, &body).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. }), "{error:?}");
        }
    }

    fn published(status: u16, body: &str) -> Result<Receipt, SendError> {
        x::receipt(&reply(status, &[], body), None)
    }
}
