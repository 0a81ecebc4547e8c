//! Queue: a database full of deliveries that wait, written past the store to have it in seconds.

use std::fs;
use std::path::Path;

use chrono::DateTime;
use chrono::Utc;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqliteConnection;

use songkhao::clock;
use songkhao::model::account::Platform;
use songkhao::model::post::Card;
use songkhao::model::post::Message;
use songkhao::model::post::Payload;
use songkhao::platform;
use songkhao::store::db::Db;

/// Rows written by one statement.
const ROWS: usize = 500;

/// Accounts on the three platforms in turn.
pub fn accounts(count: usize) -> impl Iterator<Item = (String, Platform)> {
    let platforms = [Platform::Facebook, Platform::X, Platform::Line].into_iter().cycle();
    (0..count).zip(platforms).map(|(number, platform)| (format!("account-{number}"), platform))
}

/// Makes the database at `file` with `count` posts and their deliveries, dealt to the accounts in turn, due at `due`.
pub async fn fill(
    file: &Path,
    accounts: &[(String, Platform)],
    count: usize,
    due: DateTime<Utc>,
) -> anyhow::Result<()> {
    Db::open(&format!("sqlite:{}", file.display()), clock::now()).await?.close().await;
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await?;
    let due = due.timestamp_micros();
    let mut tx = connection.begin().await?;
    for first in (0..count).step_by(ROWS) {
        let rows = first..count.min(first + ROWS);
        let values = vec!["(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"; rows.len()].join(",");
        let sql = format!(
            "INSERT INTO post (id, account, platform, origin, occasion, lane, state, reasons, body, hash, text, link,
                               template, not_before, good_for, enqueued, made_at) VALUES {values}"
        );
        let mut posts = sqlx::query(sqlx::AssertSqlSafe(sql));
        for number in rows.clone() {
            let (account, platform) = &accounts[number % accounts.len()];
            let payload = payload(*platform, number)?;
            posts = posts
                .bind(number as i64 + 1)
                .bind(account)
                .bind(platform.name())
                .bind(format!("bench:{number}"))
                .bind("first")
                .bind("normal")
                .bind("approved")
                .bind("[]")
                .bind(payload.body)
                .bind(payload.hash)
                .bind(payload.text)
                .bind(payload.link)
                .bind("bench")
                .bind(due)
                .bind(6 * 3_600_000_000_i64)
                .bind(1)
                .bind(due);
        }
        posts.execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO delivery (post, act, revision, account, lane, state, due_at, good_until, changed_at)
         SELECT id, 'publish', 1, account, 1, 'scheduled', not_before, not_before + good_for, made_at FROM post",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    connection.close().await?;
    Ok(())
}

fn payload(platform: Platform, number: usize) -> anyhow::Result<Payload> {
    let headline = format!("ข่าวที่ {number} เปิดเดินเรือให้ประชาชนใช้ฟรี");
    let link = format!("https://news.example/{number}");
    let message = match platform {
        Platform::Facebook => Message::Facebook { message: headline, link: Some(link) },
        Platform::X => Message::X { text: format!("{headline}\n{link}") },
        Platform::Line => {
            let card = Card {
                picture: None,
                category: "ทั่วไป".to_owned(),
                headline: headline.clone(),
                summary: "รายละเอียดอยู่ในเว็บไซต์".to_owned(),
                button: "อ่านต่อ".to_owned(),
                link: Some(link),
            };
            Message::Line { alt_text: headline, cards: vec![card], silent: false }
        }
    };
    platform::freeze(&message).map_err(|unfit| anyhow::anyhow!("{unfit}"))
}

/// Writes a configuration with `count` accounts and no source into `folder`; the accounts.
pub fn write_config(folder: &Path, base: &str, count: usize) -> anyhow::Result<Vec<(String, Platform)>> {
    let secret = "{ env = \"SONGKHAO_BENCH_SECRET\" }";
    let accounts: Vec<(String, Platform)> = accounts(count).collect();
    let mut text = format!(
        "[node]\nname = \"bench\"\n[database]\nurl = \"sqlite:{}/songkhao.db\"\n\
         [web]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:1\"\n[keys]\nsecret = {secret}\n",
        folder.display()
    );
    for (number, (name, platform)) in accounts.iter().enumerate() {
        let own = match platform {
            Platform::Facebook => format!("page_id = \"{}\"\naccess_token = {secret}", 1_000_000 + number),
            Platform::X => format!(
                "oauth1 = {{ consumer_key = {secret}, consumer_secret = {secret}, access_token = {secret}, \
                 access_token_secret = {secret} }}"
            ),
            Platform::Line => format!("channel_id = \"{}\"\nchannel_secret = {secret}", 2_000_000 + number),
        };
        text += &format!(
            "[[account]]\nname = \"{name}\"\nplatform = \"{platform}\"\nbase_url = \"{base}/{platform}\"\n\
             min_gap = \"0s\"\n{own}\n"
        );
    }
    fs::write(folder.join("config.toml"), text)?;
    Ok(accounts)
}
