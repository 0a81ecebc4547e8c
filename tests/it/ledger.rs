//! Ledger: the audit log as an operator and a stranger meet it, at the command line.

use std::fs;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::process::Output;

use serde_json::Value;

use crate::command_line::World;
use crate::command_line::code;
use crate::command_line::good;
use crate::command_line::stderr;
use crate::command_line::stdout;
use crate::command_line::until;

fn python(world: &World, args: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_audit.py");
    Command::new("python3").arg(script).args(args).current_dir(world.path()).output().unwrap()
}

/// The entries that `audit show --json` gives with these arguments.
fn shown(world: &World, args: &[&str]) -> Vec<Value> {
    let args = [&["audit", "show", "--json", "--limit", "1000"], args].concat();
    good(&world.run(&args)).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn configure(world: &World, more: &str) {
    let path = world.path().join("config.toml");
    fs::write(&path, fs::read_to_string(&path).unwrap() + more).unwrap();
}

#[test]
fn the_log_tells_where_a_post_came_from_what_went_out_and_how_it_arrived() {
    let world = World::delivered();
    let posts = world.posts();
    let post = posts[0]["post"].as_str().unwrap();
    let story = shown(&world, &["--post", post]);
    let of = |action: &str| story.iter().find(|entry| entry["action"] == action).unwrap();
    let composed = of("post.composed");
    let from = &composed["detail"]["articles"][0];
    assert_eq!(from["writer"], "extract/1");
    assert_eq!(from["fetched_hash"].as_str().unwrap().len(), 64, "{composed}");
    assert!(from["link"].is_string() && composed["detail"]["template"].is_string(), "{composed}");
    let scheduled = of("delivery.scheduled");
    assert!(scheduled["payload"].is_string() && scheduled["payload_hash"] == composed["payload_hash"]);
    let delivered = of("delivery.delivered");
    assert_eq!(delivered["remote_id"], posts[0]["remote_id"]);
    for key in ["attempt", "status", "request_id", "started_at", "outcome"] {
        assert!(!delivered["detail"][key].is_null(), "{key}: {delivered}");
    }
    let started = &shown(&world, &["--action", "daemon.started"])[0]["detail"];
    assert_eq!(started["binary"].as_str().unwrap().len(), 64, "{started}");
    let loaded = &shown(&world, &["--action", "config.loaded"])[0]["detail"];
    let changes = loaded["changes"].to_string();
    assert!(changes.contains("source.sample.settle") && !changes.contains("geheim"), "{loaded}");
    assert_eq!(loaded["since"], "the defaults");
}

#[test]
fn a_receipt_of_a_post_convinces_both_verifiers_and_a_changed_one_neither() {
    let world = World::delivered();
    let post = &world.posts()[0];
    let receipt = good(&world.run(&["audit", "receipt", post["post"].as_str().unwrap()]));
    fs::write(world.path().join("receipt.json"), &receipt).unwrap();
    let read: Value = serde_json::from_str(&receipt).unwrap();
    let key = read["public_key"].as_str().unwrap();
    let said = good(&world.run(&["audit", "verify", "--receipt", "receipt.json", "--key", key]));
    assert!(
        said.starts_with("good: entries ") && said.contains(post["remote_id"].as_str().unwrap()),
        "{said}"
    );
    let said = good(&python(&world, &["--key", key, "--receipt", "receipt.json"]));
    assert!(said.contains("good: 2 entries"), "{said}");
    fs::write(world.path().join("receipt.json"), receipt.replace("delivery.delivered", "delivery.cancelled"))
        .unwrap();
    let output = world.run(&["audit", "verify", "--receipt", "receipt.json"]);
    assert!(code(&output) == 1 && stdout(&output).contains("broken: entry"), "{}", stdout(&output));
    assert_eq!(code(&python(&world, &["--receipt", "receipt.json"])), 1);
    let output = world.run(&["audit", "receipt", "4711"]);
    assert!(
        code(&output) == 1 && stderr(&output).contains("post 4711 has no delivery yet"),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&world.run(&["audit", "receipt"])), 2);
}

#[test]
fn a_receipt_of_an_older_head_shows_that_the_log_only_grew() {
    let world = World::delivered();
    fs::write(world.path().join("old.jsonl"), good(&world.run(&["audit", "export"]))).unwrap();
    good(&world.run(&["hold", "on", "--reason", "x"]));
    let receipt = good(&world.run(&["audit", "receipt", "--head", "old.jsonl"]));
    fs::write(world.path().join("receipt.json"), &receipt).unwrap();
    let said = good(&world.run(&["audit", "verify", "--receipt", "receipt.json"]));
    assert!(said.contains("extends the older head of"), "{said}");
    assert!(good(&python(&world, &["--receipt", "receipt.json"])).contains("an older head"));
}

#[test]
fn the_log_is_shown_by_person_and_time_and_as_a_sheet() {
    let world = World::delivered();
    let me = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "shell".into());
    good(&world.run(&["hold", "on", "--reason", "=1+1, \"น้ำท่วม\""]));
    let mine = shown(&world, &["--user", &me]);
    assert!(!mine.is_empty() && mine.iter().all(|entry| entry["actor"]["shell"] == me.as_str()), "{mine:?}");
    assert!(shown(&world, &["--user", "nobody"]).is_empty());
    assert!(
        shown(&world, &["--since", "2099-01-01"]).is_empty()
            && shown(&world, &["--until", "2020-01-01"]).is_empty()
    );
    assert!(!shown(&world, &["--since", "2020-01-01 10:00", "--until", "2099-01-01T00:00:00Z"]).is_empty());
    let output = world.run(&["audit", "show", "--since", "yesterday"]);
    assert!(
        code(&output) == 2 && stderr(&output).contains("\"yesterday\" is no time"),
        "{}",
        stderr(&output)
    );
    let sheet = good(&world.run(&["audit", "export", "--csv"]));
    assert!(
        sheet.starts_with("seq,at,node,kind,actor,") && sheet.contains("\"'=1+1, \"\"น้ำท่วม\"\"\""),
        "{sheet}"
    );
    assert_eq!(good(&world.run(&["audit", "export", "--csv", "--since", "2099-01-01"])).lines().count(), 1);
    let forms: Vec<Value> = shown(&world, &["--action", "audit.exported"]);
    assert_eq!(forms[0]["detail"]["form"], "sheet");
}

#[test]
fn verifying_is_an_entry_and_a_change_in_the_database_is_named_with_what_to_do() {
    let world = World::delivered();
    good(&world.run(&["audit", "verify"]));
    assert_eq!(shown(&world, &["--action", "audit.verified"])[0]["detail"]["verdict"], "good");
    let rows = "UPDATE audit SET entry = replace(entry, '\"node\":\"a\"', '\"node\":\"b\"') WHERE id = 4";
    let changed = Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys; it = sqlite3.connect('songkhao.db'); it.execute(sys.argv[1]); it.commit()",
            rows,
        ])
        .current_dir(world.path())
        .status();
    assert!(changed.unwrap().success());
    let output = world.run(&["audit", "verify"]);
    let said = stdout(&output);
    assert!(
        code(&output) == 1 && said.starts_with("broken: entry 3: ") && said.contains("\nwhat to do: "),
        "{said}"
    );
    assert_eq!(shown(&world, &["--action", "audit.verified"])[1]["detail"]["verdict"], "broken");
}

#[test]
fn a_lost_key_is_named_and_the_log_goes_on_under_a_new_one_and_says_so() {
    let world = World::delivered();
    fs::write(world.path().join("old.jsonl"), good(&world.run(&["audit", "export"]))).unwrap();
    fs::remove_file(world.path().join("songkhao.key")).unwrap();
    let output = world.run(&["audit", "verify"]);
    assert!(
        code(&output) == 1 && stderr(&output).contains("songkhao.key is not there"),
        "{}",
        stderr(&output)
    );
    // Whoever exports makes a key, which is not the log's.
    let output = world.run(&["audit", "export"]);
    assert!(
        code(&output) == 1 && stderr(&output).contains("the audit log is signed by songkhao+"),
        "{}",
        stderr(&output)
    );
    let (mut daemon, _) = world.daemon();
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
    let changed = &shown(&world, &["--action", "audit.key_changed"])[0]["detail"];
    assert!(changed["before"] != changed["after"], "{changed}");
    let said = good(&world.run(&["audit", "verify", "--head", "old.jsonl"]));
    assert!(said.contains("extends the older head"), "{said}");
    fs::write(world.path().join("new.jsonl"), good(&world.run(&["audit", "export"]))).unwrap();
    good(&python(&world, &["--key", changed["after"].as_str().unwrap(), "new.jsonl"]));
    let output =
        world.run(&["audit", "verify", "--file", "new.jsonl", "--key", changed["before"].as_str().unwrap()]);
    assert!(stdout(&output).contains("is a former key"), "{}", stdout(&output));
}

#[test]
fn heads_are_sent_out_and_show_that_an_older_copy_was_put_back() {
    let world = World::new();
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = hook.local_addr().unwrap();
    configure(
        &world,
        &format!(
            "[audit]\nheads_file = 'heads'\nheads_webhook = 'http://{address}/hook'\nheads_every = '1s'\n"
        ),
    );
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = hook.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"}") && stream.read(&mut byte).unwrap() > 0 {
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        String::from_utf8(request).unwrap()
    });
    let copy = world.path().join("copy.db");
    let run_once = || {
        let (mut daemon, _) = world.daemon();
        until("a head in the file", || {
            fs::read_to_string(world.path().join("heads")).ok().filter(|it| !it.is_empty())
        });
        daemon.signal("TERM");
        assert_eq!(daemon.ended(), Some(0));
    };
    let (mut daemon, _) = world.daemon();
    until("a head at the webhook", || asked.is_finished().then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), Some(0));
    let request = asked.join().unwrap();
    assert!(
        request.starts_with("POST /hook ") && request.contains("\"public_key\":\"songkhao+"),
        "{request}"
    );
    let said = good(&world.run(&["audit", "verify"]));
    assert!(said.contains("it extends"), "{said}");

    fs::copy(world.path().join("songkhao.db"), &copy).unwrap();
    run_once();
    fs::copy(&copy, world.path().join("songkhao.db")).unwrap();
    for extra in ["songkhao.db-wal", "songkhao.db-shm"] {
        if world.path().join(extra).exists() {
            fs::remove_file(world.path().join(extra)).unwrap();
        }
    }
    let output = world.run(&["audit", "verify"]);
    assert!(
        code(&output) == 1 && stdout(&output).contains("an older copy of it was restored"),
        "{}",
        stdout(&output)
    );
    run_once();
    let gap = &shown(&world, &["--action", "audit.gap_found"])[0]["detail"];
    assert!(gap["sent_size"].as_u64() > gap["size"].as_u64(), "{gap}");
    let output = world.run(&["audit", "verify", "--head", "heads"]);
    assert!(code(&output) == 1 && stdout(&output).contains("broken: "), "{}", stdout(&output));
}

#[test]
fn a_log_too_young_for_the_archive_stays_where_it_is() {
    let world = World::delivered();
    let said = good(&world.run(&["audit", "archive", "part.jsonl", "--before", "2099-01-01"]));
    assert!(said.contains("nothing to archive") && !world.path().join("part.jsonl").exists(), "{said}");
}
