//! Plain: reads scraped plain text as an article.
//!
//! There is no mark-up to go by: the first lines are menus and a section, the first full line after
//! them is the headline.

use crate::text::chrome;
use crate::text::normal;

/// A headline is at least this long, in code points; shorter lines before it are a section's name.
const HEADLINE_MIN: usize = 20;
/// A section's name is at most this long, in code points.
const SECTION_MAX: usize = 30;
/// The headline stands among this many first lines.
const HEADLINE_WITHIN: usize = 12;

/// The title, the categories and the text of a page given as plain text.
pub fn article(page: &str) -> (String, Vec<String>, String) {
    let page = normal::normalize(page);
    let lines: Vec<&str> = page.lines().map(str::trim).collect();
    let headline = lines
        .iter()
        .take(HEADLINE_WITHIN)
        .position(|line| !chrome::is_chrome(line) && line.chars().count() >= HEADLINE_MIN)
        .or_else(|| lines.iter().position(|line| !chrome::is_chrome(line)));
    let Some(headline) = headline else {
        return (String::new(), Vec::new(), String::new());
    };
    let title = normal::one_line(lines[headline]);
    let crumbs =
        lines[..headline].iter().flat_map(|line| line.split(['|', '>', '›', '»', '/'])).map(str::trim);
    let categories = crumbs
        .filter(|crumb| !chrome::is_chrome(crumb) && (2..=SECTION_MAX).contains(&crumb.chars().count()))
        .map(str::to_owned)
        .collect();
    let text = chrome::clean(&title, &lines[headline + 1..].join("\n"));
    (title, categories, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "fbpx\nHome\n|\nอาชญากรรม\n\nจับแก๊งขโมยสายไฟกลางกรุง ของกลางเพียบ\n\nFeatured Image\n“บิ๊กต้อม”แถลงผลจับกุมแก๊งขโมยสายไฟ\n \n\n\
        พล.ต.ต.สมชาย ใจดี ผบก.น.1 แถลงผลการจับกุมแก๊งขโมยสายไฟ พร้อมของกลาง 12 รายการ และในขณะเดียวกัน\n\nขยายผลถึงผู้รับซื้อ\n\n\
        ติดตามเนื้อหาดีๆแบบนี้ได้ที่\nFacebook : https://www.facebook.com/example\nLINE Official Account : @example\n  • Tiktok\n  • Youtube";

    #[test]
    fn a_scraped_page_is_read_as_an_article() {
        let (title, categories, text) = article(PAGE);
        assert_eq!(title, "จับแก๊งขโมยสายไฟกลางกรุง ของกลางเพียบ");
        assert_eq!(categories, ["อาชญากรรม"]);
        assert_eq!(
            text,
            "“บิ๊กต้อม”แถลงผลจับกุมแก๊งขโมยสายไฟ\nพล.ต.ต.สมชาย ใจดี ผบก.น.1 แถลงผลการจับกุมแก๊งขโมยสายไฟ พร้อมของกลาง 12 รายการ \
             และในขณะเดียวกัน ขยายผลถึงผู้รับซื้อ"
        );
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(article(" \n|\n"), (String::new(), Vec::new(), String::new()));
    }
}
