//! User: a person who signs in, and what that person may do.
//!
//! [`Role::may`] is the one policy of pages, API and command line; what it does not grant is refused.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// What a user is in the newsroom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Works on the queue.
    Editor,
    /// Says yes or no to posts, and works on the queue.
    Approver,
    /// All of it, and users.
    Admin,
}

/// What somebody may want to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// See everything but secrets.
    Read,
    /// Retry, cancel and resolve deliveries; put a hold on.
    Work,
    /// Approve or reject posts; lift a hold.
    Approve,
    /// Add, change and remove users.
    Administer,
}

impl Role {
    /// All roles, the least one first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Editor, Role::Approver, Role::Admin];

    /// The name used in database, JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Approver => "approver",
            Role::Admin => "admin",
        }
    }

    /// Whether this role has a right.
    pub fn may(self, right: Right) -> bool {
        match right {
            Right::Read => true,
            Right::Work => matches!(self, Role::Editor | Role::Approver | Role::Admin),
            Right::Approve => matches!(self, Role::Approver | Role::Admin),
            Right::Administer => matches!(self, Role::Admin),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| {
            format!("no role is called {name:?}; there are viewer, editor, approver and admin")
        })
    }
}

/// The longest name, in characters.
pub const LONGEST_NAME: usize = 64;

/// The shortest password, in characters (ASVS 5.0, 6.2.1).
pub const SHORTEST_PASSWORD: usize = 8;

/// The longest password, in bytes: hashing must not become work for the asking.
pub const LONGEST_PASSWORD: usize = 1024;

/// Passwords that every guesser tries first, of those long enough to be allowed at all.
const COMMON_PASSWORDS: &[&str] = &[
    "12345678",
    "123456789",
    "1234567890",
    "87654321",
    "11111111",
    "00000000",
    "88888888",
    "password",
    "password1",
    "passw0rd",
    "p@ssw0rd",
    "qwertyuiop",
    "qwerty123",
    "1q2w3e4r",
    "1qaz2wsx",
    "abcd1234",
    "abc12345",
    "iloveyou",
    "sunshine",
    "admin123",
    "admin1234",
    "administrator",
    "changeme",
    "welcome1",
    "letmein1",
    "songkhao",
];

/// The form in which a name is kept and looked up: without spaces around it, in lower case.
///
/// # Errors
/// In words, when it is empty, longer than [`LONGEST_NAME`], or holds a space or anything but letters, digits,
/// Thai marks and `. _ - @ +`.
pub fn name(given: &str) -> Result<String, String> {
    let name = given.trim().to_lowercase();
    let thai_mark = |c: char| matches!(c, '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}');
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        return Err(format!("a user's name has 1 to {LONGEST_NAME} characters"));
    }
    match name.chars().find(|&c| !(c.is_alphanumeric() || thai_mark(c) || "._-@+".contains(c))) {
        Some(bad) => Err(format!(
            "a user's name takes letters, digits and . _ - @ + and not {bad:?}; given: {given:?}"
        )),
        None => Ok(name),
    }
}

/// Whether a password may be chosen by the user of that name.
///
/// # Errors
/// In words that don't repeat the password.
pub fn check_password(name: &str, password: &str) -> Result<(), &'static str> {
    let lower = password.to_lowercase();
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err("the password is too short: 8 characters or more; a sentence is a good one");
    }
    if password.len() > LONGEST_PASSWORD {
        return Err("the password is too long: 1,024 bytes at most");
    }
    if COMMON_PASSWORDS.contains(&lower.as_str()) || lower == name {
        return Err("the password is one that everybody tries first; choose another");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(role: Role, rights: &[Right]) {
        for right in [Right::Read, Right::Work, Right::Approve, Right::Administer] {
            assert_eq!(role.may(right), rights.contains(&right), "{role} {right:?}");
        }
    }

    #[test]
    fn each_role_may_what_the_one_before_may_and_more() {
        check(Role::Viewer, &[Right::Read]);
        check(Role::Editor, &[Right::Read, Right::Work]);
        check(Role::Approver, &[Right::Read, Right::Work, Right::Approve]);
        check(Role::Admin, &[Right::Read, Right::Work, Right::Approve, Right::Administer]);
    }

    #[test]
    fn a_role_reads_back_from_its_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse::<Role>(), Ok(role));
        }
        assert!("root".parse::<Role>().unwrap_err().contains("root"));
    }

    #[test]
    fn a_name_has_one_spelling() {
        assert_eq!(name(" Somchai "), Ok("somchai".into()));
        assert_eq!(name("ณัฐวุฒิ"), Ok("ณัฐวุฒิ".into()));
        assert_eq!(name("s.chai@inn.example"), Ok("s.chai@inn.example".into()));
        for bad in ["", "  ", "a b", "a\nb", "<b>", "?", "a\u{202e}b", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_guessable_password_is_refused() {
        for bad in ["", "สั้น", "1234567", "PassWord", "somchai.p", &"x".repeat(1025)] {
            assert!(check_password("somchai.p", bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_password("somchai", "ข่าวดีมีทุกวัน"), Ok(()));
    }
}
