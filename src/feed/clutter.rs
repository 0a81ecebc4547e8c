//! Clutter: takes from a page, by its elements, what is not the article.
//!
//! The extractor finds the article's part of a page and leaves in it what themes and plugins put there. What can only
//! be told by its words is left to [`chrome`](crate::text::chrome), and what a site repeats to
//! [`boilerplate`](crate::model::boilerplate).

use dom_smoothie::Readability;

use crate::feed::facts::CAPTION;

/// Elements that never hold a paragraph of an article.
const NEVER: &str =
    "nav, form, button, noscript, template, amp-ad, amp-sidebar, amp-social-share, amp-list, ins.adsbygoogle";

/// Words of which a class or an id is made when its element is not the article's. `entry-share-top` has three.
const WORDS: &[&str] = &[
    "ad",
    "ads",
    "adsense",
    "adsbygoogle",
    "advert",
    "advertisement",
    "banner",
    "breadcrumb",
    "breadcrumbs",
    "comments",
    "cookie",
    "crumbs",
    "footer",
    "newsletter",
    "pagination",
    "related",
    "relatedposts",
    "share",
    "sharedaddy",
    "sharing",
    "social",
    "tags",
];

/// Two words in a row, likewise.
const PAIRS: &[[&str; 2]] = &[
    ["author", "box"],
    ["more", "link"],
    ["nav", "links"],
    ["page", "links"],
    ["post", "navigation"],
    ["post", "terms"],
    ["reader", "text"],
    ["td", "rec"],
    ["view", "count"],
];

/// More than this share of a page's text, in per cent, is no clutter whatever it is called: some themes call the
/// whole page `has-related`.
const MOST: usize = 30;

/// A paragraph that is one link and longer than this, in code points, is a paragraph.
const LONGEST_LINK: usize = 150;

/// How many times a page's length is looked through; only a hostile one has its text in so many boxes, one in another.
const LOOKS: usize = 8;

/// Takes the clutter out of a page.
pub fn remove(page: &Readability) {
    page.doc.select(NEVER).remove();
    page.doc.select(CAPTION).remove();
    let whole = page.doc.select("body").text().len();
    let mut looked = 0;
    for element in page.doc.select("[class], [id]").iter() {
        let names = [element.attr("class"), element.attr("id")];
        let named = names.iter().flatten().any(|name| is_clutter(name));
        if !named || element.is("html, body, main, article, h1") {
            continue;
        }
        let length = element.text().len();
        looked += length;
        if length * 100 <= whole * MOST {
            element.remove();
        } else if looked > whole * LOOKS {
            break;
        }
    }
    // A short one that is nothing but links leads away from the article.
    for paragraph in page.doc.select("p").iter() {
        let links = paragraph.select("a[href]").text();
        let is_short = links.chars().count() <= LONGEST_LINK;
        if is_short && !links.trim().is_empty() && links.trim() == paragraph.text().trim() {
            paragraph.remove();
        }
    }
}

/// Whether a class or an id is made of such words.
fn is_clutter(names: &str) -> bool {
    names.split_ascii_whitespace().any(|name| {
        let name = name.to_ascii_lowercase();
        let words: Vec<&str> =
            name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 1).collect();
        words.iter().any(|word| WORDS.contains(word))
            || words.windows(2).any(|pair| PAIRS.iter().any(|known| known == pair))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &str, expected: bool) {
        assert_eq!(is_clutter(names), expected, "{names}");
    }

    #[test]
    fn clutter_is_told_by_the_words_of_its_class() {
        check("entry-share-top", true);
        check("wrap Footer_legal__5t", true);
        check("td-a-rec td-a-rec-id-content_inline", true);
        check("page-links", true);
        check("entry-content wp-block-post-content", false);
        check("shareholder-news roads", false);
        check("page", false);
        check("", false);
    }

    #[test]
    fn what_holds_the_story_stays_whatever_it_is_called() {
        let page = "<div class='has-share'><p>ข่าว</p><p>เรื่องเดียว</p></div><div class=share>แชร์</div>";
        let page = Readability::new(page, None, None).unwrap();
        remove(&page);
        assert_eq!(page.doc.select("body").text().trim(), "ข่าวเรื่องเดียว");
    }
}
