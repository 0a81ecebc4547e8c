//! Read-back: finding our own post among those a platform shows.
//!
//! The rules come from design.md section 4 and the read-back sections of the platform sheets. Both mistakes cost:
//! a hit that isn't ours loses a post, a miss that is ours publishes it twice. The second is the worse one, so
//! the link alone is enough, while absence needs every look, on a complete and fresh list.

use std::collections::HashSet;

use chrono::DateTime;
use chrono::TimeDelta;
use chrono::Utc;
use unicode_normalization::UnicodeNormalization;
use url::Url;

/// How far a platform's times may lie from ours, beyond the offset its `Date` header shows (design.md section 4).
pub const CLOCK_MARGIN: TimeDelta = TimeDelta::minutes(5);

/// How far our own clock may have leapt between an attempt and the look for it, beyond what a `Date` header tells
/// of the moment of the look: a hardware clock read in the wrong zone is seven hours off in Bangkok.
pub const CLOCK_LEAP: TimeDelta = TimeDelta::hours(8);

/// The look whose absence counts where no known post of ours can prove the list fresh (design.md section 4).
pub const LAST_LOOK: u32 = 3;

/// A post as the platform shows it to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemotePost {
    /// The platform's id.
    pub remote_id: String,
    /// Where readers find it.
    pub permalink: Option<String>,
    /// Its text as a reader sees it: entities unescaped, shortened links put back.
    pub text: String,
    /// Every link in it, expanded.
    pub links: Vec<String>,
    /// When the platform says it was made, on the platform's clock.
    pub created_at: DateTime<Utc>,
    /// The id of the application that made it, where the platform tells.
    pub application: Option<String>,
}

/// The answer to "what did this account publish lately?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// The posts, in any order.
    pub posts: Vec<RemotePost>,
    /// The platform's clock minus ours in seconds, from its `Date` header.
    pub clock_offset: Option<i64>,
    /// Whether the platform's list was read to its end; a list cut short can show a post, never its absence.
    pub complete: bool,
}

/// The post we look for: what an attempt sent, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sought<'a> {
    /// The link the post carries, as it was sent.
    pub link: Option<&'a str>,
    /// The text a reader would see, as it was sent.
    pub text: &'a str,
    /// When the attempt started, on our clock.
    pub attempt_started_at: DateTime<Utc>,
}

/// The newest post of the account that is known to be ours and public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewestKnown<'a> {
    /// The platform's id of it.
    pub remote_id: &'a str,
    /// When it was published, on the platform's clock.
    pub published_at: DateTime<Utc>,
}

/// Finds the post an attempt may have published; a post with link and text wins over one with the link alone,
/// and that over one with the text alone.
///
/// `known` holds the remote ids of other deliveries, `our_application` our app's id where the platform tells
/// apps apart, and `offset` the platform's clock minus ours in seconds.
pub fn find<'a>(
    sought: Sought<'_>,
    recent: &'a [RemotePost],
    known: &HashSet<String>,
    our_application: Option<&str>,
    offset: i64,
) -> Option<&'a RemotePost> {
    let earliest = earliest(sought.attempt_started_at, offset);
    let may_be_ours = |post: &RemotePost| {
        let other_application = match (&post.application, our_application) {
            (Some(theirs), Some(ours)) => theirs != ours,
            _ => false,
        };
        post.created_at >= earliest && !other_application && !known.contains(&post.remote_id)
    };
    let link = sought.link.map(link_key);
    let text = text_key(sought.text);
    let likeness = |post: &RemotePost| {
        let same_link =
            link.as_ref().is_some_and(|link| post.links.iter().any(|other| link_key(other) == *link));
        let same_text = !text.is_empty() && text_key(&post.text) == text;
        u8::from(same_link) * 2 + u8::from(same_text)
    };
    let mut best = None;
    for post in recent.iter().filter(|post| may_be_ours(post)) {
        let likeness = likeness(post);
        if likeness > best.map_or(0, |(_, best)| best) {
            best = Some((post, likeness));
        }
    }
    best.map(|(post, _)| post)
}

/// Whether absence from this list means anything: it was read to its end and holds the newest known post of ours
/// or a newer one; where none is known, at the last look (`look` counts from 1).
pub fn is_fresh(recent: &Recent, newest_known: Option<NewestKnown<'_>>, look: u32) -> bool {
    recent.complete
        && match newest_known {
            None => look >= LAST_LOOK,
            Some(known) => recent
                .posts
                .iter()
                .any(|post| post.remote_id == known.remote_id || post.created_at > known.published_at),
        }
}

/// Since when an attempt's post is looked for, on our clock, which may have leapt since. A link or a text is ours
/// alone but for what `known` holds, so that reaching back too far does little harm, and not far enough doubles a post.
pub fn since(first_attempt: DateTime<Utc>) -> DateTime<Utc> {
    first_attempt.checked_sub_signed(CLOCK_LEAP).unwrap_or(first_attempt)
}

/// The earliest moment on the platform's clock at which something that began at `started_at` on ours can have
/// been published; `offset` is the platform's clock minus ours in seconds.
pub fn earliest(started_at: DateTime<Utc>, offset: i64) -> DateTime<Utc> {
    TimeDelta::try_seconds(offset)
        .and_then(|offset| started_at.checked_add_signed(offset))
        .and_then(|moment| moment.checked_sub_signed(CLOCK_MARGIN))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Every http(s) address in a text, in order, without the punctuation that closes a sentence after it.
pub fn links_in(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("http") {
        let tail = &rest[start..];
        let end = tail.find(ends_address).unwrap_or(tail.len());
        let address = tail[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '…']);
        if address
            .strip_prefix("https://")
            .or(address.strip_prefix("http://"))
            .is_some_and(|host| !host.is_empty())
        {
            links.push(address);
            rest = &tail[end..];
        } else {
            rest = &tail["http".len()..];
        }
    }
    links
}

fn ends_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '“' | '”' | '\u{200b}')
}

/// What makes two links the same: scheme, percent-encoding, a closing slash, the fragment and the tracking that
/// platforms and newsrooms add don't count.
fn link_key(link: &str) -> String {
    let link = link.trim();
    let Ok(url) = Url::parse(link) else { return link.to_owned() };
    let Some(host) = url.host_str() else { return link.to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = percent_decoded(url.path());
    let query: Vec<_> = url
        .query_pairs()
        .filter(|(name, _)| name != "fbclid" && !name.starts_with("utm_"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{host}{port}{}?{}", path.trim_end_matches('/'), query.join("&")).nfc().collect()
}

/// What makes two texts the same: canonical composition, entities unescaped, white space collapsed, no zero-width
/// spaces (put in against mentions; a platform may drop them), and no schemes, because X gives one to every bare
/// domain (`inn.co.th` comes back as `http://inn.co.th`).
fn text_key(text: &str) -> String {
    let text: String = unescaped(text).nfc().collect();
    let text = text.replace("https://", "").replace("http://", "").replace('\u{200b}', "");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` with the five HTML entities put back that platforms escape in plain text.
pub fn unescaped(text: &str) -> String {
    // The ampersand last: "&amp;lt;" stands for the four letters "&lt;".
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

fn percent_decoded(path: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                // Two hex digits make at most 255.
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINK: &str = "https://www.innnews.co.th/regional-news/news_1012345/";
    const TEXT: &str = "น้ำท่วมหาดใหญ่ลดระดับแล้ว เปิดจราจร 3 สาย";

    #[test]
    fn links_are_compared_as_readers_would() {
        same("https://inn.co.th/a", "http://inn.co.th/a/");
        same("https://inn.co.th/a", "https://INN.co.th:443/a?fbclid=IwAR0x#top");
        same("https://inn.co.th/a?p=1", "https://inn.co.th/a?utm_source=fb&p=1&utm_medium=social");
        same(
            "https://inn.co.th/ข่าว/น้ำ",
            "https://inn.co.th/%E0%B8%82%E0%B9%88%E0%B8%B2%E0%B8%A7/%e0%b8%99%e0%b9%89%e0%b8%b3",
        );
        same("https://ข่าว.ไทย/1", "https://xn--22c8e6a1f.xn--o3cw4h/1");
        same("https://inn.co.th", "https://inn.co.th/");
        same("not a link", " not a link ");
        different("https://inn.co.th/a", "https://inn.co.th/b");
        different("https://inn.co.th/a?p=1", "https://inn.co.th/a?p=2");
        different("https://inn.co.th/a", "https://www.inn.co.th/a");
        different("https://inn.co.th/a", "https://inn.co.th:8443/a");
        different("https://inn.co.th/100%", "https://inn.co.th/100");

        #[track_caller]
        fn same(a: &str, b: &str) {
            assert_eq!(link_key(a), link_key(b));
        }
        #[track_caller]
        fn different(a: &str, b: &str) {
            assert_ne!(link_key(a), link_key(b));
        }
    }

    #[test]
    fn texts_are_compared_without_the_platforms_edits() {
        same("น้ำ  ท่วม\n\nวันนี้ ", "น้ำ ท่วม วันนี้");
        same("A & B <x>", "A &amp; B &lt;x&gt;");
        same("caf\u{e9}", "cafe\u{301}");
        same("ติดตาม @\u{200b}inn", "ติดตาม @inn");
        same("อ่านที่ inn.co.th ครับ", "อ่านที่ http://inn.co.th ครับ");
        assert_ne!(text_key("น้ำท่วม"), text_key("น้ำ ท่วม"));
        assert_eq!(unescaped("&amp;lt;"), "&lt;");

        #[track_caller]
        fn same(a: &str, b: &str) {
            assert_eq!(text_key(a), text_key(b));
        }
    }

    #[test]
    fn addresses_are_found_in_running_text() {
        check("อ่านต่อ https://inn.co.th/1 #ข่าว", &["https://inn.co.th/1"]);
        check("ดูที่https://inn.co.th/ข่าว/1).", &["https://inn.co.th/ข่าว/1"]);
        check("http://a.th/x?y=1, “https://b.th”", &["http://a.th/x?y=1", "https://b.th"]);
        check("httphttps://c.th", &["https://c.th"]);
        check("https:// http ไม่มี", &[]);
        check("", &[]);

        #[track_caller]
        fn check(text: &str, links: &[&str]) {
            assert_eq!(links_in(text), links);
        }
    }

    #[test]
    fn a_post_is_ours_by_link_or_text_and_time_and_application() {
        check("the very post", |_| {}, true);
        check("the link alone", |post| post.text = "อย่างอื่น".into(), true);
        check("the text alone", |post| post.links.clear(), true);
        check("neither", |post| (post.links, post.text) = (vec![], "อย่างอื่น".into()), false);
        check(
            "a tracked link",
            |post| post.links = vec![format!("{LINK}?fbclid=x"), "https://a.th".into()],
            true,
        );
        check("just inside the margin", |post| post.created_at = at("09:05:00"), true);
        check("just outside the margin", |post| post.created_at = at("09:04:59"), false);
        check("long after", |post| post.created_at = at("23:00:00"), true);
        check("our application", |post| post.application = Some("1234".into()), true);
        check("another application", |post| post.application = Some("5678".into()), false);
        check("another delivery's", |post| post.remote_id = "known".into(), false);

        #[track_caller]
        fn check(case: &str, change: impl Fn(&mut RemotePost), ours: bool) {
            let mut post = ours_at("10:10:07");
            change(&mut post);
            let known = HashSet::from(["known".to_owned()]);
            // Our clock is an hour behind: the attempt started at 09:10:00 by the platform's.
            let found = find(sought("08:10:00"), std::slice::from_ref(&post), &known, Some("1234"), 3600);
            assert_eq!(found.is_some(), ours, "{case}");
        }
    }

    #[test]
    fn an_unknown_application_of_ours_excludes_nothing() {
        let post = RemotePost { application: Some("5678".into()), ..ours_at("10:00:00") };
        assert!(find(sought("10:00:00"), &[post], &HashSet::new(), None, 0).is_some());
    }

    #[test]
    fn the_likest_post_wins_whatever_the_order() {
        let by_text = RemotePost { remote_id: "text".into(), links: vec![], ..ours_at("10:00:00") };
        let by_link =
            RemotePost { remote_id: "link".into(), text: "มือคน".into(), ..ours_at("10:00:01") };
        let by_both = RemotePost { remote_id: "both".into(), ..ours_at("10:00:02") };
        let found = |posts: &[RemotePost]| {
            find(sought("10:00:00"), posts, &HashSet::new(), None, 0).map(|post| post.remote_id.clone())
        };
        assert_eq!(found(&[by_text.clone(), by_link.clone(), by_both.clone()]).as_deref(), Some("both"));
        assert_eq!(found(&[by_both, by_link.clone(), by_text.clone()]).as_deref(), Some("both"));
        assert_eq!(found(&[by_text, by_link]).as_deref(), Some("link"));
    }

    #[test]
    fn a_post_without_text_and_link_matches_nothing() {
        let empty = RemotePost { text: " ".into(), links: vec![], ..ours_at("10:00:00") };
        let sought = Sought { link: None, text: "\n", attempt_started_at: at("10:00:00") };
        assert_eq!(find(sought, &[empty], &HashSet::new(), None, 0), None);
    }

    #[test]
    fn absence_counts_only_on_a_fresh_and_complete_list() {
        let known = NewestKnown { remote_id: "k", published_at: at("10:00:00") };
        let holds = |id: &str, time: &str| vec![RemotePost { remote_id: id.into(), ..ours_at(time) }];
        check("the newest known", holds("k", "10:00:00"), Some(known), 1, true);
        check("a newer one", holds("n", "10:00:01"), Some(known), 1, true);
        check("an older one", holds("o", "09:59:59"), Some(known), 3, false);
        check("nothing", vec![], Some(known), 3, false);
        check("none known, second look", vec![], None, 2, false);
        check("none known, third look", vec![], None, 3, true);

        #[track_caller]
        fn check(case: &str, posts: Vec<RemotePost>, known: Option<NewestKnown<'_>>, look: u32, fresh: bool) {
            let mut recent = Recent { posts, clock_offset: None, complete: true };
            assert_eq!(is_fresh(&recent, known, look), fresh, "{case}");
            recent.complete = false;
            assert!(!is_fresh(&recent, known, look), "{case}, cut short");
        }
    }

    proptest! {
        #[test]
        fn a_copy_is_found_among_strangers(
            text in "[ก-๙a-z&<> ]{1,40}",
            path in "[ก-๙a-z0-9/%-]{0,20}",
            strangers in prop::collection::vec(("[ก-๙]{1,9}", -100_000_i64..100_000), 0..8),
            place in 0_usize..8,
            tracking in "(\\?utm_source=[a-z]{1,5}(&fbclid=[a-z]{1,5})?)?(#[a-z]{0,3})?",
        ) {
            let link = format!("https://inn.co.th/{path}");
            let sought = Sought { link: Some(&link), text: &text, attempt_started_at: at("10:00:00") };
            let mut posts: Vec<_> = strangers
                .iter()
                .map(|(text, seconds)| RemotePost {
                    remote_id: "stranger".into(),
                    text: text.clone(),
                    links: vec![format!("https://other.th/{text}")],
                    created_at: at("10:00:00") + TimeDelta::seconds(*seconds),
                    ..ours_at("10:00:00")
                })
                .collect();
            let copy = RemotePost {
                text: text.replace('&', "&amp;"),
                links: vec![format!("{link}{tracking}")],
                ..ours_at("10:00:00")
            };
            posts.insert(place.min(posts.len()), copy);

            let found = find(sought, &posts, &HashSet::new(), None, 0);
            prop_assert_eq!(found.map(|post| post.remote_id.as_str()), Some("p1"));

            let known = HashSet::from(["p1".to_owned()]);
            let found = find(sought, &posts, &known, None, 0);
            prop_assert!(found.is_none_or(|post| post.remote_id != "p1"));
        }

        #[test]
        fn a_hit_is_never_known_foreign_or_too_old(
            posts in prop::collection::vec(
                (0_u8..4, 0_u8..3, -1000_i64..1000, prop::option::of(0_u8..2)), 0..12),
            offset in -5000_i64..5000,
        ) {
            let posts: Vec<_> = posts.iter().map(|(id, content, seconds, application)| RemotePost {
                remote_id: id.to_string(),
                text: if *content == 0 { TEXT.into() } else { "x".into() },
                links: if *content == 1 { vec![LINK.into()] } else { vec![] },
                created_at: at("10:00:00") + TimeDelta::seconds(*seconds),
                application: application.map(|id| id.to_string()),
                permalink: None,
            }).collect();
            let known = HashSet::from(["0".to_owned()]);
            let earliest = at("10:00:00") + TimeDelta::seconds(offset) - CLOCK_MARGIN;
            let fits = |post: &&RemotePost| post.remote_id != "0" && post.application.as_deref() != Some("1")
                && post.created_at >= earliest && (post.text == TEXT || !post.links.is_empty());

            let found = find(sought("10:00:00"), &posts, &known, Some("0"), offset);

            prop_assert_eq!(found.is_some(), posts.iter().any(|post| fits(&post)));
            prop_assert!(found.is_none_or(|post| fits(&post)));
        }

        #[test]
        fn any_link_and_any_time_are_taken(link in ".{0,40}", offset in any::<i64>()) {
            let sought = Sought { link: Some(&link), text: &link, attempt_started_at: at("10:00:00") };
            let post = RemotePost { links: vec![link.clone()], text: link.clone(), ..ours_at("10:00:00") };
            let found = find(sought, std::slice::from_ref(&post), &HashSet::new(), None, offset);
            // A platform whose clock is behind ours can't have published "before" the attempt.
            prop_assert!(offset > 300 || found.is_some());
            for link in links_in(&link) {
                prop_assert!(link.starts_with("http"));
            }
        }
    }

    fn sought(time: &str) -> Sought<'static> {
        Sought { link: Some(LINK), text: TEXT, attempt_started_at: at(time) }
    }

    fn ours_at(time: &str) -> RemotePost {
        RemotePost {
            remote_id: "p1".into(),
            permalink: None,
            text: TEXT.into(),
            links: vec![LINK.into()],
            created_at: at(time),
            application: None,
        }
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-22T{time}Z").parse().unwrap()
    }
}
