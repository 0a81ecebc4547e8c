//! Import: brings a table of promotions in, row by row, and writes one out.
//!
//! Tables are CSV as Excel saves them: UTF-8 with or without BOM, UTF-16, or windows-874; commas, semicolons or tabs.
//! Importing twice changes nothing the second time. A bad row stops no other; a bad heading stops all, because a
//! misspelt column would silently leave an end or a cap out.

use std::borrow::Cow;
use std::collections::HashMap;

use csv::ReaderBuilder;
use csv::StringRecord;
use encoding_rs::Encoding;
use encoding_rs::UTF_8;
use encoding_rs::WINDOWS_874;

use crate::config::Config;
use crate::model::promotion::Promotion;
use crate::model::promotion::wish::COLUMNS;
use crate::model::promotion::wish::Column;
use crate::model::promotion::wish::Fault;
use crate::model::promotion::wish::Wish;
use crate::model::promotion::wish::text_column;
use crate::model::transition::Policy;
use crate::pipeline::promote;
use crate::store::audit::Stamp;
use crate::store::db::Db;
use crate::store::db::Result;
use crate::store::promotion;
use crate::store::promotion::Stored;
use crate::text::quote::shown;

/// Rows written in one transaction: few enough that no firing waits long for it.
const BATCH: usize = 200;

/// More wordings than this are surely another table.
const MOST_TEXTS: usize = 50;

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Promotions that are new.
    pub added: usize,
    /// Promotions that were there and are otherwise now.
    pub changed: usize,
    /// Promotions that were there just so.
    pub unchanged: usize,
    /// Rows that were left out, as they stand in the table.
    pub bad: Vec<Bad>,
}

/// A row with faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// Its number as spreadsheets count: the heading is row 1.
    pub row: usize,
    /// What is wrong in it, one or more.
    pub faults: Vec<Fault>,
}

/// A row that could be read.
struct Good {
    row: usize,
    wish: Wish,
}

/// Brings the table `bytes` in; with `dry_run` it only says what would be done.
///
/// # Errors
/// What the database says. Faults of the table are in the report.
pub async fn import(
    db: &Db,
    config: &Config,
    stamp: &Stamp,
    policy: &Policy,
    bytes: &[u8],
    dry_run: bool,
) -> Result<Report> {
    let (rows, bad) = parse(&decode(bytes));
    let mut report = Report { bad, ..Report::default() };
    let known = promotion::list(db).await?;
    let known: HashMap<&str, &Stored> = known.iter().map(|it| (it.promotion.name.as_str(), it)).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut wanted = Vec::new();
    for Good { row, wish } in rows {
        match judge(&wish, row, config, stamp, &known, &mut seen) {
            Ok(None) => report.unchanged += 1,
            Ok(Some(promotion)) => {
                *(if known.contains_key(promotion.name.as_str()) {
                    &mut report.changed
                } else {
                    &mut report.added
                }) += 1;
                wanted.push(promotion);
            }
            Err(faults) => report.bad.push(Bad { row, faults }),
        }
    }
    report.bad.sort_by_key(|bad| bad.row);
    if !dry_run {
        for batch in wanted.chunks(BATCH) {
            write(db, config, stamp, policy, batch).await?;
        }
    }
    Ok(report)
}

/// The promotion a row stands for, `None` if it is there just so already.
fn judge(
    wish: &Wish,
    row: usize,
    config: &Config,
    stamp: &Stamp,
    known: &HashMap<&str, &Stored>,
    seen: &mut HashMap<String, usize>,
) -> std::result::Result<Option<Promotion>, Vec<Fault>> {
    let promotion = wish.read(config.timezone)?;
    if let Some(first) = seen.insert(promotion.name.clone(), row) {
        seen.insert(promotion.name.clone(), first);
        let name = &promotion.name;
        return Err(vec![Fault::new(
            "name",
            format!("{} stands in row {first} already", shown(name)),
            format!("{} ซ้ำกับแถว {first} เหลือไว้แถวเดียว", shown(name)),
        )]);
    }
    if known.get(promotion.name.as_str()).is_some_and(|stored| stored.promotion == promotion) {
        return Ok(None);
    }
    let mut faults = promote::faults(&promotion, config);
    faults.extend(promotion.never_fires(stamp.at, config.timezone));
    if faults.is_empty() { Ok(Some(promotion)) } else { Err(faults) }
}

/// Writes promotions in one transaction; one that another person added meanwhile is changed instead.
async fn write(db: &Db, config: &Config, stamp: &Stamp, policy: &Policy, batch: &[Promotion]) -> Result<()> {
    let mut tx = db.begin().await?;
    for promotion in batch {
        match promotion::find_for_update(&mut tx, &promotion.name).await? {
            Some(stored) if stored.promotion == *promotion => {}
            Some(stored) => {
                promotion::change(&mut tx, stamp, &stored, promotion, config.timezone, policy).await?;
            }
            None => {
                promotion::insert(&mut tx, stamp, promotion, config.timezone).await?;
            }
        }
    }
    tx.commit().await
}

/// Every promotion as one table that [`import`] reads, in UTF-8 with the BOM by which Excel knows it.
///
/// # Errors
/// What the database says; writing to memory doesn't fail.
pub async fn export(db: &Db, config: &Config) -> anyhow::Result<Vec<u8>> {
    let wishes: Vec<Wish> =
        promotion::list(db).await?.iter().map(|stored| stored.promotion.wish(config.timezone)).collect();
    let texts = wishes.iter().map(|wish| wish.texts.len()).max().unwrap_or(1);
    let mut table = csv::Writer::from_writer("\u{feff}".as_bytes().to_vec());
    // The name first, the texts behind it, then the rest.
    let mut heading: Vec<String> = COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    heading.splice(1..1, (0..texts).map(text_column));
    table.write_record(&heading)?;
    for mut wish in wishes {
        let mut row: Vec<String> = COLUMNS.iter().map(|column| (column.place)(&mut wish).clone()).collect();
        row.splice(1..1, (0..texts).map(|index| wish.texts.get(index).cloned().unwrap_or_default()));
        table.write_record(&row)?;
    }
    Ok(table.into_inner()?)
}

/// The table as text: valid UTF-8 is never anything else by chance; a BOM says UTF-16; what is left is Thai Windows.
fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let encoding = match Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => UTF_8,
        None => WINDOWS_874,
    };
    encoding.decode(bytes).0
}

/// Where a cell of a table goes.
enum Place {
    Field(&'static Column),
    Text(usize),
}

/// Reads the heading and every row; rows that are empty are no rows.
fn parse(text: &str) -> (Vec<Good>, Vec<Bad>) {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text))
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut heading: Option<Vec<Option<Place>>> = None;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    // Line breaks inside cells so far: spreadsheets don't count them as rows.
    let mut inside = 0;
    let mut record = StringRecord::new();
    loop {
        let start = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let line = usize::try_from(reader.position().line()).unwrap_or(usize::MAX);
        match reader.read_record(&mut record) {
            Ok(true) => {}
            // The text is in memory and every row may have its own length, so nothing else can fail.
            Ok(false) | Err(_) => break,
        }
        let rest = text.get(start..).unwrap_or_default();
        let blank = rest
            .bytes()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .filter(|byte| *byte == b'\n')
            .count();
        let row = line + blank - inside;
        inside += record.iter().map(|cell| cell.matches('\n').count()).sum::<usize>();
        let Some(places) = &heading else {
            match read_heading(&record) {
                Ok(places) => heading = Some(places),
                Err(faults) => return (Vec::new(), vec![Bad { row, faults }]),
            }
            continue;
        };
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX);
        let raw = text.get(start..end).unwrap_or_default();
        match read_row(&record, places, raw) {
            Ok(wish) => good.push(Good { row, wish }),
            Err(faults) => bad.push(Bad { row, faults }),
        }
    }
    if heading.is_none() {
        let fault = Fault::new(
            "name",
            "the table is empty",
            "ตารางว่างเปล่า แถวแรกต้องเป็นหัวคอลัมน์ เช่น name,text,accounts,cron",
        );
        bad.push(Bad { row: 1, faults: vec![fault] });
    }
    (good, bad)
}

/// What parts the cells: whatever parts the heading most.
fn delimiter(text: &str) -> u8 {
    let heading = text.trim_start().lines().next().unwrap_or_default();
    let count = |delimiter: &u8| heading.bytes().filter(|byte| byte == delimiter).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(count).unwrap_or(b',')
}

fn read_heading(record: &StringRecord) -> std::result::Result<Vec<Option<Place>>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut places = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for cell in record {
        let cell = cell.trim();
        // Spreadsheets leave empty columns at the end.
        let place = if cell.is_empty() { None } else { place_of(cell) };
        let name = match &place {
            Some(Place::Field(column)) => column.name.to_owned(),
            Some(Place::Text(index)) => text_column(*index),
            None => String::new(),
        };
        if place.is_none() && !cell.is_empty() {
            let all: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
            let all = all.join(", ");
            faults.push(Fault::new(
                cell,
                format!("no column is called so; there are text, text_2, {all}"),
                format!("ไม่มีคอลัมน์ชื่อนี้ ใช้ได้: text, text_2, {all}"),
            ));
        } else if !name.is_empty() && names.contains(&name) {
            faults.push(Fault::new(cell, "the column stands there twice", "คอลัมน์นี้มีสองครั้ง เหลือไว้ครั้งเดียว"));
        }
        names.push(name);
        places.push(place);
    }
    for wanted in ["name", "text", "accounts"] {
        if !names.iter().any(|name| name == wanted) {
            faults.push(Fault::new(wanted, "the column is missing", "ไม่มีคอลัมน์นี้ในหัวตาราง"));
        }
    }
    if faults.is_empty() { Ok(places) } else { Err(faults) }
}

fn place_of(cell: &str) -> Option<Place> {
    let cell = cell.to_lowercase().replace(' ', "_");
    if let Some(column) = COLUMNS.iter().find(|column| cell == column.name || cell == column.thai) {
        return Some(Place::Field(column));
    }
    let number = cell.strip_prefix("text").or_else(|| cell.strip_prefix("ข้อความ"))?.trim_start_matches('_');
    let number: usize = if number.is_empty() { 1 } else { number.parse().ok()? };
    (1..=MOST_TEXTS).contains(&number).then(|| Place::Text(number - 1))
}

/// A row's wish; `raw` is the row as it stands in the table.
fn read_row(
    record: &StringRecord,
    places: &[Option<Place>],
    raw: &str,
) -> std::result::Result<Wish, Vec<Fault>> {
    let mut wish = Wish::default();
    let mut faults = Vec::new();
    if raw.matches('"').count() % 2 == 1 {
        // The rest of the table would become one cell, and go out as words of the promotion.
        return Err(vec![Fault::new(
            "name",
            "a quotation mark is opened and not closed; what follows can't be told apart",
            "เครื่องหมาย \" เปิดแล้วไม่ปิด จึงแยกไม่ได้ว่าช่องจบที่ไหน ปิดให้ครบ หรือพิมพ์ \"\" แทน \" หนึ่งตัว",
        )]);
    }
    for (index, cell) in record.iter().enumerate() {
        let (cell, place) = (cell.trim(), places.get(index).and_then(Option::as_ref));
        let name = match place {
            Some(Place::Field(column)) => column.name.to_owned(),
            Some(Place::Text(index)) => text_column(*index),
            None if cell.is_empty() => continue,
            None => {
                let column = (index + 1).to_string();
                let thai =
                    format!("{} อยู่นอกหัวตาราง ถ้าข้อความมีเครื่องหมายจุลภาค ให้ใส่ในเครื่องหมาย \"…\"", shown(cell));
                faults.push(Fault::new(&column, format!("{} stands under no heading", shown(cell)), thai));
                continue;
            }
        };
        if cell.contains('\u{fffd}') {
            let thai = "มีตัวอักษรที่อ่านไม่ได้ บันทึกไฟล์เป็น CSV UTF-8 แล้วลองใหม่";
            faults.push(Fault::new(
                &name,
                "some characters can't be read; save the table as CSV UTF-8",
                thai,
            ));
        }
        match place {
            Some(Place::Field(column)) => cell.clone_into((column.place)(&mut wish)),
            Some(Place::Text(at)) => {
                if wish.texts.len() <= *at {
                    wish.texts.resize(at + 1, String::new());
                }
                cell.clone_into(&mut wish.texts[*at]);
            }
            None => {}
        }
    }
    if faults.is_empty() { Ok(wish) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "name,text,accounts,cron\nก,ข้อความ,page,0 9 * * *\n";

    type Rows = Vec<(usize, String)>;

    /// The rows of a table: number and name of the good ones, number and column of the bad ones.
    fn read(bytes: &[u8]) -> (Rows, Rows) {
        let (good, bad) = parse(&decode(bytes));
        let columns =
            bad.into_iter().flat_map(|bad| bad.faults.into_iter().map(move |it| (bad.row, it.column)));
        (good.into_iter().map(|good| (good.row, good.wish.name)).collect(), columns.collect())
    }

    #[test]
    fn a_table_is_read_in_every_encoding_and_with_every_comma() {
        let utf16: Vec<u8> =
            [0xfeff].into_iter().chain(TABLE.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let expected = (vec![(2, "ก".to_owned())], Vec::new());
        assert_eq!(read(TABLE.as_bytes()), expected);
        assert_eq!(read(&utf16), expected);
        assert_eq!(read(&WINDOWS_874.encode(TABLE).0), expected);
        for delimiter in [";", "\t"] {
            assert_eq!(read(TABLE.replace(',', delimiter).as_bytes()), expected, "{delimiter:?}");
        }
    }

    #[test]
    fn rows_are_counted_as_spreadsheets_count_them() {
        let table = "name,text,accounts\r\nก,\"สอง\r\nบรรทัด\",page\r\n\r\n,,\r\nข,ข้อความ,page\r\n\r\n\r\nค,ข้อความ,page,เศษ";
        let (good, bad) = read(table.as_bytes());
        assert_eq!(good, [(2, "ก".to_owned()), (5, "ข".to_owned())]);
        assert_eq!(bad, [(8, "4".to_owned())]);
    }

    #[test]
    fn a_heading_that_is_not_understood_stops_the_table() {
        let columns = |heading: &str| read(format!("{heading}\nก,ข,page\n").as_bytes()).1;
        assert_eq!(columns("name,text,accounts,until,untill"), [(1, "untill".to_owned())]);
        assert_eq!(columns("name,text,text"), [(1, "text".to_owned()), (1, "accounts".to_owned())]);
        assert_eq!(columns("name,text,text_51,accounts"), [(1, "text_51".to_owned())]);
        assert_eq!(columns("Name,Text 2,text,ACCOUNTS,,"), []);
    }

    #[test]
    fn letters_that_can_not_be_read_are_told_with_their_column() {
        let mut table = WINDOWS_874.encode("name,text,accounts\nก,ข้อความ").0.into_owned();
        table.extend([0xfc, b',', b'p', b'\n']);
        assert_eq!(read(&table).1, [(2, "text".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_table_breaks_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..200), rows in "[a,;\"\r\n\t]{0,60}") {
            read(&bytes);
            read(format!("name,text,accounts\n{rows}").as_bytes());
        }
    }
}
