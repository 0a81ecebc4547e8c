//! Text: the commands that show what the text layer does, line by line.
//!
//! Each reads standard input to its end and keeps one line of output for one line of input. A line
//! that cannot be read stops the command with its number. Contracts: design.md, section 7.

use std::io::BufRead;
use std::io::Write;

use anyhow::Context;
use serde::Deserialize;
use serde::Serialize;

use crate::text::cut;
use crate::text::extract;
use crate::text::sentence;
use crate::text::words;

/// `songkhao text words`: each line again, its words parted by `|`.
pub fn words(input: impl BufRead, mut output: impl Write) -> anyhow::Result<()> {
    each_line(input, |line| {
        writeln!(output, "{}", words::words(line).join("|"))?;
        Ok(())
    })
}

/// `songkhao text sentences`: for each line a JSON array of its sentences.
pub fn sentences(input: impl BufRead, mut output: impl Write) -> anyhow::Result<()> {
    each_line(input, |line| write_json(&mut output, &sentence::sentences(line)))
}

/// `songkhao text summary`: for each `{id, title, body}` a `{id, summary}` of at most `max` code points.
pub fn summary(input: impl BufRead, mut output: impl Write, max: usize) -> anyhow::Result<()> {
    each_line(input, |line| {
        let story: Story = serde_json::from_str(line).context(WANTS_STORY)?;
        let summary = extract::summary(&story.title, &story.body, max);
        write_json(&mut output, &Summarised { id: story.id, summary })
    })
}

/// `songkhao text cut`: for each JSON string its longest good prefix of at most `max` code points.
pub fn cut(input: impl BufRead, mut output: impl Write, max: usize, ellipsis: bool) -> anyhow::Result<()> {
    each_line(input, |line| {
        let text: String = serde_json::from_str(line).context(WANTS_STRING)?;
        match ellipsis {
            true => write_json(&mut output, &cut::cut_with_ellipsis(&text, max)),
            false => write_json(&mut output, cut::cut(&text, max)),
        }
    })
}

#[derive(Deserialize)]
struct Story {
    /// Given back as it came, whatever it is.
    id: serde_json::Value,
    #[serde(default)]
    title: String,
    body: String,
}

#[derive(Serialize)]
struct Summarised {
    id: serde_json::Value,
    summary: String,
}

const WANTS_STORY: &str = "want one JSON object a line: {\"id\": …, \"title\": \"…\", \"body\": \"…\"}";
const WANTS_STRING: &str = "want one JSON string a line, such as \"ข่าวด่วน\"";

fn each_line(input: impl BufRead, mut act: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for (place, line) in input.lines().enumerate() {
        let number = place + 1;
        let line =
            line.with_context(|| format!("standard input, line {number}: not readable as UTF-8 text"))?;
        act(&line).with_context(|| format!("standard input, line {number}"))?;
    }
    Ok(())
}

fn write_json(output: &mut impl Write, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    writeln!(output, "{}", serde_json::to_string(value)?)?;
    Ok(())
}
