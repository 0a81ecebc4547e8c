//! Post: lists posts and decides about them, as the pages do.

use std::io::Write;
use std::path::Path;

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::Failure;
use crate::cli::desk::Desk;
use crate::model::attempt::Receipt;
use crate::model::delivery::State;
use crate::model::transition::Event;
use crate::model::transition::Resolution;
use crate::store::attempt;
use crate::store::delivery;
use crate::store::delivery::Happening;
use crate::store::listing;
use crate::store::listing::Line;
use crate::store::post;

/// `songkhao post …`
#[derive(Debug, Subcommand)]
pub enum PostCommand {
    /// Posts with their deliveries, oldest first.
    List {
        /// Only this state (may be given again): a delivery's, or a post's that has no delivery yet.
        #[arg(long = "state")]
        states: Vec<String>,
        /// Only this account.
        #[arg(long)]
        account: Option<String>,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// One post: its exact bytes, deliveries and attempts.
    Show {
        /// The post.
        post: i64,
    },
    /// Say yes to a post in review.
    Approve {
        /// The post.
        post: i64,
    },
    /// Say no to a post in review.
    Reject {
        /// The post.
        post: i64,
        /// Why.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Settle a parked delivery.
    Resolve {
        /// The delivery.
        delivery: i64,
        /// What you know of it.
        #[command(flatten)]
        how: How,
    },
    /// Call an unsent delivery off.
    Cancel {
        /// The delivery.
        delivery: i64,
    },
    /// Send a failed or held delivery again.
    Retry {
        /// The delivery.
        delivery: i64,
    },
}

/// What a person knows of a parked delivery.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct How {
    /// It is public, under this link.
    #[arg(long, value_name = "URL")]
    there: Option<String>,
    /// It is not public: send it again.
    #[arg(long)]
    absent: bool,
    /// Leave it.
    #[arg(long)]
    drop: bool,
}

/// Carries out a post command.
///
/// # Errors
/// What the state does not allow (exit 1), or what the database says.
pub async fn post(config: Option<&Path>, command: PostCommand) -> Result<(), Failure> {
    let desk = Desk::open(config).await?;
    match command {
        PostCommand::List { states, account, json } => list(&desk, states, account, json).await,
        PostCommand::Show { post } => show(&desk, post).await,
        PostCommand::Approve { post } => decide(&desk, post, true, None).await,
        PostCommand::Reject { post, reason } => decide(&desk, post, false, reason.as_deref()).await,
        PostCommand::Resolve { delivery, how } => {
            let resolution = match how {
                How { there: Some(url), .. } => Resolution::There(Receipt::found_at(&url)),
                How { absent: true, .. } => Resolution::Absent,
                _ => Resolution::Drop,
            };
            apply(&desk, delivery, Event::Resolved(resolution)).await
        }
        PostCommand::Cancel { delivery } => {
            apply(&desk, delivery, Event::Cancelled { reason: "cancelled by a person".to_owned() }).await
        }
        PostCommand::Retry { delivery } => apply(&desk, delivery, Event::Retried).await,
    }
}

async fn list(desk: &Desk, states: Vec<String>, account: Option<String>, json: bool) -> Result<(), Failure> {
    for state in &states {
        let of_post = ["draft", "review", "approved", "rejected"].contains(&state.as_str());
        if !of_post && state.parse::<State>().is_err() {
            return Err(Failure::Usage(format!(
                "songkhao: no state is called {state:?}; there are draft, review, approved, rejected, {}",
                State::ALL.map(State::name).join(", ")
            )));
        }
    }
    let filter = listing::Filter { states, account, ..listing::Filter::default() };
    let lines = listing::list(&desk.db, &filter).await?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&lines)?)?;
        return Ok(());
    }
    for line in &lines {
        writeln!(out, "{}", row(line))?;
    }
    Ok(())
}

fn row(line: &Line) -> String {
    let delivery = line.delivery.as_deref().unwrap_or("-");
    let first_line = line.text.lines().next().unwrap_or_default();
    let reason = line.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{:>5} {delivery:>5}  {:<12} {}  {}  {first_line}{reason}",
        line.post,
        line.state,
        line.account,
        line.due.to_rfc3339()
    )
}

async fn show(desk: &Desk, id: i64) -> Result<(), Failure> {
    let Some(post) = post::find(&desk.db, id).await? else {
        return Err(anyhow::anyhow!("there is no post {id}").into());
    };
    let mut deliveries = Vec::new();
    for delivery in delivery::list_of_post(&desk.db, id).await? {
        deliveries.push(json!({
            "delivery": delivery.id.to_string(), "act": delivery.act, "state": delivery.facts.state,
            "due": delivery.facts.due_at, "good_until": delivery.facts.good_until, "reason": delivery.reason,
            "remote_id": delivery.remote_id, "permalink": delivery.permalink,
            "attempts": attempt::list(&desk.db, delivery.id).await?,
        }));
    }
    let shown = json!({
        "post": post.id.to_string(), "account": post.account, "platform": post.platform, "state": post.state,
        "lane": post.lane, "route": post.route, "reasons": post.reasons, "revision": post.revision,
        "text": post.payload.text, "payload": post.payload.body, "payload_hash": post.payload.hash,
        "approved_by": post.approved_by, "deliveries": deliveries,
    });
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&shown)?)?;
    Ok(())
}

async fn decide(desk: &Desk, id: i64, approve: bool, reason: Option<&str>) -> Result<(), Failure> {
    match post::decide(&desk.db, &desk.stamp(), id, approve, None, reason).await? {
        Ok(()) => {
            let verdict = if approve { "approved" } else { "rejected" };
            writeln!(std::io::stdout().lock(), "post {id} {verdict}")?;
            Ok(())
        }
        Err(refusal) => Err(anyhow::anyhow!(refusal).into()),
    }
}

async fn apply(desk: &Desk, id: i64, event: Event) -> Result<(), Failure> {
    let happening = Happening { evidence: json!({ "by": "command line" }), ..Happening::from(event) };
    match delivery::apply(&desk.db, &desk.stamp(), id, None, happening, &desk.policy()).await? {
        Ok(delivery) => {
            writeln!(std::io::stdout().lock(), "delivery {id} {}", delivery.facts.state)?;
            Ok(())
        }
        Err(refusal) => Err(anyhow::anyhow!(refusal).into()),
    }
}
