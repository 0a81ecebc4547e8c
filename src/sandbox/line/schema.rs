//! Schema: lists the Flex components, their properties and the rules.
//!
//! Source: line/line-openapi `messaging-api.yml` (1 July 2026) and the Flex reference's limits.

/// What a property may hold.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// A string.
    Text,
    /// A string of at least one character.
    Filled,
    /// True or false.
    Switch,
    /// A whole number, zero or more.
    Count,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or pixels or percent.
    Size(&'static [&'static str]),
    /// `#RRGGBB` or `#RRGGBBAA`.
    Colour,
    /// `w:h`.
    Ratio,
    /// An https picture.
    Picture,
    /// An action whose label may be left out.
    Action,
    /// An action with a label.
    LabelledAction,
    /// A component of one of these types.
    Component(&'static [&'static str]),
    /// A list of components of these types.
    Components(&'static [&'static str]),
    /// A bubble's `styles`.
    Styles,
    /// A gradient.
    Background,
}

/// A property's name, its rule and whether it must be there.
pub type Property = (&'static str, Rule, bool);

const DIRECTIONS: &[&str] = &["ltr", "rtl"];
const SPACES: &[&str] = &["none", "xs", "sm", "md", "lg", "xl", "xxl"];
const TEXT_SIZES: &[&str] = &["xxs", "xs", "sm", "md", "lg", "xl", "xxl", "3xl", "4xl", "5xl"];
const PICTURE_SIZES: &[&str] = &["xxs", "xs", "sm", "md", "lg", "xl", "xxl", "3xl", "4xl", "5xl", "full"];
const BORDERS: &[&str] = &["none", "light", "normal", "medium", "semi-bold", "bold"];
const SIDES: &[&str] = &["start", "end", "center"];
const HEIGHTS: &[&str] = &["top", "bottom", "center"];
const POSITIONS: &[&str] = &["relative", "absolute"];
const WEIGHTS: &[&str] = &["regular", "bold"];
const STYLES: &[&str] = &["normal", "italic"];
const DECORATIONS: &[&str] = &["none", "underline", "line-through"];
const MAIN_AXIS: &[&str] =
    &["center", "flex-start", "flex-end", "space-between", "space-around", "space-evenly"];
const CROSS_AXIS: &[&str] = &["center", "flex-start", "flex-end"];

/// The sizes of a bubble.
const BUBBLE_SIZES: &[&str] = &["nano", "micro", "deca", "hecto", "kilo", "mega", "giga"];

/// What a box may hold when it is horizontal or vertical, and when it is a baseline box.
pub const IN_BOX: &[&str] = &["box", "button", "image", "video", "text", "separator", "filler"];
pub const IN_BASELINE: &[&str] = &["icon", "text", "filler"];

/// The properties of a bubble or component type; `None` for a type that doesn't exist.
pub fn properties(kind: &str) -> Option<Vec<Property>> {
    let own: &[Property] = match kind {
        "bubble" => BUBBLE,
        "box" => BOX,
        "button" => BUTTON,
        "image" => IMAGE,
        "video" => VIDEO,
        "icon" => ICON,
        "text" => TEXT,
        "span" => SPAN,
        "separator" => SEPARATOR,
        "filler" => FILLER,
        _ => return None,
    };
    let placed: &[Property] =
        if matches!(kind, "box" | "button" | "image" | "icon" | "text") { PLACED } else { &[] };
    Some(own.iter().chain(placed).copied().collect())
}

/// The properties of one block in a bubble's `styles`.
pub const BLOCK_STYLE: &[Property] = &[
    ("backgroundColor", Rule::Colour, false),
    ("separator", Rule::Switch, false),
    ("separatorColor", Rule::Colour, false),
];

const BUBBLE: &[Property] = &[
    ("size", Rule::Word(BUBBLE_SIZES), false),
    ("direction", Rule::Word(DIRECTIONS), false),
    ("header", Rule::Component(&["box"]), false),
    ("hero", Rule::Component(&["box", "image", "video"]), false),
    ("body", Rule::Component(&["box"]), false),
    ("footer", Rule::Component(&["box"]), false),
    ("styles", Rule::Styles, false),
    ("action", Rule::Action, false),
];

const PLACED: &[Property] = &[
    ("margin", Rule::Size(SPACES), false),
    ("position", Rule::Word(POSITIONS), false),
    ("offsetTop", Rule::Size(SPACES), false),
    ("offsetBottom", Rule::Size(SPACES), false),
    ("offsetStart", Rule::Size(SPACES), false),
    ("offsetEnd", Rule::Size(SPACES), false),
];

const BOX: &[Property] = &[
    ("layout", Rule::Word(&["horizontal", "vertical", "baseline"]), true),
    ("contents", Rule::Components(IN_BOX), true),
    ("flex", Rule::Count, false),
    ("spacing", Rule::Size(SPACES), false),
    ("backgroundColor", Rule::Colour, false),
    ("borderColor", Rule::Colour, false),
    ("borderWidth", Rule::Size(BORDERS), false),
    ("cornerRadius", Rule::Size(SPACES), false),
    ("width", Rule::Size(&[]), false),
    ("maxWidth", Rule::Size(&[]), false),
    ("height", Rule::Size(&[]), false),
    ("maxHeight", Rule::Size(&[]), false),
    ("paddingAll", Rule::Size(SPACES), false),
    ("paddingTop", Rule::Size(SPACES), false),
    ("paddingBottom", Rule::Size(SPACES), false),
    ("paddingStart", Rule::Size(SPACES), false),
    ("paddingEnd", Rule::Size(SPACES), false),
    ("justifyContent", Rule::Word(MAIN_AXIS), false),
    ("alignItems", Rule::Word(CROSS_AXIS), false),
    ("background", Rule::Background, false),
    ("action", Rule::Action, false),
];

const BUTTON: &[Property] = &[
    ("action", Rule::LabelledAction, true),
    ("flex", Rule::Count, false),
    ("color", Rule::Colour, false),
    ("style", Rule::Word(&["primary", "secondary", "link"]), false),
    ("gravity", Rule::Word(HEIGHTS), false),
    ("height", Rule::Word(&["md", "sm"]), false),
    ("adjustMode", Rule::Word(&["shrink-to-fit"]), false),
    ("scaling", Rule::Switch, false),
];

const IMAGE: &[Property] = &[
    ("url", Rule::Picture, true),
    ("flex", Rule::Count, false),
    ("align", Rule::Word(SIDES), false),
    ("gravity", Rule::Word(HEIGHTS), false),
    ("size", Rule::Size(PICTURE_SIZES), false),
    ("aspectRatio", Rule::Ratio, false),
    ("aspectMode", Rule::Word(&["fit", "cover"]), false),
    ("backgroundColor", Rule::Colour, false),
    ("action", Rule::Action, false),
    ("animated", Rule::Switch, false),
];

const VIDEO: &[Property] = &[
    ("url", Rule::Picture, true),
    ("previewUrl", Rule::Picture, true),
    ("altContent", Rule::Component(&["box", "image"]), true),
    ("aspectRatio", Rule::Ratio, false),
    ("action", Rule::Action, false),
];

const ICON: &[Property] = &[
    ("url", Rule::Picture, true),
    ("size", Rule::Size(TEXT_SIZES), false),
    ("aspectRatio", Rule::Ratio, false),
    ("scaling", Rule::Switch, false),
];

const TEXT: &[Property] = &[
    ("text", Rule::Filled, false),
    ("contents", Rule::Components(&["span"]), false),
    ("flex", Rule::Count, false),
    ("size", Rule::Size(TEXT_SIZES), false),
    ("align", Rule::Word(SIDES), false),
    ("gravity", Rule::Word(HEIGHTS), false),
    ("color", Rule::Colour, false),
    ("weight", Rule::Word(WEIGHTS), false),
    ("style", Rule::Word(STYLES), false),
    ("decoration", Rule::Word(DECORATIONS), false),
    ("wrap", Rule::Switch, false),
    ("lineSpacing", Rule::Size(&[]), false),
    ("maxLines", Rule::Count, false),
    ("adjustMode", Rule::Word(&["shrink-to-fit"]), false),
    ("scaling", Rule::Switch, false),
    ("action", Rule::Action, false),
];

const SPAN: &[Property] = &[
    ("text", Rule::Text, false),
    ("size", Rule::Size(TEXT_SIZES), false),
    ("color", Rule::Colour, false),
    ("weight", Rule::Word(WEIGHTS), false),
    ("style", Rule::Word(STYLES), false),
    ("decoration", Rule::Word(DECORATIONS), false),
];

const SEPARATOR: &[Property] = &[("margin", Rule::Size(SPACES), false), ("color", Rule::Colour, false)];

const FILLER: &[Property] = &[("flex", Rule::Count, false)];
