//! Reading: one text, read once: its words, tokens and spans.
//!
//! Segmenting is the dear part of everything here, so whoever needs words and spans makes one
//! `Reading` and asks it.

use crate::text::letter;
use crate::text::span;
use crate::text::span::Span;
use crate::text::token::Token;
use crate::text::words;

/// A text with what was found in it. All places are bytes.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The text.
    pub text: &'a str,
    /// Where words begin, with 0 and the text's length.
    pub words: Vec<usize>,
    /// Addresses, numbers, abbreviations and the like, in order.
    pub tokens: Vec<Token>,
    /// What may not be torn apart, by beginning; spans may hold others.
    pub spans: Vec<Span>,
    /// For each span the furthest end among it and those before: makes asking fast.
    reach: Vec<usize>,
}

impl<'a> Reading<'a> {
    /// Reads a text.
    pub fn of(text: &'a str) -> Self {
        Self::with_enclosures(text, span::enclosures(text))
    }

    /// Reads a text whose quotations and brackets are known already (it is part of a longer one).
    pub fn with_enclosures(text: &'a str, enclosures: Vec<Span>) -> Self {
        let (words, tokens) = words::boundaries_and_tokens(text);
        let mut spans = span::spans(text, &words, &tokens);
        spans.extend(enclosures);
        spans.sort_by_key(|span| (span.start, span.end));
        let reach = spans
            .iter()
            .scan(0, |furthest, span| {
                *furthest = span.end.max(*furthest);
                Some(*furthest)
            })
            .collect();
        Self { text, words, tokens, spans, reach }
    }

    /// Whether `at` lies strictly inside a span.
    pub fn is_inside(&self, at: usize) -> bool {
        let before = self.spans.partition_point(|span| span.start < at);
        before > 0 && self.reach[before - 1] > at
    }

    /// Whether the text may be parted at `at`: not inside a span or a syllable, and nothing that
    /// belongs to the left stands first on the right.
    pub fn may_part(&self, at: usize) -> bool {
        if self.is_inside(at) || !letter::is_safe(self.text, at) {
            return false;
        }
        let rest = self.text[at..].trim_start();
        !rest.starts_with(|c| letter::is_trailing(c) || is_closing(c))
            || rest.starts_with("ฯลฯ")
            || rest.starts_with("ฯพณฯ")
    }

    /// The spans that begin at `at` or behind it.
    pub fn spans_from(&self, at: usize) -> impl Iterator<Item = &Span> {
        self.spans[self.spans.partition_point(|span| span.start < at)..].iter()
    }

    /// The word that ends at `at`, if a word does.
    pub fn word_before(&self, at: usize) -> Option<&'a str> {
        let place = self.words.binary_search(&at).ok()?;
        (place > 0).then(|| &self.text[self.words[place - 1]..at])
    }

    /// The word that begins at `at`, if a word does.
    pub fn word_after(&self, at: usize) -> Option<&'a str> {
        let place = self.words.binary_search(&at).ok()?;
        self.words.get(place + 1).map(|&end| &self.text[at..end])
    }
}

/// A sign that closes or continues what stands before it.
fn is_closing(c: char) -> bool {
    matches!(c, ')' | ']' | '}' | '”' | '’' | '»' | ',' | '.' | ':' | ';' | '!' | '?' | '%' | '…')
}
