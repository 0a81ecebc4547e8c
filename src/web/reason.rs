//! Reason: says in plain Thai why something is where it is.
//!
//! Steps and rules write reasons in English, for logs and exports. Those of our own making are told here in the
//! page's language; what a platform said stays as it said it.

use crate::web::words::Lang;

/// What a reason begins with, and how it is told in Thai. `…` at the end: what follows is kept.
const THAI: &[(&str, &str)] = &[
    ("its good-until passed before it could be sent", "เลยเวลา “ใช้ได้ถึง” ก่อนจะได้ส่ง"),
    ("a hold was on when it came due", "ถึงเวลาส่งระหว่างพักการโพสต์"),
    ("shadow", "บัญชีเงา: ทำทุกอย่างแต่ไม่ส่งจริง"),
    ("already there: ", "มีคนโพสต์ลิงก์นี้ไว้แล้ว: …"),
    ("the sending node stopped before it could record the answer", "เครื่องที่ส่งหยุดก่อนจะบันทึกคำตอบ"),
    ("the lease was too far gone to send safely", "ยังไม่ได้ส่ง เพราะเหลือเวลาไม่พอจะส่งอย่างปลอดภัย"),
    ("connect it again with ", "ต้องเชื่อมบัญชีใหม่: …"),
    ("not connected yet: ", "ยังไม่ได้เชื่อมบัญชี: …"),
    ("its token ended and can't be renewed: ", "สิทธิ์หมดอายุและต่อเองไม่ได้: …"),
    ("its token can't be renewed yet: ", "ยังต่ออายุสิทธิ์ไม่ได้ จะลองใหม่เอง: …"),
    ("its token is being renewed", "กำลังต่ออายุสิทธิ์"),
    ("the platform refused the access token; it is renewed first", "แพลตฟอร์มไม่รับสิทธิ์ชุดเดิม จึงต่ออายุก่อนแล้วส่งใหม่"),
    ("a stored token can't be decrypted", "เปิดสิทธิ์ที่เก็บไว้ไม่ได้: กุญแจ [keys] secret เปลี่ยนไป"),
    ("rate limited: ", "แพลตฟอร์มขอให้ช้าลง: …"),
    ("platform unreachable: ", "ติดต่อแพลตฟอร์มไม่ได้: …"),
    ("no confirmation: ", "ส่งไปแล้วแต่ไม่มีคำยืนยัน: …"),
    ("the platform reports a duplicate: ", "แพลตฟอร์มบอกว่าซ้ำ: …"),
    ("credential refused: ", "แพลตฟอร์มไม่รับสิทธิ์ของบัญชี: …"),
    ("out of budget: ", "โควตาหมด: …"),
    ("post refused: ", "แพลตฟอร์มไม่รับโพสต์นี้: …"),
    ("the retry key is too old to repeat it", "ส่งซ้ำอย่างปลอดภัยไม่ได้แล้ว เพราะกุญแจกันซ้ำหมดอายุ"),
    (
        "it may have been sent while the database forgot: ",
        "อาจส่งไปแล้วในช่วงที่ฐานข้อมูลจำไม่ได้ (เพราะกู้คืนหรือสลับเครื่อง): …",
    ),
    ("the platform can't be read back", "แพลตฟอร์มนี้อ่านกลับไม่ได้"),
    ("found by reading back", "อ่านกลับแล้วพบว่าอยู่บนแพลตฟอร์ม"),
    ("can't be read back yet: ", "ยังอ่านกลับไม่ได้: …"),
    ("can't be read back: ", "อ่านกลับไม่ได้: …"),
    ("could not be read back: ", "อ่านกลับไม่สำเร็จ: …"),
    ("not found at look ", "อ่านกลับแล้วยังไม่พบ รอบที่ …"),
    ("not found, but the account's list may be stale", "ไม่พบ แต่รายการของบัญชีอาจยังไม่เป็นปัจจุบัน จึงไม่กล้าส่งซ้ำ"),
    ("not found by reading back: it will be sent once more", "อ่านกลับแล้วไม่พบแน่นอน จะส่งใหม่อีกครั้ง"),
    ("not found after ", "ส่งใหม่หลายครั้งแล้วยังไม่พบ บัญชีอาจซ่อนโพสต์ของเรา"),
    ("a person found it absent", "คนตรวจแล้วไม่พบ จะส่งใหม่"),
    ("a person found it", "คนตรวจแล้วพบ"),
    ("dropped by a person", "คนสั่งให้ปล่อยไว้"),
    ("the account is not configured any more", "บัญชีนี้ไม่อยู่ในการตั้งค่าแล้ว"),
    ("the account was removed from the configuration", "บัญชีถูกเอาออกจากการตั้งค่า"),
    ("flood", "ข่าวเข้ามาพร้อมกันมากผิดปกติ"),
    ("review_always", "เส้นทางนี้ตรวจทุกโพสต์"),
    ("near_duplicate", "พาดหัวซ้ำกับข่าวอื่น อาจเป็นข่าวเดียวกัน"),
    ("no_headline", "ต้นทางไม่ให้พาดหัว"),
    ("no_link", "ต้นทางไม่ให้ลิงก์"),
    ("link_refused: ", "ลิงก์ของข่าวไม่ผ่านการตรวจ: …"),
    ("the article changed after it was approved", "ข่าวเปลี่ยนหลังจากอนุมัติแล้ว"),
    ("the article changed", "ข่าวเปลี่ยน"),
    ("backlog", "มีอยู่ก่อนเริ่มอ่านแหล่งข่าวนี้ จึงไม่โพสต์ย้อนหลัง"),
    ("too_old", "เก่าเกินกำหนด (max_age)"),
    ("no route takes it", "ไม่มีเส้นทางใดรับข่าวนี้"),
    ("the template fails: ", "แม่แบบผิดพลาด: …"),
    ("the promotion is not approved", "โปรโมชันนี้ต้องให้คนอนุมัติก่อน"),
    ("it may have gone out while the database forgot", "อาจโพสต์ไปแล้วในช่วงที่ฐานข้อมูลหายไป โปรดตรวจในหน้าบัญชีก่อน"),
    ("the promotion was stopped", "คนสั่งหยุดโปรโมชัน"),
    ("the promotion was changed", "โปรโมชันถูกแก้ก่อนส่ง"),
    ("it has gone out as often as it may on one day: ", "ครบจำนวนครั้งต่อวันแล้ว: …"),
    ("it has gone out as often as it may: ", "ครบจำนวนครั้งทั้งหมดแล้ว: …"),
    ("too soon after the last one: at least ", "ใกล้กับครั้งก่อนเกินไป ต้องห่างอย่างน้อย …"),
    ("missed: ", "เลยเวลาไปแล้วตอนที่ระบบไม่ได้ทำงาน: …"),
    ("a hold is on", "กำลังพักการโพสต์"),
    ("its last post still waits", "โพสต์ครั้งก่อนยังไม่ได้ออก"),
    ("the platform refuses the same words again so soon", "แพลตฟอร์มไม่รับข้อความเดิมซ้ำในเวลาใกล้กัน"),
    ("it does not fit: ", "แพลตฟอร์มไม่รับ: …"),
    ("cancelled on the page", "คนยกเลิกจากหน้าเว็บ"),
];

/// A reason in the page's language. Several, with `; ` between, are told one by one.
pub fn tell(reason: &str, lang: Lang) -> String {
    match lang {
        Lang::English => reason.to_owned(),
        Lang::Thai => reason.split("; ").map(tell_one).collect::<Vec<_>>().join(" · "),
    }
}

fn tell_one(reason: &str) -> String {
    let Some((words, thai)) = THAI.iter().find(|(words, _)| reason.starts_with(words)) else {
        return reason.to_owned();
    };
    match thai.strip_suffix('…') {
        Some(thai) => format!("{thai}{}", tell_rest(&reason[words.len()..])),
        None => (*thai).to_owned(),
    }
}

/// What follows may be a reason of ours again: "can't be read back yet: rate limited: …".
fn tell_rest(rest: &str) -> String {
    let known = THAI.iter().any(|(words, _)| words.ends_with(": ") && rest.starts_with(words));
    if known { tell_one(rest) } else { rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: &str, thai: &str) {
        assert_eq!(tell(reason, Lang::Thai), thai);
        assert_eq!(tell(reason, Lang::English), reason);
    }

    #[test]
    fn reasons_are_told_in_thai_and_platforms_words_kept() {
        check("shadow", "บัญชีเงา: ทำทุกอย่างแต่ไม่ส่งจริง");
        check("post refused: (#200) no permission", "แพลตฟอร์มไม่รับโพสต์นี้: (#200) no permission");
        check("near_duplicate: the same headline came", "พาดหัวซ้ำกับข่าวอื่น อาจเป็นข่าวเดียวกัน");
        check("can't be read back yet: rate limited: slow down", "ยังอ่านกลับไม่ได้: แพลตฟอร์มขอให้ช้าลง: slow down");
        check(
            "no confirmation: timed out; the platform can't be read back",
            "ส่งไปแล้วแต่ไม่มีคำยืนยัน: timed out · แพลตฟอร์มนี้อ่านกลับไม่ได้",
        );
        check("something new", "something new");
    }

    #[test]
    fn no_beginning_hides_a_longer_one() {
        for (index, (words, _)) in THAI.iter().enumerate() {
            let hidden = THAI[..index].iter().find(|(earlier, _)| words.starts_with(earlier));
            assert_eq!(hidden, None, "{words}");
        }
    }
}
