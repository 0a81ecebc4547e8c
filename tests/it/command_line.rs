//! Command line: the real program, its exit codes and what it prints.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before the test gives up; everything takes far less.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own to work in, without configuration.
fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn songkhao(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_songkhao"));
    command.args(args).current_dir(folder).env_remove("SONGKHAO_DATABASE_URL").env("SECRET", "geheim-geheim");
    command.env("RUST_LOG", "warn").stdin(Stdio::null());
    command
}

pub fn run(folder: &Path, args: &[&str]) -> Output {
    songkhao(folder, args).output().unwrap()
}

/// Runs it with something on standard input.
fn feed(args: &[&str], input: &str) -> Output {
    let folder = folder();
    let mut child = songkhao(folder.path(), args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub fn good(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// A program that runs until it is told to stop; killed when the test ends.
pub struct Running(Child);

impl Running {
    /// Starts it and waits for the line it promises; what follows `promise` in it.
    fn start(folder: &Path, args: &[&str], promise: &str) -> (Running, String) {
        let mut child = songkhao(folder, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Running(child);
        for line in lines.map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix(promise) {
                return (running, rest.trim().to_owned());
            }
        }
        panic!("{args:?} ended without {promise:?}");
    }

    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        assert!(Command::new("kill").args([&signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        until("the end of the process", || self.0.try_wait().unwrap()).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _killed = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

/// Looks again and again until there is something, at most for as long as patience lasts.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A newsroom with two sample articles, three accounts in the sandbox, and a configuration.
pub struct World {
    folder: TempDir,
    base: String,
    _sandbox: Running,
}

impl World {
    pub fn new() -> World {
        let folder = folder();
        let (sandbox, base) =
            Running::start(folder.path(), &["sandbox", "--listen", "127.0.0.1:0"], "listening ");
        let keys = "{ consumer_key = { env = 'SECRET' }, consumer_secret = { env = 'SECRET' }, access_token = { env = 'SECRET' }, access_token_secret = { env = 'SECRET' } }";
        let config = format!(
            "[node]\nname = 'a'\n[web]\nlisten = '127.0.0.1:0'\n[http]\nallow_private_networks = ['127.0.0.0/8']\n\
             [delivery]\ntimeout = '2s'\nconnect_timeout = '1s'\nlease = '3s'\nconfirm_after = '1s'\n\
             [[source]]\nname = 'sample'\nurl = '{base}/feed?count=2'\npoll = '1s'\nsettle = '0s'\nbackfill = 9\n\
             [[account]]\nname = 'page'\nplatform = 'facebook'\npage_id = '100000000000001'\naccess_token = {{ env = 'SECRET' }}\nbase_url = '{base}/facebook'\nmin_gap = '0s'\n\
             [[account]]\nname = 'profile'\nplatform = 'x'\noauth1 = {keys}\nbase_url = '{base}/x'\nmin_gap = '0s'\n\
             [[account]]\nname = 'line'\nplatform = 'line'\nchannel_id = '1234567890'\nchannel_secret = {{ env = 'SECRET' }}\nbase_url = '{base}/line'\nmin_gap = '0s'\n\
             [[route]]\nname = 'all'\nsources = ['sample']\naccounts = ['page', 'profile', 'line']\n"
        );
        fs::write(folder.path().join("config.toml"), config).unwrap();
        World { folder, base, _sandbox: sandbox }
    }

    /// A newsroom whose six posts are out and whose daemon has stopped.
    pub fn delivered() -> World {
        let world = World::new();
        let (mut daemon, _) = world.daemon();
        world.wait_for("delivered", 6);
        daemon.signal("TERM");
        assert_eq!(daemon.ended(), Some(0));
        world
    }

    /// What stands more than once on an account in the sandbox.
    fn duplicates(&self) -> Value {
        let mut stream = TcpStream::connect(self.base.trim_start_matches("http://")).unwrap();
        stream.write_all(b"GET /control/published HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut published: Value = serde_json::from_str(body).unwrap();
        published["duplicates"].take()
    }

    pub fn daemon(&self) -> (Running, String) {
        Running::start(self.path(), &["run"], "listening ")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        run(self.path(), args)
    }

    pub fn posts(&self) -> Vec<Value> {
        serde_json::from_str(&good(&self.run(&["post", "list", "--json"]))).unwrap()
    }

    pub fn wait_for(&self, state: &str, count: usize) {
        until(&format!("{count} posts {state}"), || {
            (self.posts().iter().filter(|post| post["state"] == state).count() == count).then_some(())
        });
    }
}

// Usage.

#[test]
fn every_command_explains_itself() {
    let folder = folder();
    for command in [
        &["--help"][..],
        &["demo", "--help"],
        &["sandbox", "--help"],
        &["run", "--help"],
        &["check", "--help"],
        &["preview", "--help"],
        &["why", "--help"],
        &["source", "test", "--help"],
        &["text", "cut", "--help"],
        &["post", "resolve", "--help"],
        &["hold", "on", "--help"],
        &["account", "check", "--help"],
        &["audit", "verify", "--help"],
        &["--version"],
    ] {
        let text = good(&run(folder.path(), command));
        assert!(text.contains("songkhao"), "{command:?}: {text}");
    }
}

#[test]
fn bad_usage_ends_with_2_and_says_what_is_right() {
    let folder = folder();
    for (args, word) in [
        (&["publish"][..], "unrecognized subcommand"),
        (&["text", "cut"], "--max"),
        (&["text", "count", "--platform", "threads"], "threads"),
        (&["post", "resolve", "1"], "--there"),
        (&["post", "resolve", "1", "--absent", "--drop"], "cannot be used with"),
        (&["hold", "on"], "--reason"),
        (&["post", "list"], "config.toml"),
        (&["run", "--config", "/no/such.toml"], "/no/such.toml:1:1: file: can't be read"),
    ] {
        let output = run(folder.path(), args);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{args:?}");
        assert!(stderr(&output).contains(word), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn completions_and_the_manual_are_printed_whole_and_into_a_closed_pipe() {
    let folder = folder();
    assert!(good(&run(folder.path(), &["completions", "bash"])).contains("_songkhao()"));
    assert!(good(&run(folder.path(), &["completions", "zsh"])).contains("#compdef songkhao"));
    assert!(good(&run(folder.path(), &["man"])).contains(".TH songkhao 1"));
    for args in [&["completions", "bash"][..], &["man"]] {
        let mut child =
            songkhao(folder.path(), args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Nobody reads: the program finds its pipe closed and ends without a fuss.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{args:?}");
    }
}

#[test]
fn check_tells_every_fault_at_once_with_its_place_and_no_secret() {
    let folder = folder();
    let config = "timezone = 'Asia/Bangkock'\n[delivery]\nlease = '1s'\nretry_bas = '2s'\n\
                  [[source]]\nname = 'inn'\nurl = 'ftp://x'\npoll = 'often'\n\
                  [[account]]\nname = 'page'\nplatform = 'facebook'\npage_id = '1'\naccess_token = 'EAAgeheim'\n\
                  [[route]]\nname = 'r'\nsources = ['in']\naccounts = ['page']\nwhen = { cron = '99 * * * *' }\n";
    fs::write(folder.path().join("config.toml"), config).unwrap();
    let output = run(folder.path(), &["check"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (2, ""));
    let told = stderr(&output);
    for place in [
        "config.toml:1:12: timezone:",
        "config.toml:4:1: delivery.retry_bas:",
        "config.toml:7:7: source.inn.url:",
        "config.toml:8:8: source.inn.poll:",
        "config.toml:13:16: account.page.access_token:",
        "config.toml:16:12: route.r.sources[0]:",
        "config.toml:18:17: route.r.when",
    ] {
        assert!(told.contains(place), "{place} is missing in:\n{told}");
    }
    assert!(told.contains("retry_base"), "the nearest known key is named:\n{told}");
    assert!(!told.contains("geheim"), "{told}");
}

#[test]
fn check_says_what_is_good() {
    let world = World::new();
    let said = good(&world.run(&["check"]));
    assert!(said.contains("configuration: good (1 sources, 3 accounts, 1 routes)"), "{said}");
    let said = good(&world.run(&["check", "--online"]));
    assert!(said.contains("source sample: good, 2 articles"), "{said}");
    assert_eq!(said.matches("account ").count(), 3, "{said}");
}

#[test]
fn a_database_out_of_reach_is_said_without_its_password() {
    let world = World::new();
    let mut command = songkhao(world.path(), &["post", "list"]);
    let output =
        command.env("SONGKHAO_DATABASE_URL", "postgres://news:streng@127.0.0.1:1/news").output().unwrap();
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert_eq!(said.matches("Connection refused").count(), 1, "{said}");
    assert!(said.contains("postgres://127.0.0.1/news") && !said.contains("streng"), "{said}");
}

// Text.

#[test]
fn text_commands_keep_one_line_for_one_line() {
    let lines = "ข่าวด่วน วันนี้\n\nEnglish ไทย 123\n";
    let words = good(&feed(&["text", "words"], lines));
    assert_eq!(words.replace('|', ""), lines);
    assert!(words.contains('|'));
    let sentences = good(&feed(&["text", "sentences"], lines));
    let sentences: Vec<Vec<String>> =
        sentences.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(
        sentences.iter().map(|line| bare(&line.concat())).collect::<Vec<_>>(),
        lines.lines().map(bare).collect::<Vec<_>>()
    );
}

#[test]
fn text_cut_count_and_summary_keep_their_contracts() {
    let cut = good(&feed(&["text", "cut", "--max", "8"], "\"ข่าวด่วนวันนี้\"\n\"สั้น\"\n\"\"\n"));
    let cut: Vec<String> = cut.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(cut, ["ข่าวด่วน", "สั้น", ""]);
    let ellipsis = good(&feed(&["text", "cut", "--max", "9", "--ellipsis"], "\"ข่าวด่วนวันนี้\"\n"));
    assert_eq!(serde_json::from_str::<String>(&ellipsis).unwrap(), "ข่าวด่วน…");
    for (platform, length, limit) in [("facebook", 32, 63_206), ("x", 28, 280), ("line", 32, 5_000)] {
        let counted =
            good(&feed(&["text", "count", "--platform", platform], "\"ข่าว https://www.innnews.co.th/x\"\n"));
        let counted: Value = serde_json::from_str(&counted).unwrap();
        assert_eq!(
            counted,
            serde_json::json!({ "length": length, "limit": limit, "fits": true }),
            "{platform}"
        );
    }
    let story = serde_json::json!({ "id": 7, "title": "น้ำท่วม", "body": "น้ำท่วมหนักที่เชียงใหม่\nฝนตกต่อเนื่องสามวัน" });
    let summary = good(&feed(&["text", "summary", "--max", "25"], &format!("{story}\n")));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["id"], 7);
    assert!(summary["summary"].as_str().unwrap().chars().count() <= 25);
}

#[test]
fn a_line_that_is_no_json_is_named() {
    let output = feed(&["text", "cut", "--max", "8"], "\"ก\"\nข\n");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

// Sources.

const FEED: &str = "<rss version=\"2.0\"><channel><title>สายธาร</title><item><title>น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี</title>\
    <link>https://saithan.co.th/a?x=1&amp;y=%e0</link><guid isPermaLink=\"false\">g 1</guid>\
    <pubDate>Sun, 22 Nov 2026 10:00:00 +0700</pubDate><category>ภูมิภาค</category>\
    <description>เนื้อข่าวเรื่องน้ำท่วมที่เชียงใหม่</description></item></channel></rss>";

#[test]
fn source_test_reads_feeds_pages_and_text_by_their_content() {
    let folder = folder();
    let page = "<!doctype html><html><head><title>น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี - สายธาร</title><meta property=\"og:title\" content=\"น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี\"></head>\
                <body><article><h1>น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี</h1><p>เนื้อข่าวเรื่องน้ำท่วมที่เชียงใหม่ยาวพอจะเป็นเนื้อข่าวได้จริงๆ ในย่อหน้าเดียวนี้</p>\
                <p>ย่อหน้าที่สองของข่าวเล่าต่อว่าฝนตกหนักต่อเนื่องกันมาสามวันแล้วในพื้นที่ภาคเหนือตอนบน</p></article></body></html>";
    let text = "น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี\n\nเนื้อข่าวเรื่องน้ำท่วมที่เชียงใหม่ยาวพอจะเป็นเนื้อข่าวได้\n";
    for (name, content) in [("feed", FEED), ("page", page), ("text", text)] {
        fs::write(folder.path().join(name), content).unwrap();
        let answer = good(&run(folder.path(), &["source", "test", name, "--json"]));
        assert_eq!(answer.trim_end().lines().count(), 1);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let keys: BTreeSet<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["articles", "problems", "title"].into());
        let article = &answer["articles"][0];
        let keys: BTreeSet<&str> = article.as_object().unwrap().keys().map(String::as_str).collect();
        let all = ["author", "categories", "id", "image", "published", "text", "title", "updated", "url"];
        assert_eq!(keys, all.into(), "{name}");
        assert_eq!(article["title"], "น้ำท่วมเชียงใหม่หนักสุดในรอบสิบปี", "{name}");
    }
    let answer: Value =
        serde_json::from_str(&good(&run(folder.path(), &["source", "test", "feed", "--json"]))).unwrap();
    let article = &answer["articles"][0];
    assert_eq!(
        (&article["id"], &article["url"]),
        (&"g 1".into(), &"https://saithan.co.th/a?x=1&y=%e0".into())
    );
    assert_eq!(article["published"], "2026-11-22T03:00:00Z");
}

#[test]
fn source_test_without_an_article_ends_with_1() {
    let folder = folder();
    fs::write(
        folder.path().join("empty.xml"),
        "<rss version=\"2.0\"><channel><title>x</title></channel></rss>",
    )
    .unwrap();
    for target in ["empty.xml", "missing.xml", "http://127.0.0.1:1/feed"] {
        let output = run(folder.path(), &["source", "test", target, "--json"]);
        assert_eq!(code(&output), 1, "{target}");
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(answer["articles"], serde_json::json!([]), "{target}");
        assert!(!answer["problems"].as_array().unwrap().is_empty(), "{target}");
    }
}

#[test]
fn preview_needs_no_configuration() {
    let folder = folder();
    fs::write(folder.path().join("feed.xml"), FEED).unwrap();
    let shown = good(&run(folder.path(), &["preview", "feed.xml"]));
    for word in ["── facebook", "── x", "── line", "of 63206", "of 280", "of 5000", "USD", "sha256"]
    {
        assert!(shown.contains(word), "{word} is missing in:\n{shown}");
    }
    assert_eq!(code(&run(folder.path(), &["preview", "missing"])), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is stored");
}

// The whole.

#[test]
fn the_demo_needs_nothing_and_leaves_nothing() {
    let folder = folder();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let output = songkhao(folder.path(), &["demo", "--once"]).env("TMPDIR", &temporary).output().unwrap();
    let table = good(&output);
    let rows = table.lines().filter(|line| line.starts_with("yes        yes    yes")).count();
    assert!(rows >= 12, "{table}");
    assert!(table.contains(&format!("{rows} articles, {} posts, 0 missing", rows * 3)), "{table}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn run_says_where_it_listens_and_stops_when_told() {
    let world = World::new();
    let (mut daemon, address) = world.daemon();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    let told = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    let key = fs::metadata(world.path().join("songkhao.key")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
}

#[test]
fn a_second_daemon_of_one_name_is_refused_and_a_killed_one_makes_room() {
    let world = World::new();
    let (mut daemon, _) = world.daemon();
    let second = world.run(&["run"]);
    assert_eq!((code(&second), stdout(&second).as_str()), (2, ""));
    assert!(stderr(&second).contains("node.name"), "{}", stderr(&second));
    daemon.signal("KILL");
    assert_eq!(daemon.ended(), None);
    let (mut next, _) = world.daemon();
    world.wait_for("delivered", 6);
    next.signal("INT");
    assert_eq!(next.ended(), Some(0));
}

#[test]
fn a_daemon_killed_at_any_time_posts_everything_once() {
    let world = World::new();
    for _ in 0..4 {
        let (mut daemon, _) = world.daemon();
        // As soon as anything more is to be seen, whatever that is.
        let before = world.posts();
        until("a change", || (world.posts() != before || before.len() == 6).then_some(()));
        daemon.signal("KILL");
        assert_eq!(daemon.ended(), None);
    }
    let (_daemon, _) = world.daemon();
    world.wait_for("delivered", 6);
    assert_eq!(world.duplicates(), serde_json::json!([]));
}

#[test]
fn post_list_has_the_shape_of_the_contract() {
    let world = World::delivered();
    let posts = world.posts();
    assert_eq!(posts.len(), 6);
    for post in &posts {
        for key in [
            "post",
            "delivery",
            "act",
            "account",
            "platform",
            "lane",
            "state",
            "due",
            "article_url",
            "text",
            "remote_id",
        ] {
            assert!(post[key].is_string(), "{key}: {post}");
        }
        assert_eq!((&post["attempts"], &post["reason"]), (&1.into(), &Value::Null));
        assert_eq!((&post["act"], &post["lane"]), (&"publish".into(), &"normal".into()));
        assert!(post["due"].as_str().unwrap().ends_with('Z'), "{post}");
    }
    let listed = |args: &[&str]| -> Vec<Value> {
        let all: Vec<&str> = ["post", "list", "--json"].iter().chain(args).copied().collect();
        serde_json::from_str(&good(&world.run(&all))).unwrap()
    };
    assert_eq!(listed(&["--account", "page"]).len(), 2);
    assert_eq!(listed(&["--state", "delivered", "--state", "failed"]).len(), 6);
    assert_eq!(listed(&["--state", "review"]).len(), 0);
    let wrong = world.run(&["post", "list", "--state", "posted"]);
    assert_eq!(code(&wrong), 2);
    let shown: Value =
        serde_json::from_str(&good(&world.run(&["post", "show", posts[0]["post"].as_str().unwrap()])))
            .unwrap();
    assert_eq!(shown["deliveries"][0]["attempts"][0]["outcome"], "delivered");
    let again = world.run(&["post", "retry", posts[0]["delivery"].as_str().unwrap()]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("delivered can't be retried"), "{}", stderr(&again));
}

#[test]
fn why_tells_the_story_of_an_article() {
    let world = World::delivered();
    let url = world.posts()[0]["article_url"].as_str().unwrap().to_owned();
    let told = good(&world.run(&["why", &url]));
    for word in ["รับข่าวใหม่", "สรุปข่าว", "เขียนโพสต์", "ส่งสำเร็จ", "page", "profile", "line", "attempt 1"]
    {
        assert!(told.contains(word), "{word} is missing in:\n{told}");
    }
    // As readers share it.
    let shared = format!("{url}?utm_source=line&fbclid=abc#top");
    assert_eq!(good(&world.run(&["why", &shared])), told);
    let story: Value = serde_json::from_str(&good(&world.run(&["why", &url, "--json"]))).unwrap();
    assert_eq!(story["posts"].as_array().unwrap().len(), 3);
    let unknown = world.run(&["why", "https://saithan.co.th/none"]);
    assert_eq!(code(&unknown), 1);
    assert!(stdout(&unknown).contains("source sample: last polled"), "{}", stdout(&unknown));
}

#[test]
fn a_hold_is_set_listed_obeyed_and_lifted() {
    let world = World::new();
    good(&world.run(&["hold", "on", "--reason", "ไว้อาลัย", "--account", "page", "--account", "line"]));
    let listed: Vec<Value> = serde_json::from_str(&good(&world.run(&["hold", "list", "--json"]))).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["reason"], &listed[0]["account"]), (&"ไว้อาลัย".into(), &"page".into()));
    assert_eq!(code(&world.run(&["hold", "on", "--reason", "x", "--account", "nobody"])), 2);
    assert_eq!(code(&world.run(&["hold", "on", "--reason", "x", "--lane", "fast"])), 2);
    let (_daemon, _) = world.daemon();
    world.wait_for("held", 4);
    world.wait_for("delivered", 2);
    assert!(good(&world.run(&["hold", "off"])).contains("2 holds lifted"));
    assert_eq!(good(&world.run(&["hold", "list", "--json"])).trim(), "[]");
    let held: Vec<Value> = world.posts().into_iter().filter(|post| post["state"] == "held").collect();
    good(&world.run(&["post", "retry", held[0]["delivery"].as_str().unwrap()]));
    good(&world.run(&["post", "cancel", held[1]["delivery"].as_str().unwrap()]));
    world.wait_for("delivered", 3);
    world.wait_for("cancelled", 1);
}

#[test]
fn an_account_is_listed_and_checked() {
    let world = World::new();
    let listed: Vec<Value> = serde_json::from_str(&good(&world.run(&["account", "list", "--json"]))).unwrap();
    assert_eq!(
        listed.iter().map(|account| &account["account"]).collect::<Vec<_>>(),
        ["page", "profile", "line"]
    );
    for name in ["page", "profile", "line"] {
        assert!(good(&world.run(&["account", "check", name])).starts_with(&format!("{name}: good")));
    }
    assert_eq!(code(&world.run(&["account", "check", "nobody"])), 2);
}

// The log.

#[test]
fn an_export_verifies_anywhere_and_every_change_of_it_is_found() {
    let world = World::delivered();
    assert!(good(&world.run(&["audit", "verify"])).starts_with("good: "));
    let export = good(&world.run(&["audit", "export"]));
    let lines: Vec<&str> = export.lines().collect();
    let last: Value = serde_json::from_str(lines[lines.len() - 1]).unwrap();
    assert!(last["head"].is_string() && last["public_key"].is_string(), "{last}");
    for post in world.posts() {
        assert!(export.contains(post["remote_id"].as_str().unwrap()), "{post}");
    }
    let elsewhere = folder();
    let verify = |text: &str| {
        fs::write(elsewhere.path().join("log.jsonl"), text).unwrap();
        run(elsewhere.path(), &["audit", "verify", "--file", "log.jsonl"])
    };
    let said = good(&verify(&export));
    assert!(said.contains(&format!("{} entries", lines.len() - 1)) && said.contains("--key"), "{said}");
    let changed = lines[5].replacen("\"node\":\"a\"", "\"node\":\"b\"", 1);
    assert_ne!(changed, lines[5]);
    let edited = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        change(&mut lines);
        lines.concat()
    };
    for (what, text, entry) in [
        ("an entry changed", edited(&|lines| lines[5] = format!("{changed}\n")), Some(5)),
        ("an entry removed", edited(&|lines| drop(lines.remove(5))), Some(5)),
        ("an entry inserted", edited(&|lines| lines.insert(5, lines[4].clone())), Some(5)),
        ("two entries swapped", edited(&|lines| lines.swap(5, 6)), Some(5)),
        ("the end cut off", edited(&|lines| drop(lines.remove(lines.len() - 2))), None),
        ("the head missing", edited(&|lines| drop(lines.pop())), None),
        ("a line cut short", export[..export.len() - 20].to_owned(), None),
        ("all removed", String::new(), None),
    ] {
        let output = verify(&text);
        assert_eq!(code(&output), 1, "{what}");
        let said = stdout(&output);
        assert!(said.starts_with("broken: "), "{what}: {said}");
        if let Some(entry) = entry {
            assert!(said.contains(&format!("entry {entry}")), "{what}: {said}");
        }
    }
    let key = last["public_key"].as_str().unwrap();
    let keyed = |key: &str| {
        fs::write(elsewhere.path().join("log.jsonl"), &export).unwrap();
        run(elsewhere.path(), &["audit", "verify", "--file", "log.jsonl", "--key", key])
    };
    assert!(!good(&keyed(key)).contains("own key"));
}

#[test]
fn the_log_in_the_database_grows_past_an_older_head() {
    let world = World::delivered();
    let export = good(&world.run(&["audit", "export"]));
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    fs::write(world.path().join("old.head"), last["head"].as_str().unwrap()).unwrap();
    good(&world.run(&["hold", "on", "--reason", "x"]));
    good(&world.run(&["audit", "export"]));
    let said = good(&world.run(&["audit", "verify", "--head", "old.head"]));
    assert!(said.contains("extends the older head"), "{said}");
    let shown = good(&world.run(&["audit", "show", "--action", "hold.on"]));
    assert!(shown.contains("พักการโพสต์"), "{shown}");
    let shown = good(&world.run(&["audit", "show", "--account", "page", "--limit", "2", "--json"]));
    assert_eq!(shown.lines().count(), 2);
}
