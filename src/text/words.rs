//! Words: parts Thai text, which has no spaces between words, into words.
//!
//! The only file that knows which segmenter does it. thaibreak finds the shortest path over a word
//! graph; ICU's dictionary steps in if it ever loses text. What must stay whole (abbreviations,
//! numbers, addresses, ๆ and ฯ) is glued afterwards.

use std::sync::LazyLock;

use icu_segmenter::WordSegmenter;
use icu_segmenter::WordSegmenterBorrowed;
use icu_segmenter::options::WordBreakInvariantOptions;
use thaibreak::BreakIterator;
use thaibreak::ThaiTrie;
use thaibreak::Tokenizer;

use crate::text::letter;
use crate::text::token;
use crate::text::token::Token;

static THAIBREAK: LazyLock<Option<Tokenizer>> =
    LazyLock::new(|| ThaiTrie::embedded().ok().map(|trie| Tokenizer::new(trie, None)));
static ICU_DICTIONARY: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()));
static ICU_LSTM: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_lstm(WordBreakInvariantOptions::default()));

/// The words of a text with its spaces and signs; put together they are the text again.
pub fn words(text: &str) -> Vec<&str> {
    boundaries(text).windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

/// Where words begin, in bytes, with 0 and the text's length; only 0 for no text.
pub fn boundaries(text: &str) -> Vec<usize> {
    boundaries_and_tokens(text).0
}

/// [`boundaries`] together with the tokens among them, for a text is segmented only once.
pub fn boundaries_and_tokens(text: &str) -> (Vec<usize>, Vec<Token>) {
    let mut found = Vec::with_capacity(text.len() / 9 + 2);
    let mut signs = Vec::new();
    found.push(0);
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let raw = raw_boundaries(line);
        let tokens = token::tokens(line, &raw);
        let cuts = glue(line, &raw, &tokens);
        found.extend(cuts.into_iter().filter(|&cut| cut > 0).map(|cut| line_start + cut));
        let place =
            |token: Token| Token { start: line_start + token.start, end: line_start + token.end, ..token };
        signs.extend(tokens.into_iter().map(place));
        line_start += line.len();
    }
    (found, signs)
}

/// Whether the segmenter's dictionary has the word, a ๆ or ฯ behind it aside; false without a dictionary.
pub fn is_known(word: &str) -> bool {
    let word = word.trim_end_matches(['ๆ', 'ฯ']);
    THAIBREAK.as_ref().is_some_and(|tokenizer| tokenizer.trie().contains(word))
}

/// Second opinions on where words begin inside a few dozen characters: ICU's dictionary (fast).
pub fn dictionary_boundaries(text: &str) -> Vec<usize> {
    ICU_DICTIONARY.segment_str(text).collect()
}

/// Second opinions on where words begin: ICU's LSTM. A hundred times slower; only for a few dozen
/// characters around a cut.
pub fn lstm_boundaries(text: &str) -> Vec<usize> {
    ICU_LSTM.segment_str(text).collect()
}

/// The boundaries of one line without those inside tokens and syllables.
fn glue(line: &str, raw: &[usize], tokens: &[Token]) -> Vec<usize> {
    let mut glued = Vec::with_capacity(raw.len());
    let mut next = 0;
    let push = |cuts: &mut Vec<usize>, cut: usize| {
        if letter::is_safe(line, cut) && cuts.last().is_none_or(|&last| last < cut) {
            cuts.push(cut);
        }
    };
    for &cut in raw {
        while next < tokens.len() && tokens[next].end < cut {
            push(&mut glued, tokens[next].start);
            push(&mut glued, tokens[next].end);
            next += 1;
        }
        match tokens.get(next) {
            Some(token) if token.start < cut && cut < token.end => push(&mut glued, token.start),
            Some(token) if token.end == cut => {
                push(&mut glued, token.start);
                push(&mut glued, cut);
                next += 1;
            }
            _ if !is_drawl(line, cut) => push(&mut glued, cut),
            _ => {}
        }
    }
    glued
}

/// Whether `cut` stands inside a letter drawn out for effect (มากก|กก): three of it or more in a row.
fn is_drawl(line: &str, cut: usize) -> bool {
    let Some(last) = line[..cut].chars().next_back().filter(|&c| letter::is_thai(c)) else {
        return false;
    };
    let before = line[..cut].chars().rev().take_while(|&c| c == last).count();
    let after = line[cut..].chars().take_while(|&c| c == last).count();
    after > 0 && before + after >= 3
}

fn raw_boundaries(line: &str) -> Vec<usize> {
    if line.is_empty() {
        return vec![0];
    }
    if let Some(tokenizer) = THAIBREAK.as_ref() {
        let cuts = BreakIterator::new(tokenizer, line).boundaries().to_vec();
        let rising = cuts.windows(2).all(|pair| pair[0] < pair[1]);
        let whole = cuts.first() == Some(&0) && cuts.last() == Some(&line.len());
        if rising && whole && cuts.iter().all(|&cut| line.is_char_boundary(cut)) {
            return cuts;
        }
    }
    dictionary_boundaries(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::vectors::vectors;

    #[test]
    fn no_vector_word_is_cut() {
        for case in vectors("segment") {
            let text = case.input();
            let cuts = boundaries(text);
            for word in case.expect_list() {
                let start = text.find(word).expect("word occurs");
                let inside = start + 1..start + word.len();
                assert!(
                    !cuts.iter().any(|cut| inside.contains(cut)),
                    "{} {word} in {:?}",
                    case.id(),
                    words(text)
                );
            }
        }
    }

    #[test]
    fn what_belongs_together_is_one_word() {
        for whole in [
            "พล.ต.อ.",
            "ผบ.ตร.",
            "พ.ร.ก.",
            "1,200.50",
            "๑๐.๓๐",
            "https://www.innnews.co.th/crime/",
            "เด็กๆ",
            "กรุงเทพฯ",
            "ฯลฯ",
        ] {
            let text = format!("ข่าว {whole} วันนี้");
            assert!(words(&text).contains(&whole), "{whole} in {:?}", words(&text));
        }
    }

    #[test]
    fn no_text_has_no_words() {
        assert!(words("").is_empty());
    }

    proptest! {
        #[test]
        fn no_character_is_lost(text in any::<String>()) {
            prop_assert_eq!(words(&text).concat(), text);
        }

        #[test]
        fn no_thai_character_is_lost(text in "[ก-ฮะ-ูเ-๎๐-๙ .,a-z#@\n/:]{0,60}") {
            prop_assert_eq!(words(&text).concat(), text.clone());
            for cut in boundaries(&text) {
                prop_assert!(letter::is_safe(&text, cut) || cut == text.len() || text[..cut].ends_with('\n'));
            }
        }
    }
}
