//! Words: all that pages say, in Thai and in English.
//!
//! One line a phrase, both languages in it: a missing one does not compile. `{}` marks where a value goes.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lang {
    /// ไทย
    #[default]
    Thai,
    /// English
    English,
}

impl Lang {
    /// As HTML and the cookie name it.
    pub fn code(self) -> &'static str {
        match self {
            Lang::Thai => "th",
            Lang::English => "en",
        }
    }

    /// What pages say in it.
    pub fn words(self) -> &'static Words {
        match self {
            Lang::Thai => &THAI,
            Lang::English => &ENGLISH,
        }
    }

    /// The other one.
    pub fn other(self) -> Lang {
        match self {
            Lang::Thai => Lang::English,
            Lang::English => Lang::Thai,
        }
    }

    fn named(code: &str) -> Option<Lang> {
        [Lang::Thai, Lang::English].into_iter().find(|lang| lang.code() == code)
    }
}

impl<S: Sync> FromRequestParts<S> for Lang {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Lang, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Finds the language of a request: `?lang=en` for now and from now on, else the cookie, else Thai.
pub async fn choose(mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(Lang::named);
    let jar = CookieJar::from_headers(request.headers());
    let kept = jar.get("lang").and_then(|cookie| Lang::named(cookie.value()));
    request.extensions_mut().insert(asked.or(kept).unwrap_or_default());
    let mut response = next.run(request).await;
    if let Some(lang) = asked.filter(|_| asked != kept) {
        let cookie = match lang {
            Lang::Thai => "lang=th; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax",
            Lang::English => "lang=en; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax",
        };
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static(cookie));
    }
    response
}

/// Puts values where a phrase has `{}`, in order.
pub fn fill(phrase: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut parts = phrase.split("{}");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (part, value) in parts.zip(values) {
        out.push_str(&value.to_string());
        out.push_str(part);
    }
    out
}

macro_rules! words {
    ($($name:ident $thai:literal $english:literal;)*) => {
        /// Every phrase, in one language.
        #[derive(Debug)]
        pub struct Words {
            $(#[doc = $english] pub $name: &'static str,)*
        }

        static THAI: Words = Words { $($name: $thai,)* };
        static ENGLISH: Words = Words { $($name: $english,)* };

        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $thai, $english),)*];
    };
}

words! {
    brand "ส่งข่าว" "Songkhao";
    skip "ข้ามไปยังเนื้อหา" "Skip to content";
    main_menu "เมนูหลัก" "Main menu";
    home "หน้าแรก" "Home";
    posts "โพสต์" "Posts";
    post "โพสต์" "Post";
    articles "ข่าว" "Articles";
    article "ข่าว" "Article";
    accounts "บัญชี" "Accounts";
    sources "แหล่งข่าว" "Sources";
    audit "บันทึกตรวจสอบ" "Audit";
    audit_short "บันทึก" "Audit";
    sign_in "เข้าสู่ระบบ" "Sign in";
    sign_out "ออกจากระบบ" "Sign out";
    username "ชื่อผู้ใช้" "User name";
    password "รหัสผ่าน" "Password";
    other_language "English" "ภาษาไทย";
    sign_in_lead "เข้าสู่ระบบเพื่อดูว่าอะไรจะออกไปเมื่อไร และอะไรรอให้คนตัดสิน" "Sign in to see what goes out when, and what waits for a person";
    sign_in_wrong "ชื่อผู้ใช้หรือรหัสผ่านไม่ถูกต้อง" "The user name or the password is wrong";
    sign_in_wait "ลองผิดหลายครั้งเกินไป รออีก {} วินาทีแล้วลองใหม่" "Too many tries; wait {} seconds and try again";
    sign_in_link_dead "ลิงก์นี้ใช้ไปแล้วหรือหมดอายุ เข้าสู่ระบบด้วยชื่อและรหัสผ่านแทน" "This link was used already or is too old; sign in with name and password";
    role_viewer "ผู้ชม" "Viewer";
    role_editor "บรรณาธิการ" "Editor";
    role_approver "ผู้อนุมัติ" "Approver";
    role_admin "ผู้ดูแลระบบ" "Admin";

    failure_sign_in "ต้องเข้าสู่ระบบก่อน" "Sign in first";
    failure_forbidden "สิทธิ์ของคุณทำสิ่งนี้ไม่ได้ ขอให้ผู้ดูแลระบบช่วย" "Your role does not allow this; ask an admin";
    failure_foreign_origin "คำสั่งนี้มาจากเว็บอื่น จึงไม่ทำตาม เปิดหน้านี้จากที่อยู่ปกติแล้วลองใหม่" "This request came from another site and was refused; open the page at its usual address and try again";
    failure_missing "ไม่พบหน้านี้" "There is no such page";
    failure_wrong_method "ที่อยู่นี้รับคำสั่งแบบอื่น" "This address takes another method";
    failure_bad_input "ข้อมูลที่ส่งมาอ่านไม่ได้" "The input can't be read";
    failure_too_large "ข้อมูลที่ส่งมาใหญ่เกินไป" "The input is too large";
    failure_slow "ใช้เวลานานเกินไป ลองใหม่อีกครั้ง" "It took too long; try again";
    failure_outage "ติดต่อฐานข้อมูลไม่ได้ ข้อมูลไม่หาย ลองใหม่ในอีกสักครู่" "The database is out of reach; nothing is lost, try again in a moment";
    failure_broken "ระบบผิดพลาด รายละเอียดอยู่ในบันทึกของเครื่อง ลองใหม่ หรือแจ้งผู้ดูแลระบบ" "Something broke; the log has the details. Try again, or tell an admin";
    back "กลับ" "Back";

    next_up "จะออกถัดไป" "Goes out next";
    next_up_empty "ยังไม่มีอะไรรอส่ง" "Nothing waits to be sent";
    and_more "และอีก {} รายการ" "and {} more";
    needs_you "รอให้คนดู" "Needs a person";
    needs_you_empty "ไม่มีอะไรค้าง" "Nothing does";
    sent_today "ส่งแล้ววันนี้" "Sent today";
    waiting "รอส่ง" "Waiting";
    in_review "รอตรวจ" "In review";
    in_doubt "ยังไม่แน่" "In doubt";
    account_paused "บัญชี {} พักอยู่" "Account {} is paused";
    source_failing "แหล่งข่าว {} อ่านไม่ได้" "Source {} can't be read";

    hold_is_on "กำลังพักการโพสต์" "Posting is on hold";
    hold_by "ตั้งโดย {} {}" "Set by {} {}";
    hold_set "พักการโพสต์" "Hold posting";
    hold_set_lead "หยุดทุกอย่างที่ยังไม่ได้ส่ง จนกว่าจะมีคนเลิกพัก" "Stops all that is not sent yet, until somebody lifts it";
    hold_lift "เลิกพัก" "Lift the hold";
    hold_lift_lead "สิ่งที่ถึงเวลาไปแล้วระหว่างพักจะรอให้คนเลือก ไม่ยิงออกไปเอง" "What came due meanwhile waits for a person; nothing fires by itself";
    hold_reason "เหตุผล" "Reason";
    hold_all "ทุกช่อง" "All lanes";
    all_accounts "ทุกบัญชี" "All accounts";
    all_states "ทุกสถานะ" "All states";

    state "สถานะ" "State";
    account "บัญชี" "Account";
    filter "กรอง" "Filter";
    older "เก่ากว่านี้" "Older";
    newest "ล่าสุด" "Newest";
    none_found "ไม่พบรายการ" "Nothing found";
    lane "ช่อง" "Lane";
    lane_breaking "ด่วน" "Breaking";
    lane_normal "ปกติ" "Normal";
    lane_promotion "โปรโมชัน" "Promotion";
    open_public "เปิดดูโพสต์จริง" "Open the public post";
    open_article "เปิดข่าวต้นทาง" "Open the article";

    state_scheduled "รอส่ง" "Scheduled";
    state_sending "กำลังส่ง" "Sending";
    state_unconfirmed "ยังไม่แน่" "Unconfirmed";
    state_delivered "ส่งแล้ว" "Delivered";
    state_failed "ไม่สำเร็จ" "Failed";
    state_parked "รอคนตัดสิน" "Parked";
    state_held "พักไว้" "Held";
    state_expired "หมดเวลา" "Expired";
    state_cancelled "ยกเลิก" "Cancelled";
    state_draft "ร่าง" "Draft";
    state_review "รอตรวจ" "In review";
    state_approved "อนุมัติแล้ว" "Approved";
    state_rejected "ไม่อนุมัติ" "Rejected";
    state_seen "เห็นแล้ว ไม่โพสต์" "Seen, not posted";
    state_settling "รอให้นิ่ง" "Settling";
    state_summarized "สรุปแล้ว" "Summarized";
    state_composed "เขียนโพสต์แล้ว" "Composed";

    do_unconfirmed "ระบบกำลังอ่านกลับจากแพลตฟอร์มเอง ยังไม่ต้องทำอะไร และอย่าโพสต์ซ้ำด้วยมือ" "It is being read back from the platform; do nothing yet, and don't post it again by hand";
    do_failed "อ่านเหตุผล แก้ต้นเหตุ แล้วกดส่งใหม่ หรือยกเลิก" "Read the reason, mend its cause, then send again or cancel";
    do_parked "เปิดดูหน้าของบัญชี ถ้าโพสต์อยู่ที่นั่นให้วางลิงก์ ถ้าไม่อยู่ให้สั่งส่งใหม่" "Look at the account's page: paste the link if the post is there, else send it again";
    do_held "ถึงเวลาระหว่างพักการโพสต์ เลือกว่าจะส่งหรือยกเลิก" "It came due during a hold; send it or cancel it";
    do_expired "เลยเวลาที่ควรส่งแล้ว จึงไม่ส่ง" "Too late to be worth sending, so it was not sent";
    do_review "อ่านให้ครบก่อนอนุมัติ อนุมัติแล้วจะส่งตามนี้ทุกตัวอักษร" "Read it whole before you approve; it is sent to the letter";

    preview "ตัวอย่างที่ผู้อ่านเห็น" "As readers see it";
    approve "อนุมัติ" "Approve";
    reject "ไม่อนุมัติ" "Reject";
    comment "ความเห็น" "Comment";
    retry "ส่งใหม่" "Send again";
    cancel "ยกเลิก" "Cancel";
    resolve_there "อยู่แล้ว ที่ลิงก์นี้" "It is there, at this link";
    resolve_absent "ไม่อยู่ ส่งใหม่" "It is not: send it again";
    resolve_drop "ปล่อยไว้ ไม่ต้องส่ง" "Leave it, don't send";
    link_on_platform "ลิงก์ของโพสต์บนแพลตฟอร์ม" "The post's link on the platform";
    done_approved "อนุมัติแล้ว" "Approved";
    done_rejected "ไม่อนุมัติ บันทึกแล้ว" "Rejected, and noted";
    done_retried "สั่งส่งใหม่แล้ว" "It will be sent again";
    done_cancelled "ยกเลิกแล้ว" "Cancelled";
    done_resolved "บันทึกการตัดสินแล้ว" "Your decision is noted";
    done_held "พักการโพสต์แล้ว" "Posting is on hold";
    done_lifted "เลิกพักแล้ว ดูรายการที่ถึงเวลาไประหว่างพักด้านล่าง" "The hold is lifted; see below what came due meanwhile";
    refused_changed "โพสต์เปลี่ยนไปหลังจากที่คุณเปิดดู กลับไปอ่านอีกครั้งก่อนตัดสิน" "The post changed after you opened it; read it again before you decide";
    refused_moved "สถานะเปลี่ยนไปแล้ว กลับไปดูอีกครั้ง" "It moved on meanwhile; look again";
    refused_link "ลิงก์ต้องขึ้นต้นด้วย https:// และชี้ไปที่โพสต์" "The link must begin with https:// and lead to the post";
    refused_reason "ต้องบอกเหตุผลที่พัก คนอื่นจะได้รู้" "Say why, so that others know";

    made_at "เขียนเมื่อ" "Worded";
    due "กำหนดส่ง" "Due";
    good_until "ใช้ได้ถึง" "Good until";
    route "เส้นทาง" "Route";
    revision "ฉบับที่" "Revision";
    approved_by "อนุมัติโดย" "Approved by";
    approved_by_rules "กฎ (ไม่ต้องตรวจ)" "the rules (no review needed)";
    exact_bytes "ข้อมูลที่ส่งทุกไบต์" "The exact bytes sent";
    payload_hash "แฮช" "Hash";
    delivery "การส่ง" "Delivery";
    attempts "ครั้งที่ส่ง" "Attempts";
    attempt_open "ยังไม่มีผล" "No result yet";
    outcome_delivered "สำเร็จ" "Delivered";
    outcome_rate_limited "แพลตฟอร์มขอให้ช้าลง" "Rate limited";
    outcome_unreachable "ติดต่อแพลตฟอร์มไม่ได้" "Unreachable";
    outcome_unconfirmed "ไม่มีคำยืนยัน" "No confirmation";
    outcome_duplicate "แพลตฟอร์มว่าซ้ำ" "Called a duplicate";
    outcome_unauthorized "สิทธิ์ถูกปฏิเสธ" "Credential refused";
    outcome_out_of_budget "โควตาหมด" "Out of budget";
    outcome_rejected "แพลตฟอร์มไม่รับ" "Refused";
    outcome_not_sent "ยังไม่ได้ส่ง" "Not sent";
    outcome_already_there "มีคนโพสต์แล้ว" "Already there";
    outcome_lease_lost "เครื่องที่ส่งหยุดกลางทาง" "The sending node stopped";
    remote_id "เลขบนแพลตฟอร์ม" "Id on the platform";
    history "ประวัติ" "History";
    history_empty "ยังไม่มีบันทึก" "No entries yet";

    story "เรื่องของข่าวนี้" "The story of this article";
    first_seen "เห็นครั้งแรก" "First seen";
    published "เผยแพร่" "Published";
    versions "ฉบับของข่าว" "Versions";
    summary "สรุปข่าว" "Summary";
    summary_none "ยังไม่ได้สรุป" "Not summarized yet";
    summary_rank "ลำดับที่เลือกใช้" "Order of choice";
    posts_none "ยังไม่มีโพสต์" "No posts yet";
    no_headline "(ไม่มีพาดหัว)" "(no headline)";

    account_ok "พร้อมส่ง" "Ready";
    account_shadow "เงา (ไม่ส่งจริง)" "Shadow (sends nothing)";
    account_removed "ไม่อยู่ในการตั้งค่าแล้ว" "Not configured any more";
    pause_auth "พัก: แพลตฟอร์มไม่รับสิทธิ์ ต้องเชื่อมบัญชีใหม่" "Paused: the credential is refused; connect the account again";
    pause_quota "พัก: โควตาหมด" "Paused: out of budget";
    pause_throttle "พัก: แพลตฟอร์มขอให้ช้าลง" "Paused: the platform asks us to slow down";
    pause_circuit "พัก: ส่งไม่สำเร็จติดกันหลายครั้ง" "Paused: too many failures in a row";
    pause_until "ลองใหม่" "Tries again";
    token "สิทธิ์" "Token";
    token_renewed "ต่ออายุเมื่อ" "renewed";
    token_ends "หมดอายุ" "ends";
    token_by_itself "ระบบต่ออายุเอง" "renewed by itself";
    last_sent "ส่งล่าสุด" "Last sent";
    next_send "ส่งถัดไป" "Sends next";
    never "ยังไม่เคย" "Never";
    queue "ในคิว" "In the queue";
    failures "พลาดติดกัน" "Failures in a row";
    min_gap "เว้นอย่างน้อย" "Least distance";
    quiet_now "อยู่ในเวลาเงียบถึง {}" "Quiet until {}";

    last_poll "อ่านล่าสุด" "Last read";
    next_poll "อ่านถัดไป" "Reads next";
    result_new "มีข่าวใหม่" "News";
    result_unchanged "ไม่มีอะไรใหม่" "Nothing new";
    result_error "อ่านไม่ได้" "Error";
    result_none "ยังไม่ได้อ่าน" "Not read yet";
    errors_in_row "ผิดพลาดติดกัน {} ครั้ง" "{} errors in a row";

    audit_lead "ทุกอย่างที่คนและระบบทำ ใหม่สุดอยู่บน แก้ย้อนหลังไม่ได้" "All that people and steps did, newest first; it can't be changed afterwards";
    audit_sealed "ผนึกที่ {}" "Sealed at {}";
    audit_unsealed "รอผนึก" "To be sealed";
    action "การกระทำ" "Action";
    all_actions "ทุกการกระทำ" "All actions";
    audit_user "ผู้ทำ" "By whom";
    audit_post "เลขโพสต์" "Post number";
    audit_since "ตั้งแต่วันที่" "From";
    audit_until "ถึงวันที่" "To";

    in_seconds "อีก {} วินาที" "in {} s";
    in_minutes "อีก {} นาที" "in {} min";
    in_hours "อีก {} ชม." "in {} h";
    in_hours_minutes "อีก {} ชม. {} นาที" "in {} h {} min";
    seconds "{} วินาที" "{} s";
    in_days "อีก {} วัน" "in {} days";
    ago_seconds "เมื่อสักครู่" "just now";
    ago_minutes "{} นาทีที่แล้ว" "{} min ago";
    ago_hours "{} ชม.ที่แล้ว" "{} h ago";
    ago_days "{} วันที่แล้ว" "{} days ago";
    now "ตอนนี้" "now";
    live_lost "ขาดการเชื่อมต่อ กำลังต่อใหม่" "Connection lost; trying again";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_thai(phrase: &str) -> bool {
        phrase.chars().any(|c| ('\u{e01}'..='\u{e5b}').contains(&c))
    }

    #[test]
    fn every_phrase_is_in_both_languages() {
        // What names the other language.
        let alike = ["other_language"];
        for (name, thai, english) in ALL.iter().filter(|(name, ..)| !alike.contains(name)) {
            assert!(is_thai(thai), "{name}: {thai:?} is no Thai");
            assert!(!english.is_empty() && !is_thai(english), "{name}: {english:?} is no English");
        }
    }

    #[test]
    fn a_phrase_takes_as_many_values_in_both_languages() {
        for (name, thai, english) in ALL {
            assert_eq!(thai.matches("{}").count(), english.matches("{}").count(), "{name}");
        }
    }

    #[test]
    fn values_go_where_the_phrase_has_room() {
        assert_eq!(fill("อีก {} ชม. {} นาที", &[&2, &5]), "อีก 2 ชม. 5 นาที");
        assert_eq!(fill("{}", &[&"{}"]), "{}");
        assert_eq!(fill("ไม่มี", &[&1]), "ไม่มี");
    }
}
