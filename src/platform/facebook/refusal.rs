//! Refusal: what a Facebook answer without a receipt means.
//!
//! Spec: platforms/facebook.md, section 10, and
//! <https://developers.facebook.com/docs/graph-api/guides/error-handling>. `type` is "OAuthException" for nearly
//! everything and decides nothing; code and subcode do.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::model::attempt::SendError;
use crate::platform::transport;
use crate::platform::transport::Reply;

/// How long a Page rests after "posting too fast" (368/1390008), which names no time of its own: hours, not
/// seconds (section 10).
const TOO_FAST_PAUSE: Duration = Duration::from_secs(3 * 60 * 60);

/// How long a Page rests after the feed action limit (341); what Friends+Me waits (section 10).
const FEED_LIMIT_PAUSE: Duration = Duration::from_secs(3 * 60 * 60);

/// How long an account limited "for days" (368/1404112) rests before the next try (section 10).
const LIMITED_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The window of the app's call limit: with `X-App-Usage` at 100 % it must pass before calls succeed (section 8).
const APP_USAGE_WINDOW: Duration = Duration::from_secs(60 * 60);

/// What an answer without a receipt means. Pure: the table of cases below is section 10 of the sheet.
pub(super) fn refused(reply: &Reply) -> SendError {
    let Some(Envelope { error }) = reply.json() else {
        let reason = reply.describe();
        return match reply.status {
            // RFC 6585: refused unread, whoever on the way said it.
            StatusCode::TOO_MANY_REQUESTS => {
                SendError::RateLimited { retry_after: asked_pause(reply), reason }
            }
            _ => SendError::Unconfirmed { reason },
        };
    };
    let reason = error.reason();
    match verdict(&error) {
        Verdict::Duplicate => SendError::Duplicate { reason },
        // Graph answers 400 to almost everything it refuses; behind a 5xx the post may be public whatever it says.
        _ if reply.status.is_server_error() => SendError::Unconfirmed { reason },
        Verdict::Throttled(pause) => {
            SendError::RateLimited { retry_after: asked_pause(reply).or(pause), reason }
        }
        Verdict::Credential => SendError::Unauthorized { reason },
        Verdict::Unclear if reply.status == StatusCode::TOO_MANY_REQUESTS => {
            SendError::RateLimited { retry_after: asked_pause(reply), reason }
        }
        Verdict::Unclear => SendError::Unconfirmed { reason },
        Verdict::Refused => SendError::Rejected { reason },
    }
}

#[derive(Deserialize)]
struct Envelope {
    error: GraphError,
}

/// The error envelope (section 10); every field may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GraphError {
    message: String,
    code: Option<i64>,
    error_subcode: Option<i64>,
    is_transient: bool,
    error_user_title: Option<String>,
    error_user_msg: Option<String>,
    fbtrace_id: Option<String>,
}

impl GraphError {
    /// Code, words and trace, as a person and Meta's support need them.
    fn reason(&self) -> String {
        let code = match (self.code, self.error_subcode) {
            (Some(code), Some(subcode)) => format!("code {code}/{subcode}"),
            (Some(code), None) => format!("code {code}"),
            (None, _) => "no code".to_owned(),
        };
        let words = [Some(&self.message), self.error_user_title.as_ref(), self.error_user_msg.as_ref()];
        let words: Vec<_> =
            words.into_iter().flatten().filter(|words| !words.is_empty()).map(String::as_str).collect();
        let trace = self.fbtrace_id.as_ref().map(|id| format!(" (trace {id})")).unwrap_or_default();
        let cure = self.cure().map(|cure| format!("; {cure}")).unwrap_or_default();
        format!("{code}{cure}: {}{trace}", words.join(" / "))
    }

    /// What a person must do, where Facebook's words don't say it.
    fn cure(&self) -> Option<&'static str> {
        Some(match (self.code?, self.error_subcode) {
            (190, Some(458)) => "the app was removed: connect again",
            (190, Some(459)) => "the person must pass Facebook's security check, then connect again",
            (190, Some(464)) => "the person must confirm their Facebook account",
            (190, Some(492)) => "the person lost their role on the Page: give it back, then connect again",
            (190, _) | (102, _) => "connect again",
            (10 | 200..=299, _) => "grant all permissions again",
            (1705, _) => "use a Page token, not a person's",
            (104, _) => "check app_secret",
            (12, _) => "raise api_version",
            (21, _) => "the Page has a new page_id",
            _ => return None,
        })
    }
}

/// What an error code calls for.
enum Verdict {
    Duplicate,
    /// With the pause to make where no header names one.
    Throttled(Option<Duration>),
    Credential,
    Unclear,
    Refused,
}

/// Section 10 as code: subcodes that mean the same under every code first, then codes.
fn verdict(error: &GraphError) -> Verdict {
    let Some(code) = error.code else { return Verdict::Unclear };
    let words = format!("{} {}", error.message, error.error_user_msg.as_deref().unwrap_or_default());
    let words = words.to_ascii_lowercase();
    if words.contains("already posted") {
        return Verdict::Duplicate;
    }
    match (code, error.error_subcode.unwrap_or_default()) {
        (506 | 1_366_051, _) | (_, 1_366_051) => Verdict::Duplicate,
        (368, 1_404_006 | 1_404_078) | (4_854_002, _) | (_, 4_854_002) => Verdict::Credential,
        (368, 1_404_112) => Verdict::Throttled(Some(LIMITED_PAUSE)),
        (368, 1_404_102 | 1_346_003) => Verdict::Refused,
        (368, _) => Verdict::Throttled(Some(TOO_FAST_PAUSE)),
        (341, _) => Verdict::Throttled(Some(FEED_LIMIT_PAUSE)),
        // An Instagram subcode: its post may be live.
        (4, 2_207_051) => Verdict::Unclear,
        (4 | 17 | 32 | 613 | 80_000..=80_014, _) => Verdict::Throttled(None),
        (10 | 102 | 104 | 190 | 200..=299 | 1705, _) => Verdict::Credential,
        // A wrong or missing proof is a fault of the credential, not of the post.
        (100, _) if words.contains("appsecret_proof") => Verdict::Credential,
        (1 | 2 | 1_363_047 | 1_609_010, _) | (_, 1_363_047 | 1_609_010) => Verdict::Unclear,
        _ if error.is_transient => Verdict::Unclear,
        (3 | 12 | 21 | 100 | 324 | 1500, _) => Verdict::Refused,
        (1_349_125 | 1_366_046 | 1_609_005 | 1_609_008 | 2_061_006 | 2_069_019, _) => Verdict::Refused,
        (_, 1_349_125 | 1_366_046 | 1_609_005 | 1_609_008 | 2_061_006 | 2_069_019) => Verdict::Refused,
        _ => Verdict::Unclear,
    }
}

/// The pause the headers ask for: `Retry-After`, the longest time to regain access among the Page's limits, or the
/// app's window when it is used up.
fn asked_pause(reply: &Reply) -> Option<Duration> {
    let minutes = reply.header("x-business-use-case-usage").and_then(minutes_to_regain_access);
    let regained = minutes.map(|minutes| transport::pause(minutes.saturating_mul(60)));
    let app_usage: Option<Value> =
        reply.header("x-app-usage").and_then(|usage| serde_json::from_str(usage).ok());
    let used_up = app_usage.as_ref().and_then(Value::as_object).is_some_and(|usage| {
        usage.values().any(|percent| percent.as_f64().is_some_and(|percent| percent >= 100.0))
    });
    reply.retry_after().or(regained).or(used_up.then_some(APP_USAGE_WINDOW))
}

/// The most minutes any of the Page's limits (`type` "pages" or none) asks for; 0 means no limit is hit.
fn minutes_to_regain_access(header: &str) -> Option<i64> {
    let usage: Value = serde_json::from_str(header).ok()?;
    let limits = usage.as_object()?.values().filter_map(Value::as_array).flatten();
    let of_pages = limits.filter(|limit| limit.get("type").is_none_or(|kind| kind == "pages"));
    of_pages
        .filter_map(|limit| limit.get("estimated_time_to_regain_access")?.as_i64())
        .max()
        .filter(|minutes| *minutes > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::attempt::SendError::*;
    use crate::platform::facebook::published;
    use crate::platform::wire::reply;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/facebook/", $name))
        };
    }

    const HOUR: u64 = 60 * 60;

    /// Section 10 of the sheet, row by row: code, subcode (0: none), class.
    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        let pause = |hours: u64| Some(Duration::from_secs(hours * HOUR));
        for (code, subcode) in
            [(1, 0), (1, 99), (2, 0), (1_363_047, 0), (1_609_010, 0), (100, 1_609_010), (4, 2_207_051)]
        {
            check(code, subcode, |error| matches!(error, Unconfirmed { .. }));
        }
        for (code, subcode) in
            [(506, 0), (506, 1_455_006), (1_366_051, 0), (324, 1_366_051), (100, 1_366_051)]
        {
            check(code, subcode, |error| matches!(error, Duplicate { .. }));
        }
        for code in [4, 17, 32, 613, 80_000, 80_001, 80_002, 80_006, 80_014] {
            check(code, 0, |error| matches!(error, RateLimited { retry_after: None, .. }));
        }
        check(17, 2_446_079, |error| matches!(error, RateLimited { .. }));
        check(613, 1996, |error| matches!(error, RateLimited { .. }));
        check(341, 0, |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)));
        check(368, 0, |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)));
        check(
            368,
            1_390_008,
            |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(3)),
        );
        check(
            368,
            1_404_112,
            |error| matches!(error, RateLimited { retry_after, .. } if *retry_after == pause(24)),
        );
        for subcode in [0, 458, 459, 460, 461, 463, 464, 467, 492] {
            check(190, subcode, |error| matches!(error, Unauthorized { .. }));
        }
        for code in [10, 102, 104, 200, 210, 220, 240, 282, 283, 299, 1705, 4_854_002] {
            check(code, 0, |error| matches!(error, Unauthorized { .. }));
        }
        for (code, subcode) in [(368, 1_404_006), (368, 1_404_078), (200, 4_854_002)] {
            check(code, subcode, |error| matches!(error, Unauthorized { .. }));
        }
        for (code, subcode) in [
            (3, 0),
            (12, 0),
            (21, 0),
            (100, 0),
            (100, 33),
            (324, 0),
            (324, 1_366_046),
            (100, 2_069_019),
            (368, 1_404_102),
            (368, 1_346_003),
            (1500, 0),
            (100, 1_609_005),
            (100, 2_061_006),
            (100, 1_609_008),
            (1_609_008, 0),
            (1_349_125, 0),
        ] {
            check(code, subcode, |error| matches!(error, Rejected { .. }));
        }
        for code in [0, 7, 300, 501, 999, 80_015, -1] {
            check(code, 0, |error| matches!(error, Unconfirmed { .. }));
        }

        #[track_caller]
        fn check(code: i64, subcode: i64, expected: impl Fn(&SendError) -> bool) {
            let subcode = if subcode == 0 { Value::Null } else { subcode.into() };
            let body = serde_json::json!({"error": {"message": "m", "code": code, "error_subcode": subcode}});
            for status in [400, 403, 200] {
                let error = published(&reply(status, &[], &body.to_string())).unwrap_err();
                assert!(expected(&error), "{status} {body}: {error:?}");
            }
            // Behind a 5xx nothing is sure but a duplicate, which is read back as well.
            let error = published(&reply(500, &[], &body.to_string())).unwrap_err();
            assert!(matches!(error, Unconfirmed { .. } | Duplicate { .. }), "500 {body}: {error:?}");
        }
    }

    #[test]
    fn words_decide_where_codes_dont() {
        let refusal = |body: &str| published(&reply(400, &[], body)).unwrap_err();
        let again = r#"{"error":{"code":368,"message":"Looks like you Already Posted this"}}"#;
        assert!(matches!(refusal(again), Duplicate { .. }));
        let proof =
            r#"{"error":{"code":100,"message":"Invalid appsecret_proof provided in the API argument"}}"#;
        assert!(matches!(refusal(proof), Unauthorized { .. }));
        let transient = r#"{"error":{"code":100,"message":"m","is_transient":true}}"#;
        assert!(matches!(refusal(transient), Unconfirmed { .. }));
        assert!(matches!(refusal(r#"{"error":{"message":"no code"}}"#), Unconfirmed { .. }));
        assert!(matches!(refusal(r#"{"error":"what"}"#), Unconfirmed { .. }));
    }

    #[test]
    fn a_reason_tells_code_cure_words_and_trace() {
        let error = published(&reply(400, &[], fixture!("err_token_expired.json"))).unwrap_err();
        assert_eq!(
            error.reason(),
            "code 190/463; connect again: Error validating access token: Session has expired on Sunday, \
             22-Nov-26 10:00:00 PST. (trace AbCdEfGhIjK)"
        );
        let error = published(&reply(400, &[], fixture!("err_duplicate.json"))).unwrap_err();
        assert!(error.reason().contains("identical to the last one"), "{}", error.reason());
    }

    #[test]
    fn headers_say_how_long_a_throttled_page_rests() {
        let usage = |minutes: i64, kind: &str| {
            format!(
                r#"{{"1":[{{"type":"{kind}","estimated_time_to_regain_access":{minutes}}}],"2":[{{"call_count":5}}]}}"#
            )
        };
        check(&[("x-business-use-case-usage", &usage(17, "pages"))], Some(17 * 60));
        check(&[("x-business-use-case-usage", &usage(17, "instagram"))], None);
        check(&[("x-business-use-case-usage", &usage(0, "pages"))], None);
        check(&[("x-business-use-case-usage", "soon")], None);
        check(&[("x-business-use-case-usage", &usage(i64::MAX, "pages"))], Some(24 * HOUR));
        check(&[("x-app-usage", r#"{"call_count":100,"total_time":25,"total_cputime":25}"#)], Some(HOUR));
        check(&[("x-app-usage", r#"{"call_count":99.5,"total_time":25}"#)], None);
        check(&[("retry-after", "90"), ("x-app-usage", r#"{"call_count":100}"#)], Some(90));
        check(&[], None);

        #[track_caller]
        fn check(headers: &[(&'static str, &str)], seconds: Option<u64>) {
            let error = refused(&reply(400, headers, fixture!("err_page_throttled.json")));
            let RateLimited { retry_after, .. } = error else { panic!("{error:?}") };
            assert_eq!(retry_after, seconds.map(Duration::from_secs));
        }
    }

    #[test]
    fn a_429_is_a_rate_limit_whatever_it_says() {
        let error = refused(&reply(429, &[("retry-after", "30")], "<html>"));
        assert!(matches!(error, RateLimited { retry_after: Some(_), .. }), "{error:?}");
        let error = refused(&reply(429, &[], r#"{"error":{"message":"Too many calls"}}"#));
        assert!(matches!(error, RateLimited { retry_after: None, .. }), "{error:?}");
    }

    proptest! {
        #[test]
        fn an_answer_that_is_not_understood_is_unconfirmed(status in 100_u16..600, body in ".{0,60}") {
            prop_assume!(status != 429);
            let error = published(&reply(status, &[], &body)).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. }), "{status} {body}: {error:?}");
        }

        #[test]
        fn a_server_error_is_never_taken_for_not_sent(status in 500_u16..600, code in any::<i64>(), subcode in any::<i64>()) {
            let body = serde_json::json!({"error": {"code": code, "error_subcode": subcode}}).to_string();
            let error = published(&reply(status, &[], &body)).unwrap_err();
            prop_assert!(matches!(error, Unconfirmed { .. } | Duplicate { .. }), "{error:?}");
        }
    }
}
