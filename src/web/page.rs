//! Page: what every page has around its content, and text made fit to show.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Html;
use axum::response::IntoResponse;
use axum::response::Redirect;
use axum::response::Response;
use chrono::DateTime;
use chrono::Utc;
use url::Url;

use crate::model::user::Right;
use crate::model::user::Role;
use crate::pipeline::Context;
use crate::store::audit::Stamp;
use crate::web::App;
use crate::web::asset;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::gate::Visitor;
use crate::web::moment::Calendar;
use crate::web::words::Lang;
use crate::web::words::Words;

/// Where in the navigation a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What goes out next and what needs a person.
    Home,
    /// What went where.
    Posts,
    /// What came.
    Articles,
    /// Where to.
    Accounts,
    /// Where from.
    Sources,
    /// Who did what.
    Audit,
    /// Not in the navigation.
    Elsewhere,
}

/// One entry of the navigation.
#[derive(Debug)]
pub struct Link {
    /// Where it leads.
    pub href: &'static str,
    /// What it says.
    pub label: &'static str,
    /// Whether this page is there.
    pub here: bool,
}

/// What the layout needs.
#[derive(Debug)]
pub struct Page {
    /// The phrases.
    pub t: &'static Words,
    /// Their language, as HTML names it.
    pub lang: &'static str,
    /// This page in the other language.
    pub other: String,
    /// The code of the other language.
    pub other_lang: &'static str,
    /// The navigation; empty for who is not signed in.
    pub links: Vec<Link>,
    /// Who is signed in.
    pub who: Option<Who>,
    /// What has just been done.
    pub note: Option<&'static str>,
    /// Where the style sheet is.
    pub style: &'static str,
    /// Where the script is.
    pub script: &'static str,
    /// Where the icon is.
    pub icon: &'static str,
}

/// Who looks at a page.
#[derive(Debug)]
pub struct Who {
    /// The name.
    pub name: String,
    /// The role, in the page's language.
    pub role: &'static str,
    /// Whether the role works on the queue.
    pub works: bool,
    /// Whether the role approves.
    pub approves: bool,
}

impl Page {
    /// The surroundings of a page for a visitor.
    pub fn new(_: &Context, visitor: Option<Visitor>, lang: Lang, place: Place, uri: &Uri) -> Page {
        let t = lang.words();
        let link = |href, label, at| Link { href, label, here: place == at };
        let links = match visitor {
            None => Vec::new(),
            Some(_) => vec![
                link("/", t.home, Place::Home),
                link("/posts", t.posts, Place::Posts),
                link("/articles", t.articles, Place::Articles),
                link("/accounts", t.accounts, Place::Accounts),
                link("/sources", t.sources, Place::Sources),
                link("/audit", t.audit_short, Place::Audit),
            ],
        };
        let who = visitor.map(|visitor| Who {
            works: visitor.may(Right::Work),
            approves: visitor.may(Right::Approve),
            role: role_label(visitor.session.role, t),
            name: visitor.session.user,
        });
        Page {
            t,
            lang: lang.code(),
            other: with_query(uri, "lang", lang.other().code()),
            other_lang: lang.other().code(),
            links,
            who,
            note: query(uri, "note").and_then(|note| note_text(&note, t)),
            style: asset::style(),
            script: asset::script(),
            icon: asset::icon(),
        }
    }

    /// Whether the visitor works on the queue.
    pub fn works(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.works)
    }

    /// Whether the visitor approves.
    pub fn approves(&self) -> bool {
        self.who.as_ref().is_some_and(|who| who.approves)
    }
}

/// A look at a page: who looks, in which language, when, at what.
#[derive(Debug)]
pub struct View {
    /// The context in force.
    pub context: Arc<Context>,
    /// Who looks.
    pub visitor: Visitor,
    /// In which language.
    pub lang: Lang,
    /// The present moment.
    pub now: DateTime<Utc>,
    /// How moments are written.
    pub calendar: Calendar,
    uri: Uri,
}

impl View {
    /// The phrases.
    pub fn t(&self) -> &'static Words {
        self.lang.words()
    }

    /// The surroundings of this page.
    pub fn page(&self, place: Place) -> Page {
        Page::new(&self.context, Some(self.visitor.clone()), self.lang, place, &self.uri)
    }

    /// The stamp of what the visitor does now.
    pub fn stamp(&self) -> Stamp {
        self.visitor.stamp(&self.context)
    }

    /// This page's address with one value of its query changed.
    pub fn with_query(&self, key: &str, value: &str) -> String {
        with_query(&self.uri, key, value)
    }
}

impl FromRequestParts<App> for View {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<View, Failure> {
        let visitor = parts.extensions.get::<Visitor>().cloned().ok_or(Failure::SignIn)?;
        let lang = parts.extensions.get::<Lang>().copied().unwrap_or_default();
        let context = app.context();
        let now = context.now();
        let calendar = Calendar::new(&context.config, lang, now);
        Ok(View { context, visitor, lang, now, calendar, uri: parts.uri.clone() })
    }
}

/// A page's HTML.
///
/// # Errors
/// When rendering fails; it is logged.
pub fn render(template: &impl Template) -> Result<Html<String>, Failure> {
    Ok(Html(template.render()?))
}

/// A page as an answer.
///
/// # Errors
/// When rendering fails; it is logged.
pub fn show(template: &impl Template) -> Answer {
    Ok(render(template)?.into_response())
}

/// Back to a page after something was done there, with a word about it.
pub fn done(path: &str, note: &str) -> Response {
    Redirect::to(&format!("{path}?note={note}")).into_response()
}

/// Text from outside as it may be shown: without control characters but line feeds, and without marks that turn
/// the text around it.
pub fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| c == '\n' || !(c.is_control() || turns(c))).collect()
}

/// A link from outside, if a browser may follow it: http or https, nothing else.
pub fn web_link(link: &str) -> Option<String> {
    let url = Url::parse(link.trim()).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.to_string())
}

/// The host of a link, as link cards show it.
pub fn host(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    url.host_str().map(|host| host.strip_prefix("www.").unwrap_or(host).to_owned())
}

/// A role in words.
pub fn role_label(role: Role, t: &Words) -> &'static str {
    match role {
        Role::Viewer => t.role_viewer,
        Role::Editor => t.role_editor,
        Role::Approver => t.role_approver,
        Role::Admin => t.role_admin,
    }
}

fn note_text(note: &str, t: &Words) -> Option<&'static str> {
    Some(match note {
        "approved" => t.done_approved,
        "rejected" => t.done_rejected,
        "retried" => t.done_retried,
        "cancelled" => t.done_cancelled,
        "resolved" => t.done_resolved,
        "held" => t.done_held,
        "lifted" => t.done_lifted,
        _ => return None,
    })
}

fn query(uri: &Uri, key: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find_map(|(name, value)| (name == key).then(|| value.into_owned()))
}

fn with_query(uri: &Uri, key: &str, value: &str) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.filter(|(name, _)| name != key && name != "note"));
    query.append_pair(key, value);
    format!("{}?{}", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_links_may_be_followed() {
        for (link, shown) in [
            ("https://x.example/ข่าว", Some("https://x.example/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7")),
            ("javascript:alert(1)", None),
            (" javascript:alert(1)", None),
            ("data:text/html,<script>", None),
            ("//x.example", None),
        ] {
            assert_eq!(web_link(link).as_deref(), shown, "{link}");
        }
    }

    #[test]
    fn marks_that_turn_text_around_are_taken_out() {
        assert_eq!(clean("ก\u{202e}ข\u{7}\nค"), "กข\nค");
    }

    #[test]
    fn a_query_keeps_what_it_is_not_asked_to_change() {
        let uri = "/posts?state=failed&lang=th&note=approved".parse().unwrap();
        assert_eq!(with_query(&uri, "lang", "en"), "/posts?state=failed&lang=en");
    }
}
