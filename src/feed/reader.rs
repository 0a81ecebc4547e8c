//! Reader: has a child process read a page, and kills it when it must.
//!
//! A page is a stranger's, and taking one apart can cost any time and memory that [`depth`](crate::feed::depth) did
//! not foresee. So nothing of it is taken apart in the daemon: the same program is started once more as
//! `songkhao read-page`, without environment, configuration or database; it gets the page on standard input and
//! answers with the article on standard output. What it may use up is bounded here and, should the daemon die
//! meanwhile, by the kernel. This is no sandbox against code of a stranger's: there is none, the parsers are safe Rust.

use std::io;
use std::io::BufRead;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use chrono::Utc;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::setrlimit;
use serde::Deserialize;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::Semaphore;
use url::Url;

use crate::feed::depth::MAX_PAGE;
use crate::feed::page;
use crate::http::fetch::shown;
use crate::model::article::Entry;

/// This program, even when its file was replaced by a newer one since it started: both speak the same words then.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How long a child may take, from its start to its answer (stack.md, section 4). Real pages take some hundredths
/// of a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many children may run at once.
const CHILDREN: usize = 2;

/// The most bytes of an answer: the text of the largest page, as JSON, is not twice as long.
const LONGEST_ANSWER: u64 = 2 * MAX_PAGE as u64;

/// How much of a child's last words is kept, in bytes.
const LAST_WORDS: u64 = 300;

/// A child's address space, in bytes. The program itself takes a tenth, the hardest page that passes the guards another.
const ADDRESS_SPACE: u64 = 1 << 30;

/// Processor time after which the kernel kills a child whose daemon is no longer there to do it, in seconds.
const PROCESSOR_TIME: u64 = 10;

/// Why a page was not read. Pages are named without credentials and query.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The page passes the cap.
    #[error("{url}: the page is larger than {MAX_PAGE} bytes")]
    TooLarge {
        /// The page.
        url: String,
    },
    /// The guards refused it, or there is no article in it.
    #[error("{url}: {reason}")]
    Refused {
        /// The page.
        url: String,
        /// What the child says of it.
        reason: String,
    },
    /// It took too long; the child was killed.
    #[error("{url}: reading the page took longer than {} s and was broken off", .after.as_secs_f64())]
    TimedOut {
        /// The page.
        url: String,
        /// How long the child had.
        after: Duration,
    },
    /// The child ended without an answer.
    #[error("{url}: reading the page ended by {status}{}", said(.last_words))]
    Died {
        /// The page.
        url: String,
        /// How it ended, such as `signal: 6 (SIGABRT)`.
        status: ExitStatus,
        /// The beginning of what it wrote to standard error, on one line.
        last_words: String,
    },
    /// The child's answer is none.
    #[error("{url}: reading the page gave an answer that can't be understood: {reason}")]
    Garbled {
        /// The page.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No child could be started, or the line to it broke.
    #[error("{url}: no process for reading the page could be run: {reason}")]
    NoChild {
        /// The page.
        url: String,
        /// What the operating system says.
        reason: io::Error,
    },
}

fn said(last_words: &str) -> String {
    if last_words.is_empty() { String::new() } else { format!(" and said {last_words:?}") }
}

/// What a child is told before the page: one line of JSON, then the page's bytes to the end.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    url: Url,
    content_type: Option<String>,
    now: DateTime<Utc>,
}

/// What a child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Read(Box<Entry>),
    Refused(String),
}

/// Reads article pages; cheap to clone, and all clones share the places for children.
#[derive(Debug, Clone)]
pub struct Reader {
    program: PathBuf,
    patience: Duration,
    children: Arc<Semaphore>,
    /// Read right here, in no child: for tests of what happens to a page once it is read.
    #[cfg(test)]
    within: bool,
}

impl Reader {
    /// Reads pages in children that run this very program.
    pub fn of_this_program() -> Reader {
        Reader::at(Path::new(THIS_PROGRAM))
    }

    /// Reads pages in children that run the songkhao at `program`, for tests that are another program themselves.
    pub fn at(program: impl Into<PathBuf>) -> Reader {
        Reader {
            program: program.into(),
            patience: PATIENCE,
            children: Arc::new(Semaphore::new(CHILDREN)),
            #[cfg(test)]
            within: false,
        }
    }

    /// Reads pages in this process, which no page can be kept from holding up.
    #[cfg(test)]
    pub fn within() -> Reader {
        Reader { within: true, ..Reader::of_this_program() }
    }

    /// Reads an article page in any encoding; at most [`CHILDREN`] at once, the others wait.
    ///
    /// Dropped, it kills its child.
    ///
    /// # Errors
    /// A [`ReadError`], which names the page.
    pub async fn read(
        &self,
        body: Bytes,
        content_type: Option<String>,
        url: &Url,
        now: DateTime<Utc>,
    ) -> Result<Entry, ReadError> {
        if body.len() > MAX_PAGE {
            return Err(ReadError::TooLarge { url: shown(url) });
        }
        let broken = |error: io::Error| ReadError::NoChild { url: shown(url), reason: error };
        let _place = self.children.acquire().await.map_err(|closed| broken(io::Error::other(closed)))?;
        let task = Task { url: url.clone(), content_type, now };
        #[cfg(test)]
        if self.within {
            return answered(task.carry_out(&body), url);
        }
        let mut child = start(&self.program).map_err(broken)?;
        let Ok(told) = tokio::time::timeout(self.patience, talk(&mut child, &task, &body)).await else {
            child.kill().await.map_err(broken)?;
            return Err(ReadError::TimedOut { url: shown(url), after: self.patience });
        };
        let told = told.map_err(broken)?;
        if told.answer.len() as u64 > LONGEST_ANSWER {
            let reason = format!("it is longer than {LONGEST_ANSWER} bytes");
            return Err(ReadError::Garbled { url: shown(url), reason });
        }
        if !told.status.success() {
            let Told { status, last_words, .. } = told;
            return Err(ReadError::Died { url: shown(url), status, last_words });
        }
        let answer = serde_json::from_slice(&told.answer)
            .map_err(|error| ReadError::Garbled { url: shown(url), reason: error.to_string() })?;
        answered(answer, url)
    }
}

fn answered(answer: Answer, url: &Url) -> Result<Entry, ReadError> {
    match answer {
        Answer::Read(entry) => Ok(*entry),
        Answer::Refused(reason) => Err(ReadError::Refused { url: shown(url), reason }),
    }
}

/// Starts a child that has nothing of ours but the program.
fn start(program: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg0("songkhao")
        .arg("read-page")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// What a child left behind.
struct Told {
    status: ExitStatus,
    /// One byte longer than [`LONGEST_ANSWER`] at most.
    answer: Vec<u8>,
    last_words: String,
}

async fn talk(child: &mut Child, task: &Task, body: &[u8]) -> io::Result<Told> {
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("it has no standard input and output"));
    };
    let tell = async {
        let mut line = serde_json::to_vec(task)?;
        line.push(b'\n');
        input.write_all(&line).await?;
        input.write_all(body).await?;
        // The end of the page is the end of the line.
        drop(input);
        io::Result::Ok(())
    };
    let (told, answer, last_words) =
        tokio::join!(tell, hear(output, LONGEST_ANSWER + 1), hear(errors, LAST_WORDS));
    let (answer, last_words) = (answer?, last_words?);
    let status = child.wait().await?;
    // A child that is gone doesn't listen; how it went says more than the broken pipe.
    told.or_else(|error| if status.success() { Err(error) } else { Ok(()) })?;
    let last_words = String::from_utf8_lossy(&last_words);
    let last_words: Vec<&str> = last_words.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    Ok(Told { status, answer, last_words: last_words.join(" ").trim().to_owned() })
}

/// What comes, up to so many bytes; then nobody listens any more, and who goes on gets a broken pipe.
async fn hear(from: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    from.take(most).read_to_end(&mut heard).await?;
    Ok(heard)
}

/// The child's side, `songkhao read-page`: bounds itself, reads a task and a page from `input`, and answers to `output`.
///
/// # Errors
/// When there is no task in `input`, or nobody takes the answer.
pub fn child(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    confine()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let task: Task = serde_json::from_str(&line)?;
    let mut body = Vec::new();
    input.take(MAX_PAGE as u64).read_to_end(&mut body)?;
    serde_json::to_writer(&mut output, &task.carry_out(&body))?;
    output.flush()
}

/// Gives up, for good, what reading a page does not need: memory and time without end, files, processes.
fn confine() -> io::Result<()> {
    for (resource, most) in [
        (Resource::As, ADDRESS_SPACE),
        (Resource::Cpu, PROCESSOR_TIME),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

impl Task {
    fn carry_out(&self, body: &[u8]) -> Answer {
        match page::page(body, self.content_type.as_deref(), Some(&self.url), self.now) {
            Ok(page) => Answer::Read(Box::new(page.entry)),
            Err(error) => Answer::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fs;
    use std::time::Instant;

    const PAGE: &[u8] = b"<html><body><p>page</p></body></html>";

    /// A reader with one of the programs that behave as songkhao must not.
    fn reader(program: &str) -> Reader {
        let program = format!("{}/tests/fixtures/reader/{program}", env!("CARGO_MANIFEST_DIR"));
        Reader { patience: Duration::from_secs(1), ..Reader::at(program) }
    }

    async fn read(reader: &Reader, page: &'static [u8]) -> Result<Entry, ReadError> {
        let url = Url::parse("https://a:b@x.th/news/1?token=secret").unwrap();
        reader.read(Bytes::from_static(page), None, &url, DateTime::UNIX_EPOCH).await
    }

    async fn check(program: &str, expected: &str) {
        let error = read(&reader(program), PAGE).await.unwrap_err().to_string();
        assert_eq!(error, format!("https://x.th/news/1?…: {expected}"));
    }

    /// How many processes run this fixture.
    fn running(program: &str) -> usize {
        let fixture = format!("fixtures/reader/{program}");
        let commands = fs::read_dir("/proc").unwrap().filter_map(|process| {
            let command = fs::read(process.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&command).into_owned())
        });
        commands.filter(|command| command.contains(&fixture)).count()
    }

    #[tokio::test]
    async fn children_that_hang_are_killed_and_no_more_run_than_there_are_places() {
        let reader = reader("hangs");
        let begun = Instant::now();
        let reads = futures_util::future::join_all((0..4).map(|_| read(&reader, PAGE)));
        let looks = async {
            tokio::time::sleep(reader.patience / 2).await;
            running("hangs")
        };
        let (reads, amid) = tokio::join!(reads, looks);
        assert_eq!((amid, running("hangs")), (CHILDREN, 0));
        let took = begun.elapsed();
        assert!(took >= reader.patience * 2 && took < Duration::from_secs(20), "it took {took:?}");
        for read in reads {
            let expected = "reading the page took longer than 1 s and was broken off";
            assert_eq!(read.unwrap_err().to_string(), format!("https://x.th/news/1?…: {expected}"));
        }
    }

    #[tokio::test]
    async fn a_read_that_nobody_waits_for_any_more_is_killed() {
        let reader = reader("waits");
        let given_up = tokio::time::timeout(Duration::from_millis(300), read(&reader, PAGE)).await;
        assert!(given_up.is_err());
        let begun = Instant::now();
        while running("waits") > 0 {
            assert!(begun.elapsed() < Duration::from_secs(5), "it still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_that_dies_is_named_with_its_last_words() {
        let expected =
            "reading the page ended by signal: 9 (SIGKILL) and said \"memory allocation of 9 bytes failed\"";
        check("dies", expected).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_said_so() {
        let error = read(&reader("babbles"), PAGE).await.unwrap_err();
        assert!(matches!(error, ReadError::Garbled { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off() {
        check(
            "floods",
            "reading the page gave an answer that can't be understood: it is longer than 4194304 bytes",
        )
        .await;
        assert_eq!(running("floods"), 0);
    }

    #[tokio::test]
    async fn a_child_inherits_nothing() {
        let error = read(&reader("tells"), PAGE).await.unwrap_err().to_string();
        let told = error.split_once("exit status: 3 and said ").unwrap().1;
        // The shell itself sets the one about its folder.
        assert_eq!(told, "\"PWD=/ /\"");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_said_so() {
        check(
            "nothing",
            "no process for reading the page could be run: No such file or directory (os error 2)",
        )
        .await;
    }

    #[tokio::test]
    async fn a_page_past_the_cap_starts_no_child() {
        static LARGE: [u8; MAX_PAGE + 1] = [b'x'; MAX_PAGE + 1];
        let error = read(&reader("nothing"), &LARGE).await.unwrap_err();
        assert!(matches!(error, ReadError::TooLarge { .. }), "{error}");
    }
}
