//! List: a Page's published posts as Facebook shows them.
//!
//! Spec: platforms/facebook.md, section 9. A post's `url` is Facebook's redirect; the true target is `unshimmed_url`.

use chrono::DateTime;
use serde::Deserialize;
use url::Url;

use crate::model::readback;
use crate::model::readback::RemotePost;

/// What a read-back asks of each post.
pub(super) const POST_FIELDS: &str =
    "id,message,created_time,permalink_url,application{id},attachments{url,unshimmed_url,target{url}}";

#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<PagePost>,
    pub(super) paging: Option<Paging>,
}

#[derive(Deserialize)]
pub(super) struct Paging {
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PagePost {
    id: String,
    created_time: String,
    #[serde(default)]
    message: String,
    permalink_url: Option<String>,
    application: Option<Application>,
    #[serde(default)]
    attachments: Attachments,
}

impl PagePost {
    /// The post as the rest of songkhao knows it; or what about it can't be read.
    pub(super) fn remote(self) -> Result<RemotePost, String> {
        let created_at = DateTime::parse_from_str(&self.created_time, "%Y-%m-%dT%H:%M:%S%z")
            .or_else(|_| DateTime::parse_from_rfc3339(&self.created_time))
            .map_err(|_| {
                format!("post {} has the unreadable created_time {:?}", self.id, self.created_time)
            })?;
        let attached = self.attachments.data.into_iter().flat_map(|attachment| {
            [attachment.unshimmed_url, attachment.url, attachment.target.and_then(|target| target.url)]
        });
        let attached = attached.flatten().map(|link| unwrapped(&link));
        let links =
            readback::links_in(&self.message).into_iter().map(str::to_owned).chain(attached).collect();
        Ok(RemotePost {
            remote_id: self.id,
            permalink: self.permalink_url,
            links,
            text: self.message,
            created_at: created_at.to_utc(),
            application: self.application.map(|application| application.id),
        })
    }
}

#[derive(Deserialize)]
struct Application {
    id: String,
}

#[derive(Default, Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    unshimmed_url: Option<String>,
    url: Option<String>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    url: Option<String>,
}

/// The target of a link behind Facebook's redirect (`l.facebook.com/l.php?u=…`); other links as they are.
fn unwrapped(link: &str) -> String {
    let target =
        Url::parse(link).ok().filter(|url| url.host_str() == Some("l.facebook.com")).and_then(|url| {
            url.query_pairs().find(|(name, _)| name == "u").map(|(_, target)| target.into_owned())
        });
    target.unwrap_or_else(|| link.to_owned())
}
