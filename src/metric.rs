//! Metric: counts what happens, and shows it the way Prometheus reads it.
//!
//! Counters and histograms are filled where things happen and kept by the recorder. Levels (gauges) are asked of the
//! database when somebody looks, and written here: kept ones would go on after an account or a source is gone.

use std::fmt::Write;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::Unit;
use metrics::counter;
use metrics::describe_counter;
use metrics::describe_histogram;
use metrics::histogram;
use metrics_exporter_prometheus::BuildError;
use metrics_exporter_prometheus::Matcher;
use metrics_exporter_prometheus::PrometheusBuilder;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::model::account::Platform;

/// Seconds a platform takes for an answer: from a quick API call to the longest request permitted.
const ATTEMPT_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Seconds the database takes for a read: a local file answers within the first three.
const DATABASE_SECONDS: [f64; 9] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

const DELIVERIES: &str = "songkhao_deliveries_total";
const ATTEMPTS: &str = "songkhao_attempts_total";
const ATTEMPT_DURATION: &str = "songkhao_attempt_duration_seconds";
const LEASES_LOST: &str = "songkhao_leases_lost_total";
const POLLS: &str = "songkhao_source_polls_total";
const ARTICLES: &str = "songkhao_articles_total";
const STEP_ERRORS: &str = "songkhao_step_errors_total";
const DATABASE_READ: &str = "songkhao_database_read_duration_seconds";

/// The recorder of this process, once it was installed.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting; before that, everything counted is dropped. A second call changes nothing.
///
/// # Errors
/// When something else in this process counts already.
pub fn start() -> Result<(), BuildError> {
    if RECORDER.get().is_none() {
        let recorder = builder()?.install_recorder()?;
        describe();
        RECORDER.get_or_init(|| recorder);
    }
    Ok(())
}

/// What was counted since [`start`], and the levels given, in Prometheus' text format.
pub fn page(levels: &[Level]) -> String {
    format!("{}{}", RECORDER.get().map(PrometheusHandle::render).unwrap_or_default(), write_levels(levels))
}

/// Folds measurements into their histograms; without it those that nobody reads would pile up.
pub fn tend() {
    if let Some(recorder) = RECORDER.get() {
        recorder.run_upkeep();
    }
}

/// A delivery came into a state that it does not leave by its turn in the queue alone: delivered, failed, expired,
/// cancelled, held, unconfirmed, parked. One that is found again after doubt counts under both.
pub fn delivery(account: &str, platform: Platform, outcome: &'static str) {
    counter!(DELIVERIES, "account" => account.to_owned(), "platform" => platform.name(), "outcome" => outcome)
        .increment(1);
}

/// A request that might publish something was answered, or given up.
pub fn attempt(account: &str, platform: Platform, outcome: &'static str, took: Duration) {
    counter!(ATTEMPTS, "account" => account.to_owned(), "platform" => platform.name(), "outcome" => outcome)
        .increment(1);
    histogram!(ATTEMPT_DURATION, "platform" => platform.name(), "outcome" => outcome).record(took);
}

/// Leases were taken over from senders that stopped in the middle.
pub fn leases_lost(deliveries: usize) {
    counter!(LEASES_LOST).increment(deliveries as u64);
}

/// A source was asked: new, unchanged, not_modified or error.
pub fn poll(source: &str, result: &'static str) {
    counter!(POLLS, "source" => source.to_owned(), "result" => result).increment(1);
}

/// Articles came out of a step: collected, seen, changed, read, unreadable, summarized, composed.
pub fn articles(step: &'static str, count: usize) {
    counter!(ARTICLES, "step" => step).increment(count as u64);
}

/// A step failed, mostly because the database did.
pub fn step_error(step: &str) {
    counter!(STEP_ERRORS, "step" => step.to_owned()).increment(1);
}

/// The database answered a smallest read after so long.
pub fn database_read(took: Duration) {
    histogram!(DATABASE_READ).record(took);
}

/// A figure as it stands now, with its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its name without `songkhao_`.
    pub name: &'static str,
    /// What it is of.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

/// The names of all levels, without `songkhao_`, and what each tells.
pub const LEVELS: &[(&str, &str)] = &[
    ("build_info", "Always 1; the version stands in its label."),
    ("database_up", "1 if the database answered when this page was made."),
    (
        "overdue_age_seconds",
        "For how long the account could have sent what is due and has not; 0 if nothing is overdue.",
    ),
    ("queue_depth", "Deliveries that wait for their turn or their time, by lane."),
    ("queue_due", "Deliveries whose time has come, whatever holds them back, by lane."),
    ("unconfirmed_deliveries", "Deliveries of which nobody knows whether they are public, by account."),
    ("parked_deliveries", "Deliveries that only a person can settle, by account."),
    ("held_deliveries", "Deliveries that a hold stopped, by account."),
    ("review_posts", "Posts that wait for a person's approval."),
    ("articles_waiting", "Articles that wait for a step."),
    ("account_paused", "1 while the account is paused, with the kind of pause."),
    ("source_staleness_seconds", "Time since the source last gave a good answer, a 304 included."),
    ("source_errors", "Errors of the source in a row."),
    ("audit_unsealed_entries", "Audit entries that wait for their place in the log."),
    ("audit_head_age_seconds", "Time since the audit log's head was last signed."),
];

/// The levels in the text format, those of one name together, as it asks for.
fn write_levels(levels: &[Level]) -> String {
    let mut out = String::new();
    for (name, meaning) in LEVELS {
        let mut of_name = levels.iter().filter(|level| level.name == *name).peekable();
        if of_name.peek().is_some() {
            out += &format!("# HELP songkhao_{name} {meaning}\n# TYPE songkhao_{name} gauge\n");
        }
        for level in of_name {
            let labels: Vec<String> =
                level.labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            // Writing to a String cannot fail.
            let _infallible = writeln!(out, "songkhao_{name}{labels} {}", level.value);
        }
    }
    out
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(ATTEMPT_DURATION.to_owned()), &ATTEMPT_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(DATABASE_READ.to_owned()), &DATABASE_SECONDS)
}

fn describe() {
    describe_counter!(DELIVERIES, "Deliveries that came to an outcome, or into doubt.");
    describe_counter!(ATTEMPTS, "Requests that might publish something, by their outcome.");
    describe_histogram!(ATTEMPT_DURATION, Unit::Seconds, "How long such a request took.");
    describe_counter!(LEASES_LOST, "Deliveries taken over from a sender that stopped in the middle.");
    describe_counter!(POLLS, "Questions to sources, by result.");
    describe_counter!(ARTICLES, "Articles that came out of a step.");
    describe_counter!(STEP_ERRORS, "Steps that failed.");
    describe_histogram!(DATABASE_READ, Unit::Seconds, "How long the database took for a smallest read.");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a recorder of the test's own shows after `counting`.
    fn shown(counting: impl FnOnce()) -> String {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            counting();
        });
        recorder.handle().render()
    }

    #[track_caller]
    fn check(page: &str, line: &str) {
        assert!(page.lines().any(|shown| shown == line), "{line} is not in\n{page}");
    }

    #[test]
    fn what_happened_is_counted_under_its_labels() {
        let page = shown(|| {
            delivery("inn-x", Platform::X, "delivered");
            delivery("inn-x", Platform::X, "delivered");
            poll("inn", "not_modified");
            articles("collected", 3);
        });
        check(&page, r#"songkhao_deliveries_total{account="inn-x",platform="x",outcome="delivered"} 2"#);
        check(&page, r#"songkhao_source_polls_total{source="inn",result="not_modified"} 1"#);
        check(&page, r#"songkhao_articles_total{step="collected"} 3"#);
        check(&page, "# TYPE songkhao_deliveries_total counter");
    }

    #[test]
    fn latency_is_a_histogram_and_no_summary() {
        let page = shown(|| attempt("a", Platform::Line, "delivered", Duration::from_millis(300)));
        check(&page, "# TYPE songkhao_attempt_duration_seconds histogram");
        let labels = r#"platform="line",outcome="delivered""#;
        check(&page, &format!("songkhao_attempt_duration_seconds_bucket{{{labels},le=\"0.25\"}} 0"));
        check(&page, &format!("songkhao_attempt_duration_seconds_bucket{{{labels},le=\"0.5\"}} 1"));
    }

    #[test]
    fn levels_of_one_name_stand_together_under_their_meaning() {
        let lane = |name, lane: &str, value| Level { name, labels: vec![("lane", lane.to_owned())], value };
        let up = Level { name: "database_up", labels: Vec::new(), value: 1.0 };
        let levels = [lane("queue_depth", "breaking", 0.0), up, lane("queue_depth", "normal", 2.5)];
        assert_eq!(
            write_levels(&levels),
            "# HELP songkhao_database_up 1 if the database answered when this page was made.\n\
             # TYPE songkhao_database_up gauge\n\
             songkhao_database_up 1\n\
             # HELP songkhao_queue_depth Deliveries that wait for their turn or their time, by lane.\n\
             # TYPE songkhao_queue_depth gauge\n\
             songkhao_queue_depth{lane=\"breaking\"} 0\n\
             songkhao_queue_depth{lane=\"normal\"} 2.5\n"
        );
    }

    #[test]
    fn a_name_from_outside_cannot_break_a_line() {
        let name = "a\"\n} 9\nfoo{\\";
        let level = Level { name: "source_errors", labels: vec![("source", name.to_owned())], value: 1.0 };
        let page = format!("{}{}", shown(|| poll(name, "new")), write_levels(&[level]));
        let whole = |line: &str| line.is_empty() || line.starts_with('#') || line.starts_with("songkhao_");
        assert!(page.lines().all(whole), "{page}");
        check(&page, r#"songkhao_source_errors{source="a\"\n} 9\nfoo{\\"} 1"#);
    }
}
