//! Command line: what a person types, and what it prints.
//!
//! What a command promises goes to standard output, logs to standard error. Exit 0: done, 1: failed,
//! 2: bad usage or configuration. Every command works on the database with or without the daemon.

pub mod desk;
pub mod demo;
pub mod run;
pub mod sandbox;
pub mod init;
pub mod check;
pub mod doctor;
pub mod backup;
pub mod preview;
pub mod why;
pub mod source;
pub mod text;
pub mod post;
pub mod hold;
pub mod promotion;
pub mod account;
pub mod connect;
pub mod audit;
pub mod verify;
pub mod user;

use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use tokio::runtime;
use tokio::runtime::Runtime;

use crate::clock;
use crate::config::fault::Faults;
use crate::feed::reader;
use crate::http;
use crate::store::db;
use crate::telemetry;

/// ส่งข่าว: watches a newsroom's feeds and posts every new article to Facebook Pages, X and LINE, exactly once.
#[derive(Debug, Parser)]
#[command(name = "songkhao", version, max_term_width = 100)]
struct Cli {
    /// The configuration file [default: ./config.toml, else /etc/songkhao/config.toml].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole way from a feed to three platforms; needs nothing.
    Demo {
        /// End when all is delivered, and print a table.
        #[arg(long)]
        once: bool,
        /// Where the pages are [default: 127.0.0.1:8080, or any free port].
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Run the fake platforms and the sample feed alone.
    Sandbox {
        /// Where they are; port 0 takes any free one.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Whether rate limits, usage headers and quotas are enforced.
        #[arg(long, default_value = "off")]
        limits: Switch,
    },
    /// Run the daemon until it is told to stop (SIGTERM drains).
    Run {
        /// Look for everything of the last 48 hours on its account before it is sent: after a failover or a restore
        /// that songkhao can't have noticed.
        #[arg(long)]
        reconcile_all: bool,
    },
    /// Write a consistent copy of the database, while the daemon runs (SQLite).
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Put a backup in the database's place, and keep what it replaces; the daemon must be stopped (SQLite).
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// Write a first configuration from a few questions, or from flags.
    Init(init::Init),
    /// Say all that is wrong with the configuration at once.
    Check {
        /// Also try the feeds and every account's credential.
        #[arg(long)]
        online: bool,
    },
    /// Look over what an operator checks first; exit 1 if something needs a person.
    Doctor {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show what each account would get for an article.
    Preview {
        /// The article's address, or a file.
        target: String,
        /// Only this account.
        #[arg(long)]
        account: Option<String>,
    },
    /// Tell the story of an article: each step, each verdict, each attempt.
    Why {
        /// The article's address.
        url: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Look at sources.
    #[command(subcommand)]
    Source(SourceCommand),
    /// Show what the Thai text layer does, line by line.
    #[command(subcommand)]
    Text(TextCommand),
    /// Look at posts and decide about them.
    #[command(subcommand)]
    Post(post::PostCommand),
    /// Stop posting, with a reason, until it is lifted.
    #[command(subcommand)]
    Hold(hold::HoldCommand),
    /// Editors' own messages, which go out once or again and again.
    #[command(subcommand)]
    Promotion(promotion::PromotionCommand),
    /// Look at accounts.
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// The people who sign in.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Read, export and verify the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
    /// Read one article page from standard input, for the daemon, and be killed if that takes too long.
    #[command(hide = true)]
    ReadPage,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Subcommand)]
enum SourceCommand {
    /// Read a feed, an HTML page or plain text, and show what came out of it.
    Test {
        /// The address, or a file.
        target: String,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum TextCommand {
    /// Lines from standard input, their words parted by `|`.
    Words,
    /// For each line from standard input a JSON array of its sentences.
    Sentences,
    /// For each JSON line `{id,title,body}` a `{id,summary}`.
    Summary {
        /// The most code points of a summary.
        #[arg(long)]
        max: usize,
    },
    /// For each JSON string its longest good prefix.
    Cut {
        /// The most code points.
        #[arg(long)]
        max: usize,
        /// End a cut text with an ellipsis, which counts.
        #[arg(long)]
        ellipsis: bool,
    },
    /// For each JSON string its length by a platform's own rule.
    Count {
        /// facebook, x or line.
        #[arg(long)]
        platform: crate::model::account::Platform,
    },
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// Bad usage or configuration: exit 2. The text is printed as it stands.
    Usage(String),
    /// It could not be done: exit 1.
    Failed(anyhow::Error),
    /// The answer is no, and was printed: exit 1.
    No,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

/// Faults of a configuration end a command with exit 2.
pub fn faulty(faults: &Faults) -> Failure {
    Failure::Usage(faults.to_string())
}

/// Reads the command line, does what it says, and tells the operating system how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start();
    http::install_tls();
    let runtime = match cli.command {
        // It starts for every page, does one thing, and has no use for threads.
        Command::ReadPage => runtime::Builder::new_current_thread().build(),
        _ => Runtime::new(),
    };
    ended(runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(carry_out(cli))))
}

/// What the operating system is told of how it went, and a person why.
fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::No) => ExitCode::FAILURE,
        Err(Failure::Usage(text)) => {
            complain(text.trim_end());
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            if let Some(broken_pipe) = error.downcast_ref::<io::Error>()
                && broken_pipe.kind() == io::ErrorKind::BrokenPipe
            {
                return ExitCode::SUCCESS;
            }
            complain(&format!("songkhao: {}", told(&error)));
            let taken = matches!(
                error.downcast_ref::<db::Error>(),
                Some(db::Error::NodeTaken { .. } | db::Error::Newer { .. })
            );
            if taken { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// An error with its causes. Many libraries put the cause into their own text too: that is told once.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.is_empty() => cause,
        told if told.contains(&cause) => told,
        told => format!("{told}: {cause}"),
    })
}

#[expect(clippy::print_stderr, reason = "the command line's own last words")]
fn complain(text: &str) {
    eprintln!("{text}");
}

async fn carry_out(cli: Cli) -> Result<(), Failure> {
    let config = cli.config.as_deref();
    match cli.command {
        Command::Demo { once, listen } => demo::demo(once, listen).await,
        Command::Sandbox { listen, limits } => sandbox::sandbox(listen, limits == Switch::On).await,
        Command::Run { reconcile_all } => run::run(config, reconcile_all).await,
        Command::Backup { file } => backup::backup(config, &file).await,
        Command::Restore { file } => backup::restore(config, &file).await,
        Command::Init(wishes) => init::init(wishes),
        Command::Doctor { json } => doctor::doctor(config, json).await,
        Command::Check { online } => check::check(config, online).await,
        Command::Preview { target, account } => preview::preview(config, &target, account.as_deref()).await,
        Command::Why { url, json } => why::why(config, &url, json).await,
        Command::Source(SourceCommand::Test { target, json }) => {
            let read = source::test(&target, json, io::stdout().lock(), clock::now()).await?;
            if read { Ok(()) } else { Err(Failure::No) }
        }
        Command::Text(command) => Ok(text(command)?),
        Command::Post(command) => post::post(config, command).await,
        Command::Hold(command) => hold::hold(config, command).await,
        Command::Promotion(command) => promotion::promotion(config, command).await,
        Command::Account(command) => account::account(config, command).await,
        Command::User(command) => user::user(config, command).await,
        Command::Audit(command) => audit::audit(config, command).await,
        Command::Completions { shell } => {
            // Not straight to standard output: the generator panics where nobody reads on.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "songkhao", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::ReadPage => Ok(reader::child(io::stdin().lock(), io::stdout().lock())?),
        Command::Man => Ok(clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?),
    }
}

fn text(command: TextCommand) -> anyhow::Result<()> {
    let (input, output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    match command {
        TextCommand::Words => text::words(input, output),
        TextCommand::Sentences => text::sentences(input, output),
        TextCommand::Summary { max } => text::summary(input, output, max),
        TextCommand::Cut { max, ellipsis } => text::cut(input, output, max, ellipsis),
        TextCommand::Count { platform } => text::count(input, output, platform.name()),
    }
}
