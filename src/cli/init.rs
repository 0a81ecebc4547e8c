//! Init: writes a first configuration from a few answers.
//!
//! Secrets are named, never asked for: what is typed into a terminal ends in its history. What is written was read
//! back by the same code that `check` uses, so it is good once the variables it names are set.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::io::BufRead;
use std::io::IsTerminal;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use url::Url;

use crate::cli::Failure;
use crate::cli::faulty;
use crate::config;
use crate::config::manual;

/// The database when none is named.
const DATABASE: &str = "sqlite:songkhao.db";

/// Where a database address with a password is kept instead of the file.
const DATABASE_VARIABLE: &str = "SONGKHAO_DATABASE_URL";

const HEAD: &str = "\
## songkhao's configuration, begun by `songkhao init`.
##
## `##` explains, `#` shows what holds when a key is left out. Look over it, then run `songkhao check`.
## Durations are 90s, 2m, 24h, 7d. Relative paths count from the working directory.
## A secret is { env = \"NAME\" }, { file = \"path\" } or { credential = \"name\" } (systemd), never the value itself.
";

/// `songkhao init`
#[derive(Debug, Clone, Default, Args)]
pub struct Init {
    /// The feed to watch; may be given several times.
    #[arg(long = "feed", value_name = "URL")]
    feeds: Vec<String>,
    /// Post to the Facebook Page with this id.
    #[arg(long, value_name = "PAGE_ID")]
    facebook: Option<String>,
    /// Post to an X profile.
    #[arg(long)]
    x: bool,
    /// Post to the LINE Official Account with this Messaging API channel.
    #[arg(long, value_name = "CHANNEL_ID")]
    line: Option<String>,
    /// Where songkhao keeps what it knows: sqlite:FILE or postgres://… [default: sqlite:songkhao.db].
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The file to write.
    #[arg(long, value_name = "PATH", default_value = "config.toml")]
    output: PathBuf,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
}

/// `songkhao init`.
///
/// # Errors
/// Answers that make no configuration, a file that is there already (exit 2), or one that can't be written.
pub fn init(mut wishes: Init) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if wishes.output.exists() && !wishes.force {
        return Err(there_already(&wishes.output));
    }
    let nothing_said =
        wishes.feeds.is_empty() && wishes.facebook.is_none() && !wishes.x && wishes.line.is_none();
    if !wishes.yes && io::stdin().is_terminal() {
        ask_what_is_open(&mut wishes, &mut io::stdin().lock(), &mut out)?;
    } else if nothing_said {
        let text = "nobody can be asked here; give --feed URL and where to post: --facebook PAGE_ID, --x or \
                    --line CHANNEL_ID";
        return Err(Failure::Usage(format!("songkhao: {text}")));
    }
    let made = make(&wishes)?;
    write(&wishes.output, &made.text, wishes.force)?;
    Ok(out.write_all(next_steps(&wishes.output, &made.variables).as_bytes())?)
}

/// Asks for what the flags leave open.
fn ask_what_is_open(
    wishes: &mut Init,
    input: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<(), Failure> {
    while wishes.feeds.is_empty() {
        let answer = ask(input, out, "The address of the feed to watch")?;
        match feed(&answer) {
            Ok(_) => wishes.feeds.push(answer),
            Err(reason) => writeln!(out, "  {reason}")?,
        }
    }
    let chosen = |wishes: &Init| wishes.facebook.is_some() || wishes.x || wishes.line.is_some();
    while !chosen(wishes) {
        let given = |answer: String| Some(answer).filter(|answer| !answer.is_empty());
        wishes.facebook = given(ask(input, out, "The id of the Facebook Page to post to (empty: none)")?);
        wishes.x = ask(input, out, "Post to an X profile? [y/N]")?.to_lowercase().starts_with('y');
        wishes.line = given(ask(input, out, "The id of the LINE channel to post to (empty: none)")?);
        if !chosen(wishes) {
            writeln!(out, "  There must be somewhere to post to.")?;
        }
    }
    if wishes.database.is_none() {
        let answer = ask(input, out, &format!("The database, sqlite:FILE or postgres://… [{DATABASE}]"))?;
        wishes.database = Some(answer).filter(|answer| !answer.is_empty());
    }
    Ok(())
}

fn ask(input: &mut impl BufRead, out: &mut impl Write, question: &str) -> Result<String, Failure> {
    write!(out, "{question}: ")?;
    out.flush()?;
    let mut answer = String::new();
    if input.read_line(&mut answer)? == 0 {
        return Err(Failure::Usage("songkhao: the answers ended early; nothing was written".to_owned()));
    }
    Ok(answer.trim().to_owned())
}

/// A configuration, and the variables it names with what each holds.
struct Made {
    text: String,
    variables: Vec<(&'static str, &'static str)>,
}

/// The configuration for these wishes, checked.
fn make(wishes: &Init) -> Result<Made, Failure> {
    let mut settings = String::new();
    let mut variables = Vec::new();
    let database = wishes.database.as_deref().unwrap_or(DATABASE);
    if has_password(database) {
        settings += &format!("[database]\nurl = {{ env = \"{DATABASE_VARIABLE}\" }}\n");
        variables.push((DATABASE_VARIABLE, "the database's address with its password"));
    } else {
        settings += &format!("[database]\nurl = {}\n", quoted(database));
    }
    let mut sources: Vec<String> = Vec::new();
    for written in &wishes.feeds {
        let url = feed(written).map_err(|reason| Failure::Usage(format!("songkhao: --feed: {reason}")))?;
        let name = source_name(&url, &sources);
        settings += &format!("[[source]]\nname = {}\nurl = {}\n", quoted(&name), quoted(written));
        sources.push(name);
    }
    if sources.is_empty() {
        return Err(Failure::Usage("songkhao: nothing to watch; give --feed URL".to_owned()));
    }
    let mut at_once = Vec::new();
    if let Some(page) = &wishes.facebook {
        settings += &format!(
            "[[account]]\nname = \"facebook\"\nplatform = \"facebook\"\npage_id = {}\n\
             access_token = {{ env = \"FB_PAGE_TOKEN\" }}\n",
            quoted(page)
        );
        variables.push(("FB_PAGE_TOKEN", "the Facebook Page's token"));
        at_once.push("facebook");
    }
    if wishes.x {
        settings += "[[account]]\nname = \"x\"\nplatform = \"x\"\noauth1 = { consumer_key = { env = \"X_KEY\" }, \
                     consumer_secret = { env = \"X_SECRET\" }, access_token = { env = \"X_TOKEN\" }, \
                     access_token_secret = { env = \"X_TOKEN_SECRET\" } }\n";
        variables.extend([
            ("X_KEY", "the X app's consumer key"),
            ("X_SECRET", "its secret"),
            ("X_TOKEN", "the profile's access token"),
            ("X_TOKEN_SECRET", "its secret"),
        ]);
        at_once.push("x");
    }
    if let Some(channel) = &wishes.line {
        settings += &format!(
            "[[account]]\nname = \"line\"\nplatform = \"line\"\nchannel_id = {}\n\
             channel_secret = {{ env = \"LINE_CHANNEL_SECRET\" }}\n",
            quoted(channel)
        );
        variables.push(("LINE_CHANNEL_SECRET", "the LINE channel's secret"));
    }
    if at_once.is_empty() && wishes.line.is_none() {
        let text = "nowhere to post; give --facebook PAGE_ID, --x or --line CHANNEL_ID";
        return Err(Failure::Usage(format!("songkhao: {text}")));
    }
    settings += &routes(&sources, &at_once, wishes.line.is_some());
    let text = manual::commented(HEAD, &settings).context("the answers make no configuration")?;
    let mut env: BTreeMap<String, String> =
        variables.iter().map(|(name, _)| ((*name).to_owned(), "set later".to_owned())).collect();
    env.insert(DATABASE_VARIABLE.to_owned(), database.to_owned());
    config::parse(&wishes.output.display().to_string(), &text, &env).map_err(|faults| faulty(&faults))?;
    Ok(Made { text, variables })
}

/// Facebook and X at once; LINE, where every message costs, as a digest.
fn routes(sources: &[String], at_once: &[&str], line: bool) -> String {
    let sources: Vec<String> = sources.iter().map(|name| quoted(name)).collect();
    let sources = sources.join(", ");
    let mut routes = String::new();
    if !at_once.is_empty() {
        let accounts: Vec<String> = at_once.iter().map(|name| quoted(name)).collect();
        routes += &format!(
            "[[route]]\nname = \"all-news\"\nsources = [{sources}]\naccounts = [{}]\n",
            accounts.join(", ")
        );
    }
    if line {
        routes += &format!(
            "[[route]]\nname = \"line-digest\"\nsources = [{sources}]\naccounts = [\"line\"]\n\
             when = {{ cron = \"0 7,12,18 * * *\" }}\ndigest = 5\n"
        );
    }
    routes
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn feed(written: &str) -> Result<Url, String> {
    let url = Url::parse(written).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| format!("{written:?} is no web address; write it whole, https://…"))
}

/// A short name out of a host, unlike those there are: `https://www.innnews.co.th/feed/` is `innnews`.
fn source_name(url: &Url, taken: &[String]) -> String {
    let host = url.host_str().unwrap_or_default();
    let labels: Vec<&str> =
        host.split('.').filter(|label| !["www", "feeds", "rss"].contains(label)).collect();
    // An IP address has no label that says anything.
    let is_name = url.domain().is_some();
    let name = labels.first().filter(|label| is_name && !label.is_empty()).map_or("news", |label| label);
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_default()
}

fn has_password(database: &str) -> bool {
    Url::parse(database).is_ok_and(|url| url.password().is_some())
}

fn there_already(path: &Path) -> Failure {
    let text = "is there already; name another file with --output, or write over it with --force";
    Failure::Usage(format!("songkhao: {} {text}", path.display()))
}

/// Writes the file whole or not at all.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let named = || format!("{} can't be written", path.display());
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::write(&fresh, text).and_then(|()| {
        // A link fails where a rename would write over what came meanwhile.
        if force { fs::rename(&fresh, path) } else { fs::hard_link(&fresh, path) }
    });
    if !force || written.is_err() {
        // It may never have come into being; what counts is what happened to the file itself.
        let _removed = fs::remove_file(&fresh);
    }
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(there_already(path)),
        written => Ok(written.with_context(named)?),
    }
}

/// What a person does now.
fn next_steps(path: &Path, variables: &[(&str, &str)]) -> String {
    let mut text = format!("wrote {}\n\nNext:\n", path.display());
    text += "1. Give songkhao these variables (or turn them into { file = … } or { credential = … }):\n";
    let widest = variables.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, meaning) in variables {
        text += &format!("   {name:<widest$}  {meaning}\n");
    }
    text += "   docs/channels.md says where each comes from.\n";
    let config = if path == Path::new("config.toml") {
        String::new()
    } else {
        format!(" --config {}", path.display())
    };
    text += &format!("2. songkhao check --online{config}\n3. songkhao run{config}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::config::Config;

    fn wishes() -> Init {
        Init {
            feeds: vec!["https://www.innnews.co.th/feed/".into()],
            facebook: Some("100000000000001".into()),
            x: true,
            line: Some("1234567890".into()),
            output: "config.toml".into(),
            ..Init::default()
        }
    }

    /// The configuration that was made, read where all its variables are set.
    #[track_caller]
    fn read(made: &Made) -> Config {
        let set =
            |(name, _): &(&str, &str)| ((*name).to_owned(), "postgres://a:b@db.example/news".to_owned());
        let env: BTreeMap<String, String> = made.variables.iter().map(set).collect();
        config::parse("config.toml", &made.text, &env).unwrap()
    }

    #[track_caller]
    fn check_refused(wishes: &Init, reason: &str) {
        match make(wishes) {
            Err(Failure::Usage(text)) => assert!(text.contains(reason), "{text}"),
            Err(other) => panic!("{other:?}"),
            Ok(made) => panic!("{}", made.text),
        }
    }

    #[test]
    fn what_is_written_passes_the_check_once_its_variables_are_set() {
        let made = make(&wishes()).unwrap();
        let config = read(&made);
        assert_eq!(config.remarks(), Vec::<String>::new());
        assert_eq!((config.sources.len(), config.accounts.len(), config.routes.len()), (1, 3, 2));
        assert_eq!(config.sources[0].name, "innnews");
        let unset = config::parse("config.toml", &made.text, &BTreeMap::new()).unwrap_err().to_string();
        for (name, _) in &made.variables {
            assert!(unset.contains(name), "{name}: {unset}");
        }
    }

    #[test]
    fn any_choice_of_platforms_makes_a_whole_configuration() {
        for choice in 1..8 {
            let made = make(&Init {
                facebook: wishes().facebook.filter(|_| choice & 1 > 0),
                x: choice & 2 > 0,
                line: wishes().line.filter(|_| choice & 4 > 0),
                ..wishes()
            })
            .unwrap();
            assert_eq!(read(&made).remarks(), Vec::<String>::new(), "{choice}");
        }
        check_refused(&Init { facebook: None, x: false, line: None, ..wishes() }, "nowhere to post");
    }

    #[test]
    fn a_password_never_reaches_the_file() {
        let made = make(&Init { database: Some("postgres://me:geheim@db.example/news".into()), ..wishes() })
            .unwrap();
        assert!(!made.text.contains("geheim"), "{}", made.text);
        assert_eq!(made.variables[0].0, DATABASE_VARIABLE);
        assert_eq!(read(&made).database.url.expose(), "postgres://a:b@db.example/news");
        let open = make(&Init { database: Some("postgres:///news".into()), ..wishes() }).unwrap();
        assert_eq!(read(&open).database.url.expose(), "postgres:///news");
    }

    #[test]
    fn answers_that_make_no_configuration_are_said_with_their_cure() {
        check_refused(&Init { feeds: vec!["innnews.co.th".into()], ..wishes() }, "write it whole");
        check_refused(&Init { feeds: Vec::new(), ..wishes() }, "--feed");
        check_refused(&Init { facebook: Some(" ".into()), ..wishes() }, "page_id");
        check_refused(&Init { database: Some("mysql://x".into()), ..wishes() }, "database");
        let tricky = Init { facebook: Some("\"\n[web]\nlisten = \"0.0.0.0:1\"".into()), ..wishes() };
        match make(&tricky) {
            Ok(made) => assert_eq!(read(&made).web.listen.port(), 8080),
            Err(Failure::Usage(text)) => assert!(text.contains("page_id"), "{text}"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn sources_are_called_by_their_host() {
        let name = |url: &str, taken: &[String]| source_name(&Url::parse(url).unwrap(), taken);
        assert_eq!(name("https://www.innnews.co.th/feed/", &[]), "innnews");
        assert_eq!(name("https://feeds.bbci.co.uk/thai", &["bbci".to_owned()]), "bbci-2");
        assert_eq!(name("http://127.0.0.1:9000/feed", &[]), "news");
    }

    #[test]
    fn a_person_is_asked_only_for_what_is_open_and_again_after_a_bad_answer() {
        let mut asked = Init { output: "config.toml".into(), ..Init::default() };
        let answers = "innnews\nhttps://www.innnews.co.th/feed/\n\nn\n\n\nYes\n\n\n";
        let mut said = Vec::new();
        ask_what_is_open(&mut asked, &mut answers.as_bytes(), &mut said).unwrap();
        assert_eq!(
            (asked.feeds.len(), asked.x, asked.line.as_ref(), asked.database.as_ref()),
            (1, true, None, None)
        );
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("write it whole") && said.contains("somewhere to post"), "{said}");
        let mut nothing = Vec::new();
        let mut all = Init { database: Some(DATABASE.into()), ..wishes() };
        ask_what_is_open(&mut all, &mut "".as_bytes(), &mut nothing).unwrap();
        assert!(nothing.is_empty());
        assert!(ask_what_is_open(&mut Init::default(), &mut "".as_bytes(), &mut nothing).is_err());
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        write(&path, "one", false).unwrap();
        assert!(matches!(write(&path, "two", false), Err(Failure::Usage(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        write(&path, "three", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    }

    #[test]
    fn the_next_steps_name_every_variable_and_the_file() {
        let made = make(&wishes()).unwrap();
        let text = next_steps(Path::new("/etc/songkhao/config.toml"), &made.variables);
        assert!(made.variables.iter().all(|(name, _)| text.contains(name)), "{text}");
        assert!(text.contains("songkhao check --online --config /etc/songkhao/config.toml"), "{text}");
    }
}
