//! Newsroom: a database as it looks on a busy afternoon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock;
use crate::config;
use crate::feed::reader::Reader;
use crate::model::article::Content;
use crate::model::article::Entry;
use crate::model::attempt::Answer;
use crate::model::attempt::Receipt;
use crate::model::attempt::SendError;
use crate::model::lane::Lane;
use crate::model::post::Card;
use crate::model::post::Message;
use crate::model::summary::Summary;
use crate::model::transition::Event;
use crate::model::transition::Policy;
use crate::pipeline::Context;
use crate::platform;
use crate::secret::Keys;
use crate::store::account;
use crate::store::article;
use crate::store::article::Arrival;
use crate::store::claim::Claim;
use crate::store::claim::Terms;
use crate::store::claim::Wish;
use crate::store::db::Db;
use crate::store::delivery::Happening;
use crate::store::finish::Outcome;
use crate::store::post;
use crate::store::post::Draft;
use crate::store::source;
use crate::store::source::Polled;
use crate::store::summary;
use crate::store::turn;
use crate::text::extract::Unit;

/// The three accounts and one source of the example.
const CONFIG: &str = r#"
timezone = "Asia/Bangkok"
[node]
name = "a"
[web]
public_url = "{public_url}"
trusted_proxies = ["198.51.100.7/32"]
[[source]]
name = "inn"
url = "https://www.innnews.co.th/feed/"
[[source]]
name = "inn-breaking"
url = "https://www.innnews.co.th/breaking/feed/"
[[account]]
name = "inn-facebook"
platform = "facebook"
page_id = "100000000000001"
access_token = { env = "S" }
[[account]]
name = "inn-x"
platform = "x"
oauth1 = { consumer_key = { env = "S" }, consumer_secret = { env = "S" }, access_token = { env = "S" }, access_token_secret = { env = "S" } }
[[account]]
name = "inn-line"
platform = "line"
channel_id = "1234567890"
channel_secret = { env = "S" }
[[route]]
name = "all-news"
sources = ["inn", "inn-breaking"]
accounts = ["inn-facebook", "inn-x", "inn-line"]
"#;

pub(super) async fn context(folder: &Path, public_url: &str, now: Arc<AtomicI64>) -> Context {
    let env = BTreeMap::from([("S".to_owned(), "secret".to_owned())]);
    let text = CONFIG.replace("{public_url}", public_url);
    let config = config::parse("config.toml", &text, &env).unwrap();
    let clock = Arc::new(move || clock::from_micros(now.load(Ordering::Relaxed)));
    let db = Db::open(&format!("sqlite:{}", folder.join("songkhao.db").display()), clock()).await.unwrap();
    let signer = Keys::derive(&[7; 32]).unwrap().audit_signer("a").unwrap();
    let accounts: Vec<_> = config.accounts.iter().map(|it| (it.name.clone(), it.platform())).collect();
    account::ensure(&db, &accounts).await.unwrap();
    let sources: Vec<String> = config.sources.iter().map(|it| it.name.clone()).collect();
    source::ensure(&db, &sources, clock()).await.unwrap();
    let keys = Keys::derive(&[7; 32]).unwrap();
    Context::new(db, config, "boot".to_owned(), clock, signer, Reader::within(), keys).await.unwrap()
}

/// What becomes of a post.
#[derive(Clone)]
pub(super) enum Fate {
    /// It waits in review, for these reasons.
    Review(Vec<String>),
    /// It waits to be sent, so many minutes from now.
    Waits(i64),
    /// The platform answered so.
    Answered(Result<Receipt, SendError>),
    /// Nothing can tell whether it is public.
    Parked(String),
}

/// An article that came, with its summary.
pub(super) async fn article(context: &Context, title: &str, link: &str, sentences: &[&str]) -> i64 {
    let stamp = context.stamp("collect");
    let content = Content {
        title: title.to_owned(),
        link: Some(link.to_owned()),
        published: Some(stamp.at - TimeDelta::minutes(4)),
        categories: vec!["ข่าวทั่วไป".to_owned()],
        text: sentences.join("\n"),
        ..Content::default()
    };
    let entry = Entry { guid: Some(link.to_owned()), content };
    let arrival = Arrival { only_seen: None, review: Vec::new(), settle_at: stamp.at, wants_page: false };
    let mut tx = context.db.begin().await.unwrap();
    let id = article::insert(&mut tx, &stamp, "inn", &entry, "fetched", &arrival).await.unwrap();
    tx.commit().await.unwrap();
    let known = article::find(&context.db, id).await.unwrap().unwrap();
    let units = sentences
        .iter()
        .enumerate()
        .map(|(rank, text)| Unit { text: (*text).to_owned(), rank, score: 1.0, paragraph: rank % 2 == 0 })
        .collect();
    let summary = Summary {
        headline: title.to_owned(),
        units,
        hashtags: vec!["#ข่าววันนี้".to_owned(), "#INN".to_owned()],
        category: Some("ข่าวทั่วไป".to_owned()),
        picture: None,
        link: Some(link.to_owned()),
    };
    let stamp = context.stamp("summarize");
    let mut tx = context.db.begin().await.unwrap();
    assert!(summary::insert(&mut tx, &stamp, &known, &summary, "extract", &[]).await.unwrap());
    tx.commit().await.unwrap();
    id
}

/// A post of an article on an account, brought to its fate; the post's id.
pub(super) async fn post(context: &Context, article: i64, account: &str, lane: Lane, fate: Fate) -> i64 {
    let db = &context.db;
    let known = article::find(db, article).await.unwrap().unwrap();
    let platform = context.account(account).unwrap().0.platform();
    let message = message(platform, &known);
    let stamp = context.stamp("compose");
    let wait = if let Fate::Waits(minutes) = fate { minutes } else { 0 };
    let draft = Draft {
        account: account.to_owned(),
        platform,
        origin: format!("article:{article}"),
        occasion: "first".to_owned(),
        article: Some((article, known.version)),
        digest: Vec::new(),
        route: Some("all-news".to_owned()),
        lane,
        reasons: if let Fate::Review(reasons) = &fate { reasons.clone() } else { Vec::new() },
        payload: platform::freeze(&message).unwrap(),
        template: "t".to_owned(),
        not_before: stamp.at + TimeDelta::minutes(wait),
        good_for: Duration::from_secs(6 * 3600),
    };
    let mut tx = db.begin().await.unwrap();
    let id = post::insert(&mut tx, &stamp, &draft).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    match fate {
        Fate::Review(_) => {}
        Fate::Waits(_) => {
            post::enqueue(db, &context.stamp("enqueue"), 1).await.unwrap();
        }
        Fate::Answered(result) => send(context, account, result, None).await,
        Fate::Parked(reason) => {
            let policy =
                Policy { can_read_back: false, recognises_repeats: false, ..context.policy(account) };
            send(context, account, Err(SendError::Unconfirmed { reason }), Some(policy)).await;
        }
    }
    id
}

fn message(platform: crate::model::account::Platform, known: &article::Article) -> Message {
    use crate::model::account::Platform;
    let (title, link) = (known.content.title.clone(), known.content.link.clone());
    let sentences: Vec<&str> = known.content.text.lines().collect();
    match platform {
        Platform::Facebook => Message::Facebook {
            message: format!("{title}\n\n{}\n\n#ข่าววันนี้ #INN", sentences.join(" ")),
            link,
        },
        Platform::X => Message::X { text: format!("{title}\n\n{}\n#INN", link.unwrap_or_default()) },
        Platform::Line => Message::Line {
            alt_text: title.clone(),
            cards: vec![Card {
                picture: None,
                category: "ข่าวทั่วไป".to_owned(),
                headline: title,
                summary: sentences.first().copied().unwrap_or_default().to_owned(),
                button: "อ่านต่อ".to_owned(),
                link,
            }],
            silent: false,
        },
    }
}

async fn send(context: &Context, account: &str, result: Result<Receipt, SendError>, policy: Option<Policy>) {
    let db = &context.db;
    let policy = policy.unwrap_or_else(|| context.policy(account));
    let terms = Terms {
        shadow: false,
        quiet: false,
        min_gap: Duration::ZERO,
        lease: Duration::from_secs(120),
        boot: "boot".to_owned(),
        policy: policy.clone(),
    };
    post::enqueue(db, &context.stamp("enqueue"), 1).await.unwrap();
    let stamp = context.stamp("deliver");
    let wish = Wish { account: account.to_owned(), terms };
    let Claim::Sending(claimed) = turn::turn(db, &stamp, &[], &[wish]).await.unwrap().claims.remove(0) else {
        panic!("nothing was claimed on {account}");
    };
    let status = if result.is_ok() { 200 } else { 500 };
    let answer = Answer {
        result: result.clone(),
        status: Some(status),
        request_id: Some("AbC123".to_owned()),
        clock_offset: None,
    };
    let happening = Happening { answer: Some(answer), ..Happening::from(Event::Answered(result)) };
    turn::turn(db, &stamp, &[Outcome { claimed: *claimed, happening, policy }], &[]).await.unwrap();
}

/// Notes that a source could not be read for the fourth time.
pub(super) async fn break_source(context: &Context, name: &str) {
    for _ in 0..4 {
        let polled = Polled {
            result: "error",
            error: Some("the server answered 503 Service Unavailable".to_owned()),
            memory: None,
            read: false,
            next_poll_at: context.now() + TimeDelta::minutes(8),
        };
        let mut tx = context.db.begin().await.unwrap();
        source::note_poll(&mut tx, name, &polled, context.now()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// An afternoon with something of everything: posts in every state, a paused account, a failing source, a hold.
pub(super) async fn busy(context: &Context) {
    let line = Lane::Normal;
    let done = |id: &str, link: &str| {
        Fate::Answered(Ok(Receipt { remote_id: id.to_owned(), permalink: Some(link.to_owned()) }))
    };
    let refused = || {
        Fate::Answered(Err(SendError::Rejected {
            reason: "(#200) The user hasn't authorized the application to perform this action".to_owned(),
        }))
    };
    let mut articles = Vec::new();
    for (index, (title, sentences)) in NEWS.iter().enumerate() {
        let link = format!("https://www.innnews.co.th/news/{}/", 880_100 + index);
        articles.push(article(context, title, &link, sentences).await);
    }
    for (index, id) in articles[..3].iter().enumerate() {
        let (facebook, x) = (format!("100_20{index}"), format!("199000000000000000{index}"));
        let fate = done(&facebook, &format!("https://www.facebook.com/100/posts/20{index}"));
        post(context, *id, "inn-facebook", line, fate).await;
        post(context, *id, "inn-x", line, done(&x, &format!("https://x.com/innnews/status/{x}"))).await;
        let fate = Fate::Answered(Ok(Receipt { remote_id: format!("request-{index}"), permalink: None }));
        post(context, *id, "inn-line", line, fate).await;
    }
    post(context, articles[3], "inn-x", line, refused()).await;
    post(
        context,
        articles[3],
        "inn-facebook",
        line,
        Fate::Parked("the answer timed out after 45 s".to_owned()),
    )
    .await;
    let unconfirmed = SendError::Unconfirmed { reason: "connection reset by peer".to_owned() };
    post(context, articles[4], "inn-facebook", line, Fate::Answered(Err(unconfirmed))).await;
    let flood = vec!["near_duplicate: the same headline came under another identity".to_owned()];
    post(context, articles[5], "inn-facebook", line, Fate::Review(flood)).await;
    post(context, articles[6], "inn-line", line, Fate::Review(vec!["flood".to_owned()])).await;
    for (index, id) in articles[7..].iter().enumerate() {
        let lane = if index == 0 { Lane::Breaking } else { line };
        let minutes = 2 + i64::try_from(index).unwrap() * 3;
        post(context, *id, "inn-facebook", lane, Fate::Waits(minutes)).await;
        post(context, *id, "inn-x", lane, Fate::Waits(minutes)).await;
    }
    pause_line(context).await;
    break_source(context, "inn-breaking").await;
}

/// LINE refuses the credential, as it does when somebody reissued it.
async fn pause_line(context: &Context) {
    let id = article(context, "ทดสอบ", "https://www.innnews.co.th/news/880001/", &["ทดสอบ"]).await;
    let refusal = SendError::Unauthorized { reason: "invalid channel access token".to_owned() };
    post(context, id, "inn-line", Lane::Normal, Fate::Answered(Err(refusal))).await;
}

/// Believable headlines with their first sentences.
const NEWS: &[(&str, &[&str])] = &[
    (
        "ฝนถล่มกรุง น้ำท่วมขัง 12 จุด กทม.เร่งระบายก่อนชั่วโมงเร่งด่วน",
        &[
            "กรุงเทพมหานครรายงานว่าฝนที่ตกหนักตั้งแต่ช่วงบ่ายทำให้เกิดน้ำท่วมขังบนถนนสายหลัก 12 จุด",
            "จุดที่ระดับน้ำสูงที่สุดคือถนนวิภาวดีรังสิตขาออก หน้าสโมสรทหารบก สูง 25 เซนติเมตร",
            "เจ้าหน้าที่เร่งเดินเครื่องสูบน้ำและคาดว่าจะแห้งก่อนเวลา 18.00 น.",
        ],
    ),
    (
        "ธปท.คงดอกเบี้ยนโยบายที่ 1.50% มองเศรษฐกิจปีหน้าโต 2.1%",
        &[
            "คณะกรรมการนโยบายการเงินมีมติ 5 ต่อ 2 เสียงให้คงอัตราดอกเบี้ยนโยบายไว้ที่ร้อยละ 1.50 ต่อปี",
            "กรรมการประเมินว่าเศรษฐกิจไทยปี 2570 จะขยายตัวร้อยละ 2.1 จากการท่องเที่ยวและการบริโภค",
        ],
    ),
    (
        "ตำรวจสกัดจับเครือข่ายคอลเซ็นเตอร์ ยึดเงินสด 48 ล้านบาท",
        &[
            "ตำรวจสอบสวนกลางแถลงผลการจับกุมผู้ต้องหา 14 คนในพื้นที่ 3 จังหวัด",
            "ของกลางประกอบด้วยเงินสด 48 ล้านบาท รถยนต์ 6 คัน และโทรศัพท์มือถือกว่า 200 เครื่อง",
        ],
    ),
    (
        "ทีมวอลเลย์บอลหญิงไทยชนะเวียดนาม 3-1 เซต คว้าแชมป์ซีเกมส์",
        &["นักตบสาวไทยใช้เวลา 1 ชั่วโมง 52 นาทีเอาชนะเวียดนาม 25-21, 22-25, 25-19 และ 25-17"],
    ),
    (
        "สธ.เตือนไข้หวัดใหญ่ระบาดในโรงเรียน แนะกลุ่มเสี่ยงฉีดวัคซีน",
        &["กระทรวงสาธารณสุขพบผู้ป่วยสะสม 612,480 ราย เพิ่มขึ้นจากช่วงเดียวกันของปีก่อนร้อยละ 18"],
    ),
    ("ฝนถล่มกรุง น้ำท่วมขัง 12 จุด กทม. เร่งระบาย", &["ฝนตกหนักทำให้น้ำท่วมขังหลายพื้นที่ของกรุงเทพมหานคร"]),
    (
        "ครม.ไฟเขียวรถไฟฟ้า 20 บาทตลอดสาย เริ่ม 1 มกราคม 2570",
        &["ที่ประชุมคณะรัฐมนตรีเห็นชอบมาตรการค่าโดยสารรถไฟฟ้า 20 บาทตลอดสายทุกสี"],
    ),
    (
        "ด่วน! แผ่นดินไหว 5.2 ที่เมียนมา รับรู้แรงสั่นไหวถึงเชียงใหม่",
        &["กรมอุตุนิยมวิทยารายงานแผ่นดินไหวขนาด 5.2 ลึก 10 กิโลเมตร ศูนย์กลางอยู่ทางตะวันออกของรัฐฉาน"],
    ),
    (
        "ราคาทองวันนี้ปรับขึ้น 350 บาท ทองรูปพรรณขายออกบาทละ 64,200 บาท",
        &["สมาคมค้าทองคำประกาศราคาทองคำครั้งที่ 7 ของวัน ปรับขึ้นจากเมื่อวานนี้ 350 บาท"],
    ),
    (
        "เปิดเส้นทางเลี่ยงรถติดช่วงลอยกระทง ตำรวจจราจรปิดถนน 9 สาย",
        &["กองบังคับการตำรวจจราจรปิดการจราจรถนน 9 สายตั้งแต่เวลา 16.00 น. ถึงเที่ยงคืน"],
    ),
];
