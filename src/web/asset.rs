//! Asset: the few files that pages need, inside the program.
//!
//! A file's name holds the hash of its content, so browsers may keep it for ever and never see an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::model::hash;
use crate::web::failure::Failure;

/// A file inside the program.
#[derive(Debug)]
struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css")));
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("assets/live.js"))
});
static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// Where the style sheet is.
pub fn style() -> &'static str {
    &STYLE.path
}

/// Where the script is.
pub fn script() -> &'static str {
    &SCRIPT.path
}

/// Where the icon is.
pub fn icon() -> &'static str {
    &ICON.path
}

/// `GET /assets/{name}`.
pub async fn show(Path(name): Path<String>) -> Result<Response, Failure> {
    let path = format!("/assets/{name}");
    let asset =
        [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.path == path).ok_or(Failure::Missing)?;
    let headers =
        [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.content).into_response())
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, content: &'static str) -> Asset {
        let hash = hash::sha256_hex(content.as_bytes());
        Asset { path: format!("/assets/{name}.{}.{ending}", &hash[..12]), kind, content }
    }
}
