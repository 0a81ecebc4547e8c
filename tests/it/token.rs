//! Token: X by OAuth 2.0, with the real binary, killed wherever a renewal can be cut.
//!
//! A refresh token works once. So it is counted at the platform: whatever happens here, none is granted twice, and one
//! that was presented in vain is presented once more at most.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use songkhao::http;
use songkhao::http::Timeouts;
use songkhao::model::account::Platform;
use songkhao::pipeline::refresh;
use songkhao::pipeline::refresh::Ready;
use songkhao::sandbox::fault::Fault;
use songkhao::sandbox::fault::Kind;
use songkhao::sandbox::fault::Scope;
use songkhao::secret::Grant;
use songkhao::store::token;
use songkhao::store::token::Origin;
use sqlx::Connection;
use sqlx::SqliteConnection;

use crate::app::App;
use crate::app::Plan;
use crate::arena::Arena;
use crate::arena::Node;
use crate::cluster;
use crate::site;

const ACCESS: &str = "77-planted-access-f81d4fae";
const REFRESH: &str = "77-planted-refresh-7dec11d0";

/// The lines of the arena's configuration that make its X account one of OAuth 2.0.
const OAUTH1: &str = r#"oauth1 = { consumer_key = { env = "SONGKHAO_TEST_SECRET" }, consumer_secret = { env = "SONGKHAO_TEST_SECRET" }, access_token = { env = "SONGKHAO_TEST_SECRET" }, access_token_secret = { env = "SONGKHAO_TEST_SECRET" } }"#;
const OAUTH2: &str =
    r#"oauth2 = { client_id = "client-1", client_secret = { env = "SONGKHAO_TEST_SECRET" } }"#;

fn node(arena: &Arena, name: &str, database: &str) -> Node {
    arena.node_with(name, database, &[(OAUTH1, OAUTH2)])
}

/// `account import x` with a pair that the sandbox has never seen: it takes it, until told to take only its own.
fn import(node: &Node, refresh: &str, more: &[&str]) -> Output {
    let mut command = node.command(&["account", "import", "x"]);
    command.args(["--access-token-env", "ACCESS", "--refresh-token-env", "REFRESH"]).args(more);
    let output = command.env("ACCESS", ACCESS).env("REFRESH", refresh).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// X as `account list` tells it; null while the database is busy.
fn account(node: &Node) -> Value {
    let output = node.run(&["account", "list", "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    rows.as_array().into_iter().flatten().find(|row| row["account"] == "x").cloned().unwrap_or_default()
}

/// Waits until something is so, or shows the log.
async fn until(node: &Node, what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience, "never: {what}\n{}\n{}", account(node), node.log());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn delivered(arena: &Arena) -> usize {
    arena.sandbox.published().iter().filter(|post| post.platform == Platform::X).count()
}

/// How each presented refresh token was answered, in order.
fn granted(arena: &Arena) -> Vec<bool> {
    arena.sandbox.renewals().iter().map(|renewal| renewal.granted).collect()
}

/// An account whose access token the platform refuses from now on, and a story that waits for its renewal.
async fn refused(arena: &Arena, kind: Option<Kind>, ms: u64) -> Node {
    let mut node = node(arena, "a", &arena.sqlite());
    import(&node, REFRESH, &[]);
    if let Some(kind) = kind {
        arena.sandbox.arm(Fault::once(Platform::X, kind).on(Scope::Token).ms(ms));
    }
    arena.sandbox.set_x_tokens(7200, true);
    arena.publish(1);
    node.start();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_platform_refuses_is_renewed_and_its_post_goes_out() {
    let arena = Arena::new().await;
    let node = refused(&arena, None, 0).await;
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
    assert_eq!(account(&node)["pause"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_platform_took_the_token_it_is_presented_again_and_goes_on() {
    let arena = Arena::new().await;
    let mut node = refused(&arena, Some(Kind::StallBeforeAccept), 0).await;
    until(&node, "it is being renewed", || account(&node)["token"]["state"] == "refreshing").await;
    node.kill();
    node.start();
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
    assert_eq!(account(&node)["pause"], Value::Null);
}

/// What must follow when a pair was lost: one more try, a pause, posts that wait, and a person who mends it.
async fn is_lost_and_mended(arena: &Arena, node: &mut Node) {
    node.kill();
    node.start();
    until(node, "the account waits for a person", || account(node)["pause"] == "auth").await;
    let told = account(node);
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("songkhao account connect x") && reason.contains("was lost"), "{reason}");
    assert_eq!(told["token"]["state"], "lost");
    arena.publish(2);
    let waits = || node.posts().unwrap_or_default();
    let waiting = |link: &str| {
        waits()
            .iter()
            .any(|row| row.account == "x" && row.state == "scheduled" && row.link.as_deref() == Some(link))
    };
    let links: Vec<String> = waits().iter().filter_map(|row| row.link.clone()).collect();
    until(node, "both posts wait", || waits().iter().filter(|row| row.account == "x").count() == 2).await;
    assert!(links.iter().all(|link| waiting(link)), "{:?}", waits());
    assert_eq!(granted(arena), [true, false], "presented once more, and never again");
    assert_eq!(delivered(arena), 0);
    let doctor = node.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("connect it again"), "{doctor:?}");
    import(node, "77-from-a-person", &[]);
    until(node, "both posts stand", || delivered(arena) == 2).await;
    assert_eq!(granted(arena), [true, false, true]);
    let log = node.run(&["audit", "show", "--account", "x", "--limit", "100"]);
    let log = String::from_utf8_lossy(&log.stdout);
    assert!(log.contains("account.revoked") || log.contains("สิทธิ์ของบัญชีถูกเพิกถอน"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_platform_made_a_pair_the_account_waits_for_a_person() {
    let arena = Arena::new().await;
    let mut node = refused(&arena, Some(Kind::Stall), 0).await;
    until(&node, "the platform made a pair", || granted(&arena) == [true]).await;
    is_lost_and_mended(&arena, &mut node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_answer_and_commit_the_account_waits_for_a_person() {
    let arena = Arena::new().await;
    let mut node = refused(&arena, Some(Kind::Slow), 1500).await;
    until(&node, "the platform made a pair", || granted(&arena) == [true]).await;
    // Nothing can be written while the answer comes.
    let mut lock = SqliteConnection::connect(&arena.sqlite()).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2300)).await;
    node.kill();
    lock.close().await.unwrap();
    is_lost_and_mended(&arena, &mut node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_the_database_does_not_take_is_offered_until_it_does() {
    let arena = Arena::new().await;
    let node = refused(&arena, Some(Kind::Slow), 1500).await;
    until(&node, "the platform made a pair", || granted(&arena) == [true]).await;
    let mut lock = SqliteConnection::connect(&arena.sqlite()).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    tokio::time::sleep(Duration::from_millis(7500)).await;
    lock.close().await.unwrap();
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_commit_it_goes_on_with_the_new_pair() {
    let arena = Arena::new().await;
    let mut node = refused(&arena, None, 0).await;
    until(&node, "the pair is kept", || account(&node)["token"]["refreshed"].is_string()).await;
    node.kill();
    node.start();
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_the_answer_of_a_renewal() {
    let arena = Arena::new().await;
    let mut node = refused(&arena, Some(Kind::Slow), 1500).await;
    until(&node, "the platform made a pair", || granted(&arena) == [true]).await;
    node.stop();
    assert!(account(&node)["token"]["refreshed"].is_string());
    node.start();
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_the_renewal_of_one_that_died() {
    let arena = Arena::new().await;
    let url = cluster::database_url();
    let (mut one, mut other) = (node(&arena, "a", &url), node(&arena, "b", &url));
    import(&one, REFRESH, &[]);
    arena.sandbox.arm(Fault::once(Platform::X, Kind::StallBeforeAccept).on(Scope::Token));
    arena.sandbox.set_x_tokens(7200, true);
    arena.publish(1);
    one.start();
    until(&one, "it is being renewed", || account(&one)["token"]["state"] == "refreshing").await;
    one.kill();
    other.start();
    until(&other, "the post stands", || delivered(&arena) == 1).await;
    assert_eq!(granted(&arena), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_down_for_a_while_pauses_nobody_for_a_person() {
    let arena = Arena::new().await;
    let node = refused(&arena, None, 0).await;
    arena.sandbox.arm(Fault::once(Platform::X, Kind::Error500).on(Scope::Token).times(3));
    arena.sandbox.arm(Fault::once(Platform::X, Kind::DropBeforeAccept).on(Scope::Token).times(2));
    until(&node, "the post stands", || {
        assert_ne!(account(&node)["pause"], "auth", "{}", node.log());
        delivered(&arena) == 1
    })
    .await;
    assert_eq!(granted(&arena), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_renew_a_token_once_each_time_it_ends() {
    let arena = Arena::new().await;
    let url = cluster::database_url();
    let mut nodes = [node(&arena, "a", &url), node(&arena, "b", &url)];
    import(&nodes[0], REFRESH, &["--expires-in", "4"]);
    arena.sandbox.set_x_tokens(4, false);
    nodes.iter_mut().for_each(Node::start);
    let began = Instant::now();
    for number in 1..=6 {
        arena.publish(number);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    until(&nodes[0], "all posts stand", || delivered(&arena) == 6).await;
    let renewals = arena.sandbox.renewals();
    assert!(renewals.iter().all(|renewal| renewal.granted), "{renewals:?}");
    // A token of four seconds is renewed after three.
    let most = usize::try_from(began.elapsed().as_secs() / 3).unwrap() + 3;
    assert!((3..=most).contains(&renewals.len()), "{renewals:?}");
    assert_eq!(account(&nodes[0])["pause"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tasks_on_two_nodes_present_a_refresh_token_once() {
    let plan = Plan { profile: "oauth2 = { client_id = 'client-1' }", ..Plan::default() };
    let app = App::start_unread(Plan { database: Some(cluster::database_url()), ..plan.clone() }).await;
    let other = app.another_node(Plan { database: None, ..plan }).await;
    let grant = Grant {
        access: ACCESS.into(),
        refresh: Some(REFRESH.into()),
        scopes: Vec::new(),
        life: Some(Duration::from_secs(7200)),
    };
    let (db, keys) = (&app.context.db, &app.context.keys);
    token::keep(db, keys, &app.person(), "profile", Origin::Imported, &grant, None).await.unwrap();
    for expiry in 1..=5 {
        app.clock.advance(Duration::from_secs(6901));
        let nodes = [&app.context, &other];
        let asked = (0..20).map(|task: usize| refresh::ready(nodes[task % 2], "profile"));
        for ready in futures_util::future::join_all(asked).await {
            // The others use the old one, which has five minutes left.
            assert!(matches!(ready, Ok(Ready::Yes(_))), "{ready:?}");
        }
        assert_eq!(app.sandbox.renewals().len(), expiry);
        let newest = [refresh::ready(&app.context, "profile").await, refresh::ready(&other, "profile").await];
        assert_eq!(newest[0].as_ref().unwrap(), newest[1].as_ref().unwrap());
    }
    assert!(app.sandbox.renewals().iter().all(|renewal| renewal.granted));
}

#[tokio::test]
async fn a_shadow_account_needs_no_token() {
    let profile = "oauth2 = { client_id = 'client-1' }\nmode = 'shadow'";
    let app = App::start(Plan { profile, ..Plan::default() }).await;
    app.publish(&[site::item("1", "ฝนถล่มกรุงเทพฯ น้ำท่วมขัง 12 จุด")]).await;
    assert!(app.states().await.contains(&"profile cancelled".to_owned()), "{:?}", app.states().await);
    assert_eq!(app.pause("profile").await, None);
}

#[tokio::test]
async fn an_account_that_nobody_connected_pauses_without_an_attempt() {
    let plan = Plan { profile: "oauth2 = { client_id = 'client-1' }", ..Plan::default() };
    let app = App::start(plan).await;
    app.publish(&[site::item("1", "ฝนถล่มกรุงเทพฯ น้ำท่วมขัง 12 จุด")]).await;
    let line = app.line("profile").await;
    assert_eq!((line.state.as_str(), line.attempts), ("scheduled", 0));
    assert_eq!(app.pause("profile").await.as_deref(), Some("auth"));
    let grant =
        Grant { access: ACCESS.into(), refresh: Some(REFRESH.into()), scopes: Vec::new(), life: None };
    let (db, keys) = (&app.context.db, &app.context.keys);
    token::keep(db, keys, &app.person(), "profile", Origin::Connected, &grant, None).await.unwrap();
    app.run_until_idle().await;
    assert_eq!(app.line("profile").await.state, "delivered");
    assert_eq!(app.sandbox.renewals(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_stands_in_the_database_or_in_a_log() {
    let arena = Arena::new().await;
    let mut node = node(&arena, "a", &arena.sqlite());
    let mut said = import(&node, REFRESH, &[]);
    arena.sandbox.set_x_tokens(7200, true);
    arena.publish(1);
    let mut daemon = node.command(&["run"]);
    daemon.env("RUST_LOG", "trace");
    node.start_as(daemon);
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    node.kill();
    // Before a command folds the write-ahead log into the database, and after.
    let mut places = files(&arena);
    assert!(places.iter().any(|(place, bytes)| place.ends_with("-wal") && !bytes.is_empty()));
    for args in [&["audit", "export"][..], &["account", "list"], &["account", "check", "x"], &["doctor"]] {
        let output = node.command(args).env("RUST_LOG", "trace").output().unwrap();
        said.stdout.extend([output.stdout, output.stderr].concat());
    }
    places.push(("commands".to_owned(), [said.stdout, said.stderr].concat()));
    places.extend(files(&arena));
    assert!(node.log().contains("TRACE"));
    // The sandbox's own tokens begin with the user they are of.
    for planted in [ACCESS, REFRESH, "77-access1", "77-refresh2", "a secret of at least thirty-two bytes"] {
        for (place, bytes) in &places {
            let found = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
            assert!(!found, "{planted} stands in {place}");
        }
    }
    assert_eq!(granted(&arena), [true]);
}

/// Every file of the newsroom's folder.
fn files(arena: &Arena) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(arena.folder()).unwrap().map(|file| file.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Opens the address that `account connect` printed, and gives what the browser is sent back to.
async fn consent(client: &reqwest::Client, told: &str) -> String {
    let address = told.split_whitespace().find(|word| word.contains("/i/oauth2/authorize?")).unwrap();
    let answer = client.get(address).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

fn browser() -> reqwest::Client {
    http::install_tls();
    let timeouts = Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
    http::platform_client(timeouts).unwrap()
}

/// `account connect x`, begun: what it said up to the address, and the process.
fn connecting(
    node: &Node,
    args: &[&str],
) -> (String, std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut command: Command = node.command(&["account", "connect", "x"]);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains("authorize?") || !told.ends_with('\n') {
        assert!(output.read_line(&mut told).unwrap() > 0, "{told}");
    }
    (told, child, output)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_connects_an_account_through_a_browser_that_comes_back() {
    let arena = Arena::new().await;
    arena.sandbox.set_x_tokens(7200, true);
    let mut node = node(&arena, "a", &arena.sqlite());
    arena.publish(1);
    node.start();
    until(&node, "it waits to be connected", || account(&node)["pause"] == "auth").await;
    assert!(account(&node)["reason"].as_str().unwrap().contains("account connect x"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let (told, mut child, mut output) = connecting(&node, &["--redirect", &redirect]);
    let client = browser();
    let back = consent(&client, &told).await;
    assert!(back.starts_with(&redirect), "{back}");
    let mut line = String::new();
    while !line.contains("Waiting") {
        assert!(output.read_line(&mut line).unwrap() > 0, "{line}");
    }
    let come_back = async |address: &str| loop {
        match client.get(address).send().await {
            Ok(answer) => return answer.status().as_u16(),
            Err(error) => assert!(error.is_connect(), "{error}"),
        }
    };
    let forged = back.replace("state=", "state=x");
    assert_eq!(come_back(&forged).await, 400);
    assert_eq!(come_back(&back).await, 200);
    std::io::Read::read_to_string(&mut output, &mut line).unwrap();
    assert!(child.wait().unwrap().success(), "{line}");
    assert!(line.contains("x: connected") && line.contains("x: good, @"), "{line}");
    until(&node, "the post stands", || delivered(&arena) == 1).await;
    let told = account(&node);
    assert_eq!((&told["credential"], &told["token"]["from"]), (&"oauth2".into(), &"connected".into()));
    assert_eq!(told["token"]["scopes"].as_array().unwrap().len(), 5);
    let checked = node.run(&["check", "--online"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("account x: good, @"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_pastes_the_address_the_browser_was_sent_to() {
    let arena = Arena::new().await;
    let node = node(&arena, "a", &arena.sqlite());
    let client = browser();
    for (is_whole, is_good) in [(false, false), (true, true)] {
        let (told, mut child, mut output) = connecting(&node, &["--paste"]);
        let back = consent(&client, &told).await;
        let pasted = if is_whole { back.as_str() } else { back.rsplit_once("code=").unwrap().1 };
        writeln!(child.stdin.take().unwrap(), "{pasted}").unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut output, &mut rest).unwrap();
        assert_eq!(child.wait().unwrap().success(), is_good, "{rest}");
        assert_eq!(account(&node)["token"].is_object(), is_good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_connected_or_imported_says_what_to_do_instead() {
    let arena = Arena::new().await;
    let oauth1 = arena.node("a", &arena.sqlite());
    for (args, code, words) in [
        (&["account", "connect", "x"][..], 2, "oauth2"),
        (&["account", "connect", "line"], 2, "issued by themselves"),
        (&["account", "connect", "facebook"], 2, "account import"),
        (&["account", "connect", "nobody"], 2, "no account is called"),
        (&["account", "import", "line", "--access-token-env", "ACCESS"], 2, "issued by themselves"),
        (&["account", "import", "facebook", "--access-token-env", "NOT_SET"], 2, "is not set"),
        (&["account", "import", "facebook", "--access-token-env", "SPACED"], 2, "with spaces"),
        (&["account", "import", "facebook", "--access-token-env", "ACCESS", "--expires-in", "soon"], 2, "2h"),
        (&["account", "import", "facebook", "--access-token-env", "ACCESS"], 0, "facebook: good"),
        (&["account", "list"], 0, "imported"),
        (&["account", "forget", "facebook"], 0, "forgotten"),
        (&["account", "forget", "facebook"], 0, "no token is stored"),
    ] {
        let mut command = oauth1.command(args);
        let output = command.env("ACCESS", ACCESS).env("SPACED", "a b").output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(words) && !said.contains(ACCESS), "{args:?}: {said}");
    }
    let oauth2 = node(&arena, "b", &arena.sqlite());
    let mut command = oauth2.command(&["account", "import", "x", "--access-token-env", "ACCESS"]);
    let output = command.env("ACCESS", ACCESS).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("two hours"), "{output:?}");
}
