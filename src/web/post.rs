//! Post: what went where, one post whole, and the word of a person on it.

use axum::Form;
use axum::extract::Path;
use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;

use crate::model::account::Platform;
use crate::model::delivery::State;
use crate::store::article;
use crate::store::audit as log;
use crate::store::delivery;
use crate::store::listing;
use crate::store::post;
use crate::store::post::Post;
use crate::web::audit;
use crate::web::audit::Told;
use crate::web::delivery::Story;
use crate::web::failure::Answer;
use crate::web::failure::Failure;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::reason;
use crate::web::row;
use crate::web::row::Row;

/// Lines of a list on one page.
const PAGE: i64 = 50;

/// Audit lines on a post's page.
const HISTORY: i64 = 200;

/// The longest comment that is kept, in characters.
const LONGEST_COMMENT: usize = 500;

/// What the list is asked for; empty: all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    state: String,
    account: String,
    before: Option<i64>,
}

#[derive(askama::Template)]
#[template(path = "web/posts.html")]
struct Posts {
    page: Page,
    rows: Vec<Row>,
    states: Vec<Choice>,
    accounts: Vec<Choice>,
    older: Option<String>,
    first: bool,
}

/// An option of a select.
#[derive(Debug)]
pub struct Choice {
    /// What is sent.
    pub value: String,
    /// What it says.
    pub label: String,
    /// Whether it is the present one.
    pub chosen: bool,
}

/// `GET /posts`.
pub async fn list(view: View, Query(asked): Query<Asked>) -> Answer {
    let t = view.t();
    let filter = listing::Filter {
        states: asked.state.split(',').filter(|state| !state.is_empty()).map(str::to_owned).collect(),
        account: Some(asked.account.clone()).filter(|account| !account.is_empty()),
        before: asked.before,
        limit: Some(PAGE),
        ..listing::Filter::default()
    };
    let mut lines = listing::list(&view.context.db, &filter).await?;
    lines.reverse();
    let full = i64::try_from(lines.len()).is_ok_and(|count| count == PAGE);
    let older = lines.last().filter(|_| full).map(|line| view.with_query("before", &line.post));
    let states = ["review"].into_iter().chain(State::ALL.into_iter().map(State::name)).map(|state| Choice {
        value: state.to_owned(),
        label: row::state_label(state, t).to_owned(),
        chosen: asked.state == state,
    });
    let accounts = view.context.config.accounts.iter().map(|account| Choice {
        value: account.name.clone(),
        label: account.name.clone(),
        chosen: asked.account == account.name,
    });
    page::show(&Posts {
        rows: lines.iter().map(|line| Row::new(line, &view)).collect(),
        states: states.collect(),
        accounts: accounts.collect(),
        older,
        first: asked.before.is_none(),
        page: view.page(Place::Posts),
    })
}

#[derive(askama::Template)]
#[template(path = "web/post.html")]
struct Whole {
    page: Page,
    card: Card,
    in_review: bool,
    stories: Vec<Story>,
    history: Vec<Told>,
}

/// A post as its own page and its article's page show it.
#[derive(Debug)]
pub struct Card {
    /// Its id.
    pub id: i64,
    /// The account.
    pub account: String,
    /// The platform, as CSS names it.
    pub platform: &'static str,
    /// The platform, as people name it.
    pub platform_label: &'static str,
    /// The lane, where it is not the normal one.
    pub lane: Option<&'static str>,
    /// The state, as CSS names it.
    pub state: String,
    /// The state in words.
    pub state_label: &'static str,
    /// Why it needs or needed a person.
    pub reasons: Vec<String>,
    /// The route that made it.
    pub route: Option<String>,
    /// Counts wordings.
    pub revision: i64,
    /// The article, if it is of one.
    pub article: Option<i64>,
    /// When it was worded.
    pub made_at: Moment,
    /// Who approved it.
    pub approved_by: Option<String>,
    /// The exact bytes.
    pub body: String,
    /// Their hash.
    pub hash: String,
    /// How readers will see it.
    pub preview: Preview,
}

/// What readers see, as far as the text tells.
#[derive(Debug)]
pub struct Preview {
    /// The platform, as CSS names it.
    pub platform: &'static str,
    /// Who posts.
    pub account: String,
    /// The text by lines; empty ones part paragraphs.
    pub lines: Vec<String>,
    /// The link card: host and headline.
    pub link: Option<LinkCard>,
    /// What the button of a bubble says; it is the last line of its text.
    pub button: Option<String>,
}

/// The card that a platform makes of a link.
#[derive(Debug)]
pub struct LinkCard {
    /// Where it leads.
    pub href: String,
    /// The host, as cards show it.
    pub host: String,
    /// The article's headline, if it is of one.
    pub title: Option<String>,
}

impl Card {
    /// A post as a visitor sees it; `title` is its article's headline.
    pub fn new(post: &Post, title: Option<&str>, view: &View) -> Card {
        let t = view.t();
        let link = post.payload.link.as_deref().and_then(page::web_link);
        let mut lines: Vec<String> = page::clean(&post.payload.text).lines().map(str::to_owned).collect();
        let has_button = post.platform == Platform::Line && link.is_some();
        let preview = Preview {
            platform: post.platform.name(),
            account: post.account.clone(),
            button: if has_button { lines.pop() } else { None },
            lines,
            link: link.map(|href| LinkCard {
                host: page::host(&href).unwrap_or_default(),
                title: title.map(page::clean),
                href,
            }),
        };
        Card {
            id: post.id,
            account: post.account.clone(),
            platform: post.platform.name(),
            platform_label: row::platform_label(post.platform.name()),
            lane: row::lane_label(post.lane.name(), t),
            state_label: row::state_label(&post.state, t),
            state: post.state.clone(),
            reasons: post.reasons.iter().map(|it| page::clean(&reason::tell(it, view.lang))).collect(),
            route: post.route.clone(),
            revision: post.revision,
            article: post.article,
            made_at: view.calendar.moment(post.made_at),
            approved_by: post.approved_by.clone(),
            body: page::clean(&post.payload.body),
            hash: post.payload.hash.clone(),
            preview,
        }
    }
}

impl Preview {
    /// Whether the platform shows a card for the link.
    pub fn has_card(&self) -> bool {
        self.platform != Platform::Line.name()
    }

    /// Whether a line is set as a bubble sets its headline.
    pub fn is_headline(&self, line: &str) -> bool {
        !self.has_card() && self.link.as_ref().is_some_and(|link| link.title.as_deref() == Some(line))
    }
}

/// `GET /posts/{id}`.
pub async fn show(view: View, Path(id): Path<i64>) -> Answer {
    let db = &view.context.db;
    let post = post::find(db, id).await?.ok_or(Failure::Missing)?;
    let known = match post.article {
        Some(article) => article::find(db, article).await?,
        None => None,
    };
    let title = known.as_ref().map(|article| article.content.title.as_str());
    let mut stories = Vec::new();
    for delivery in delivery::list_of_post(db, id).await? {
        stories.push(Story::read(delivery, &view).await?);
    }
    let filter = log::Filter { post: Some(id), limit: Some(HISTORY), ..log::Filter::default() };
    page::show(&Whole {
        card: Card::new(&post, title, &view),
        in_review: post.state == "review" || post.state == "draft",
        stories,
        history: audit::tell(&log::list(db, &filter).await?, &view),
        page: view.page(Place::Posts),
    })
}

/// What a person says to a post, and to which bytes.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    hash: String,
    #[serde(default)]
    comment: String,
}

/// `POST /posts/{id}/approve`.
pub async fn approve(view: View, Path(id): Path<i64>, Form(verdict): Form<Verdict>) -> Answer {
    decide(&view, id, true, &verdict).await
}

/// `POST /posts/{id}/reject`.
pub async fn reject(view: View, Path(id): Path<i64>, Form(verdict): Form<Verdict>) -> Answer {
    decide(&view, id, false, &verdict).await
}

async fn decide(view: &View, id: i64, approve: bool, verdict: &Verdict) -> Result<Response, Failure> {
    let db = &view.context.db;
    let post = post::find(db, id).await?.ok_or(Failure::Missing)?;
    if post.payload.hash != verdict.hash {
        return Err(Failure::Refused(|t| t.refused_changed));
    }
    let comment: String = page::clean(verdict.comment.trim()).chars().take(LONGEST_COMMENT).collect();
    let comment = Some(comment).filter(|comment| !comment.is_empty());
    // The store compares the hash again, in the transaction that decides.
    match post::decide(db, &view.stamp(), id, approve, Some(&verdict.hash), comment.as_deref()).await? {
        Ok(()) => Ok(page::done(&format!("/posts/{id}"), if approve { "approved" } else { "rejected" })),
        Err(_) => Err(Failure::Refused(|t| t.refused_moved)),
    }
}
