//! Schema: declares each key once: name, type, default and meaning.
//!
//! `section!` declares a struct together with its keys. From this one place come the struct and its documentation,
//! the reading and checking of a file, `config.toml.example` and `docs/configuration.md`.

use crate::config::reader::At;
use crate::config::reader::Reader;
use crate::config::reader::Table;

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What it means, a line an item, each with a leading space (as doc comments come).
    pub doc: &'static [&'static str],
    /// What holds when it is left out, in TOML.
    pub default: Option<&'static str>,
    /// A value to show where there is no default, in TOML.
    pub sample: Option<&'static str>,
    /// What its value, or each item of its list, must keep to.
    pub rule: Rule,
    /// Whether it may be left out although it has no default.
    pub optional: bool,
    /// How it is written.
    pub form: fn() -> Form,
}

/// How a value is written.
#[derive(Debug, Clone)]
pub enum Form {
    /// One value, or a list of them, described in words: "a duration such as \"90s\"".
    Plain(String),
    /// A table with keys of its own.
    Table(&'static [Part]),
    /// Any number of such tables.
    Tables(&'static [Part]),
}

/// A group of keys of a table: all its keys, or those that only one kind of table has.
#[derive(Debug)]
pub struct Part {
    /// Which tables have these keys, such as `platform = "x"`; empty: all.
    pub only: &'static str,
    /// What the group is for, as in [`Key::doc`].
    pub doc: &'static [&'static str],
    /// The keys.
    pub keys: &'static [Key],
}

/// What a value must keep to, beyond its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing more.
    Free,
    /// At least the first, at most the second, both as written in the file.
    Between(&'static str, &'static str),
    /// A name for other parts of the file, for commands and for addresses.
    Name,
    /// Something a platform gave out: letters, digits, `.`, `-` and `_`.
    Id,
    /// Not empty.
    Filled,
    /// A minijinja template.
    Template,
}

/// A type that a key may have.
pub trait Value: Sized {
    /// Whether the value must never be shown.
    const HIDDEN: bool = false;
    /// Whether [`Value::absent`] has an answer.
    const OPTIONAL: bool = false;

    /// How it is written.
    fn form() -> Form;

    /// Reads it; tells `reader` every fault and answers `None` if there was any.
    fn read(reader: &mut Reader<'_>, at: &At<'_>) -> Option<Self>;

    /// What it is when the key is left out and has no default; usually that is a fault.
    fn absent(reader: &mut Reader<'_>, table: &Table<'_>, key: &'static Key) -> Option<Self> {
        reader.missing(table, key);
        None
    }
}

/// A struct declared by `section!`.
pub trait Section: Sized {
    /// What the section is for, as in [`Key::doc`].
    const DOC: &'static [&'static str];
    /// Its keys, in the order of the manual.
    const KEYS: &'static [Key];

    /// Reads its keys from `table`, which may hold others too.
    fn read_keys(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Self>;
}

/// The closed list of words a key may have; see [`crate::config::value`].
pub trait Choice: Copy + 'static {
    /// Every word with what it stands for.
    const WORDS: &'static [(&'static str, Self)];
}

/// Declares a section: `field "name in the file": Type = default => sample where rule`, where the name (default: the
/// field's), the default, the sample and the rule may be left out. A last field after `..` is no key of the file.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $($toml:literal)? : $type:ty
                    $(= $default:tt)? $(=> $sample:tt)? $(where $rule:expr)?,
            )*
            $( .. $(#[doc = $more_doc:literal])* $more:ident : $more_type:ty, )?
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
            $( $(#[doc = $more_doc])* pub $more: $more_type, )?
        }

        impl crate::config::schema::Section for $name {
            const DOC: &'static [&'static str] = &[$($about),*];
            const KEYS: &'static [crate::config::schema::Key] = &[$(
                crate::config::schema::Key {
                    name: [$($toml,)? stringify!($field)][0],
                    doc: &[$($doc),*],
                    default: section!(@text $($default)?),
                    sample: section!(@text $($sample)?),
                    rule: section!(@rule $($rule)?),
                    optional: <$type as crate::config::schema::Value>::OPTIONAL,
                    form: <$type as crate::config::schema::Value>::form,
                },
            )*];

            fn read_keys(
                reader: &mut crate::config::reader::Reader<'_>,
                table: &crate::config::reader::Table<'_>,
            ) -> Option<Self> {
                // Every key is read before the first `?`, so that no fault hides another.
                let mut keys = Self::KEYS.iter();
                $( let $field = keys.next().and_then(|key| reader.key::<$type>(table, key)); )*
                Some(Self { $( $field: $field?, )* $( $more: Default::default(), )? })
            }
        }

        impl crate::config::schema::Value for $name {
            const OPTIONAL: bool = true;

            fn form() -> crate::config::schema::Form {
                crate::config::schema::Form::Table(&[crate::config::schema::Part {
                    only: "",
                    doc: <Self as crate::config::schema::Section>::DOC,
                    keys: <Self as crate::config::schema::Section>::KEYS,
                }])
            }

            fn read(
                reader: &mut crate::config::reader::Reader<'_>,
                at: &crate::config::reader::At<'_>,
            ) -> Option<Self> {
                let table = reader.table(at)?;
                let known = reader.refuse_unknown(&table, &[<Self as crate::config::schema::Section>::KEYS]);
                <Self as crate::config::schema::Section>::read_keys(reader, &table).filter(|_| known)
            }

            fn absent(
                reader: &mut crate::config::reader::Reader<'_>,
                table: &crate::config::reader::Table<'_>,
                key: &'static crate::config::schema::Key,
            ) -> Option<Self> {
                // A section that is left out is an empty one: its own keys have defaults or are missing.
                let empty = toml::de::DeTable::new();
                let inner = table.inner(key, &empty);
                <Self as crate::config::schema::Section>::read_keys(reader, &inner)
            }
        }
    };
    (@text) => { None };
    (@text $text:tt) => { Some(stringify!($text)) };
    (@rule) => { crate::config::schema::Rule::Free };
    (@rule $rule:expr) => { $rule };
}
pub(super) use section;
