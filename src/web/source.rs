//! Source: how the last poll went, and when the next one is.

use crate::store::source;
use crate::web::failure::Answer;
use crate::web::moment::Moment;
use crate::web::page;
use crate::web::page::Page;
use crate::web::page::Place;
use crate::web::page::View;
use crate::web::words::Words;
use crate::web::words::fill;

#[derive(askama::Template)]
#[template(path = "web/sources.html")]
struct Sources {
    page: Page,
    items: Vec<Item>,
}

struct Item {
    name: String,
    url: Option<String>,
    result: &'static str,
    /// As CSS names it.
    kind: &'static str,
    error: Option<String>,
    errors: Option<String>,
    last_poll: Option<Moment>,
    next_poll: Moment,
}

/// `GET /sources`.
pub async fn show(view: View) -> Answer {
    let t = view.t();
    let sources = source::list(&view.context.db).await?;
    let items = sources.iter().map(|source| {
        let configured = view.context.config.sources.iter().find(|it| it.name == source.name);
        let (result, kind) = result(source.result.as_deref(), t);
        Item {
            name: source.name.clone(),
            url: configured.and_then(|it| page::web_link(it.url.as_str())),
            result,
            kind,
            error: source.error.as_deref().map(page::clean),
            errors: (source.errors > 0).then(|| fill(t.errors_in_row, &[&source.errors])),
            last_poll: source.polled_at.map(|at| view.calendar.moment(at)),
            next_poll: view.calendar.moment(source.next_poll_at),
        }
    });
    page::show(&Sources { items: items.collect(), page: view.page(Place::Sources) })
}

fn result(result: Option<&str>, t: &Words) -> (&'static str, &'static str) {
    match result {
        Some("new") => (t.result_new, "delivered"),
        Some("unchanged" | "not_modified") => (t.result_unchanged, "scheduled"),
        Some(_) => (t.result_error, "failed"),
        None => (t.result_none, "cancelled"),
    }
}
