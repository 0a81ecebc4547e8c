//! Image: chooses an article's picture among all that a feed names.
//!
//! The order is feeds.md section 2: media:content (the widest), media:thumbnail, enclosure, the item's own
//! image, the first real picture of its HTML. WordPress itself emits none of them but the last.

use url::Url;

use crate::feed::xml::Element;

/// The picture that an RSS item or Atom entry names outside its text, as an absolute address.
pub fn named(item: &Element<'_>, base: Option<&Url>) -> Option<String> {
    let media = media_contents(item);
    // The widest first; the sort is stable, so among equals the order of the feed stands.
    let mut pictures: Vec<&Element<'_>> = media.iter().copied().filter(|media| is_picture(media)).collect();
    pictures.sort_by_key(|picture| std::cmp::Reverse(width(picture)));
    let contents = pictures.into_iter().filter_map(|picture| picture.attribute("url"));
    let thumbnails = places(item)
        .chain(media)
        .flat_map(|place| place.all("media:thumbnail"))
        .filter_map(|e| e.attribute("url"));
    let enclosures = item.all("enclosure").filter(|e| is_image_type(e)).filter_map(|e| e.attribute("url"));
    let links = item.elements().filter(|e| matches!(e.name.as_str(), "link" | "atom:link"));
    let linked = links
        .filter(|link| link.attribute("rel") == Some("enclosure") && is_image_type(link))
        .filter_map(|link| link.attribute("href"));
    let own = item
        .elements()
        .filter(|element| matches!(element.name.as_str(), "image" | "itunes:image"))
        .filter_map(|image| {
            image.attribute("href").or_else(|| image.attribute("url")).map(str::to_owned).or_else(|| {
                let url = image.child("url").map_or_else(|| image.text(), Element::text);
                (!url.is_empty()).then_some(url)
            })
        });
    let attributes = contents.chain(thumbnails).chain(enclosures).chain(linked).map(str::to_owned);
    attributes.chain(own).find_map(|url| absolute(&url, base))
}

/// `url` made absolute against `base`; byte for byte if it already is. `None` if it isn't http or https.
pub fn absolute(url: &str, base: Option<&Url>) -> Option<String> {
    let url = url.trim();
    let (parsed, kept) = match Url::parse(url) {
        Ok(parsed) => (parsed, Some(url.to_owned())),
        Err(_) => (base?.join(url).ok()?, None),
    };
    let is_web = matches!(parsed.scheme(), "http" | "https") && !url.is_empty();
    is_web.then(|| kept.unwrap_or_else(|| parsed.to_string()))
}

/// The item itself and its media groups.
fn places<'e, 'a>(item: &'e Element<'a>) -> impl Iterator<Item = &'e Element<'a>> {
    std::iter::once(item).chain(item.all("media:group"))
}

fn media_contents<'e, 'a>(item: &'e Element<'a>) -> Vec<&'e Element<'a>> {
    places(item).flat_map(|place| place.all("media:content")).collect()
}

/// Whether a media:content is a picture; one that says nothing of itself is known by its address.
fn is_picture(media: &Element<'_>) -> bool {
    match (media.attribute("medium"), media.attribute("type")) {
        (Some(medium), _) => medium.eq_ignore_ascii_case("image"),
        (None, Some(_)) => is_image_type(media),
        (None, None) => media.attribute("url").is_some_and(|url| {
            let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
            [".jpg", ".jpeg", ".png", ".webp", ".gif"].iter().any(|ending| path.ends_with(ending))
        }),
    }
}

fn is_image_type(element: &Element<'_>) -> bool {
    element
        .attribute("type")
        .is_some_and(|kind| kind.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("image/")))
}

fn width(media: &Element<'_>) -> u32 {
    media.attribute("width").and_then(|width| width.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::feed::xml;

    #[track_caller]
    fn check(inside: &str, expected: Option<&str>) {
        let item = format!("<item>{inside}</item>");
        let item = xml::parse(&item, xml::Mode::Strict).unwrap();
        let base = Url::parse("https://x.th/news/").unwrap();
        assert_eq!(named(&item, Some(&base)).as_deref(), expected);
    }

    #[test]
    fn the_order_of_places_is_kept() {
        let own = "<image><url>https://x.th/5.jpg</url></image>";
        let enclosure = "<enclosure url='https://x.th/4.jpg' type='image/jpeg'/>";
        let thumbnail = "<media:thumbnail url='https://x.th/3.jpg'/>";
        let content = "<media:content url='https://x.th/2.jpg' medium='image'/>";
        check("", None);
        check(own, Some("https://x.th/5.jpg"));
        check(&format!("{own}{enclosure}"), Some("https://x.th/4.jpg"));
        check(&format!("{own}{enclosure}{thumbnail}"), Some("https://x.th/3.jpg"));
        check(&format!("{own}{enclosure}{thumbnail}{content}"), Some("https://x.th/2.jpg"));
    }

    #[test]
    fn the_widest_picture_of_a_group_is_taken_and_films_are_not() {
        check(
            "<media:group><media:content url='https://x.th/s.jpg' type='image/jpeg' width='150'/>\
             <media:content url='https://x.th/f.mp4' type='video/mp4' width='4000'/>\
             <media:content url='https://x.th/l.jpg' type='image/jpeg' width='1200'/></media:group>",
            Some("https://x.th/l.jpg"),
        );
        check("<media:content url='https://x.th/f.mp4' medium='video'/>", None);
        check("<enclosure url='https://x.th/a.mp3' type='audio/mpeg'/>", None);
        check("<media:content url='https://x.th/a.JPG?x=.b'/>", Some("https://x.th/a.JPG?x=.b"));
    }

    #[test]
    fn a_films_thumbnail_and_itunes_are_found() {
        check(
            "<media:content url='https://x.th/f.mp4' medium='video'><media:thumbnail url='https://x.th/t.jpg'/></media:content>",
            Some("https://x.th/t.jpg"),
        );
        check("<itunes:image href='https://x.th/i.jpg'/>", Some("https://x.th/i.jpg"));
        check("<image>https://x.th/i.jpg</image>", Some("https://x.th/i.jpg"));
        check("<link rel='enclosure' type='image/png' href='/i.png'/>", Some("https://x.th/i.png"));
    }

    #[test]
    fn absolute_addresses_stay_byte_for_byte_and_others_are_joined() {
        check("<media:thumbnail url='https://X.th/ภาพ%e0.jpg'/>", Some("https://X.th/ภาพ%e0.jpg"));
        check("<media:thumbnail url='//c.th/a.jpg'/>", Some("https://c.th/a.jpg"));
        check("<media:thumbnail url='a.jpg'/>", Some("https://x.th/news/a.jpg"));
    }

    #[test]
    fn what_is_no_web_address_is_passed_over() {
        check(
            "<media:thumbnail url='data:image/png;base64,AA'/><media:thumbnail url='javascript:1'/>\
             <media:thumbnail url=''/><itunes:image href='https://x.th/i.jpg'/>",
            Some("https://x.th/i.jpg"),
        );
    }
}
