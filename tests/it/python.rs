//! Python: runs the independent verifier of docs beside ours.
//!
//! `src/model` includes this file for its own tests, so it uses nothing but std and `tempfile`.

/// What docs/verify_audit.py says of each file: line and entry, or `None` if it is good.
pub(super) fn verify_in_python(
    arguments: &[&str],
    files: &[Vec<u8>],
) -> Vec<Option<(Option<u64>, Option<u64>)>> {
    let folder = tempfile::tempdir().unwrap();
    let write = |(number, text): (usize, &Vec<u8>)| {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, text).unwrap();
        path
    };
    let output = std::process::Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_audit.py"))
        .args(arguments)
        .args(files.iter().enumerate().map(write))
        .output()
        .expect("the tests need python3 (3.8 or later) in the PATH");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), files.len(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.success(), !said.contains("BROKEN"));
    let number = |text: &str, what: &str| -> Option<u64> {
        let digits = text.split_once(what)?.1;
        digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    let place = |line: &str| {
        let broken = line.split_once("BROKEN: ")?.1;
        let place = broken.split_inclusive(": ").next()?;
        Some((number(place, "line "), number(place, "entry ")))
    };
    said.lines().map(place).collect()
}

/// How many mutations the two verifiers are compared on; SONGKHAO_AGREEMENTS asks for more (`.ci/full` does).
pub(super) fn agreements() -> usize {
    std::env::var("SONGKHAO_AGREEMENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}
