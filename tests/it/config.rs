//! Config: the file an operator writes, its faults, and the two documents made from the schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use songkhao::config;
use songkhao::config::Config;
use songkhao::config::account::Connection;
use songkhao::config::account::XAuth;
use songkhao::config::manual;
use songkhao::config::route::Review;
use songkhao::config::source::Poll;
use songkhao::model::lane::Lane;
use songkhao::model::schedule::Misfire;
use songkhao::model::schedule::When;
use songkhao::secret::ExposeSecret;

const ACCOUNTS: &str = r#"
[[account]]
name = "page"
platform = "facebook"
page_id = "1"
access_token = { env = "FB_PAGE_TOKEN" }
[[account]]
name = "line"
platform = "line"
channel_id = "2"
channel_secret = { env = "LINE_CHANNEL_SECRET" }
"#;
const SOURCE: &str = "[[source]]\nname = 'inn'\nurl = 'https://www.innnews.co.th/feed/'\n";

// The documents.

#[test]
fn the_example_is_current() {
    is_current("config.toml.example", &manual::example());
}

#[test]
fn the_reference_is_current() {
    is_current("docs/configuration.md", &manual::reference());
}

#[test]
fn the_example_is_a_sensible_newsroom() {
    let config = read(&manual::example());
    assert_eq!(config.remarks(), Vec::<String>::new());
    let [source] = &config.sources[..] else { panic!("one source") };
    assert_eq!(source.url.as_str(), "https://www.innnews.co.th/feed/");
    let [at_once, digest] = &config.routes[..] else { panic!("two routes") };
    assert_eq!((&at_once.when, at_once.digest), (&When::Now, 0));
    assert_eq!(at_once.accounts, ["inn-facebook", "inn-x"]);
    assert_eq!((&digest.when, digest.digest), (&When::Cron("0 7,12,18 * * *".parse().unwrap()), 5));
    assert_eq!(digest.accounts, ["inn-line"]);
}

#[test]
fn the_example_with_its_defaults_uncommented_says_the_same() {
    let example = manual::example();
    let uncommented: Vec<&str> =
        example.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect();
    assert!(uncommented.contains(&"lease = \"2m\""));
    assert_eq!(read(&uncommented.join("\n")).settings, read(&example).settings);
}

#[test]
fn every_default_is_legal() {
    let config = Config::default();
    assert_eq!(config.delivery.lease, Duration::from_secs(120));
    assert_eq!(config.remarks().len(), 3);
}

#[test]
fn every_key_of_the_contract_has_its_default() {
    let config = read(&manual::example());
    for (key, expected) in [
        ("timezone", r#""Asia/Bangkok""#),
        ("database.url", r#""sqlite:songkhao.db""#),
        ("http.allow_private_networks", "[]"),
        ("web.listen", r#""127.0.0.1:8080""#),
        ("web.public_url", r#""http://localhost:8080""#),
        ("web.trusted_proxies", "[]"),
        ("delivery.connect_timeout", r#""5s""#),
        ("delivery.timeout", r#""45s""#),
        ("delivery.lease", r#""2m""#),
        ("delivery.confirm_after", r#""90s""#),
        ("delivery.retry_base", r#""2s""#),
        ("delivery.retry_cap", r#""15m""#),
        ("delivery.circuit_after", "5"),
        ("source.inn.kind", r#""feed""#),
        ("source.inn.poll", r#""2m""#),
        ("source.inn.settle", r#""90s""#),
        ("source.inn.max_age", r#""24h""#),
        ("source.inn.backfill", "0"),
        ("source.inn.flood_limit", "10"),
        ("source.inn.near_duplicates", r#""review""#),
        ("account.inn-facebook.mode", r#""live""#),
        ("account.inn-facebook.api_version", r#""v26.0""#),
        ("account.inn-facebook.base_url", r#""https://graph.facebook.com""#),
        ("account.inn-facebook.min_gap", r#""90s""#),
        ("account.inn-facebook.quiet_hours", "[]"),
        ("account.inn-facebook.already_there", "true"),
        ("account.inn-x.base_url", r#""https://api.x.com""#),
        ("account.inn-x.min_gap", r#""30s""#),
        ("account.inn-x.already_there", "false"),
        ("account.inn-line.base_url", r#""https://api.line.me""#),
        ("account.inn-line.min_gap", r#""0s""#),
        ("route.all-news.categories", "[]"),
        ("route.all-news.when", r#""now""#),
        ("route.all-news.lane", r#""normal""#),
        ("route.all-news.review", r#""guard""#),
        ("route.all-news.good_for", r#""6h""#),
        ("route.all-news.misfire", r#""once""#),
        ("route.all-news.digest", "0"),
    ] {
        assert_eq!(config.settings.get(key).map(String::as_str), Some(expected), "{key}");
    }
}

// Reading.

#[test]
fn what_is_written_is_what_is_read() {
    let config = read(&format!(
        r#"
        timezone = "America/New_York"
        node = {{ name = "b" }}
        http.allow_private_networks = ["127.0.0.0/8", "::1/128"]
        [delivery]
        confirm_after = "2s"
        [[source]]
        name = "inn"
        url = "http://127.0.0.1:9000/feed"
        poll = "1s"
        settle = "0s"
        near_duplicates = "off"
        {ACCOUNTS}
        [[account]]
        name = "x"
        platform = "x"
        mode = "shadow"
        oauth2 = {{ client_id = "abc" }}
        base_url = "http://127.0.0.1:9000/x"
        min_gap = "0s"
        quiet_hours = ["23:00-06:00"]
        [[route]]
        name = "r"
        sources = ["inn"]
        accounts = ["page", "x"]
        categories = ["การเมือง"]
        lane = "breaking"
        review = "never"
        misfire = "catch_up"
        when = {{ slots = ["12:00", "07:30"] }}
        template = {{ x = "{{{{ headline }}}}", line.button = "อ่านต่อ" }}
        "#
    ));
    assert_eq!(config.timezone, chrono_tz::America::New_York);
    assert_eq!(config.node.name.as_str(), "b");
    assert_eq!(config.http.allow_private_networks.len(), 2);
    assert_eq!(config.delivery.confirm_after, Duration::from_secs(2));
    assert_eq!(config.sources[0].poll, Poll::Every(Duration::from_secs(1)));
    let Connection::Facebook { access_token, .. } = &config.accounts[0].connection else {
        panic!("facebook")
    };
    assert_eq!(access_token.expose_secret(), "value-of-FB_PAGE_TOKEN");
    let x = &config.accounts[2];
    assert_eq!(x.base_url.as_str(), "http://127.0.0.1:9000/x");
    assert!(matches!(&x.connection, Connection::X { auth: XAuth::OAuth2 { client_secret: None, .. } }));
    let route = &config.routes[0];
    assert_eq!((route.lane, route.review, route.misfire), (Lane::Breaking, Review::Never, Misfire::CatchUp));
    assert!(matches!(&route.when, When::Slots(slots) if slots.times().len() == 2));
    assert_eq!(route.templates.line.button.as_deref(), Some("อ่านต่อ"));
}

#[test]
fn the_variable_wins_over_the_files_database() {
    let mut env = env();
    env.insert("SONGKHAO_DATABASE_URL".to_owned(), "postgres://u:hunter2@db/songkhao".to_owned());
    let config = config::parse("c.toml", "database.url = 'sqlite:a.db'", &env).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://u:hunter2@db/songkhao");
    assert_eq!(config.key_file(), PathBuf::from("songkhao.key"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn secrets_come_from_variables_files_and_credentials() {
    let folder = tempfile::tempdir().unwrap();
    secret_file(&folder, "token", 0o640, "from a file\r\n");
    secret_file(&folder, "credential", 0o444, "from systemd\n");
    let mut env = env();
    env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder.path().display().to_string());
    for (source, expected) in [
        ("env = 'FB_PAGE_TOKEN'".to_owned(), "value-of-FB_PAGE_TOKEN"),
        (format!("file = '{}/token'", folder.path().display()), "from a file"),
        ("credential = 'credential'".to_owned(), "from systemd"),
    ] {
        let text = page(&format!("{{ {source} }}"));
        let config = config::parse("c.toml", &text, &env).unwrap_or_else(|faults| panic!("{faults}"));
        let Connection::Facebook { access_token, .. } = &config.accounts[0].connection else { panic!() };
        assert_eq!(access_token.expose_secret(), expected);
    }
}

#[test]
fn a_key_may_be_any_32_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = vec![0xff; 31];
    bytes.push(b'\n');
    for (bytes, legal) in [(bytes.clone(), true), (bytes[..31].to_vec(), false)] {
        fs::write(folder.path().join("key"), &bytes).unwrap();
        secret_mode(&folder.path().join("key"), 0o600);
        let text = format!("[keys]\nsecret = {{ file = '{}/key' }}", folder.path().display());
        match config::parse("c.toml", &text, &env()) {
            Ok(config) => assert_eq!(config.keys.secret.unwrap().0.expose_secret(), bytes),
            Err(faults) => assert!(!legal && faults.to_string().contains("31 bytes are too few"), "{faults}"),
        }
    }
}

// Faults.

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = "timezone = 'Asia/Bankok'\n\
                [delivery]\n\
                lease = '30s'\n\
                retry_cap = 15\n\
                [[source]]\n\
                name = 'inn'\n\
                url = 'https://www.innnews.co.th/feed/'\n\
                pol = '90x'\n\
                settle = '90x'\n\
                [[account]]\n\
                name = 'x'\n\
                platform = 'x'\n\
                [[route]]\n\
                name = 'r'\n\
                sources = ['inm']\n\
                accounts = ['x']\n\
                when = { cron = '0 7 * * 8' }\n";
    let faults = config::parse("config.toml", text, &env()).unwrap_err();
    let expected = r#"
config.toml:1:12: timezone: "Asia/Bankok" is no time zone; did you mean "Asia/Bangkok"?
config.toml:3:9: delivery.lease: `lease` (30s) must be longer than `timeout` (45s), or another node would take a request that still runs for dead
config.toml:4:13: delivery.retry_cap: expected a duration such as "90s", "2m", "24h" or "7d", found an integer
config.toml:8:1: source.inn.pol: unknown key; did you mean `poll`?
config.toml:9:10: source.inn.settle: "90x" is no duration; write a duration such as "90s", "2m", "24h" or "7d"
config.toml:10:1: account.x.oauth1: is missing; give `oauth1` (four secrets) or `oauth2` (the app's client, then `songkhao account connect`)
config.toml:15:12: route.r.sources[0]: no source is called "inm"; did you mean "inn"?
config.toml:17:17: route.r.when.cron: "8" is no weekday; write 0 to 7 or SUN to SAT"#;
    assert_eq!(faults.to_string(), expected.trim_start());
}

#[test]
fn a_misspelt_key_is_refused_and_the_nearest_one_named() {
    let example = manual::example();
    let key_of = |line: &str| Some(line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?.0.to_owned());
    let mut checked = 0;
    for (index, line) in example.lines().enumerate() {
        let Some(key) = key_of(line).filter(|key| !line.starts_with("##") && key.len() > 3) else { continue };
        let misspelt = format!("{}{}", &key[..1], &key[2..]);
        let text: String = example
            .lines()
            .enumerate()
            .map(|(i, line)| if i == index { line.replacen(&key, &misspelt, 1) } else { line.to_owned() })
            .map(|line| line.strip_prefix("# ").map(str::to_owned).unwrap_or(line) + "\n")
            .collect();
        let faults = config::parse("c.toml", &text, &env()).unwrap_err().to_string();
        let expected = format!("c.toml:{}:1: ", index + 1);
        let fault =
            faults.lines().find(|fault| fault.starts_with(&expected)).unwrap_or_else(|| panic!("{faults}"));
        assert!(fault.contains(&format!("{misspelt}: unknown key; did you mean `{key}`?")), "{fault}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn wrong_values_are_refused_with_place_value_and_cure() {
    refused(
        "timezone = 7",
        r#"1:12: timezone: expected a time zone such as "Asia/Bangkok", found an integer"#,
    );
    refused(
        "[web]\nlisten = 'localhost:80'",
        r#"2:10: web.listen: "localhost:80" is no address to listen on"#,
    );
    refused("[web]\npublic_url = 'news.example'", r#"web.public_url: "news.example" is no address"#);
    refused("[web]\npublic_url = 'ftp://news.example'", "is neither http nor https");
    refused("[web]\ntrusted_proxies = ['10.0.0.1']", r#"write "10.0.0.1/32" for this one address"#);
    refused("[http]\nallow_private_networks = '10.0.0.0/8'", "expected a list in brackets");
    refused("[delivery]\ntimeout = '2'", r#"delivery.timeout: "2" is no duration"#);
    refused("[delivery]\ntimeout = '0s'", r#""0s" is too small; write 1s to 1h"#);
    refused(
        "[delivery]\ntimeout = '2m'",
        "delivery.timeout: `lease` (2m) must be longer than `timeout` (2m)",
    );
    refused("[delivery]\nretry_cap = '1s'", "`retry_cap` (1s) must be at least `retry_base` (2s)");
    refused("[delivery]\ncircuit_after = -1", "-1 is out of range; write 1 to 1000");
    refused("[style]\nera = 'ad'", r#"style.era: "ad" isn't known; there are be, ce"#);
    refused("[database]\nurl = 'mysql://u:hunter2@db'", "database.url: the address names no database");
    refused("[source]\nname = 'a'", "expected tables headed [[source]], with two brackets, found a table");
    refused("delivery = 1", "expected a table, found an integer");
    refused("[dilivery]\ntimeout = '1s'", "1:2: dilivery: unknown key; did you mean `delivery`?");
    refused("[web]\ntimeout = '1s'", "`timeout` belongs under [delivery]");
    refused("[delivery]\ntimezone = 'UTC'", "`timezone` belongs at the top, before the first [section]");
}

#[test]
fn bad_sources_are_refused() {
    source_refused("", "[[source]]\nname = 'a'", "5:1: source.a.url: is missing; write url = \"https://");
    source_refused("", "[[source]]\nname = 'a b'\nurl = 'http://a'", "source[1].name: \"a b\" is no name");
    source_refused(
        "",
        "[[source]]\nname = 'inn'\nurl = 'http://a'",
        "another source is called \"inn\" already",
    );
    source_refused("kind = 'feeed'", "", "\"feeed\" isn't known; did you mean \"feed\"?");
    source_refused("poll = '0s'", "", "source.inn.poll: \"0s\" is too small; write 1s to 7d");
    source_refused("poll = 'never'", "", "source.inn.poll: \"never\" is no duration");
    source_refused("near_duplicates = false", "", "expected one of review, off, found a boolean");
}

#[test]
fn bad_accounts_are_refused() {
    account_refused("platform = 'tiktok'", "\"tiktok\" isn't known; there are facebook, x, line");
    account_refused("", "account.a.platform: is missing");
    account_refused("platform = 'facebook'", "account.a.page_id: is missing");
    account_refused(
        "platform = 'facebook'",
        "account.a.access_token: is missing; write access_token = { env = \"FB_PAGE_TOKEN\" }",
    );
    account_refused("platform = 'line'", "account.a.channel_id: is missing");
    account_refused(
        "platform = 'line'\npage_id = '1'",
        "belongs under [[account]] with platform = \"facebook\"",
    );
    account_refused(
        "platform = 'line'\nchannel_id = 1",
        "account.a.channel_id: expected a text, found an integer",
    );
    account_refused(
        "platform = 'line'\nquiet_hours = ['25:00-06:00']",
        "quiet_hours[0]: \"25:00\" is no time of day",
    );
    account_refused(
        "platform = 'facebook'\npage_id = '1'\naccess_token.env = 'FB_PAGE_TOKEN'\napp_id = '1'",
        "`app_id` does nothing without `app_secret`",
    );
    let both = "platform = 'x'\noauth1 = { consumer_key = { env = 'X_KEY' } }\noauth2.client_id = 'a'";
    account_refused(both, "account.a.oauth2: `oauth1` and `oauth2` are both given");
    account_refused(both, "account.a.oauth1.consumer_secret: is missing");
    account_refused("platform = 'x'\noauth2 = {}", "account.a.oauth2.client_id: is missing");
}

#[test]
fn bad_routes_are_refused() {
    route_refused(
        "sources = ['inn']",
        "route.r.accounts: is missing; write accounts = [\"inn-facebook\", \"inn-x\"]",
    );
    route_refused("sources = []\naccounts = ['page']", "names no source");
    route_refused(
        "sources = ['inn']\naccounts = ['pgae']",
        "no account is called \"pgae\"; did you mean \"page\"?",
    );
    route_refused("sources = ['inn', 'inn']\naccounts = ['page']", "\"inn\" stands here twice");
    route_refused("sources = 'inn'\naccounts = ['page']", "sources: expected a list in brackets");
    let rest = "sources = ['inn']\naccounts = ['page']\n";
    for (line, part) in [
        ("digest = 5", "digest needs times"),
        ("digest = 13", "13 is too large; write 0 to 12"),
        ("lane = 'promotion'", "\"promotion\" isn't known; there are breaking, normal"),
        ("when = 'later'", "\"later\" is no time to post"),
        ("when = { cron = '0 0 30 2 *' }", "never fires"),
        ("when = { cron = '0 7 * * *', slots = [] }", "exactly one key"),
        ("when = { slots = [] }", "no slot"),
        ("when = { slots = ['7:30'] }", "route.r.when.slots[0]: \"7:30\" is no time of day"),
        ("when = { corn = '0 7 * * *' }", "when.corn: unknown key"),
        (
            "template = { x = '{{ headline' }",
            "route.r.template.x: the template is wrong at its line 1, column",
        ),
        ("template = { line = { titel = '' } }", "route.r.template.line.titel: unknown key"),
    ] {
        route_refused(&format!("{rest}{line}"), part);
    }
}

#[test]
fn a_route_leads_to_one_x_account_at_most() {
    let x = |name: &str, mode: &str| {
        format!("[[account]]\nname = '{name}'\nplatform = 'x'\nmode = '{mode}'\noauth2.client_id = 'a'\n")
    };
    let text = |mode: &str| {
        let route = "[[route]]\nname = 'r'\nsources = ['inn']\naccounts = ['x1', 'x2']";
        format!("{SOURCE}{}{}{route}", x("x1", "live"), x("x2", mode))
    };
    refused(&text("live"), "17:19: route.r.accounts: \"x1\" and \"x2\" are both on X");
    assert!(config::parse("c.toml", &text("shadow"), &env()).is_ok());
}

#[test]
fn a_fault_inside_a_source_leaves_its_routes_alone() {
    let text =
        format!("{SOURCE}poll = 'often'\n{ACCOUNTS}[[route]]\nname='r'\nsources=['inn']\naccounts=['page']");
    let faults = config::parse("c.toml", &text, &env()).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
}

#[test]
fn a_file_that_is_no_toml_is_refused_line_by_line() {
    refused("a = \nb = 1\nc = [", "1:5: syntax: is no TOML");
    refused("a = \nb = 1\nc = [", "3:");
    refused("[web]\nlisten = '127.0.0.1:1'\nlisten = '127.0.0.1:2'", "3:1: syntax: this key is given twice");
    let missing = config::load(std::path::Path::new("/nowhere/c.toml"), &env()).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/c.toml:1:1: file: can't be read: "), "{missing}");
}

#[test]
fn secrets_that_cannot_be_had_are_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    secret_file(&folder, "open", 0o644, "hunter2-hunter2");
    secret_file(&folder, "empty", 0o600, "\n");
    secret_file(&folder, "spaces", 0o600, " hunter2-hunter2\n");
    for (secret, part) in [
        (
            "'hunter2-hunter2'".to_owned(),
            "a secret doesn't stand in the file; point to it with { env = \"NAME\" }",
        ),
        ("{ env = 'MISSING' }".to_owned(), "the environment variable MISSING isn't set"),
        ("{ env = 'hunter2Hunter2' }".to_owned(), "the environment variable named here isn't set"),
        ("{ file = 'hunter2hunter2' }".to_owned(), "the file named here can't be read"),
        ("{ credential = 'hunter2hunter2' }".to_owned(), "$CREDENTIALS_DIRECTORY isn't set"),
        ("{ value = 'hunter2-hunter2' }".to_owned(), "account.a.access_token.value: unknown key"),
        ("{ env = 'A', file = 'hunter2' }".to_owned(), "exactly one place is wanted"),
        ("{ env = 77777777 }".to_owned(), "account.a.access_token.env: expected a text, found an integer"),
        (format!("{{ file = '{path}/none' }}"), "none\" can't be read: entity not found"),
        (format!("{{ file = '{path}/open' }}"), "run chmod o-rwx on it"),
        (format!("{{ file = '{path}/empty' }}"), "the secret is empty"),
        (format!("{{ file = '{path}/spaces' }}"), "white space around it"),
    ] {
        refused(&page(&secret), part);
    }
}

// Differences.

#[test]
fn a_difference_names_the_keys_and_no_secret() {
    let old = read(&manual::example());
    let mut env = env();
    env.insert("FB_PAGE_TOKEN".to_owned(), "hunter2".to_owned());
    let text = manual::example().replace("# lease = \"2m\"", "lease = \"5m\"").replace("\ndigest = 5", "");
    let new = config::parse("c.toml", &text, &env).unwrap();
    let lines = config::difference(&old.settings, &new.settings);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("account.inn-facebook.access_token: secret "), "{lines:?}");
    assert_eq!(lines[1], r#"delivery.lease: "2m" → "5m""#);
    assert_eq!(lines[2], "route.line-digest.digest: 5 → 0");
    assert!(!lines.concat().contains("hunter2"));
    assert!(config::difference(&old.settings, &old.settings).is_empty());
}

proptest! {
    #[test]
    fn a_broken_file_never_tells_a_secret(at in 0..6_000usize, kind in 0..4u8, with in "[ -~ก\n]") {
        // A newsroom whose secrets stand in the file where they mustn't, broken in one more place.
        const TOKEN: &str = "EAABsbCS1iHgBAKZ7Qx0";
        let mut text: Vec<char> = manual::example().replace("{ env = \"FB_PAGE_TOKEN\" }", &format!("\"{TOKEN}\""))
            .replace("{ env = \"X_KEY\" }", &format!("{{ env = \"{TOKEN}\" }}"))
            .replace("\"LINE_CHANNEL_SECRET\"", TOKEN).chars().collect();
        let (at, with) = (at % text.len(), with.chars().next().unwrap());
        match kind {
            0 => { text.remove(at); }
            1 => text.insert(at, with),
            2 => text[at] = with,
            _ => text.truncate(at),
        }
        let text: String = text.into_iter().collect();
        if let Err(faults) = config::parse("c.toml", &text, &env()) {
            for start in 0..TOKEN.len() - 5 {
                prop_assert!(!faults.to_string().contains(&TOKEN[start..start + 6]), "{}", faults);
            }
        }
    }
}

// Helpers.

/// The variables of the example, each with a value made from its name.
fn env() -> BTreeMap<String, String> {
    ["FB_PAGE_TOKEN", "X_KEY", "X_SECRET", "X_TOKEN", "X_TOKEN_SECRET", "LINE_CHANNEL_SECRET"]
        .map(|name| (name.to_owned(), format!("value-of-{name}")))
        .into()
}

#[track_caller]
fn read(text: &str) -> Config {
    config::parse("c.toml", text, &env()).unwrap_or_else(|faults| panic!("{faults}"))
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let faults = config::parse("c.toml", text, &env()).map(|_| ()).unwrap_err().to_string();
    assert!(faults.contains(part), "{faults}");
    assert!(!faults.contains("hunter2"), "{faults}");
}

#[track_caller]
fn source_refused(inside: &str, after: &str, part: &str) {
    let text = format!("{SOURCE}{inside}\n{after}");
    refused(&text, part);
}

#[track_caller]
fn account_refused(keys: &str, part: &str) {
    refused(&format!("[[account]]\nname = 'a'\n{keys}"), part);
}

#[track_caller]
fn route_refused(keys: &str, part: &str) {
    refused(&format!("{SOURCE}{ACCOUNTS}[[route]]\nname = 'r'\n{keys}"), part);
}

fn page(secret: &str) -> String {
    format!("[[account]]\nname = 'a'\nplatform = 'facebook'\npage_id = '1'\naccess_token = {secret}\n")
}

fn secret_file(folder: &tempfile::TempDir, name: &str, mode: u32, text: &str) {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    secret_mode(&path, mode);
}

fn secret_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Compares a file of the repository with what the code writes; `UPDATE_EXAMPLE=1` writes it.
#[track_caller]
fn is_current(name: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_EXAMPLE").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{name} is out of date; run UPDATE_EXAMPLE=1 cargo test config");
}
