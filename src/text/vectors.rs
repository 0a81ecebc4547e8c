//! Vectors: reads the shared table of Thai test strings; tests only.

use serde_json::Value;

/// One case of `tests/fixtures/text/vectors.json`.
pub struct Vector(Value);

/// The cases of one kind (`truncate`, `normalise`, `segment`, `xweight`, `sentence`, `boilerplate`).
pub fn vectors(kind: &str) -> Vec<Vector> {
    let table: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/fixtures/text/vectors.json")).expect("vectors.json");
    let cases: Vec<Vector> = table.into_iter().filter(|case| case["kind"] == kind).map(Vector).collect();
    assert!(!cases.is_empty(), "no vector of kind {kind}");
    cases
}

impl Vector {
    /// The case's name.
    pub fn id(&self) -> &str {
        self.0["id"].as_str().expect("id")
    }

    /// What goes in.
    pub fn input(&self) -> &str {
        self.0["input"].as_str().expect("input")
    }

    /// What must come out, where it is a string.
    pub fn expect(&self) -> &str {
        self.0["expect"].as_str().expect("expect")
    }

    /// What must come out, where it is a list.
    pub fn expect_list(&self) -> Vec<&str> {
        self.0["expect"].as_array().expect("expect").iter().map(|item| item.as_str().expect("item")).collect()
    }

    /// What must come out, or a budget, where it is a number.
    pub fn number(&self, key: &str) -> usize {
        usize::try_from(self.0[key].as_u64().expect("number")).expect("usize")
    }

    /// A yes or no; absent is no.
    pub fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }
}
