//! Anchor: signed heads → places outside, so that a cut log shows.
//!
//! A head that arrives twice does no harm, so this may be repeated at will. It never holds anything up: a place
//! that doesn't answer is tried again, and the daemon's log says so.

use std::path::Path;

use chrono::TimeDelta;
use serde_json::json;
use tracing::error;
use tracing::info;
use tracing::warn;

use crate::clock;
use crate::config::audit::Audit;
use crate::model::audit::Action;
use crate::model::checkpoint;
use crate::model::checkpoint::SignedHead;
use crate::model::merkle;
use crate::notify;
use crate::pipeline::Context;
use crate::pipeline::Step;
use crate::store::anchor;
use crate::store::audit;
use crate::store::db::Result;
use crate::store::tree;

const FILE: &str = "file";
const WEBHOOK: &str = "webhook";
const MAIL: &str = "mail";

/// How long a place is left alone while a head is on its way there.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(2);

/// The first pause after a failure; it doubles with each further one, up to `heads_every`.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(10);

/// The places that are configured.
pub fn places(config: &Audit) -> Vec<&'static str> {
    let places = [
        config.heads_file.as_ref().map(|_| FILE),
        config.heads_webhook.as_ref().map(|_| WEBHOOK),
        config.heads_mail.as_ref().map(|_| MAIL),
    ];
    places.into_iter().flatten().collect()
}

/// Sends the newest head to the place whose turn it is, if the log has grown.
///
/// # Errors
/// What the database says.
pub async fn step(context: &Context) -> Result<Step> {
    let now = context.now();
    let Some(place) = anchor::claim(&context.db, now, now + UNDER_WAY).await? else { return Ok(Step::Idle) };
    let every = clock::span(context.config.audit.heads_every);
    let head = newest(context).await?.filter(|head| head.head.size > place.size);
    let Some(head) = head else {
        anchor::postpone(&context.db, &place.place, now + every).await?;
        return Ok(Step::Worked);
    };
    match send(context, &place.place, &head).await {
        Ok(()) => {
            anchor::arrived(&context.db, &place.place, head.head.size, context.now(), now + every).await?;
            info!(
                place = place.place,
                size = head.head.size,
                "Sent the audit log's head to the {}",
                place.place
            );
        }
        Err(reason) => {
            let doubled = u32::try_from(place.failures).unwrap_or(u32::MAX).min(16);
            let pause = (FIRST_PAUSE * (1 << doubled)).min(every);
            anchor::failed(&context.db, &place.place, &reason, context.now() + pause).await?;
            warn!(place = place.place, reason, "The audit log's head did not reach the {}", place.place);
        }
    }
    Ok(Step::Worked)
}

async fn newest(context: &Context) -> Result<Option<SignedHead>> {
    let note = audit::newest_head(&context.db).await?;
    Ok(note.and_then(|note| note.parse().ok()))
}

async fn send(context: &Context, place: &str, head: &SignedHead) -> std::result::Result<(), String> {
    let config = &context.config.audit;
    match (place, &config.heads_file, &config.heads_webhook, &config.heads_mail) {
        (FILE, Some(path), _, _) => notify::append(Path::new(path), &head.to_string()).await,
        (WEBHOOK, _, Some(address), _) => {
            let body = json!({
                "text": format!("songkhao: {}\n{head}", subject(head)),
                "log": head.head.origin, "size": head.head.size, "head": head.to_string(),
                "public_key": context.signer.public_key().to_string(),
            });
            notify::post(address.expose(), &body).await
        }
        (MAIL, _, _, Some(mail)) => {
            let text = format!(
                "{head}\nKeep this. `songkhao audit verify --head FILE` compares the log with the five lines above;\n\
                 any change before entry {} then shows. The public key, to be kept once:\n\n{}\n",
                head.head.size,
                context.signer.public_key()
            );
            notify::mail(mail, &subject(head), &text).await
        }
        // Another node has it configured; its turn will come there.
        _ => Err("this node has no such place configured".to_owned()),
    }
}

fn subject(head: &SignedHead) -> String {
    format!("the audit log {} has {} entries", head.head.origin, head.head.size)
}

/// Appends the last head to the file before the daemon goes, so that the next start can compare with it.
///
/// # Errors
/// What the database says.
pub async fn last_word(context: &Context) -> Result<()> {
    let known = anchor::list(&context.db).await?.into_iter().find(|place| place.place == FILE);
    let (Some(place), Some(path), Some(head)) =
        (known, &context.config.audit.heads_file, newest(context).await?)
    else {
        return Ok(());
    };
    if head.head.size <= place.size {
        return Ok(());
    }
    let now = context.now();
    match notify::append(Path::new(path), &head.to_string()).await {
        Ok(()) => anchor::arrived(&context.db, FILE, head.head.size, now, now).await,
        Err(reason) => {
            warn!(reason, "The audit log's last head could not be kept");
            Ok(())
        }
    }
}

/// Looks whether the database still holds what the last head in the file was signed over. A gap is told loudly and
/// becomes an entry: a log that was put back goes on, and must not hide it.
///
/// # Errors
/// What the database says.
pub async fn look_back(context: &Context) -> Result<()> {
    let Some(path) = &context.config.audit.heads_file else { return Ok(()) };
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) if !text.is_empty() => text,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            warn!(error = %error, "The heads sent to {path} can't be read");
            return Ok(());
        }
    };
    let last = match checkpoint::parse_heads(&text).map(|mut heads| heads.pop()) {
        Ok(Some(last)) if last.verify(context.signer.public_key()).is_ok() => last.head,
        // A former key's, or another log's: `audit verify` tells these apart.
        Ok(_) => return Ok(()),
        Err(error) => {
            warn!(error = %error, "The heads sent to {path} can't be read");
            return Ok(());
        }
    };
    let size = newest(context).await?.map_or(0, |head| head.head.size);
    let reason = if size < last.size {
        format!(
            "{path} holds a head of {} entries, and the database has {size}: an older copy was restored, or the log was cut",
            last.size
        )
    } else if tree::root_at(&context.db, last.size).await?.is_some_and(|root| root != last.root) {
        format!(
            "the first {} entries are not those of the last head in {path}: the log was rewritten",
            last.size
        )
    } else {
        return Ok(());
    };
    error!(reason, "The audit log has a gap");
    let mut entry = context.stamp("daemon").entry(Action::AuditGapFound);
    entry.detail = json!({
        "reason": reason, "sent_size": last.size, "sent_root": merkle::hex(&last.root), "size": size,
    });
    audit::record(&context.db, &entry).await?;
    // Else the last head in the file would be the lost one again at the next start.
    anchor::forget(&context.db, FILE).await
}
